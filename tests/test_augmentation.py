import itertools
import random
from functools import partial

import audiomentations
import librosa
import numpy as np
import pytest

from gtzan_mfcc import augmentation

each = pytest.mark.parametrize(
    "function", augmentation.AUGMENTATIONS.values(), ids=augmentation.AUGMENTATIONS
)

# What has no random draws.
FIXED = [augmentation.shorten]
FIXED += [
    function
    for name, function in augmentation.DEGRADATIONS.items()
    if "noise" not in name and "room" not in name
]


@pytest.fixture
def batch(tone) -> np.ndarray:
    """Make four signals of different levels; the last is equal to the first."""
    signals = tone[: 3 * 16_384].reshape(3, 16_384)
    return signals[[0, 1, 2, 0]] * np.array([[1], [0.5], [0.01], [1]], np.float32)


def test_gain_and_noise_are_the_studys_formulas_for_the_same_draws(batch):
    rng = np.random.default_rng(4)
    louder = [signal * rng.uniform(2, 4) for signal in batch]
    augmented = augmentation.random_gain(batch, seed=4)
    np.testing.assert_allclose(augmented, louder, rtol=1e-5)
    rng = np.random.default_rng(4)
    noisy = []
    for signal in batch:
        factor = rng.choice([0.1, 0.2, 0.3, 0.4])
        noise = signal.std() * rng.standard_normal(len(signal), dtype=np.float32)
        noisy.append(signal + noise * factor)
    augmented = augmentation.white_noise(batch, seed=4)
    np.testing.assert_allclose(augmented, noisy, atol=1e-7)


@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_pitch_falls_by_one_two_or_three_semitones_as_librosas(batch, rate):
    drawn = []
    expected = [
        librosa.effects.pitch_shift(batch[0], sr=rate, n_steps=-n) for n in (1, 2, 3)
    ]
    for y in augmentation.pitch_scale(batch[[0] * 60], seed=0, sample_rate=rate):
        errors = np.abs(expected - y).max(axis=1)
        assert errors.min() < 1e-4
        drawn.append(errors.argmin())
    assert np.bincount(drawn).min() >= 10


@each
@pytest.mark.parametrize("sample_rate", [16_000, 44_100])
@pytest.mark.parametrize("shape", [(16_384,), (1, 2, 10_001), (0, 16_384)])
def test_shape_stays_and_type_is_float32(tone, function, shape, sample_rate):
    with_offset = 0.5 + np.resize(tone, shape).astype(np.float64)
    augmented = augmentation.augment(
        function, with_offset, seed=0, sample_rate=sample_rate
    )
    assert augmented.shape == shape
    assert augmented.dtype == np.float32
    assert np.isfinite(augmented).all()


def own_noise(y, *, seed):
    return y + seed.normal(size=len(y)) + np.random.rand(len(y)) + random.random()


SHIFT = audiomentations.Shift(p=1.0)
GAIN = audiomentations.Gain(-20, 20, p=1.0)
OTHERS = {
    "own": own_noise,
    "audiomentations": SHIFT,
    "compose": audiomentations.Compose([SHIFT, GAIN]),
}


@pytest.mark.parametrize(
    "function",
    [*augmentation.AUGMENTATIONS.values(), *OTHERS.values()],
    ids=[*augmentation.AUGMENTATIONS, *OTHERS],
)
def test_the_seed_decides_and_nothing_else(batch, function):
    augment = partial(augmentation.augment, function, batch)
    before = batch.copy()
    np.random.seed(1)
    random.seed(1)
    first = augment(seed=[3, 1])
    np.random.seed(2)
    random.seed(2)
    of_numpy = np.random.get_state()[1].copy()
    of_python = random.getstate()
    np.testing.assert_array_equal(first, augment(seed=[3, 1]))
    np.testing.assert_array_equal(first, augment(seed=np.random.default_rng([3, 1])))
    # Each signal has its own draws, unless the strength is fixed.
    draws = function not in FIXED
    assert draws != np.allclose(first, augment(seed=[3, 2]), rtol=1e-3, atol=1e-6)
    assert draws != np.allclose(first[0], first[3], rtol=1e-3, atol=1e-6)
    # The input and the global generators do not change.
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_array_equal(np.random.get_state()[1], of_numpy)
    assert random.getstate() == of_python


@each
def test_batches_do_not_matter_and_silence_stays_silence(batch, function):
    augment = partial(augmentation.augment, function)
    rng = np.random.default_rng(5)
    parts = [augment(part, seed=rng) for part in np.split(batch, [1, 3])]
    np.testing.assert_array_equal(np.concatenate(parts), augment(batch, seed=5))
    assert np.abs(augment(0 * batch, seed=0)).max() < 1e-9


def test_a_function_takes_several_signals_as_augment_does(batch):
    drawn = augmentation.room(batch, seed=5)
    np.testing.assert_array_equal(
        drawn, augmentation.augment(augmentation.room, batch, seed=5)
    )


