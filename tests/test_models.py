import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import models, training


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
    ],
)
def test_outputs_are_probabilities_of_the_genres(model, shape, n_genres):
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    probabilities = model().predict(x, verbose=0)
    assert probabilities.shape == (3, n_genres)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("build", [models.ann, models.cnn])
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


def test_fit_stops_early_and_goes_back_to_the_best_weights(data):
    # A step so large that the loss soon gets worse.
    model, history = train(data, epochs=60, learning_rate=0.1, patience=2)
    best = history["val_loss"].idxmin()
    assert len(history) == best + 2 < 60
    x, labels = data[2]
    chances = model.predict(x, verbose=0)[np.arange(len(labels)), labels]
    assert -np.log(chances).mean() == pytest.approx(history.loc[best, "val_loss"], rel=1e-3)


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
