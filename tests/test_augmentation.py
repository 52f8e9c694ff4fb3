import itertools
import random

import numpy as np
import pytest

from gtzan_mfcc import augmentation
from gtzan_mfcc._librosa import librosa

each = pytest.mark.parametrize(
    "function", augmentation.AUGMENTATIONS.values(), ids=augmentation.AUGMENTATIONS
)

# The functions without random draws.
FIXED = [augmentation.clip, augmentation.shorten]
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
    np.testing.assert_allclose(augmentation.random_gain(batch, seed=4), louder, rtol=1e-5)
    rng, noisy = np.random.default_rng(4), []
    for signal in batch:
        factor = rng.choice([0.1, 0.2, 0.3, 0.4])
        noise = signal.std() * rng.standard_normal(len(signal), dtype=np.float32)
        noisy.append(signal + noise * factor)
    np.testing.assert_allclose(augmentation.white_noise(batch, seed=4), noisy, atol=1e-7)


@pytest.mark.parametrize("semitones", [-3, 2, -0.5])
def test_pitch_scale_has_librosas_values_for_each_signal(batch, semitones):
    shifted = augmentation.pitch_scale(batch, seed=0, semitones=[semitones])
    expected = [librosa.effects.pitch_shift(y, sr=22_050, n_steps=semitones) for y in batch]
    np.testing.assert_allclose(shifted, expected, atol=1e-4)


def test_pitch_falls_by_one_two_or_three_whole_semitones():
    y = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)
    shifted = augmentation.pitch_scale(np.tile(y, (90, 1)), seed=0)
    peaks = np.abs(np.fft.rfft(shifted, 8 * 22_050)).argmax(axis=1) / 8
    semitones = 12 * np.log2(peaks / 440)
    np.testing.assert_allclose(semitones, semitones.round(), atol=0.1)
    drawn, counts = np.unique(semitones.round(), return_counts=True)
    assert drawn.tolist() == [-3, -2, -1]
    assert counts.min() >= 15


@each
@pytest.mark.parametrize("shape", [(16_384,), (1, 2, 16_384), (2, 10_001), (0, 16_384)])
def test_shape_stays_and_type_is_float32(tone, function, shape):
    with_offset = 0.5 + np.resize(tone, shape).astype(np.float64)
    augmented = function(with_offset, seed=0)
    assert augmented.shape == shape
    assert augmented.dtype == np.float32
    assert np.isfinite(augmented).all()


@each
def test_the_seed_decides_and_nothing_else(batch, function):
    before = batch.copy()
    np.random.seed(1)
    random.seed(1)
    first = function(batch, seed=[3, 1])
    np.random.seed(2)
    random.seed(2)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(first, function(batch, seed=[3, 1]))
    np.testing.assert_array_equal(first, function(batch, seed=np.random.default_rng([3, 1])))
    # Each signal has its own draws, unless the strength is fixed.
    draws = function not in FIXED
    assert draws != np.allclose(first, function(batch, seed=[3, 2]), rtol=1e-3, atol=1e-6)
    assert draws != np.allclose(first[0], first[3], rtol=1e-3, atol=1e-6)
    # The input and NumPy's global generator do not change.
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_array_equal(state, np.random.get_state()[1])


@each
def test_silence_stays_silence(function):
    assert np.abs(function(np.zeros((2, 16_384), np.float32), seed=0)).max() < 1e-9


@each
def test_batches_do_not_matter(batch, function):
    rng = np.random.default_rng(5)
    parts = [function(part, seed=rng) for part in np.split(batch, [1, 3])]
    np.testing.assert_array_equal(np.concatenate(parts), function(batch, seed=5))


@pytest.fixture
def noise() -> np.ndarray:
    """Make a minute of white noise in segments of 3 s."""
    return np.random.default_rng(1).standard_normal((20, 66_150), dtype=np.float32) / 10


def spectrum(signals: np.ndarray) -> np.ndarray:
    """Compute the power in dB in bands of 1 kHz, from 0 to 11 kHz."""
    power = np.square(np.abs(np.fft.rfft(signals))).mean(axis=0)
    return 10 * np.log10([power[3_000 * k + 30 : 3_000 * k + 1_500].mean() for k in range(11)])


