import os
import subprocess
import sys

import numpy as np
import pytest

from gtzan_mfcc import models
from gtzan_mfcc._keras import keras

MEAN = [-100.0, 3.0, 0.0, 1.0]
VARIANCE = [400.0, 0.01, 1.0, 9.0]
STATISTICS = models.statistics(14, 4, mean=[0] * 4, variance=[1] * 4)
N_STATISTICS = 21  # 3 means, 4 deviations, 8 of changes, 6 correlations


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def averaged(*, seed=0, members=2):
    """Build the better model: MLPs on statistics, averaged."""
    seeds = range(seed, seed + members)
    mlps = [models.mlp(N_STATISTICS, 3, n_genres=3, seed=each) for each in seeds]
    return models.average(STATISTICS, mlps)


def test_the_cnn_is_the_studys():
    model = models.cnn()
    assert model.count_params() == 1_137_162
    names = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "MaxPooling2D", "BatchNormalization"]
    end = ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert names == block + block + end
    assert model.layers[0].kernel_size == (5, 5)
    assert model.layers[3].kernel_size == (3, 3)


def test_the_ann_is_the_studys():
    model = models.ann()
    assert [layer.units for layer in model.layers[::2]] == [256, 128, 64, 10]
    assert [layer.rate for layer in model.layers[1::2]] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (models.cnn(n_genres=3), (130, 13, 1)),
        (models.cnn(67, 20, 3), (67, 20)),
        (models.ann(4, 3, mean=MEAN, variance=VARIANCE), (4,)),
        (averaged(), (14, 4)),
    ],
)
def test_models_give_probabilities_of_the_genres(model, shape):
    probabilities = model.predict(noise(5, *shape), verbose=0)
    models.check_probabilities(probabilities, n_genres=3)


@pytest.mark.parametrize("build", [models.ann, models.cnn, averaged])
def test_the_seed_decides_the_weights(build):
    def weights(seed):
        return [each.tolist() for each in build(seed=seed).get_weights()]

    assert weights(3) == weights(3)
    assert weights(3) != weights(4)


def test_the_cnn_does_not_depend_on_the_order_of_axes_in_keras_json(tmp_path):
    settings = '{"image_data_format": "channels_first"}'
    (tmp_path / "keras.json").write_text(settings)
    code = "from gtzan_mfcc import models; print(models.cnn().count_params())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_HOME": str(tmp_path)},
    )
    assert done.stdout == "1137162\n"
    # TensorFlow starts without a line.
    assert done.stderr == ""


def test_the_ann_standardises_with_mean_and_variance():
    x = noise(8, 4)
    model = models.ann(4, 3, mean=MEAN, variance=np.array(VARIANCE))
    found = model(x * np.sqrt(VARIANCE) + MEAN)
    np.testing.assert_allclose(found, models.ann(4, 3)(x), atol=1e-4)


def test_the_cnn_standardises_each_coefficient():
    mean = np.resize(MEAN, 13)
    variance = np.resize(VARIANCE, 13)
    x = noise(8, 20, 13)
    model = models.cnn(20, 13, 3, mean=mean, variance=variance)
    found = model(x * np.sqrt(variance) + mean)
    np.testing.assert_allclose(found, models.cnn(20, 13, 3)(x), atol=1e-4)


@pytest.mark.parametrize("build", [models.ann, models.cnn])
def test_a_variance_without_a_mean_is_not_ignored(build):
    with pytest.raises(ValueError, match="both `mean` and `variance` must be set"):
        build(variance=[1])


def test_the_statistics_are_numpys():
    x = noise(6, 14, 4)
    x[..., 1] += x[..., 0]
    pairs = np.triu_indices(4, 1)
    correlations = [np.corrcoef(segment.T)[pairs] for segment in x]
    means = x.mean(1)[:, 1:]
    change = np.diff(x, axis=1)
    expected = np.hstack([means, x.std(1), change.mean(1), change.std(1), correlations])
    np.testing.assert_allclose(STATISTICS(x), expected, atol=4e-3)
    # The level of a recording, which is the mean of the first coefficient, is left out.
    x[..., 0] += 7
    np.testing.assert_allclose(STATISTICS(x), expected, atol=4e-3)


def test_noise_moves_only_the_means_and_only_in_training():
    x = noise(500, 30)
    for strength in (0, 0.3):
        model = models.mlp(30, 4, 3, noise=strength)
        joined = keras.Model(model.input, model.layers[2].output)
        np.testing.assert_array_equal(joined(x, training=False), x)
        moved = joined(x, training=True) - x
        assert not np.any(moved[:, 4:])
        assert np.std(moved[:, :4]) == pytest.approx(strength, rel=0.05)


def test_an_average_is_the_mean_of_its_members():
    x = noise(6, 14, 4)
    first = averaged(seed=0, members=1)(x)
    second = averaged(seed=1, members=1)(x)
    average = averaged(seed=0, members=2)(x)
    np.testing.assert_allclose(average, (first + second) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "output", [[0.5, 0.4], [1.5, -0.5], [np.nan, 1], [0.2, 0.3, 0.5]]
)
def test_an_output_that_is_not_one_probability_per_genre_is_refused(output):
    with pytest.raises(models.ModelError, match="2 units with softmax"):
        models.check_probabilities(np.array([output]), n_genres=2)
