import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import extraction, recipes, splits

N_GENRES, N_TRACKS, N_SEGMENTS = 3, 20, 5


@pytest.fixture(scope="module")
def segments() -> extraction.Segments:
    """Make up three genres, which differ in one coefficient, of ten artists with two tracks each.

    The artist of every fifth track is unknown.
    """
    rows = [
        (f"{genre}.{k}", f"{genre}", f"{genre}-{k // 2}" if k % 5 else None, segment, "original")
        for genre in range(N_GENRES)
        for k in range(N_TRACKS)
        for segment in range(N_SEGMENTS)
    ]
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", "segment", "augmentation"])
    table = table.sample(frac=1, random_state=0).astype({"genre": "category"})
    noise = np.random.default_rng(0).normal(size=(len(rows), 14, 13)).astype(np.float32)
    level = 3 * np.eye(N_GENRES, 13, dtype=np.float32)[table["genre"].cat.codes, np.newaxis]
    return extraction.Segments(noise + level, table, left_out=table[:0])


@pytest.fixture(scope="module")
def split(segments) -> splits.Split:
    return splits.artist(segments.table)


RECIPES = [
    pytest.param(partial(recipes.cnn, epochs=20), id="cnn"),
    pytest.param(recipes.svm, id="svm"),
    pytest.param(partial(recipes.mfcc_resnet, blocks=1, members=1, epochs=5), id="mfcc_resnet"),
]
# Enough to be told apart by what they have seen.
QUICK = {
    "cnn": partial(recipes.cnn, epochs=1),
    "svm": recipes.svm,
    "mfcc_resnet": partial(recipes.mfcc_resnet, blocks=0, members=1, epochs=1),
}


