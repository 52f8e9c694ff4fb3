from functools import partial

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
    predicted = model.predict(data[2][0], verbose=0).argmax(axis=1)
    assert (predicted == data[2][1]).mean() > 0.8


def test_fit_stops_early_and_goes_back_to_the_best_weights(data):
    # With this large learning rate, the loss soon rises.
    model, history, _ = train(data, epochs=60, learning_rate=0.1, patience=2)
    best = history["val_loss"].idxmin()
    assert len(history) == best + 2 < 60
    loss, _ = model.evaluate(*data[2], verbose=0)
    assert loss == pytest.approx(history.loc[best, "val_loss"], rel=1e-3)
    assert len(train(data, epochs=9, learning_rate=0.1, patience=None)[1]) == 9


def test_the_seed_alone_decides_a_run(data):
    _, history, weights = train(data, epochs=2)
    _, again, same = train(data, epochs=2)
    pd.testing.assert_frame_equal(history, again)
    assert weights == same != train(data, epochs=2, seed=1)[2]


def test_fit_works_with_pytorch_which_has_no_several_steps_per_call(data, monkeypatch):
    *_, weights = train(data, epochs=2, batch_size=7)
    steps = []
    compile_model = keras.Model.compile

    def compile_and_note(self, *given, steps_per_execution, **named):
        steps.append(steps_per_execution)
        compile_model(self, *given, steps_per_execution=steps_per_execution, **named)

    monkeypatch.setattr(keras.Model, "compile", compile_and_note)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    *_, one_by_one = train(data, epochs=2, batch_size=7)
    assert steps == [1]
    # The weights are the same as with several steps per call.
    assert weights == one_by_one


@pytest.fixture(scope="module")
def segments() -> extraction.Segments:
    """Make three genres, which differ in one coefficient, of ten artists each."""
    rows = [
        (f"{genre}.{track}", f"{genre}", f"{genre}-{track // 2}")
        for genre in range(3)
        for track in range(20)
        for _ in range(5)
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "artist"])
    noise = np.random.default_rng(0).normal(size=(300, 14, 13))
    level = 3 * np.eye(3, 13)[table["genre"].astype(int), np.newaxis]
    return extraction.Segments((noise + level).astype(np.float32), table)


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
    x = segments.x[test]
    if isinstance(model, keras.Model):
        predicted = model.predict(x, verbose=0).argmax(axis=1)
    else:
        predicted = model.predict(x)
    assert (predicted == segments.labels[test]).mean() > 0.6


def test_the_mlps_have_seeds_of_their_own_and_tracks_and_genres_the_same_weight(
    segments, monkeypatch
):
    fits = []
    monkeypatch.setattr(training, "fit", lambda *_, **settings: fits.append(settings))
    # One genre with 100 rows and 20 tracks, one with 31 rows and 7 tracks.
    subset = segments.select(np.arange(131))
    for seed in (0, 1):
        training.fit_statistics_mlp(subset, members=2, epochs=3, seed=seed)
    assert [fit["seed"] for fit in fits] == [0, 1, 1000, 1001]
    weight = pd.Series(fits[0]["sample_weight"])
    by_track = weight.groupby(subset.table["track"]).sum()
    assert by_track["0.3"] == pytest.approx(by_track["0.4"])
    assert by_track["1.0"] == pytest.approx(by_track["1.6"])  # five rows, one row
    by_genre = weight.groupby(subset.table["genre"], observed=True).sum()
    assert by_genre.to_list() == pytest.approx([65.5, 65.5])
    # The learning rate falls to 0 in the 3 * 17 steps of three epochs.
    assert float(fits[0]["learning_rate"](51)) == pytest.approx(0)
    assert float(fits[0]["learning_rate"](50)) > 0


