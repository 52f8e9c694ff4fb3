import random
from functools import partial, wraps

import audiomentations
import librosa
import numpy as np
import pytest

from gtzan_mfcc import augmentation, features, toy
from gtzan_mfcc.augmentation import (
    AUGMENTATIONS,
    DEGRADATIONS,
    augment,
    track_generator,
)

each = pytest.mark.parametrize("name", AUGMENTATIONS)
# These have no random draws.
FIXED = {"cut to 2 s", *DEGRADATIONS}
FIXED -= {"noise, 10 dB", "noise, 20 dB", "reverberant room"}


@pytest.fixture
def batch(tone):
    """Make four signals of different levels; the last is equal to the first."""
    first, second, third = tone[: 3 * 16_384].reshape(3, 16_384)
    return np.stack([first, second / 2, third / 100, first])


def test_gain_and_noise_are_the_studys_formulas(batch):
    louder = augmentation.random_gain(batch, seed=4)
    rng = np.random.default_rng(4)
    for k, y in enumerate(batch):
        np.testing.assert_allclose(louder[k], y * rng.uniform(2, 4), rtol=1e-5)
    noisy = augmentation.white_noise(batch, seed=4)
    rng = np.random.default_rng(4)
    for k, y in enumerate(batch):
        factor = rng.choice([0.1, 0.2, 0.3, 0.4])
        noise = factor * y.std() * rng.standard_normal(len(y), dtype=np.float32)
        np.testing.assert_allclose(noisy[k], y + noise, atol=1e-7)


@pytest.fixture(scope="module")
def sounds():
    """Make signals of one second with phases of many kinds."""
    rng = np.random.default_rng(0)
    t = np.arange(22_050) / 22_050
    click = np.eye(1, len(t), 9_000)[0]
    tone = np.sin(2 * np.pi * 440 * t)
    return {
        "music": toy.make_track("waltz", 0, seconds=1),
        "tone": tone,
        "one tone after another": np.where(t < 0.5, tone, np.sin(2 * np.pi * 1000 * t)),
        "sweep": np.sin(2 * np.pi * (100 + 2000 * t) * t),
        "square": np.sign(tone),
        # With some noise: the phases of a constant are of rounding errors alone.
        "constant": 0.5 + 1e-4 * rng.standard_normal(len(t)),
        "click": click,
        "clicks in noise": click + 0.01 * rng.standard_normal(len(t)),
        "noise": 0.2 * rng.standard_normal(len(t)),
        "silence": np.zeros_like(t),
        "silence, then a tone": np.where(t < 0.5, 0, tone),
        "odd length": 0.2 * rng.standard_normal(12_347),
        "less than a frame": tone[:700],
    }


