from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import extraction, models, splits, training
from gtzan_mfcc._keras import keras

layers = keras.layers


@pytest.fixture(scope="module")
def data():
    """Make 96 training and 48 validation rows of 4 features, in 3 genres."""
    labels = np.arange(144) % 3
    noise = np.random.default_rng(0).standard_normal((144, 4))
    x = (noise + 3 * np.eye(3, 4)[labels]).astype(np.float32)
    return x[:96], labels[:96], (x[96:], labels[96:])


def train(data, **settings):
    model = models.ann(4, 3)
    history = training.fit(model, *data, **settings)
    return model, history, [weights.tolist() for weights in model.get_weights()]


def test_without_validation_fit_runs_all_epochs(data):
    model, history, _ = train(data[:2])
    assert list(history) == ["accuracy", "loss"]
    assert history.index.to_list() == [*range(1, 51)]
    x, labels = data[2]
    predicted = model.predict(x).argmax(axis=1)
    assert (predicted == labels).mean() > 0.8


def test_fit_stops_early_and_goes_back_to_the_best_weights(data):
    # With this large learning rate, the loss soon rises.
    model, history, _ = train(data, epochs=60, learning_rate=0.1, patience=2)
    best = history["val_loss"].idxmin()
    assert len(history) == best + 2
    loss, _ = model.evaluate(*data[2], verbose=0)
    assert loss == pytest.approx(history.loc[best, "val_loss"], rel=1e-3)
    assert len(train(data, epochs=9, learning_rate=0.1, patience=None)[1]) == 9


def test_the_seed_alone_decides_a_run(data):
    *_, weights = train(data, epochs=2)
    *_, same_weights = train(data, epochs=2)
    *_, other_weights = train(data, epochs=2, seed=1)
    assert weights == same_weights
    assert weights != other_weights


def test_the_same_training_is_read_from_the_cache(data, tmp_path):
    model, history, weights = train(data, epochs=3, cache=tmp_path)
    again, same_history, same_weights = train(data, epochs=3, cache=tmp_path)
    assert weights == same_weights
    pd.testing.assert_frame_equal(history, same_history)
    assert again.evaluate(*data[2], verbose=0) == model.evaluate(*data[2], verbose=0)
    # A training that follows draws the same dropout.
    for each in (model, again):
        training.fit(each, *data[:2], epochs=1)
    assert str(model.get_weights()) == str(again.get_weights())
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:-100])  # as if it were damaged
    assert train(data, epochs=3, cache=tmp_path)[2] == weights
    extraction.clear_cache(tmp_path)
    assert not list(tmp_path.rglob("*.npz"))


@pytest.fixture
def fitted(monkeypatch):
    """Count the trainings, and train nothing."""
    calls = []

    def fit(model, *args, **settings):
        calls.append(model)
        return SimpleNamespace(history={"loss": [0.5]})

    monkeypatch.setattr(keras.Model, "fit", fit)
    return calls