def predict(model, mfcc):
    """Give a column a genre, of probabilities or decision values."""
    if hasattr(model, "decision_function"):
        return model.decision_function(mfcc)
    return model.predict(mfcc, verbose=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_learns_what_can_be_learnt(recipe, segments, split):
    train, test = split
    scored = predict(recipe(segments, train), segments.mfcc[test])
    assert scored.shape == (len(test), N_GENRES)
    # Chance is a third.
    assert (scored.argmax(axis=1) == segments.labels[test]).mean() > 0.8


@pytest.fixture(scope="module")
def trained(segments, split):
    """Train each quick recipe once."""
    return {name: recipe(segments, split[0]) for name, recipe in QUICK.items()}


@pytest.mark.parametrize("name", ["cnn", "mfcc_resnet"])
def test_another_seed_gives_another_network(name, trained, segments, split):
    first, other = (
        predict(model, segments.mfcc)
        for model in (trained[name], QUICK[name](segments, split[0], seed=1))
    )
    assert not np.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize("name", QUICK)
def test_a_recipe_gives_the_same_again_whatever_is_in_other_rows(name, trained, segments, split):
    train, test = split
    poisoned = segments.mfcc.copy()
    poisoned[test] = np.nan
    genre = segments.table["genre"].copy()
    genre.iloc[test] = genre.cat.categories[0]
    table = segments.table.assign(genre=genre)
    model = QUICK[name](extraction.Segments(poisoned, table, segments.left_out), train)
    expected = predict(trained[name], segments.mfcc)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(predict(model, segments.mfcc), expected, atol=1e-6)


def test_the_members_of_a_resnet_differ_and_their_mean_is_given(segments, split):
    model = recipes.mfcc_resnet(segments, split[0], blocks=0, members=2, epochs=1)
    members = [layer for layer in model.layers if hasattr(layer, "predict")]
    first, second = (predict(member, segments.mfcc) for member in members)
    assert not np.allclose(first, second, atol=1e-3)
    given = predict(model, segments.mfcc)
    np.testing.assert_allclose(given, (first + second) / 2, atol=1e-6)


@pytest.mark.parametrize("seeds", [(0, 1), (3, 4)])
def test_no_two_resnets_share_a_member(seeds, segments, split, monkeypatch):
    used, weights = set(), set()

    def fit(model, *_, seed, **__):
        used.add(seed)
        weights.add(model.get_weights()[-2].tobytes())

    monkeypatch.setattr(recipes.training, "fit", fit)
    for seed in seeds:
        recipes.mfcc_resnet(segments, split[0], blocks=0, members=3, seed=seed)
    assert len(used) == len(weights) == 6


@pytest.mark.parametrize("epochs", [1, 3])
def test_the_learning_rate_of_a_resnet_falls_to_0_over_all_epochs(
    epochs, segments, split, monkeypatch
):
    train, _ = split
    settings = {}
    monkeypatch.setattr(recipes.training, "fit", lambda *_, **given: settings.update(given))
    recipes.mfcc_resnet(segments, train, blocks=0, members=1, epochs=epochs)
    rate, steps = settings["learning_rate"], epochs * -(-len(train) // 64)
    rates = [float(rate(step)) for step in (0, steps / 2, steps)]
    assert rates == pytest.approx([2e-3, 1e-3, 0])
    assert rate(steps - 1) > 0
    assert (settings["epochs"], settings["patience"]) == (epochs, None)


def test_a_genre_of_a_single_artist_trains_a_cnn_without_a_warning(segments, split):
    table = segments.table.assign(
        artist=segments.table["artist"].where(segments.table["genre"] != "1", "1-0")
    )
    segments = extraction.Segments(segments.mfcc, table, segments.left_out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = recipes.cnn(segments, split[0], epochs=1)
    assert not [str(each.message) for each in caught]
    assert predict(model, segments.mfcc[:2]).shape == (2, N_GENRES)


@pytest.fixture
def parts(segments, monkeypatch):
    """Train nothing, and tell by their MFCCs which rows would fit and which would stop."""
    where = {mfcc.tobytes(): row for row, mfcc in enumerate(segments.mfcc)}
    seen = {}

    def fit(model, x, labels, validation, **settings):
        for name, (mfcc, named) in {"fit": (x, labels), "stop": validation}.items():
            seen[name] = [where[each.tobytes()] for each in mfcc]
            assert named.tolist() == segments.labels[seen[name]].tolist()
        seen["settings"] = settings

    monkeypatch.setattr(recipes.training, "fit", fit)
    return seen


@pytest.mark.parametrize("by", ["segment", "track", "artist"])
def test_the_cnn_stops_by_a_fifth_that_is_kept_apart_as_told(by, segments, split, parts):
    train, _ = split
    recipes.cnn(segments, train, by=by, epochs=7, seed=3)
    assert sorted(parts["fit"] + parts["stop"]) == train.tolist()
    assert len(parts["stop"]) == pytest.approx(len(train) / 5, rel=0.25)
    leakage = splits.check_leakage(*(segments.table.iloc[parts[name]] for name in ("fit", "stop")))
    assert bool(leakage.tracks) == (by == "segment")
    assert bool(leakage.artists) == (by != "artist")
    assert (parts["settings"]["epochs"], parts["settings"]["seed"]) == (7, 3)


def test_the_cnn_stops_by_artists_unless_told_otherwise(segments, split, parts):
    recipes.cnn(segments, split[0])
    fit, stop = (segments.table.iloc[parts[name]] for name in ("fit", "stop"))
    assert not splits.check_leakage(fit, stop).artists


def test_the_seed_decides_by_which_rows_the_cnn_stops(segments, split, parts):
    stops = []
    for seed in (0, 0, 1):
        recipes.cnn(segments, split[0], seed=seed)
        stops.append(parts["stop"])
    assert stops[0] == stops[1] != stops[2]


def test_the_cnn_does_not_stop_by_copies(segments, parts):
    copies = segments.table["segment"].to_numpy() % 2 == 1
    table = segments.table.assign(augmentation=np.where(copies, "white_noise", "original"))
    rows = np.arange(len(segments))
    recipes.cnn(extraction.Segments(segments.mfcc, table, segments.left_out), rows)
    assert not copies[parts["stop"]].any()
    assert copies[parts["fit"]].any()


def test_a_lower_c_makes_a_smoother_svm(segments, split):
    train, _ = split
    noisy = segments.labels.copy()
    noisy[train[::4]] = (noisy[train[::4]] + 1) % N_GENRES
    table = segments.table.assign(genre=pd.Categorical.from_codes(noisy, segments.genres))
    segments = extraction.Segments(segments.mfcc, table, segments.left_out)
    fitted = [
        (recipes.svm(segments, train, c=c).predict(segments.mfcc[train]) == noisy[train]).mean()
        for c in (0.01, 10)
    ]
    assert fitted[0] < fitted[1]
