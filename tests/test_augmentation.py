import itertools
import random

import numpy as np
import pytest
import soundfile

from gtzan_mfcc import audio, augmentation, dataset, extraction, features

each = pytest.mark.parametrize(
    "function", augmentation.AUGMENTATIONS.values(), ids=augmentation.AUGMENTATIONS
)


@pytest.fixture
def batch(tone) -> np.ndarray:
    """Four signals of different loudness, of which the last is the first again."""
    signals = tone[: 3 * 16_384].reshape(3, 16_384)
    return signals[[0, 1, 2, 0]] * np.array([[1], [0.5], [0.01], [1]], np.float32)


def test_gain_multiplies_each_signal_by_one_factor_from_2_to_4_and_does_not_clip(tone):
    signals = np.tile(tone[:2_000], (200, 1))
    louder = augmentation.random_gain(signals, seed=0)
    factors = louder.astype(float).sum(axis=1) / signals.astype(float).sum(axis=1)
    np.testing.assert_allclose(louder, factors[:, np.newaxis] * signals, rtol=1e-3, atol=1e-6)
    assert 2 <= factors.min() < 2.1
    assert 3.9 < factors.max() <= 4
    np.testing.assert_allclose(np.quantile(factors, [0.25, 0.5, 0.75]), [2.5, 3, 3.5], atol=0.2)
    assert np.abs(augmentation.random_gain(tone / np.abs(tone).max(), seed=0)).max() >= 2


@pytest.mark.parametrize("loudness", [1e-3, 1, 10])
def test_noise_is_white_and_a_tenth_to_four_tenths_of_the_signals_deviation(tone, loudness):
    signals = np.tile(loudness * tone[:20_000], (100, 1))
    noise = augmentation.white_noise(signals, seed=0) - signals
    share = noise.std(axis=1) / signals.std(axis=1)
    assert 0.09 <= share.min() < 0.14
    assert 0.36 < share.max() <= 0.44
    assert np.abs(noise.mean(axis=1)).max() < 0.1 * signals.std()
    assert abs(np.corrcoef(noise[:2])[0, 1]) < 0.05
    assert abs(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]) < 0.05


def semitones_above_440(y):
    peak = np.abs(np.fft.rfft(y)).argmax() * 22_050 / len(y)
    return 12 * np.log2(peak / 440)


def test_pitch_falls_by_one_to_three_semitones_or_as_asked_for():
    y = np.sin(2 * np.pi * 440 * np.arange(66_150) / 22_050).astype(np.float32)
    for semitones in (-3, -1, 2):
        shifted = augmentation.pitch_scale(y, seed=0, semitones=(semitones, semitones))
        assert abs(semitones_above_440(shifted) - semitones) < 0.15
    shifts = [semitones_above_440(augmentation.pitch_scale(y, seed=seed)) for seed in range(8)]
    assert -3.1 <= min(shifts) < -2 < max(shifts) <= -0.9


@pytest.mark.parametrize("seed", range(3))
def test_pitch_scale_leaves_every_click_where_it_is(seed):
    clicks = np.arange(4_000, 64_000, 8_000)
    y = np.zeros(66_150, np.float32)
    y[clicks] = 0.8
    shifted = augmentation.pitch_scale(y, seed=seed)
    found = [np.abs(shifted[k - 3_000 : k + 3_000]).argmax() + k - 3_000 for k in clicks]
    np.testing.assert_allclose(found, clicks, atol=0.01 * 22_050)


@each
@pytest.mark.parametrize("shape", [(16_384,), (1, 2, 16_384), (2, 10_001)])
def test_shape_stays_and_type_is_float32(tone, function, shape):
    augmented = function(np.resize(tone, shape).astype(np.float64), seed=0)
    assert augmented.shape == shape
    assert augmented.dtype == np.float32


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
    assert not np.allclose(first, function(batch, seed=[3, 2]), rtol=1e-3, atol=1e-6)
    # Each signal is drawn for; neither the input nor the global generator is changed.
    assert not np.allclose(first[0], first[3], rtol=1e-3, atol=1e-6)
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


def test_augment_applies_the_function_of_that_name(batch, monkeypatch):
    assert tuple(augmentation.AUGMENTATIONS)[:3] == augmentation.STUDY
    for name in augmentation.STUDY:
        expected = getattr(augmentation, name)(batch, seed=[1, 2])
        np.testing.assert_array_equal(augmentation.augment(batch, name, seed=[1, 2]), expected)
    np.testing.assert_array_equal(augmentation.augment(batch, "original", seed=0), batch)
    with pytest.raises(ValueError, match=r"no augmentation 'reverb'; there are original,.*white"):
        augmentation.augment(batch, "reverb", seed=0)
    monkeypatch.setitem(augmentation.AUGMENTATIONS, "reverb", lambda y, *, seed: y + 1)
    np.testing.assert_array_equal(augmentation.augment(batch, "reverb", seed=0), batch + 1)


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    def draw(track, name, seed):
        return augmentation.track_generator(track, name, seed=seed).random()

    names = (*augmentation.AUGMENTATIONS, "original")
    asked = list(itertools.product(("blues.00000", "blues.00001"), names, (0, 1)))
    assert len({draw(*one) for one in asked}) == len(asked)
    assert draw(*asked[0]) == draw(*asked[0])


@pytest.mark.parametrize("seconds", [10, 75])
def test_extracted_copies_are_drawn_as_if_all_segments_came_at_once(
    small_corpus, tmp_path, seconds
):
    path = small_corpus / "loud" / "loud.00000.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, seconds * 22_050), 22_050)
    extracted = extraction.extract_mfcc(
        dataset.load_tracks(small_corpus)[:1],
        augmentations=augmentation.STUDY,
        seed=3,
        n_jobs=1,
        cache=tmp_path / "cache",
        progress=False,
    )
    segments = np.concatenate(list(audio.segments(audio.load(path))))
    for name in augmentation.STUDY:
        rng = augmentation.track_generator("loud.00000", name, seed=3)
        expected = features.mfcc(augmentation.augment(segments, name, seed=rng))
        mfcc = extracted.mfcc[extracted.table["augmentation"] == name]
        np.testing.assert_allclose(mfcc, expected, atol=1e-3)
