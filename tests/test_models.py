import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import models, training

# Of TensorFlow's tensors, as Keras saves them with NumPy 2.
saves = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")


@pytest.fixture(scope="module")
def data():
    """Give 96 rows of 4 features in 3 genres that can be told apart, and 48 more of them."""
    rng = np.random.default_rng(0)
    labels = np.arange(144) % 3
    x = (rng.standard_normal((144, 4)) + 3 * np.eye(3, 4)[labels]).astype(np.float32)
    return x[:96], labels[:96], (x[96:], labels[96:])


def train(data, *, seed=0, seed_before=0, **settings):
    model = models.ann(4, 3)
    models.keras.utils.set_random_seed(seed_before)
    return model, training.fit(model, *data, seed=seed, **settings)


def resnet(frames=14, n_mfcc=4, n_genres=3, *, mean=None, variance=None, **settings):
    """Build an mfcc_resnet that takes its input as it is, unless told otherwise."""
    mean = np.zeros(n_mfcc) if mean is None else mean
    variance = np.ones(n_mfcc) if variance is None else variance
    return models.mfcc_resnet(frames, n_mfcc, n_genres, mean=mean, variance=variance, **settings)


@pytest.fixture
def mfcc() -> np.ndarray:
    """Make up the MFCCs of 6 segments: 14 frames of 4 coefficients that go together."""
    mfcc = np.random.default_rng(0).standard_normal((6, 14, 4))
    mfcc[..., 1] += mfcc[..., 0]
    return ((mfcc - mfcc.mean(1, keepdims=True)) / mfcc.std(1, keepdims=True)).astype(np.float32)


def same(weights, others):
    return all(np.array_equal(a, b) for a, b in zip(weights, others))


def test_the_cnn_is_the_studys():
    model = models.cnn()
    assert model.input_shape == (None, 130, 13, 1)
    assert model.output_shape == (None, 10)
    assert model.count_params() == 1_137_162
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2D", "MaxPooling2D", "BatchNormalization",
        "Conv2D", "MaxPooling2D", "BatchNormalization",
        "Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense",
    ]  # fmt: skip
    first, second = (layer for layer in model.layers if type(layer).__name__ == "Conv2D")
    assert (first.filters, first.kernel_size) == (32, (5, 5))
    assert (second.filters, second.kernel_size) == (64, (3, 3))


def test_the_ann_is_the_studys():
    model = models.ann()
    assert model.input_shape == (None, 57)
    sizes = [(layer.units, layer.activation.__name__) for layer in model.layers[::2]]
    assert sizes == [(256, "relu"), (128, "relu"), (64, "relu"), (10, "softmax")]
    assert [layer.rate for layer in model.layers[1::2]] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("model", "shape", "n_genres"),
    [
        (lambda: models.cnn(), (130, 13, 1), 10),
        (lambda: models.cnn(), (130, 13), 10),
        (lambda: models.cnn(67, 20, 4), (67, 20), 4),
        (lambda: models.ann(), (57,), 10),
        (lambda: models.ann(4, 2), (4,), 2),
        (lambda: models.ann(4, 2, mean=np.zeros(4), variance=np.ones(4)), (4,), 2),
        (lambda: resnet(130, 40, 10), (130, 40), 10),
        (lambda: resnet(67, 13, 4, blocks=0), (67, 13), 4),
        (lambda: models.average([resnet(seed=k, blocks=k) for k in range(3)]), (14, 4), 3),
    ],
)
def test_outputs_are_probabilities_of_the_genres(model, shape, n_genres):
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    probabilities = model().predict(x, verbose=0)
    assert probabilities.shape == (3, n_genres)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("build", [models.ann, models.cnn, resnet])
def test_the_seed_decides_the_weights(build):
    first = build(seed=3).get_weights()
    assert same(first, build(seed=3).get_weights())
    assert not same(first, build(seed=4).get_weights())


def test_the_ann_standardises_with_mean_and_variance():
    mean, variance = np.array([100.0, -3, 0, 1]), np.array([400.0, 1e-4, 1, 9])
    x = np.random.default_rng(0).standard_normal((8, 4))
    inside = models.ann(4, 3, mean=mean, variance=variance)
    outside = models.ann(4, 3)
    np.testing.assert_allclose(
        inside.predict(x * np.sqrt(variance) + mean, verbose=0),
        outside.predict(x, verbose=0),
        atol=1e-4,
    )