def test_an_own_augmentation_gets_one_signal_and_what_it_asks_for():
    y = np.array([[[1, 2, 3], [4, 5, 6]]], np.float32)
    backwards = augmentation.augment(lambda y: y[::-1], y, seed=0)
    assert backwards.tolist() == [[[3, 2, 1], [6, 5, 4]]]

    def by_rate(y, sample_rate, seed=None):
        assert isinstance(seed, np.random.Generator)
        return y * sample_rate

    louder = augmentation.augment(by_rate, y, seed=0, sample_rate=8_000)
    assert louder[0, 0].tolist() == [8_000, 16_000, 24_000]
    assert louder.dtype == np.float32


def test_an_own_augmentation_may_be_a_ufunc_or_use_another_augmentation():
    y = np.array([0.5, -1], np.float32)
    assert augmentation.augment(np.negative, y, seed=0).tolist() == [-0.5, 1]

    def twice(y):
        return augmentation.random_gain(y, seed=0, factors=(2, 2))

    assert augmentation.augment(twice, y, seed=0).tolist() == [1, -2]


@pytest.mark.parametrize(
    "result", [np.zeros(9), np.zeros((1, 10)), np.full(10, np.nan), None], ids=str
)
def test_what_is_no_signal_of_the_same_length_is_refused(result):
    def my_echo(y):
        return result

    with pytest.raises(
        ValueError, match=r"my_echo.* makes (.*\(10,\)|infinity or NaN)"
    ):
        augmentation.augment(my_echo, np.zeros((2, 10), np.float32), seed=0)


@pytest.fixture
def noise() -> np.ndarray:
    """Make a minute of white noise in segments of 3 s."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((20, 66_150), dtype=np.float32) / 10


def spectrum(signals: np.ndarray) -> np.ndarray:
    """Compute the power in dB in bands of 1 kHz, from 0 to 11 kHz."""
    power = np.square(np.abs(np.fft.rfft(signals))).mean(axis=0)
    bands = [power[3_000 * k + 30 : 3_000 * k + 1_500].mean() for k in range(11)]
    return 10 * np.log10(bands)


def degrade(name, noise):
    return augmentation.augment(augmentation.DEGRADATIONS[name], noise, seed=0)


@pytest.mark.parametrize(
    ("name", "from_khz"),
    [("16 kHz", 8), ("8 kHz", 4), ("MP3, 32 kbit/s", 10)],
)
def test_what_removes_the_high_frequencies_keeps_the_low_ones(noise, name, from_khz):
    change = spectrum(degrade(name, noise)) - spectrum(noise)
    assert np.abs(change[:4]).max() < 1.5
    assert (change[np.arange(11) >= from_khz] < -20).all()


@pytest.mark.parametrize("sample_rate", [16_000, 22_050, 44_100])
def test_a_lower_bit_rate_of_mp3_changes_more(noise, sample_rate):
    y = noise[0]
    mp3 = partial(augmentation.mp3, seed=0, sample_rate=sample_rate)
    errors = [(mp3(y, bitrates=[rate]) - y).std() for rate in (16, 64, 128)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("bitrate", [16, 40, 48, 64])
@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 44_100])
def test_mp3_does_not_move_the_sound(tone, sample_rate, bitrate):
    decoded = augmentation.mp3(
        tone, seed=0, sample_rate=sample_rate, bitrates=[bitrate]
    )
    spectra = np.fft.rfft([decoded, tone], 2 * len(tone))
    correlation = np.fft.irfft(spectra[0] * spectra[1].conj())
    assert abs(correlation.argmax()) <= 1


def test_coloured_noise_falls_with_the_frequency(noise):
    brown = augmentation.coloured_noise(noise, seed=0, snr=(0, 0), slope=(6.02, 6.02))
    bands = spectrum(brown - noise)
    np.testing.assert_allclose(bands[4] - bands[8], 6.02, atol=0.6)


def test_the_other_degradations_do_what_their_names_say(noise):
    for decibels in (10, 20):
        added = degrade(f"noise, {decibels} dB", noise) - noise
        ratio = 20 * np.log10(noise.std() / added.std())
        np.testing.assert_allclose(ratio, decibels, atol=0.1)
    quiet = degrade("30 dB quieter", noise)
    np.testing.assert_allclose(quiet, noise * 10**-1.5, rtol=1e-4)
    small = np.fft.rfft(degrade("small loudspeaker", noise))
    gain = np.median(np.abs(small / np.fft.rfft(noise)), axis=0)
    np.testing.assert_allclose(gain[[900, 6_000]], [10 ** (-3 / 20), 1], atol=0.05)
    assert gain[450] < 0.1
    clipped = degrade("clipped", noise[:1])
    assert (np.abs(clipped) >= clipped.max()).mean() == pytest.approx(0.4, abs=0.01)


def test_a_room_decays_by_60_db_in_its_reverberation_time():
    click = np.eye(1, 66_150, dtype=np.float32)
    tail = np.square(degrade("reverberant room", click)[0, 1:])
    # The energy of 60 ms, and of 60 ms half of the reverberation time later.
    first = tail[:1_323].sum()
    later = tail[6_615:7_938].sum()
    np.testing.assert_allclose(10 * np.log10(first / later), 30, atol=2)


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    def draw(track, name, seed):
        return augmentation.track_generator(track, name, seed=seed).random()

    names = (*augmentation.AUGMENTATIONS, "original")
    asked = list(itertools.product(("blues.00000", 1), names, (0, 1)))
    assert len({draw(*one) for one in asked}) == len(asked)
    assert draw(*asked[0]) == draw(*asked[0])
