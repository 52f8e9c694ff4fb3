import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gtzan_mfcc import dataset, splits

COLUMNS = ["track", "artist", "album"]

by_column = pytest.mark.parametrize("by", COLUMNS)
# The same examples every time, and no database of them.
quick = settings(max_examples=20, deadline=None, database=None, derandomize=True)
numbers_of_folds, seeds = st.integers(2, 5), st.integers(0, 2**32 - 1)


@st.composite
def corpora(draw) -> pd.DataFrame:
    """Make the segments of 2 to 6 genres with 1 to 12 artists each, in random order."""
    n_artists = draw(st.lists(st.integers(1, 12), min_size=2, max_size=6))
    copies = ("original", "white_noise", "pitch_scale")[: draw(st.integers(1, 3))]
    shared = draw(st.booleans())  # Artists in several genres.
    rng = np.random.default_rng(draw(seeds))
    rows = []
    for genre, n in enumerate(n_artists):
        for number in np.repeat(range(n), rng.integers(1, 4, size=n)):
            name = f"{number}" if shared and rng.random() < 0.3 else f"{genre}-{number}"
            artist = name if rng.random() < 0.8 else None
            album = float(rng.integers(9)) if rng.random() < 0.5 else np.nan
            track = (f"genre{genre}.{len(rows):05d}", f"genre{genre}", artist, album)
            segments = range(rng.integers(1, 5))
            rows += [(*track, segment, copy) for copy in copies for segment in segments]
    columns = ["track", "genre", "artist", "album", "segment", "augmentation"]
    table = pd.DataFrame(rows, columns=columns, index=rng.choice(9 * len(rows), len(rows)))
    types = {"genre": "category", "artist": draw(st.sampled_from(["string", object, "category"]))}
    return table.astype(types).iloc[rng.permutation(len(rows))]


def reckon(table, by):
    """Find the group of each track that can be tested, and the genres that cannot be tested."""
    groups, of_genre = {}, {}
    for row in table.drop_duplicates("track").to_dict("records"):
        groups[row["track"]] = row["track"] if pd.isna(row[by]) else row[by]
        of_genre.setdefault(row["genre"], set()).add(groups[row["track"]])
    single = sorted(genre for genre, names in of_genre.items() if len(names) == 1)
    never = set().union(*(of_genre[genre] for genre in single))
    return {track: name for track, name in groups.items() if name not in never}, single


def divide(table, by, n_folds, seed):
    """Split the corpus if possible, without warnings."""
    testable, _ = reckon(table, by)
    assume(len(set(testable.values())) >= n_folds)
    assume(table[table["track"].isin(testable)]["genre"].value_counts().max() >= n_folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return splits.folds(table, by, n_folds=n_folds, seed=seed)


@by_column
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_folds_test_each_original_once_and_train_on_all_other_tracks(by, table, n_folds, seed):
    testable, _ = reckon(table, by)
    folds = divide(table, by, n_folds, seed)
    assert len(folds) == n_folds
    tested = np.concatenate([test for _, test in folds])
    expected = table["track"].isin(testable) & (table["augmentation"] == "original")
    assert sorted(tested) == np.flatnonzero(expected).tolist()
    for train, test in folds:
        assert len(test)
        there = table["track"].iloc[test]
        assert train.tolist() == np.flatnonzero(~table["track"].isin(there)).tolist()
        assert not table[by].iloc[train].dropna().isin(table[by].iloc[test].dropna()).any()


@by_column
@quick
@given(corpora())
def test_a_warning_names_the_genres_of_a_single_group_and_no_other(by, table):
    testable, single = reckon(table, by)
    assume(len(set(testable.values())) >= 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits.folds(table, by, n_folds=2)
    said = [str(each.message) for each in caught if "only one" in str(each.message)]
    expected = f"{', '.join(single)}: only one {by}, which trains and is not tested."
    assert said == [expected] * bool(single)


@by_column
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_the_order_of_the_rows_does_not_matter(by, table, n_folds, seed):
    def tested(table):
        folds = divide(table, by, n_folds, seed)
        return [set(table["track"].iloc[test]) for _, test in folds]

    assert tested(table) == tested(table.sort_values(["track", "augmentation", "segment"]))


@pytest.fixture
def segments() -> pd.DataFrame:
    """Make 20 tracks per genre of GTZAN, with 5 segments and an augmented copy of each."""
    rows = [
        (f"{genre}.{k:05d}", genre, f"{genre}-{k // 2}", f"{k % 2}{genre}-{k // 4}",
         splits.PARTS[k % 3], segment, augmentation)
        for genre in dataset.GENRES
        for k in range(20)
        for augmentation in ("original", "white_noise")
        for segment in range(5)
    ]  # fmt: skip
    columns = [*COLUMNS[:1], "genre", *COLUMNS[1:], "fault_filtered", "segment", "augmentation"]
    return pd.DataFrame(rows, columns=columns).astype({"genre": "category"})


def test_a_split_by_segment_is_a_partition_of_the_rows_that_leaks(segments):
    train, test = splits.split(segments, "segment", test_size=0.25)
    assert sorted([*train, *test]) == list(range(2000))
    assert len(test) == 500
    assert set(segments["track"].iloc[test]) <= set(segments["track"].iloc[train])


@by_column
@pytest.mark.parametrize(("test_size", "n_tracks"), [(0.1, 20), (0.2, 40), (0.25, 50), (0.5, 100)])
def test_a_split_by_a_column_has_the_test_size_all_genres_and_no_copies(
    segments, by, test_size, n_tracks, recwarn
):
    train, test = (segments.iloc[rows] for rows in splits.split(segments, by, test_size=test_size))
    # The groups of a genre cannot always be divided exactly.
    off_by = 0 if by == "track" else 10
    assert test["track"].nunique() == pytest.approx(n_tracks, abs=off_by)
    counts = test.groupby("genre", observed=False)["track"].nunique()
    assert counts.to_list() == pytest.approx([n_tracks / 10] * 10, abs=1 + off_by / 5)
    assert not set(train[by]) & set(test[by])
    assert set(test["augmentation"]) == {"original"}
    assert set(train["augmentation"]) == {"original", "white_noise"}
    assert not recwarn.list


@pytest.mark.parametrize("folds", [splits.folds, lambda *of, seed: [splits.split(*of, seed=seed)]])
@pytest.mark.parametrize("by", ["segment", *COLUMNS])
def test_the_seed_decides(segments, folds, by):
    first, again, other = (
        [rows.tolist() for fold in folds(segments, by, seed=seed) for rows in fold]
        for seed in (3, 3, 4)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda table: splits.split(table, "artist", test_size=0), "above 0 and up to 0.5"),
        (lambda table: splits.split(table, "artist", test_size=0.7), "above 0 and up to 0.5"),
        (lambda table: splits.folds(table, "label"), "no column 'label'; there are track, genre"),
        (lambda table: splits.folds(table[:40], "track"), "4 tracks, and 5 folds need at least 5"),
        (lambda table: splits.folds(table[:40], "artist"), "2 artists, and 5 folds need"),
    ],
)
def test_impossible_splits_are_refused(segments, call, message):
    with pytest.raises(ValueError, match=message):
        call(segments)