@pytest.mark.parametrize("blocks", [0, 1])
def test_the_resnet_standardises_with_mean_and_variance(mfcc, blocks):
    mean, variance = np.array([-100.0, 3, 0, 1]), np.array([400.0, 1e-2, 1, 9])
    inside = resnet(mean=mean, variance=variance, blocks=blocks)
    np.testing.assert_allclose(
        inside.predict(mfcc * np.sqrt(variance) + mean, verbose=0),
        resnet(blocks=blocks).predict(mfcc, verbose=0),
        atol=1e-4,
    )


def test_three_resnets_together_are_smaller_than_the_cnn():
    members = [resnet(130, 40, 10, seed=seed) for seed in range(3)]
    size = models.average(members).count_params()
    assert size == 3 * members[0].count_params() < models.cnn().count_params()


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_a_resnet_has_as_many_residual_blocks_as_told(blocks):
    kinds = [type(layer).__name__ for layer in resnet(blocks=blocks).layers]
    assert kinds.count("Add") == blocks
    assert kinds.count("Conv1D") == (blocks + 1 if blocks else 0)


def test_moments_are_mean_and_standard_deviation_over_time(mfcc):
    x = 3 * mfcc + np.arange(4, dtype=np.float32)
    moments = models.Moments()(x)
    assert moments.shape == (6, 8)
    np.testing.assert_allclose(moments[:, :4], x.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(moments[:, 4:], x.std(axis=1), atol=1e-4)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_correlations_are_numpys_over_time_of_each_pair_once(mfcc, n):
    correlations = models.Correlations(n)(mfcc)
    assert correlations.shape == (6, n * (n - 1) // 2)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    expected = [[np.corrcoef(x.T)[pair] for pair in pairs] for x in mfcc]
    np.testing.assert_allclose(correlations, expected, atol=1e-3)


def test_correlations_of_what_does_not_change_are_0():
    assert not np.any(models.Correlations(3)(np.full((2, 14, 3), 5, np.float32)))


def test_a_random_shift_is_one_for_all_frames_and_for_training_alone(mfcc):
    layer = models.RandomShift(0.3)
    for usual in (layer(mfcc), layer(mfcc, training=False)):
        np.testing.assert_array_equal(usual, mfcc)
    shifts = np.asarray(layer(mfcc, training=True)) - mfcc
    np.testing.assert_allclose(shifts, shifts[:, :1].repeat(14, axis=1), atol=1e-6)
    assert len(np.unique(shifts[:, 0].round(5))) == 6 * 4
    assert not np.allclose(np.asarray(layer(mfcc, training=True)) - mfcc, shifts)


@pytest.mark.parametrize("stddev", [0.1, 1])
def test_random_shifts_are_as_wide_as_told(stddev):
    shifts = np.asarray(models.RandomShift(stddev)(np.zeros((500, 1, 40)), training=True))
    assert shifts.std() == pytest.approx(stddev, rel=0.05)
    assert shifts.mean() == pytest.approx(0, abs=0.05 * stddev)


@pytest.mark.parametrize("n_members", [1, 2, 3])
def test_an_average_is_the_mean_of_its_members(mfcc, n_members):
    members = [resnet(seed=seed, blocks=0) for seed in range(n_members)]
    each = [member.predict(mfcc, verbose=0) for member in members]
    average = models.average(members)
    np.testing.assert_allclose(average.predict(mfcc, verbose=0), np.mean(each, axis=0), atol=1e-6)


@saves
@pytest.mark.parametrize("blocks", [0, 1])
def test_trained_resnets_survive_saving_alone_and_averaged(mfcc, tmp_path, blocks):
    alone, other = resnet(seed=0, blocks=blocks), resnet(seed=1, blocks=blocks)
    training.fit(alone, mfcc, np.arange(6) % 3, epochs=1, patience=None)
    for model in (alone, models.average([alone, other])):
        path = tmp_path / "model.keras"
        model.save(path)
        loaded = models.keras.saving.load_model(path, safe_mode=True)
        np.testing.assert_array_equal(
            loaded.predict(mfcc, verbose=0), model.predict(mfcc, verbose=0)
        )


def test_without_validation_the_history_is_of_training_alone(data):
    model = models.ann(4, 3)
    history = training.fit(model, *data[:2], epochs=3, patience=None)
    assert sorted(history) == ["accuracy", "loss"]
    assert history.index.to_list() == [1, 2, 3]


def test_the_learning_rate_may_follow_a_schedule(data):
    model, still = models.ann(4, 3), models.ann(4, 3).get_weights()
    schedule = models.keras.optimizers.schedules.CosineDecay(0.0, 10)
    training.fit(model, *data[:2], learning_rate=schedule, epochs=1, patience=None)
    assert same(model.get_weights(), still)


def test_the_history_has_a_row_an_epoch_counted_from_1(data):
    _, history = train(data, epochs=3, patience=None)
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.index.to_list() == [1, 2, 3]
    assert history.index.name == "epoch"


def test_fit_learns_what_can_be_learnt(data):
    model, history = train(data, epochs=30, learning_rate=1e-2, patience=None)
    assert history["val_accuracy"].iloc[-1] > 0.8
    x, labels = data[2]
    right = model.predict(x, verbose=0).argmax(axis=1) == labels
    assert right.mean() == pytest.approx(history["val_accuracy"].iloc[-1], abs=1e-4)


def test_the_same_seed_gives_the_same_run(data):
    first, history = train(data, epochs=2)
    second, history_2 = train(data, epochs=2, seed_before=1)
    pd.testing.assert_frame_equal(history, history_2)
    assert same(first.get_weights(), second.get_weights())
    assert not history.equals(train(data, epochs=2, seed=1)[1])


@pytest.mark.parametrize("batch_size", [7, 16, 1000])
def test_several_steps_at_a_time_train_the_same_weights_as_one(data, monkeypatch, batch_size):
    together = train(data, epochs=2, batch_size=batch_size)
    monkeypatch.setattr(training, "_STEPS_AT_ONCE", 1)
    one_by_one = train(data, epochs=2, batch_size=batch_size)
    pd.testing.assert_frame_equal(together[1], one_by_one[1], check_exact=True)
    assert same(together[0].get_weights(), one_by_one[0].get_weights())


def test_fit_stops_early_and_goes_back_to_the_best_weights(data):
    # A step so large that the loss soon gets worse.
    model, history = train(data, epochs=60, learning_rate=0.1, patience=2)
    best = history["val_loss"].idxmin()
    assert len(history) == best + 2 < 60
    x, labels = data[2]
    chances = model.predict(x, verbose=0)[np.arange(len(labels)), labels]
    assert -np.log(chances).mean() == pytest.approx(history.loc[best, "val_loss"], rel=1e-3)


@saves
def test_a_run_is_loaded_as_it_was_saved(data, tmp_path):
    model, history = train(data, epochs=2)
    training.save_run(model, history, tmp_path / "new" / "cnn.seed-0.5")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "cnn.seed-0.5.csv",
        "cnn.seed-0.5.keras",
    ]
    loaded, loaded_history = training.load_run(str(tmp_path / "new" / "cnn.seed-0.5"))
    pd.testing.assert_frame_equal(loaded_history, history)
    np.testing.assert_array_equal(
        loaded.predict(data[0], verbose=0), model.predict(data[0], verbose=0)
    )


@saves
def test_a_cnn_and_a_standardising_ann_survive_saving(data, tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 130, 13)).astype(np.float32)
    ann = models.ann(4, 3, mean=np.arange(4.0), variance=np.ones(4, np.float32))
    for model, batch in ((models.cnn(), x), (ann, data[0])):
        training.save_run(model, pd.DataFrame({"loss": []}).rename_axis("epoch"), tmp_path / "a")
        loaded, _ = training.load_run(tmp_path / "a")
        np.testing.assert_array_equal(
            loaded.predict(batch, verbose=0), model.predict(batch, verbose=0)
        )


@pytest.mark.parametrize("there", ["", "run.keras", "run.csv"])
def test_a_run_that_is_not_there_names_the_notebook_to_run(tmp_path, there):
    if there:
        (tmp_path / there).touch()
    with pytest.raises(FileNotFoundError, match=r"no run.keras and run.csv in .*; run the notebook "
                       "4_cnn_training first"):  # fmt: skip
        training.load_run(tmp_path / "run")


def test_what_does_not_train_does_not_wait_for_keras():
    code = """
import sys
import gtzan_mfcc
from gtzan_mfcc import (
    audio, augmentation, dataset, evaluation, extraction, features, plots, snapshots, splits, toy
)
print(*{"keras", "tensorflow", "jax", "torch"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_the_package_alone_imports_almost_nothing():
    code = "import sys, gtzan_mfcc; print(*{'numpy', 'pandas', 'librosa'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_tensorflow_starts_in_silence():
    code = "from gtzan_mfcc import models; models.ann(4, 2)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")