def test_the_same_is_not_trained_again(data, fitted, tmp_path):
    for _ in range(2):
        train(data, cache=tmp_path)
    assert len(fitted) == 1
    train(data)
    assert len(fitted) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"batch_size": 16},
        {"learning_rate": 0.01},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.01, 9)},
        {"patience": None},
        {"sample_weight": np.linspace(0, 1, 96)},
        {"seed": 1},
        {"x": 2},
        {"labels": 0},
        {"validation": 2},
        {"model": models.ann(4, 3, seed=1)},
        {"model": keras.Sequential([keras.Input((4,)), layers.Dense(3, "softmax")])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_training_is_not_read_from_the_cache(data, fitted, tmp_path, change):
    train(data, epochs=2, cache=tmp_path)
    x, labels, (x_valid, labels_valid) = data
    change = dict(change)
    model = change.pop("model", None) or models.ann(4, 3)
    x = x * change.pop("x", 1)
    labels = labels * change.pop("labels", 1)
    validation = (x_valid * change.pop("validation", 1), labels_valid)
    settings = {"epochs": 2, "cache": tmp_path, **change}
    training.fit(model, x, labels, validation, **settings)
    assert len(fitted) == 2


def twice(x):
    return 2 * x


def relu(x):  # not that of Keras
    return 2 * x


class Zeros(keras.initializers.Initializer):  # not that of Keras
    def __call__(self, shape, dtype=None):
        return keras.ops.zeros(shape, dtype)


class Half(keras.regularizers.Regularizer):
    def __call__(self, x):
        return keras.ops.sum(x) / 2


class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


def test_a_frozen_weight_or_another_dtype_is_another_training(data, fitted, tmp_path):
    frozen = models.ann(4, 3)
    train(data, cache=tmp_path)
    frozen.layers[0].kernel.trainable = False
    training.fit(frozen, *data, cache=tmp_path)
    assert len(fitted) == 2
    keras.config.set_dtype_policy("bfloat16")
    try:
        for _ in range(2):
            train(data, cache=tmp_path)
    finally:
        keras.config.set_dtype_policy("float32")
    assert len(fitted) == 4


def test_without_epochs_the_history_is_empty(data, tmp_path):
    for _ in range(2):
        assert train(data, epochs=0, cache=tmp_path)[1].empty


class Nameless(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.call = function


@pytest.mark.parametrize(
    "layer",
    [
        Twice(),
        layers.Lambda(lambda x: 2 * x),
        layers.Lambda(twice),
        layers.Dense(4, lambda x: 2 * x),
        layers.Dense(4, twice),
        layers.Dense(4, relu),
        layers.Dense(4, kernel_initializer=Zeros()),
        layers.Dense(4, kernel_regularizer=Half()),
        pytest.param(
            layers.Dense(4, kernel_regularizer=lambda x: keras.ops.sum(x)),
            marks=pytest.mark.skipif(
                keras.__version__.startswith("3.13"), reason="refused by Keras itself"
            ),
        ),
        Nameless(lambda x: 2 * x),
    ],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_model_with_code_of_the_user_is_not_kept(data, fitted, tmp_path, layer):
    softmax = layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((4,)), layer, softmax])
    for _ in range(2):
        training.fit(model, *data, epochs=1, cache=tmp_path)
    assert len(fitted) == 2
    assert not list(tmp_path.rglob("*.npz"))


@pytest.fixture(scope="module")
def segments():
    """Make three genres, which differ in one coefficient, of ten artists each."""
    genre = np.repeat([0, 1, 2], 100)
    track = np.repeat(range(60), 5)
    table = pd.DataFrame({"track": track, "genre": genre, "artist": track // 2})
    x = np.random.default_rng(0).normal(size=(300, 14, 13)).astype(np.float32)
    x[range(300), :, genre] += 3
    return extraction.Segments(x, table)


@pytest.mark.parametrize(
    "fit_model",
    [
        training.fit_network,
        training.fit_svm,
        partial(training.fit_statistics_mlp, members=2, epochs=6),
    ],
)
def test_each_model_learns_genres_that_differ(segments, fit_model):
    train, test = splits.split(segments.table, "artist")
    model = fit_model(segments.select(train))
    predicted = model.predict(segments.x[test])
    if isinstance(model, keras.Model):
        predicted = predicted.argmax(axis=1)
    assert (predicted == segments.labels[test]).mean() > 0.6


def test_the_mlps_have_seeds_of_their_own_and_tracks_and_genres_the_same_weight(
    segments, monkeypatch
):
    seeds = []
    fits = []

    def fit(network, *_, **settings):
        assert int(network.optimizer.iterations) == 0
        rate = network.optimizer._learning_rate
        fits.append({"seed": seeds[-1], "rate": rate, **settings})
        network.optimizer.iterations.assign(7)

    monkeypatch.setattr(keras.utils, "set_random_seed", seeds.append)
    monkeypatch.setattr(keras.Model, "fit", fit)
    # Genre 0 has 20 tracks of 5 rows; genre 1 has 6 tracks of 5 rows, and one of 1 row.
    subset = segments.select(np.arange(131))
    training.fit_statistics_mlp(subset, members=2, epochs=3, seed=0)
    training.fit_statistics_mlp(subset, members=2, epochs=3, seed=1)
    assert [fit["seed"] for fit in fits] == [0, 1, 1000, 1001]
    weight = pd.Series(fits[0]["sample_weight"])
    of_track = weight.groupby(subset.table["track"]).sum().to_list()
    assert of_track == pytest.approx([65.5 / 20] * 20 + [65.5 / 7] * 7)
    # The learning rate falls to 0 in the 3 * 17 steps of three epochs.
    rate = fits[0]["rate"]
    assert float(rate(0)) == pytest.approx(0.002)
    assert float(rate(50)) > 0
    assert float(rate(51)) == pytest.approx(0)


def test_a_member_has_the_weights_that_it_has_alone(segments, monkeypatch):
    together = training.fit_statistics_mlp(segments, members=3, epochs=2)
    # As if the third were the first.
    mlp = models.mlp
    monkeypatch.setattr(models, "mlp", lambda seed=0, **sizes: mlp(seed=2, **sizes))
    set_random_seed = keras.utils.set_random_seed
    monkeypatch.setattr(keras.utils, "set_random_seed", lambda _: set_random_seed(2))
    alone = training.fit_statistics_mlp(segments, members=1, epochs=2)
    for third, other in zip(
        together.get_layer("mlp_2").get_weights(),
        alone.get_layer("mlp_2").get_weights(),
    ):
        np.testing.assert_array_equal(third, other)


@pytest.mark.parametrize("shape", [(13,), (14, 13)])
def test_a_builder_gets_shape_seed_and_exact_statistics(shape, monkeypatch):
    # Far from zero, sums of float32 lose what is left of the variance.
    x = 1000 + np.random.default_rng(0).normal(size=(20_000, *shape))
    x = x.astype(np.float32)
    table = pd.DataFrame({"track": range(20_000), "genre": ["jazz", "rock"] * 10_000})

    def build(*sizes, seed, mean, variance):
        assert (*sizes, seed) == (*shape, 2, 7)
        columns = x.reshape(-1, 13).astype(float)
        np.testing.assert_allclose(mean, columns.mean(axis=0), rtol=1e-7)
        np.testing.assert_allclose(variance, columns.var(axis=0), rtol=1e-4)
        return own

    own = network()
    monkeypatch.setattr(training, "fit", lambda *_, **settings: None)
    model = training.fit_network(
        extraction.Segments(x, table), network=build, standardise=True, seed=7
    )
    assert model is own


@pytest.mark.parametrize(
    "fit_model",
    [
        partial(training.fit_network, epochs=3),
        partial(training.fit_svm, c=1),
        partial(training.fit_statistics_mlp, members=1, epochs=3),
    ],
)
def test_genres_of_the_same_weight_let_a_rare_one_be_predicted_more_often(fit_model):
    genre = np.repeat([0, 1], [180, 20])
    x = np.random.default_rng(0).normal(size=(200, 14, 13)).astype(np.float32)
    x[:, :, 1] += 0.3 * genre[:, np.newaxis]
    segments = extraction.Segments(
        x, pd.DataFrame({"track": range(200), "genre": genre})
    )
    n_rare = []
    for balanced in (False, True):
        predicted = fit_model(segments, balanced=balanced).predict(x)
        if predicted.ndim == 2:
            predicted = predicted[:, 1]
        n_rare.append(predicted.sum())
    assert n_rare[1] > 1.5 * n_rare[0]


def network(*parts, end="softmax"):
    flat = [layers.Flatten(), layers.Dense(3, end)]
    return keras.Sequential([keras.Input((14, 13)), *parts, *flat])


def test_a_builder_needs_no_seed(segments):
    def build(frames, n_mfcc, n_genres):
        return own

    own = network()
    assert training.fit_network(segments, network=build, epochs=1) is own


def test_a_keras_model_is_copied_with_new_weights(segments):
    keras.utils.set_random_seed(5)
    own = network(layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.1))

    def trained(seed):
        model = training.fit_network(segments, network=own, epochs=1, seed=seed)
        return [weights.tolist() for weights in model.get_weights()]

    before = own.get_weights()
    assert trained(seed=3) == trained(seed=3)
    assert trained(seed=3)[0] != trained(seed=4)[0]
    for weights, weights_before in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, weights_before)


def test_a_keras_model_with_weights_that_are_not_trained_is_refused(segments):
    adapted = layers.Normalization()
    adapted.adapt(segments.x)
    inside = keras.Sequential([adapted])
    frozen = layers.Dense(8, trainable=False)
    for layer in (adapted, inside, frozen):
        with pytest.raises(models.ModelError, match="pass a function that builds"):
            training.fit_network(segments, network=network(layer))


def test_a_keras_model_that_is_built_cannot_be_given_the_statistics(segments):
    with pytest.raises(ValueError, match="standardise needs a function"):
        training.fit_network(segments, network=network(), standardise=True)


@pytest.mark.parametrize("end", [None, "sigmoid"])
def test_outputs_must_be_probabilities(segments, end):
    with pytest.raises(models.ModelError, match="is not one probability"):
        training.fit(network(end=end), segments.x, segments.labels)


@pytest.mark.parametrize("change", [-1, 1])
def test_labels_must_be_indices_of_outputs(segments, change):
    with pytest.raises(ValueError, match="beyond the 3 outputs"):
        training.fit(network(), segments.x, segments.labels + change)
