import itertools
import random

import numpy as np
import pytest
import soundfile

from gtzan_mfcc import audio, augmentation, dataset, extraction, features

FUNCTIONS = [getattr(augmentation, name) for name in augmentation.AUGMENTATIONS]
each = pytest.mark.parametrize("function", FUNCTIONS, ids=augmentation.AUGMENTATIONS)


@pytest.fixture
def batch(tone) -> np.ndarray:
    """Four signals of different loudness."""
    return tone[: 4 * 16_384].reshape(4, 16_384) * np.array([[1], [0.5], [0.01], [1]], np.float32)


def test_gain_multiplies_each_signal_by_one_factor_from_2_to_4(tone):
    signals = np.tile(tone[:2_000], (200, 1))
    louder = augmentation.random_gain(signals, seed=0)
    factors = louder.astype(float).sum(axis=1) / signals.astype(float).sum(axis=1)
    np.testing.assert_allclose(louder, factors[:, np.newaxis] * signals, rtol=1e-3, atol=1e-6)
    assert 2 <= factors.min() < 2.1
    assert 3.9 < factors.max() <= 4


def test_gain_does_not_clip(tone):
    assert np.abs(augmentation.random_gain(tone / np.abs(tone).max(), seed=0)).max() >= 2


@pytest.mark.parametrize("loudness", [1e-3, 1, 10])
def test_noise_is_a_tenth_to_four_tenths_of_the_signals_deviation(tone, loudness):
    signals = np.tile(loudness * tone[:20_000], (100, 1))
    noise = augmentation.white_noise(signals, seed=0) - signals
    share = noise.std(axis=1) / signals.std(axis=1)
    assert 0.09 <= share.min() < 0.14
    assert 0.36 < share.max() <= 0.44
    assert np.abs(noise.mean(axis=1)).max() < 0.1 * signals.std()


def test_noise_is_white_and_new_for_each_signal(tone):
    signals = np.tile(tone[:20_000], (2, 1))
    noise = augmentation.white_noise(signals, seed=0) - signals
    assert abs(np.corrcoef(noise)[0, 1]) < 0.05
    assert abs(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]) < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_pitch_falls_by_one_to_three_semitones(seed):
    y = np.sin(2 * np.pi * 440 * np.arange(66_150) / 22_050).astype(np.float32)
    shifted = augmentation.pitch_scale(y, seed=seed)
    peak = np.abs(np.fft.rfft(shifted)).argmax() * 22_050 / 66_150
    assert 440 * 2 ** (-3 / 12) - 1 <= peak <= 440 * 2 ** (-1 / 12) + 1


@each
@pytest.mark.parametrize("shape", [(16_384,), (3, 16_384), (1, 2, 16_384), (2, 10_001)])
def test_shape_stays_and_type_is_float32(tone, function, shape):
    augmented = function(np.resize(tone, shape).astype(np.float64), seed=0)
    assert augmented.shape == shape
    assert augmented.dtype == np.float32


@each
def test_the_seed_decides(batch, function):
    first = function(batch, seed=[3, 1])
    np.testing.assert_array_equal(first, function(batch, seed=[3, 1]))
    np.testing.assert_array_equal(first, function(batch, seed=np.random.default_rng([3, 1])))
    assert not np.allclose(first, function(batch, seed=[3, 2]), rtol=1e-3, atol=1e-6)


@each
def test_each_signal_of_a_batch_is_drawn_for(batch, function):
    batch[3] = batch[0]
    augmented = function(batch, seed=0)
    assert not np.allclose(augmented[0], augmented[3], rtol=1e-3, atol=1e-6)


@each
def test_global_generators_neither_matter_nor_change(batch, function):
    np.random.seed(1)
    random.seed(1)
    first = function(batch, seed=0)
    np.random.seed(2)
    random.seed(2)
    state = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(first, function(batch, seed=0))
    np.testing.assert_array_equal(state, np.random.get_state()[1])


@each
def test_the_input_is_not_modified(batch, function):
    before = batch.copy()
    function(batch, seed=0)
    np.testing.assert_array_equal(batch, before)


@each
def test_silence_stays_silence(function):
    augmented = function(np.zeros((2, 16_384), np.float32), seed=0)
    assert np.abs(augmented).max() < 1e-9