@pytest.mark.parametrize(
    ("name", "from_khz"),
    [("16 kHz", 8), ("8 kHz", 4), ("MP3, 32 kbit/s", 10)],
)
def test_what_takes_away_the_high_frequencies_keeps_the_low_ones(noise, name, from_khz):
    change = spectrum(augmentation.DEGRADATIONS[name](noise, seed=0)) - spectrum(noise)
    assert np.abs(change[:4]).max() < 1.5
    assert (change[np.arange(11) >= from_khz] < -20).all()


def test_the_lowest_rate_that_is_drawn_is_4_khz_and_the_highest_22(noise):
    change = spectrum(augmentation.resample(noise, seed=0)) - spectrum(noise)
    assert (np.diff(change[1:]) < 0).all()
    assert abs(change[0]) < 0.5
    assert change[10] < -6


@pytest.mark.parametrize(("name", "decibels"), [("noise, 20 dB", -20), ("noise, 10 dB", -10)])
def test_noise_is_as_far_below_the_signal_as_its_name_says(noise, name, decibels):
    added = augmentation.DEGRADATIONS[name](noise, seed=0) - noise
    np.testing.assert_allclose(20 * np.log10(added.std() / noise.std()), decibels, atol=0.1)


def test_coloured_noise_is_5_to_40_db_below_the_signal_and_falls_with_frequency(noise):
    added = augmentation.coloured_noise(noise, seed=0) - noise
    below = 20 * np.log10(noise.std(axis=1) / added.std(axis=1))
    assert below.min() >= 5
    assert below.max() <= 40
    assert below.std() > 5
    assert (spectrum(added)[0] - spectrum(added)[2:]).min() > 3
    brown = augmentation.coloured_noise(noise, seed=0, snr=(0, 0), slope=(6.02, 6.02)) - noise
    np.testing.assert_allclose(spectrum(brown)[4] - spectrum(brown)[8], 6.02, atol=0.6)


def test_the_other_degradations_do_what_their_names_say(noise):
    degraded = {name: each(noise, seed=0) for name, each in augmentation.DEGRADATIONS.items()}
    np.testing.assert_allclose(degraded["30 dB quieter"], noise * 10**-1.5, rtol=1e-4)
    change = {name: np.abs(spectrum(each) - spectrum(noise)) for name, each in degraded.items()}
    assert change["MP3, 64 kbit/s"][:9].max() < 1
    assert change["MP3, 32 kbit/s"].sum() > 2 * change["MP3, 64 kbit/s"].sum()
    limit = 0.2 * np.abs(noise).max(axis=1, keepdims=True)
    np.testing.assert_allclose(degraded["clipped"], np.clip(noise, -limit, limit), rtol=1e-6)
    half = np.abs(np.fft.rfft(degraded["small loudspeaker"]) / np.fft.rfft(noise))[0]
    np.testing.assert_allclose(half[[900, 6_000]], [10 ** (-3 / 20), 1], atol=0.15)
    assert half[450] < 0.1
    reverberation = degraded["reverberant room"] - noise
    np.testing.assert_allclose(reverberation[:, 22_050:].std() / noise.std(), 1, atol=0.1)
    click = np.zeros((1, 66_150), np.float32)
    click[0, 0] = 1
    tail = np.square(augmentation.DEGRADATIONS["reverberant room"](click, seed=0)[0, 1:])
    first, later = tail[:1_323].sum(), tail[6_615:7_938].sum()
    np.testing.assert_allclose(10 * np.log10(first / later), 30, atol=2)
    shortened = augmentation.shorten(noise, seed=0)
    np.testing.assert_array_equal(shortened[:, 44_100:], noise[:, :22_050])


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    def draw(track, name, seed):
        return augmentation.track_generator(track, name, seed=seed).random()

    names = (*augmentation.AUGMENTATIONS, "original")
    asked = list(itertools.product(("blues.00000", "blues.00001"), names, (0, 1)))
    assert len({draw(*one) for one in asked}) == len(asked)
    assert draw(*asked[0]) == draw(*asked[0])