def test_an_unknown_group_is_the_track_alone_and_a_replica_goes_with_its_original():
    artists = [None, None, np.nan, "X", "X"]
    table = pd.DataFrame({"track": [*"aabcd"], "artist": artists})
    assert splits.group(table, "artist").tolist() == [*"aabXX"]
    table["replica_of"] = pd.NA
    assert splits.group(table, "artist").tolist() == [*"aabXX"]
    # b, of unknown artist, is a replica of a; then it is a replica of c, by X.
    table["replica_of"] = [None, None, "a", None, None]
    assert splits.group(table, "artist").tolist() == [*"aaaXX"]
    table["replica_of"] = [None, None, "c", None, np.nan]
    assert splits.group(table, "artist").tolist() == [*"aaXXX"]
    assert splits.group(table, "track").tolist() == [*"aabbd"]


def test_replicas_by_two_artists_make_them_one_and_an_original_need_not_be_there():
    table = pd.DataFrame({"track": [*"abcdef"], "artist": [*"XYYZZW"]})
    table["replica_of"] = ["gone", "gone", None, None, "f", None]
    assert splits.group(table, "artist").tolist() == [*"XXXWWW"]
    assert splits.group(table, "track").tolist() == [*"aacdee"]


@pytest.mark.parametrize("by", ["track", "artist"])
def test_no_split_but_by_segment_parts_a_replica_from_its_original(by):
    facts = dataset.load_facts()
    table = facts.assign(genre=facts["track"].str.split(".").str[0], augmentation="original")
    pairs = table.dropna(subset="replica_of")
    for seed in range(3):
        for _, test in splits.folds(table, by, seed=seed):
            tested = table["track"].iloc[test]
            assert (pairs["track"].isin(tested) == pairs["replica_of"].isin(tested)).all()
    _, test = splits.folds(table, "segment")[0]
    both = [pairs[end].isin(table["track"].iloc[test]) for end in ("track", "replica_of")]
    assert (both[0] != both[1]).any()


def test_replicas_are_found_by_their_features_whatever_the_level_of_the_features():
    rng = np.random.default_rng(0)
    tracks = rng.normal(size=(40, 1, 20)) * 100
    tracks[[7, 30]] = tracks[3]
    x = (tracks + rng.normal(size=(40, 6, 20))).reshape(240, 20)
    table = pd.DataFrame({"track": np.repeat([f"t{k:02d}" for k in range(40)], 6)})
    replicas = {"t07": "t03", "t30": "t03"}
    assert splits.find_replicas(x, table).to_dict() == replicas
    assert splits.find_replicas(x, table, limit=1e-9).empty
    order = rng.permutation(240)
    assert splits.find_replicas(x[order], table.iloc[order]).to_dict() == replicas


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_fault_filtered_parts_are_those_of_the_column_and_only_train_has_copies(
    segments, dtype, nothing
):
    jazz, copies = segments["genre"] == "jazz", segments["augmentation"] != "original"
    named = segments["fault_filtered"].astype(object).mask(jazz, nothing).astype(dtype)
    parts = splits.fault_filtered(segments.assign(fault_filtered=named))
    for name, rows in zip(splits.PARTS, parts):
        said = (segments["fault_filtered"] == name) & ~jazz & ~(copies & (name != "train"))
        assert rows.tolist() == np.flatnonzero(said).tolist()


@pytest.mark.parametrize("missing", splits.PARTS)
def test_a_fault_filtered_part_without_rows_is_refused(segments, missing):
    with pytest.raises(ValueError, match=r"\b0 (rows )?to .*; each part needs some"):
        splits.fault_filtered(segments[segments["fault_filtered"] != missing])