def test_a_builder_gets_shape_seed_and_statistics_of_the_segments(segments):
    told = {}

    def build(*sizes, seed, mean, variance):
        told.update(sizes=sizes, seed=seed, mean=mean, variance=variance)
        return models.cnn(*sizes, seed=seed)

    training.fit_network(segments, network=build, standardise=True, epochs=1, seed=7)
    assert (told["sizes"], told["seed"]) == ((14, 13, 3), 7)
    np.testing.assert_array_equal(told["mean"], segments.x.mean(axis=0))
    np.testing.assert_array_equal(told["variance"], segments.x.var(axis=0))


def sequential(*parts, n_outputs=3, end="softmax"):
    keras.utils.set_random_seed(5)
    output = layers.Dense(n_outputs, end)
    return keras.Sequential([keras.Input((14, 13)), *parts, layers.Flatten(), output])


def test_a_keras_model_is_copied_with_new_weights(segments):
    own = sequential(layers.Dense(8), layers.BatchNormalization())
    before = own.get_weights()
    fit = partial(training.fit_network, segments, network=own, epochs=1)
    first, again, other = (fit(seed=seed).get_weights() for seed in (3, 3, 4))
    for weights, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(weights, same)
        assert (weights != different).any()
    for weights, same in zip(before, own.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


@pytest.mark.parametrize("with_input", [True, False])
def test_an_adapted_layer_is_adapted_to_the_training_set(segments, with_input):
    adapted = layers.Normalization()
    adapted.adapt(1000 * segments.x)
    parts = [adapted, layers.Flatten(), layers.Dense(3, "softmax")]
    own = keras.Sequential([keras.Input((14, 13))] * with_input + parts)
    model = training.fit_network(segments, network=own, epochs=1)
    found = keras.Sequential(model.layers[:1])(segments.x)
    scale = segments.x.std(axis=(0, 1))
    expected = (segments.x - segments.x.mean(axis=(0, 1))) / scale
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_frozen_layers_keep_their_weights(segments):
    inner = keras.Sequential([keras.Input((14, 13)), layers.Dense(8)])
    inner.trainable = False
    model = training.fit_network(segments, network=sequential(inner), epochs=1)
    for weights, same in zip(model.layers[0].get_weights(), inner.get_weights()):
        np.testing.assert_array_equal(weights, same)


def partly_frozen():
    keras.utils.set_random_seed(5)
    layer = layers.Bidirectional(layers.GRU(4))
    model = sequential(layer)
    layer.forward_layer.trainable = False
    return model


def nested():
    inner = keras.Sequential([keras.Input((14, 13)), layers.Normalization()])
    return sequential(inner)


@pytest.mark.parametrize(
    ("own", "found"),
    [
        (partly_frozen, "bidirectional.* has weights that are not trained"),
        (nested, "normalization.* cannot be adapted"),
        (partial(sequential, end=None), "not probabilities"),
        (partial(sequential, end="sigmoid"), "not probabilities"),
        (partial(sequential, n_outputs=4), r"shape \(1, 4\) for 3 genres"),
    ],
)
def test_a_keras_model_that_would_give_wrong_numbers_is_refused(segments, own, found):
    with pytest.raises(models.ModelError, match=found):
        training.fit_network(segments, network=own())


def test_a_builder_needs_no_seed_and_outputs_must_be_probabilities():
    def build(frames, n_mfcc, n_genres, activation="softmax"):
        layers = keras.layers
        inputs = keras.Input((frames, n_mfcc))
        outputs = layers.Dense(n_genres, activation=activation)(
            layers.Flatten()(inputs)
        )
        return keras.Model(inputs, outputs)

    table = pd.DataFrame({"track": range(8), "genre": ["a", "b"] * 4})
    segments = extraction.Segments(np.ones((8, 5, 2), np.float32), table)
    assert training.fit_network(segments, network=build, epochs=1).output_shape[1] == 2
    with pytest.raises(models.ModelError, match="is not probabilities"):
        training.fit(build(5, 2, 2, None), segments.x, segments.labels)
    with pytest.raises(ValueError, match="beyond the 2 outputs"):
        training.fit(build(5, 2, 2), segments.x, segments.labels + 1)