@pytest.mark.parametrize("name", augmentation.AUGMENTATIONS)
def test_augment_applies_the_function_of_that_name(batch, name):
    augmented = augmentation.augment(batch, name, seed=[1, 2])
    assert not np.allclose(augmented, batch, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(augmented, getattr(augmentation, name)(batch, seed=[1, 2]))


def test_augment_leaves_the_original_alone(batch):
    np.testing.assert_array_equal(augmentation.augment(batch, "original", seed=0), batch)


def test_augment_refuses_an_unknown_name(batch):
    with pytest.raises(ValueError, match=r"no augmentation 'reverb'; there are original,.*white"):
        augmentation.augment(batch, "reverb", seed=0)


@pytest.mark.parametrize("name", augmentation.AUGMENTATIONS)
def test_batches_do_not_matter(tone, name):
    signals = np.tile(tone[:16_384], (7, 1))
    at_once = augmentation.augment(signals, name, seed=5)
    rng = np.random.default_rng(5)
    parts = [augmentation.augment(part, name, seed=rng) for part in np.split(signals, [3, 4])]
    np.testing.assert_array_equal(np.concatenate(parts), at_once)


def test_each_track_augmentation_and_seed_has_draws_of_its_own():
    def draw(track, name, seed):
        return augmentation.track_generator(track, name, seed=seed).random()

    names = (*augmentation.AUGMENTATIONS, "original")
    asked = list(itertools.product(("blues.00000", "blues.00001"), names, (0, 1)))
    assert len({draw(*one) for one in asked}) == len(asked)
    assert draw(*asked[0]) == draw(*asked[0])


@pytest.mark.parametrize("seconds", [10, 30, 75])
def test_extracted_copies_are_drawn_as_if_all_segments_came_at_once(
    small_corpus, tmp_path, seconds
):
    path = small_corpus / "loud" / "loud.00000.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, seconds * 22_050), 22_050)
    extracted = extraction.extract_mfcc(
        dataset.load_tracks(small_corpus)[:1],
        augmentations=augmentation.AUGMENTATIONS,
        seed=3,
        n_jobs=1,
        cache=tmp_path / "cache",
        progress=False,
    )
    segments = audio.cut(audio.load(path))
    for name in augmentation.AUGMENTATIONS:
        rng = augmentation.track_generator("loud.00000", name, seed=3)
        expected = features.mfcc(augmentation.augment(segments, name, seed=rng))
        mfcc = extracted.mfcc[extracted.table["augmentation"] == name]
        np.testing.assert_allclose(mfcc, expected, atol=1e-3)


@pytest.mark.parametrize("semitones", [-3, -1, 2])
def test_pitch_falls_by_the_semitones_asked_for(semitones):
    y = np.sin(2 * np.pi * 440 * np.arange(66_150) / 22_050).astype(np.float32)
    shifted = augmentation.pitch_scale(y, seed=0, semitones=(semitones, semitones))
    peak = np.abs(np.fft.rfft(shifted)).argmax() * 22_050 / 66_150
    assert abs(12 * np.log2(peak / 440) - semitones) < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_pitch_scale_leaves_every_click_where_it_is(seed):
    clicks = np.arange(4_000, 64_000, 8_000)
    y = np.zeros(66_150, np.float32)
    y[clicks] = 0.8
    shifted = augmentation.pitch_scale(y, seed=seed)
    found = [np.abs(shifted[k - 3_000 : k + 3_000]).argmax() + k - 3_000 for k in clicks]
    np.testing.assert_allclose(found, clicks, atol=0.01 * 22_050)


def test_order_of_tracks_and_number_of_workers_do_not_matter(small_corpus, tmp_path):
    tracks = dataset.load_tracks(small_corpus)
    settings = {"augmentations": augmentation.AUGMENTATIONS, "progress": False}
    one = extraction.extract_mfcc(tracks, n_jobs=1, cache=tmp_path / "1", **settings)
    two = extraction.extract_mfcc(tracks, n_jobs=2, cache=tmp_path / "2", **settings)
    back = extraction.extract_mfcc(tracks[::-1], n_jobs=1, cache=tmp_path / "3", **settings)
    np.testing.assert_array_equal(one.mfcc, two.mfcc)
    for track in tracks["track"]:
        np.testing.assert_array_equal(
            one.mfcc[one.table["track"] == track], back.mfcc[back.table["track"] == track]
        )