@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
@pytest.mark.parametrize("semitones", [-12, -3, -2, -1, 0, 0.5, 4, 12])
def test_pitch_is_librosas_in_float64(sounds, semitones):
    # In float32, librosa's own samples differ by up to 0.1 from those in float64, and
    # MFCCs by up to 3 for these sounds (100 for the click): its phases grow large.
    for name, y in sounds.items():
        shifted = augmentation.pitch_scale(y, seed=0, semitones=[semitones])
        expected = librosa.effects.pitch_shift(
            np.float32(y).astype(float), sr=22_050, n_steps=semitones
        )
        np.testing.assert_allclose(shifted, expected, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(
            features.mfcc(shifted), features.mfcc(expected), atol=0.01, err_msg=name
        )


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_pitch_falls_by_one_two_or_three_semitones(tone, rate):
    y = tone.astype(float)
    shifted = [librosa.effects.pitch_shift(y, sr=rate, n_steps=-n) for n in (1, 2, 3)]
    drawn = set()
    for seed in range(30):
        y = augmentation.pitch_scale(tone, seed=seed, sample_rate=rate)
        errors = np.abs(shifted - y).max(axis=1)
        assert errors.min() < 1e-5
        drawn.add(errors.argmin())
    assert drawn == {0, 1, 2}


@each
@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("shape", [(16_384,), (1, 2, 10_001), (0, 16_384)])
def test_the_shape_stays_and_the_type_is_float32(tone, name, shape, sample_rate):
    y = 0.5 + np.resize(tone, shape).astype(np.float64)
    augmented = augment(AUGMENTATIONS[name], y, seed=0, sample_rate=sample_rate)
    assert augmented.shape == shape
    assert augmented.dtype == np.float32


def own_noise(y, *, seed):
    return y + seed.normal(size=len(y)) + np.random.rand(len(y)) + random.random()


@wraps(augmentation.white_noise)  # whose module it then seems to be of
def wrapped_noise(y, *, seed):
    return own_noise(augmentation.white_noise(y, seed=seed), seed=seed)


ALL = {
    **AUGMENTATIONS,
    "own": own_noise,
    "wrapped": wrapped_noise,
    "audiomentations": audiomentations.Shift(p=1.0),
    "compose": audiomentations.Compose([audiomentations.Gain(-20, 20, p=1.0)]),
}


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides_and_nothing_else(batch, name):
    first = augment(ALL[name], batch, seed=[3, 1])
    np.random.seed(2)
    random.seed(2)
    again = augment(ALL[name], batch, seed=np.random.default_rng([3, 1]))
    np.testing.assert_array_equal(first, again)
    # The global generators are as they were.
    assert np.random.rand() == np.random.RandomState(2).rand()
    assert random.random() == random.Random(2).random()
    other = augment(ALL[name], batch, seed=[3, 2])
    # Each signal has its own draws, unless the strength is fixed.
    fixed = name in FIXED
    assert np.allclose(first, other, rtol=1e-3, atol=1e-6) == fixed
    assert np.allclose(first[0], first[3], rtol=1e-3, atol=1e-6) == fixed


@each
def test_a_batch_or_signal_after_signal_is_the_same_and_stays_as_it_was(batch, name):
    before = batch.copy()
    rng = np.random.default_rng(5)
    one_by_one = [augment(AUGMENTATIONS[name], y, seed=rng) for y in batch]
    together = augment(AUGMENTATIONS[name], batch, seed=5)
    np.testing.assert_array_equal(one_by_one, together)
    np.testing.assert_array_equal(batch, before)


@each
def test_silence_stays_silence(name):
    silence = np.zeros((2, 16_384), np.float32)
    assert np.abs(augment(AUGMENTATIONS[name], silence, seed=0)).max() < 1e-9


def test_an_own_augmentation_gets_one_signal():
    y = np.arange(6).reshape(2, 3)
    assert augment(np.flip, y, seed=0).tolist() == [[2, 1, 0], [5, 4, 3]]


def test_an_own_augmentation_gets_the_sample_rate_if_it_asks_for_it():
    def by_rate(y, sample_rate):
        return y * sample_rate

    louder = augment(by_rate, np.ones(3), seed=0, sample_rate=8_000)
    assert louder.tolist() == [8_000, 8_000, 8_000]


def test_an_own_augmentation_may_use_another():
    def twice(y):
        return augmentation.random_gain(y, seed=0, factors=(2, 2))

    assert augment(twice, np.ones(2), seed=0).tolist() == [2, 2]


@pytest.mark.parametrize(
    "result", [np.zeros(9), np.full(10, np.nan), np.full(10, 1e300)], ids=str
)
def test_what_is_no_signal_of_the_same_length_is_refused(result):
    def my_echo(y):
        return result

    with pytest.raises(ValueError, match=r"my_echo.* makes (.* of \(10,\)|infinity)"):
        augment(my_echo, np.zeros((2, 10)), seed=0)


@pytest.fixture
def noise():
    """Make a minute of white noise in segments of 3 s."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((20, 66_150), dtype=np.float32) / 10


def degrade(name, y):
    return augment(DEGRADATIONS[name], y, seed=0)


def decibels(y, hertz):
    """Compute the mean level of the 500 Hz from this frequency on."""
    power = np.abs(np.fft.rfft(y)) ** 2
    return 10 * np.log10(power[:, 3 * hertz : 3 * (hertz + 500)].mean())


@pytest.mark.parametrize(
    ("name", "kept", "removed"),
    [
        ("16 kHz", 7_000, 8_100),
        ("8 kHz", 3_000, 4_100),
        ("MP3, 32 kbit/s", 3_000, 10_000),
    ],
)
def test_some_frequencies_are_removed(noise, name, kept, removed):
    degraded = degrade(name, noise)
    assert decibels(degraded, kept) == pytest.approx(decibels(noise, kept), abs=1.5)
    assert decibels(degraded, removed) < decibels(noise, removed) - 20


def test_the_loudspeaker_falls_by_24_db_per_octave(noise):
    ratio = np.fft.rfft(degrade("small loudspeaker", noise)) / np.fft.rfft(noise)
    gain = 20 * np.log10(np.median(np.abs(ratio), axis=0))
    # At 600, 300 and 150 Hz.
    assert gain[[1800, 900, 450]] == pytest.approx([0, -3, -24], abs=1)


@pytest.mark.parametrize("name", ["noise, 10 dB", "noise, 20 dB"])
def test_noise_has_the_level_of_its_name(noise, name):
    added = degrade(name, noise) - noise
    ratio = 20 * np.log10(noise.std() / added.std())
    assert ratio == pytest.approx(float(name.split()[1]), abs=0.1)


def test_quieter_sound_has_the_level_of_its_name(noise):
    quiet = degrade("30 dB quieter", noise)
    np.testing.assert_allclose(quiet, noise * 10**-1.5, rtol=1e-4)


def test_clipping_cuts_off_40_percent_of_the_samples(noise):
    clipped = degrade("clipped", noise[:1])
    assert (np.abs(clipped) >= clipped.max()).mean() == pytest.approx(0.4, abs=0.01)


def test_a_room_decays_by_60_db_in_its_reverberation_time():
    click = np.eye(1, 66_150, dtype=np.float32)
    energy = np.square(degrade("reverberant room", click)[0, 1:])
    # The energy of 60 ms, and of 60 ms half of the reverberation time later.
    first = energy[:1_323].sum()
    later = energy[6_615:7_938].sum()
    assert 10 * np.log10(first / later) == pytest.approx(30, abs=2)


def test_brown_noise_falls_by_6_db_per_octave(noise):
    brown = augmentation.coloured_noise(noise, seed=0, snr=(0, 0), slope=(6.02, 6.02))
    fall = decibels(brown - noise, 4_000) - decibels(brown - noise, 8_000)
    assert fall == pytest.approx(6.02, abs=0.6)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 44_100])
def test_mp3_of_a_lower_bit_rate_changes_more_and_none_moves_the_sound(
    noise, sample_rate
):
    y = noise[0]
    errors = []
    for rate in (16, 40, 48, 64):
        copy = augmentation.mp3(y, seed=0, sample_rate=sample_rate, bitrates=[rate])
        spectrum = np.fft.rfft(copy) * np.fft.rfft(y).conj()
        assert np.fft.irfft(spectrum).argmax() == 0
        errors.append((copy - y).std())
    assert np.all(np.diff(errors) < 0)


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    drawn = {
        track_generator(track, name, seed=seed).random()
        for track in ("blues.00000", 1)
        for name in ("white_noise", "rerecord", "rerecord_2")
        for seed in (0, 1)
    }
    assert len(drawn) == 12


def test_a_sample_rate_that_mp3_does_not_have_is_refused(tone):
    with pytest.raises(ValueError, match="MP3 has no 20000 Hz"):
        augmentation.mp3(tone, seed=0, sample_rate=20_000)


def test_what_a_partial_has_set_stays_as_it_is(tone):
    fixed = partial(augmentation.white_noise, seed=5)
    np.testing.assert_array_equal(
        augment(fixed, tone, seed=0), augmentation.white_noise(tone, seed=5)
    )
