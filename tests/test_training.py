from functools import partial

import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import extraction, models, splits, training
from gtzan_mfcc._keras import keras

# A warning of TensorFlow when Keras saves tensors with NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")


@pytest.fixture(scope="module")
def data():
    """Make 96 training and 48 validation rows of 4 features, in 3 genres that differ."""
    rng = np.random.default_rng(0)
    labels = np.arange(144) % 3
    x = (rng.standard_normal((144, 4)) + 3 * np.eye(3, 4)[labels]).astype(np.float32)
    return x[:96], labels[:96], (x[96:], labels[96:])


def train(data, *, seed=0, seed_before=0, **settings):
    model = models.ann(4, 3)
    models.keras.utils.set_random_seed(seed_before)
    history = training.fit(model, *data, seed=seed, **settings)
    return model, history, [weights.tolist() for weights in model.get_weights()]


def test_fit_works_with_its_defaults_and_without_validation_runs_all_epochs(data, recwarn):
    model, history, _ = train(data[:2])
    assert list(history) == ["accuracy", "loss"]
    assert history.index.to_list() == [*range(1, 51)]
    assert history.index.name == "epoch"
    assert not recwarn.list
    assert (model.predict(data[2][0], verbose=0).argmax(axis=1) == data[2][1]).mean() > 0.8


