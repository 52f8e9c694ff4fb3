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
    _, same_history, same_weights = train(data, epochs=2)
    _, _, other_weights = train(data, epochs=2, seed=1)
    pd.testing.assert_frame_equal(history, same_history)
    assert weights == same_weights
    assert weights != other_weights


def test_pytorch_has_one_step_per_call_and_the_same_weights(data, monkeypatch):
    *_, weights = train(data, epochs=2, batch_size=7)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    model, _, one_by_one = train(data, epochs=2, batch_size=7)
    assert model.steps_per_execution == 1
    assert weights == one_by_one


@pytest.fixture(scope="module")
def segments() -> extraction.Segments:
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
    # Genre 0 has 20 tracks of 5 rows; genre 1 has 6 tracks of 5 rows, and one of 1 row.
    subset = segments.select(np.arange(131))
    training.fit_statistics_mlp(subset, members=2, epochs=3, seed=0)
    training.fit_statistics_mlp(subset, members=2, epochs=3, seed=1)
    assert [fit["seed"] for fit in fits] == [0, 1, 1000, 1001]
    weight = pd.Series(fits[0]["sample_weight"])
    of_track = weight.groupby(subset.table["track"]).sum()
    assert of_track[:20].to_list() == pytest.approx([65.5 / 20] * 20)
    assert of_track[20:].to_list() == pytest.approx([65.5 / 7] * 7)
    # The learning rate falls to 0 in the 3 * 17 steps of three epochs.
    rate = fits[0]["learning_rate"]
    assert [float(rate(step)) for step in (0, 51)] == pytest.approx([0.002, 0])
    assert float(rate(50)) > 0


def test_a_builder_gets_shape_seed_and_statistics_of_the_segments(segments):
    told = {}

    def build(frames, n_mfcc, n_genres, seed, mean, variance):
        told.update(locals())
        return models.cnn(frames, n_mfcc, n_genres, seed=seed)

    training.fit_network(segments, network=build, standardise=True, epochs=1, seed=7)
    assert [told[name] for name in ("frames", "n_mfcc", "n_genres")] == [14, 13, 3]
    assert told["seed"] == 7
    np.testing.assert_array_equal(told["mean"], segments.x.mean(axis=0))
    np.testing.assert_array_equal(told["variance"], segments.x.var(axis=0))


def network(*parts, end="softmax"):
    flat = [layers.Flatten(), layers.Dense(3, end)]
    return keras.Sequential([keras.Input((14, 13)), *parts, *flat])


def test_a_builder_needs_no_seed(segments):
    def build(frames, n_mfcc, n_genres):
        return network()

    model = training.fit_network(segments, network=build, epochs=1)
    assert model.output_shape == (None, 3)


def test_a_keras_model_is_copied_with_new_weights(segments):
    keras.utils.set_random_seed(5)
    own = network(layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.1))
    before = own.get_weights()
    first, same, other = (
        training.fit_network(segments, network=own, epochs=1, seed=seed).get_weights()
        for seed in (3, 3, 4)
    )
    for k in range(len(before)):
        np.testing.assert_array_equal(own.get_weights()[k], before[k])
        np.testing.assert_array_equal(first[k], same[k])
        assert (first[k] != other[k]).any()


def adapted():
    layer = layers.Normalization()
    layer.adapt(np.ones((9, 14, 13)))
    return layer


def partly_frozen():
    layer = layers.Bidirectional(layers.GRU(4))
    layer.build((None, 14, 13))
    layer.forward_layer.trainable = False
    return layer


@pytest.mark.parametrize(
    "own",
    [
        network(adapted()),
        network(keras.Sequential([adapted()])),
        keras.Sequential([adapted(), layers.Flatten(), layers.Dense(3, "softmax")]),
        network(layers.Dense(8, trainable=False)),
        network(partly_frozen()),
    ],
    ids=["adapted", "adapted inside", "adapted, no Input", "frozen", "partly frozen"],
)
def test_a_keras_model_with_weights_that_are_not_trained_is_refused(segments, own):
    with pytest.raises(models.ModelError, match="pass a function that builds"):
        training.fit_network(segments, network=own)


def test_what_a_keras_model_cannot_use_is_refused(segments):
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
