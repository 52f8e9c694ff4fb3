import subprocess
import sys

import numpy as np
import pytest

from gtzan_mfcc import models

# A warning of TensorFlow when Keras saves tensors with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")

MEAN, VARIANCE = np.array([-100.0, 3, 0, 1]), np.array([400.0, 1e-2, 1, 9])


def statistics(frames=14, n_mfcc=4, *, mean=None, variance=None):
    """Build the statistics model; by default without standardisation."""
    mean = np.zeros(n_mfcc) if mean is None else mean
    variance = np.ones(n_mfcc) if variance is None else variance
    return models.statistics(frames, n_mfcc, mean=mean, variance=variance)


def mlp(frames=14, n_mfcc=4, n_genres=3, *, mean=None, variance=None, seed=0, members=1):
    """Build MLPs on statistics, and average them."""
    before = statistics(frames, n_mfcc, mean=mean, variance=variance)
    sizes = before.output_shape[1], n_mfcc - 1, n_genres
    return models.average(before, [models.mlp(*sizes, seed=seed + k) for k in range(members)])


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_cnn_is_the_studys():
    model = models.cnn()
    assert model.count_params() == 1_137_162
    assert kinds(model) == [
        "Conv2D", "MaxPooling2D", "BatchNormalization",
        "Conv2D", "MaxPooling2D", "BatchNormalization",
        "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    first, second = (layer for layer in model.layers if hasattr(layer, "filters"))
    assert (first.filters, first.kernel_size) == (32, (5, 5))
    assert (second.filters, second.kernel_size) == (64, (3, 3))


def test_the_ann_is_the_studys():
    model = models.ann()
    sizes = [(layer.units, layer.activation.__name__) for layer in model.layers[::2]]
    assert sizes == [(256, "relu"), (128, "relu"), (64, "relu"), (10, "softmax")]
    assert [layer.rate for layer in model.layers[1::2]] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("build", "shape", "n_genres"),
    [
        (lambda: models.cnn(), (130, 13, 1), 10),
        (lambda: models.cnn(), (130, 13), 10),
        (lambda: models.cnn(67, 20, 4), (67, 20), 4),
        (lambda: models.ann(), (57,), 10),
        (lambda: models.ann(4, 2, mean=MEAN, variance=VARIANCE), (4,), 2),
        (lambda: mlp(130, 20, 10), (130, 20), 10),
        (lambda: mlp(mean=MEAN, variance=VARIANCE), (14, 4), 3),
        (lambda: mlp(members=3), (14, 4), 3),
    ],
)
def test_models_give_probabilities_of_the_genres_and_the_same_when_loaded(
    build, shape, n_genres, tmp_path
):
    model, x = build(), noise(3, *shape)
    probabilities = model.predict(x, verbose=0)
    assert probabilities.shape == (3, n_genres)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = models.keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert kinds(loaded) == kinds(model)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), probabilities)


@pytest.mark.parametrize("build", [models.ann, models.cnn, mlp])
def test_the_seed_decides_the_weights(build):
    first, again, other = (
        [weights.tolist() for weights in build(seed=seed).get_weights()] for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("build", "shape"), [(lambda **to: models.ann(4, 3, **to), ()), (mlp, (14,))]
)
def test_a_model_standardises_with_mean_and_variance(build, shape):
    x = noise(8, *shape, 4)
    inside = build(mean=MEAN, variance=VARIANCE).predict(x * np.sqrt(VARIANCE) + MEAN, verbose=0)
    np.testing.assert_allclose(inside, build().predict(x, verbose=0), atol=1e-4)


@pytest.mark.parametrize("n_mfcc", [4, 25])
def test_the_statistics_are_numpys(n_mfcc):
    x = noise(6, 14, n_mfcc)
    x[..., 1] += x[..., 0]
    x[0] = 5  # Constant coefficients have no correlation.
    change = np.diff(x, axis=1)
    # One correlation for each pair of the first 20 coefficients.
    pairs = np.triu_indices(min(n_mfcc, 20), 1)
    correlations = np.array([np.corrcoef(segment.T)[pairs] for segment in [x[1], *x[1:]]])
    correlations[0] = 0
    means = x.mean(1)[:, 1:]
    expected = np.hstack([means, x.std(1), change.mean(1), change.std(1), correlations])
    found = statistics(n_mfcc=n_mfcc).predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, atol=4e-3)


def test_the_level_of_a_recording_does_not_matter():
    model, x = mlp(), noise(5, 14, 4)
    louder = x + np.array([7, 0, 0, 0], np.float32)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(model.predict(louder, verbose=0), expected, atol=1e-5)


def test_noise_moves_the_means_alone_and_in_training_alone():
    model, x = models.mlp(30, 4, 3), noise(500, 30)
    joined = models.keras.Model(model.input, model.layers[kinds(model).index("Concatenate")].output)
    np.testing.assert_array_equal(joined(x, training=False), x)
    moved = np.asarray(joined(x, training=True)) - x
    np.testing.assert_array_equal(moved[:, 4:], 0)
    assert moved[:, :4].std() == pytest.approx(0.3, rel=0.05)
    assert moved[:, :4].mean() == pytest.approx(0, abs=0.02)


def test_an_average_is_the_mean_of_its_members():
    before, x = statistics(), noise(6, 14, 4)
    members = [models.mlp(before.output_shape[1], 3, 3, seed=seed) for seed in range(3)]
    each = [member.predict(before.predict(x, verbose=0), verbose=0) for member in members]
    average = models.average(before, members)
    np.testing.assert_allclose(average.predict(x, verbose=0), np.mean(each, axis=0), atol=1e-6)
    parameters = average.count_params() - before.count_params()
    assert parameters == 3 * members[0].count_params()


def test_tensorflow_starts_in_silence():
    code = "from gtzan_mfcc import models; models.ann(4, 2)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")
