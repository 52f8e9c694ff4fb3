import random

import audiomentations
import librosa
import numpy as np
import pytest

from gtzan_mfcc import augmentation
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


def test_gain_is_the_studys_formula(batch):
    louder = augmentation.random_gain(batch, seed=4)
    rng = np.random.default_rng(4)
    for y, louder_y in zip(batch, louder):
        np.testing.assert_allclose(louder_y, y * rng.uniform(2, 4), rtol=1e-5)


def test_noise_is_the_studys_formula(batch):
    noisy = augmentation.white_noise(batch, seed=4)
    rng = np.random.default_rng(4)
    for y, noisy_y in zip(batch, noisy):
        factor = rng.choice([0.1, 0.2, 0.3, 0.4])
        noise = factor * y.std() * rng.standard_normal(len(y), dtype=np.float32)
        np.testing.assert_allclose(noisy_y, y + noise, atol=1e-7)


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_pitch_falls_by_one_two_or_three_semitones_as_librosas(tone, rate):
    shifted = [
        librosa.effects.pitch_shift(tone, sr=rate, n_steps=-n) for n in (1, 2, 3)
    ]
    drawn = []
    for seed in range(30):
        y = augmentation.pitch_scale(tone, seed=seed, sample_rate=rate)
        errors = np.abs(shifted - y).max(axis=1)
        assert errors.min() < 1e-4
        drawn.append(errors.argmin())
    assert set(drawn) == {0, 1, 2}


@each
@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("shape", [(16_384,), (1, 2, 10_001), (0, 16_384)])
def test_the_shape_stays_and_the_type_is_float32(tone, name, shape, sample_rate):
    y = 0.5 + np.resize(tone, shape).astype(np.float64)
    augmented = augment(AUGMENTATIONS[name], y, seed=0, sample_rate=sample_rate)
    assert augmented.shape == shape
    assert augmented.dtype == np.float32
    assert np.isfinite(augmented).all()


def own_noise(y, *, seed):
    return y + seed.normal(size=len(y)) + np.random.rand(len(y)) + random.random()


OWN = {
    "own": own_noise,
    "audiomentations": audiomentations.Shift(p=1.0),
    "compose": audiomentations.Compose([audiomentations.Gain(-20, 20, p=1.0)]),
}


@pytest.mark.parametrize("name", [*AUGMENTATIONS, *OWN])
def test_the_seed_decides_and_nothing_else(batch, name):
    function = {**AUGMENTATIONS, **OWN}[name]
    first = augment(function, batch, seed=[3, 1])
    np.random.seed(2)
    random.seed(2)
    again = augment(function, batch, seed=np.random.default_rng([3, 1]))
    np.testing.assert_array_equal(first, again)
    other = augment(function, batch, seed=[3, 2])
    # Each signal has its own draws, unless the strength is fixed.
    fixed = name in FIXED
    assert np.allclose(first, other, rtol=1e-3, atol=1e-6) == fixed
    assert np.allclose(first[0], first[3], rtol=1e-3, atol=1e-6) == fixed


@each
def test_neither_the_signal_nor_the_global_generators_change(batch, name):
    before = batch.copy()
    np.random.seed(2)
    random.seed(2)
    expected = np.random.RandomState(2).rand(), random.Random(2).random()
    augment(AUGMENTATIONS[name], batch, seed=0)
    np.testing.assert_array_equal(batch, before)
    assert (np.random.rand(), random.random()) == expected


@each
def test_a_batch_or_signal_after_signal_is_the_same(batch, name):
    rng = np.random.default_rng(5)
    one_by_one = [augment(AUGMENTATIONS[name], y, seed=rng) for y in batch]
    together = augment(AUGMENTATIONS[name], batch, seed=5)
    np.testing.assert_array_equal(one_by_one, together)


def test_a_function_of_this_module_takes_several_signals_itself(batch):
    np.testing.assert_array_equal(
        augmentation.room(batch, seed=5), augment(augmentation.room, batch, seed=5)
    )


@each
def test_silence_stays_silence(name):
    silence = np.zeros((2, 16_384), np.float32)
    assert np.abs(augment(AUGMENTATIONS[name], silence, seed=0)).max() < 1e-9


def test_an_own_augmentation_gets_one_signal():
    y = np.array([[[1, 2, 3], [4, 5, 6]]])
    assert augment(np.flip, y, seed=0).tolist() == [[[3, 2, 1], [6, 5, 4]]]


def test_an_own_augmentation_gets_the_seed_and_the_rate_if_it_asks_for_them():
    def by_rate(y, sample_rate, seed=None):
        assert isinstance(seed, np.random.Generator)
        return y * sample_rate

    louder = augment(by_rate, np.ones(3), seed=0, sample_rate=8_000)
    assert louder.tolist() == [8_000, 8_000, 8_000]


def test_an_own_augmentation_may_use_another():
    def twice(y):
        return augmentation.random_gain(y, seed=0, factors=(2, 2))

    assert augment(twice, np.array([0.5, -1]), seed=0).tolist() == [1, -2]


@pytest.mark.parametrize(
    "result", [np.zeros(9), np.zeros((1, 10)), np.full(10, np.nan), None], ids=str
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
        ("small loudspeaker", 500, 0),
    ],
)
def test_some_frequencies_are_removed(noise, name, kept, removed):
    degraded = degrade(name, noise)
    assert decibels(degraded, kept) == pytest.approx(decibels(noise, kept), abs=1.5)
    less = 3 if name == "small loudspeaker" else 20
    assert decibels(degraded, removed) < decibels(noise, removed) - less


def test_the_loudspeaker_falls_by_24_db_per_octave(noise):
    ratio = np.fft.rfft(degrade("small loudspeaker", noise)) / np.fft.rfft(noise)
    gain = np.median(np.abs(ratio), axis=0)
    assert gain[3 * 300] == pytest.approx(10 ** (-3 / 20), abs=0.05)
    assert gain[3 * 150] == pytest.approx(10 ** (-24 / 20), abs=0.05)


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


@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 44_100])
def test_a_lower_bit_rate_of_mp3_changes_more(noise, sample_rate):
    errors = []
    for rate in (16, 64, 128):
        copy = augmentation.mp3(
            noise[0], seed=0, sample_rate=sample_rate, bitrates=[rate]
        )
        errors.append((copy - noise[0]).std())
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("bitrate", [16, 40, 48, 64])
@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 44_100])
def test_mp3_does_not_move_the_sound(tone, sample_rate, bitrate):
    copy = augmentation.mp3(tone, seed=0, sample_rate=sample_rate, bitrates=[bitrate])
    spectrum = np.fft.rfft(copy) * np.fft.rfft(tone).conj()
    assert np.fft.irfft(spectrum).argmax() == 0


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    drawn = {
        track_generator(track, name, seed=seed).random()
        for track in ("blues.00000", 1)
        for name in ("white_noise", "rerecord", "rerecord_2")
        for seed in (0, 1)
    }
    assert len(drawn) == 12