def test_without_patience_the_last_epoch_is_what_is_given(data):
    model, history, _ = train(data, epochs=9, learning_rate=0.1, patience=None)
    assert list(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert len(history) == 9 > history["val_loss"].idxmin()
    right = model.predict(data[2][0], verbose=0).argmax(axis=1) == data[2][1]
    assert right.mean() == pytest.approx(history["val_accuracy"].iloc[-1], abs=1e-4)


@pytest.mark.parametrize("patience", [2, 4])
def test_with_patience_fit_stops_early_and_goes_back_to_the_best_weights(data, patience):
    # With this large learning rate, the loss soon rises.
    model, history, _ = train(data, epochs=60, learning_rate=0.1, patience=patience)
    best = history["val_loss"].idxmin()
    assert len(history) == best + patience < 60
    x, labels = data[2]
    chances = model.predict(x, verbose=0)[np.arange(len(labels)), labels]
    assert -np.log(chances).mean() == pytest.approx(history.loc[best, "val_loss"], rel=1e-3)


def test_the_seed_alone_decides_a_run(data):
    _, history, weights = train(data, epochs=2)
    _, again, same = train(data, epochs=2, seed_before=1)
    pd.testing.assert_frame_equal(history, again)
    assert weights == same != train(data, epochs=2, seed=1)[2]


def test_several_steps_at_a_time_train_the_same_weights_as_one(data, monkeypatch):
    _, together, weights = train(data, epochs=2, batch_size=7)
    settings, whole = [], keras.Model.compile

    def compile(self, *given, **named):
        settings.append(named)
        whole(self, *given, **named | {"steps_per_execution": 1})

    monkeypatch.setattr(keras.Model, "compile", compile)
    _, one_by_one, same = train(data, epochs=2, batch_size=7)
    pd.testing.assert_frame_equal(together, one_by_one, check_exact=True)
    assert weights == same
    assert settings[0]["steps_per_execution"] > 1


@pytest.fixture(scope="module")
def segments() -> extraction.Segments:
    """Make three genres of ten artists with two tracks each, which differ in one coefficient.

    The artist of every fifth track is unknown; every fifth segment is a copy.
    """
    rows = [
        (f"{genre}.{k}", f"{genre}", f"{genre}-{k // 2}" if k % 5 else None,
         "white_noise" if segment == 4 else "original")
        for genre in range(3)
        for k in range(20)
        for segment in range(5)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", "augmentation"])
    table = table.sample(frac=1, random_state=0).astype({"genre": "category"})
    noise = np.random.default_rng(0).normal(size=(len(rows), 14, 13)).astype(np.float32)
    level = 3 * np.eye(3, 13, dtype=np.float32)[table["genre"].cat.codes, np.newaxis]
    return extraction.Segments(noise + level, table)


@pytest.fixture(scope="module")
def rows(segments) -> splits.Split:
    return splits.split(segments.table, "artist")


def predict(model, mfcc):
    """Return one column per genre, of probabilities or decision values."""
    if hasattr(model, "decision_function"):
        return model.decision_function(mfcc)
    return model.predict(mfcc, verbose=0)


QUICK = {
    "network": partial(training.fit_network, epochs=10),
    "svm": training.fit_svm,
    "statistics_mlp": partial(training.fit_statistics_mlp, members=1, epochs=6),
}


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_learns_what_can_be_learnt_from_its_rows_alone(name, segments, rows):
    train, test = rows
    model = QUICK[name](segments, train)
    scored = predict(model, segments.mfcc[test])
    assert scored.shape == (len(test), 3)
    # A random prediction is right in a third of the rows.
    assert (scored.argmax(axis=1) == segments.labels[test]).mean() > 0.6
    # The result does not depend on the other rows.
    poisoned, genre = segments.mfcc.copy(), segments.table["genre"].copy()
    poisoned[test], genre.iloc[test] = np.nan, "0"
    poisoned = extraction.Segments(poisoned, segments.table.assign(genre=genre))
    again = predict(QUICK[name](poisoned, train), segments.mfcc[test])
    np.testing.assert_allclose(again, scored, atol=1e-6)


@pytest.fixture
def fits(segments, monkeypatch):
    """Replace `fit`, and record its arguments; rows are identified by their MFCCs."""
    where = {mfcc.tobytes(): row for row, mfcc in enumerate(segments.mfcc)}
    seen, build = [], models.statistics

    def statistics(*sizes, **settings):
        before = build(*sizes, **settings)
        told = before.predict(segments.mfcc, batch_size=512, verbose=0)
        where.update({each.tobytes(): row for row, each in enumerate(told)})
        return before

    monkeypatch.setattr(models, "statistics", statistics)

    def fit(model, x, labels, validation=None, **settings):
        weights = model.get_weights()[-2].tobytes()
        seen.append(settings | {"weights": weights, "parts": []})
        for mfcc, given in filter(None, [(x, labels), validation]):
            part = [where[each.tobytes()] for each in mfcc]
            assert given.tolist() == segments.labels[part].tolist()
            seen[-1]["parts"].append(part)

    monkeypatch.setattr(training, "fit", fit)
    return seen


@pytest.mark.parametrize("epochs", [1, 3])
def test_no_two_mlps_share_a_member_and_each_has_all_rows_and_epochs(epochs, segments, rows, fits):
    for seed in (0, 1):
        model = training.fit_statistics_mlp(segments, rows[0], members=3, epochs=epochs, seed=seed)
        assert len([layer for layer in model.layers if hasattr(layer, "predict")]) == 3
    assert len({fit["seed"] for fit in fits}) == len({fit["weights"] for fit in fits}) == 6
    steps = epochs * -(-len(rows[0]) // max(8, len(rows[0]) // 16))
    for fit in fits:
        assert fit["parts"] == [rows[0].tolist()]
        assert fit["epochs"] == epochs
        # The learning rate falls to 0 over all epochs.
        rates = [float(fit["learning_rate"](step)) for step in (0, steps / 2, steps)]
        assert rates == pytest.approx([2e-3, 1e-3, 0])
        assert fit["learning_rate"](steps - 1) > 0


def test_a_network_is_trained_on_all_rows_with_the_seed_and_settings_it_is_given(
    segments, rows, fits
):
    layers = keras.layers
    own = keras.Sequential(
        [keras.Input((14, 13)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    for network in (models.cnn, own.to_json()):
        for seed in (3, 3, 4):
            training.fit_network(
                segments, rows[0], network=network, epochs=7, seed=seed, patience=2
            )
    for one, again, other in (fits[:3], fits[3:]):
        assert one["weights"] == again["weights"] != other["weights"]
    for fit in fits:
        assert fit["parts"] == [rows[0].tolist()]
        assert (fit["epochs"], fit["patience"]) == (7, 2)
    # The weights are new.
    assert fits[3]["weights"] != own.get_weights()[-2].tobytes()


def test_a_network_is_told_the_mean_and_variance_of_its_training_rows_alone(segments, rows, fits):
    told = {}

    def build(*shape, seed, mean, variance):
        told.update(shape=shape, mean=mean, variance=variance)
        return models.cnn(*shape, seed=seed)

    training.fit_network(segments, rows[0], network=build, standardise=True)
    assert told["shape"] == (14, 13, 3)
    np.testing.assert_allclose(told["mean"], segments.mfcc[rows[0]].mean(axis=0))
    np.testing.assert_allclose(told["variance"], segments.mfcc[rows[0]].var(axis=0))
