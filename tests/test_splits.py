import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gtzan_mfcc import dataset, splits

# Python 3.10 gets a scikit-learn whose shuffled stratification may miss by a track.
OFF_BY = 0 if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 8) else 1

BY_ARTIST = ("artist", "fault_filtered")
WHOLE_TRACKS = ("track", *BY_ARTIST)

# The same examples every time, and none kept in the project.
quick = settings(max_examples=25, deadline=None, database=None, derandomize=True)
numbers_of_folds, seeds = st.integers(2, 5), st.integers(0, 2**32 - 1)


@st.composite
def corpora(draw) -> pd.DataFrame:
    """Make up the segments of 2 to 6 genres with 1 to 12 artists each, in any order."""
    n_artists = draw(st.lists(st.integers(1, 12), min_size=2, max_size=6))
    copies = ("original", "white_noise", "pitch_scale")[: draw(st.integers(1, 3))]
    shared = draw(st.booleans())  # Artists of several genres.
    rng = np.random.default_rng(draw(seeds))
    rows = []
    for genre, n in enumerate(n_artists):
        for artist in np.repeat(range(n), rng.integers(1, 4, size=n)):
            name = f"{artist}" if shared and rng.random() < 0.3 else f"{genre}-{artist}"
            known = rng.random() < 0.8
            part = rng.choice([*splits.PARTS, None], p=[0.4, 0.2, 0.2, 0.2])
            facts = (f"genre{genre}.{len(rows):05d}", f"genre{genre}", name if known else None)
            n_segments = rng.integers(1, 5)
            rows += [
                (*facts, part, segment, copy) for copy in copies for segment in range(n_segments)
            ]
    columns = ["track", "genre", "artist", "fault_filtered", "segment", "augmentation"]
    table = pd.DataFrame(rows, columns=columns, index=rng.choice(9 * len(rows), len(rows)))
    types = {"genre": "category", "artist": draw(st.sampled_from(["string", object]))}
    return table.astype(types).iloc[rng.permutation(len(rows))]


def reckon(table, by):
    """Reckon by hand what a split is about.

    All its tracks; the artist (or track) of each that is to be tested; and the genres of a
    single artist, none of whose tracks is tested, in this genre or another.
    """
    units, artists = {}, {}
    for row in table.drop_duplicates("track").itertuples():
        if by != "fault_filtered" or not pd.isna(row.fault_filtered):
            known = by in BY_ARTIST and not pd.isna(row.artist)
            units[row.track] = row.artist if known else row.track
            artists.setdefault(row.genre, set()).add(units[row.track])
    single = {genre for genre, names in artists.items() if len(names) == 1 and by in BY_ARTIST}
    never = set().union(*(artists[genre] for genre in single))
    return set(units), {track: unit for track, unit in units.items() if unit not in never}, single


def divide(table, by, n_folds, seed):
    """Divide the corpus if it can be, in silence."""
    _, testable, _ = reckon(table, by)
    rows = table if by == "segment" else table[table["track"].isin(testable)]
    assume(len(set(testable.values())) >= n_folds)
    assume(rows["genre"].value_counts().max() >= n_folds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folds = splits.folds(table, by, n_folds=n_folds, seed=seed)
    assert len(folds) == n_folds
    return folds


@pytest.mark.parametrize("by", WHOLE_TRACKS)
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_no_track_and_no_artist_stands_on_both_sides(by, table, n_folds, seed):
    compared = ("track", "artist") if by in BY_ARTIST else ("track",)
    for fold in divide(table, by, n_folds, seed):
        train, test = (table.iloc[rows] for rows in fold)
        leakage = splits.check_leakage(train, test)
        for name in compared:
            assert not getattr(leakage, f"{name}s")
            assert not train[name].dropna().isin(test[name].dropna()).any()


@pytest.mark.parametrize("by", WHOLE_TRACKS)
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_every_original_that_can_be_tested_is_so_exactly_once(by, table, n_folds, seed):
    _, testable, _ = reckon(table, by)
    folds = divide(table, by, n_folds, seed)
    tested = np.concatenate([test for _, test in folds])
    expected = table["track"].isin(testable) & (table["augmentation"] == "original")
    assert sorted(tested) == np.flatnonzero(expected).tolist()
    assert all(len(test) for _, test in folds)


@pytest.mark.parametrize("by", WHOLE_TRACKS)
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_the_rows_of_all_other_tracks_train(by, table, n_folds, seed):
    tracks, _, _ = reckon(table, by)
    for train, test in divide(table, by, n_folds, seed):
        others = tracks - set(table["track"].iloc[test])
        assert train.tolist() == np.flatnonzero(table["track"].isin(others)).tolist()


@quick
@given(corpora(), numbers_of_folds, seeds)
def test_folds_by_segment_are_a_partition_of_the_rows(table, n_folds, seed):
    folds = divide(table, "segment", n_folds, seed)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(table)))
    for fold in folds:
        assert sorted(np.concatenate(fold)) == list(range(len(table)))


@pytest.mark.parametrize("by", splits.SPLITS)
@quick
@given(corpora(), seeds)
def test_a_warning_names_the_genres_of_a_single_artist_and_no_other(by, table, seed):
    _, _, single = reckon(table, by)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            splits.folds(table, by, n_folds=2, seed=seed)
        except ValueError:
            assume(False)
    said = [str(each.message) for each in caught if "by one artist" in str(each.message)]
    names = ", ".join(sorted(single))
    assert said == [f"all tracks of {names} are by one artist: they train, and are not tested."] * (
        len(single) > 0
    )


@pytest.mark.parametrize("by", WHOLE_TRACKS)
@quick
@given(corpora(), numbers_of_folds, seeds)
def test_the_order_of_the_rows_does_not_matter(by, table, n_folds, seed):
    def tested(table):
        folds = divide(table, by, n_folds, seed)
        return [set(table["track"].iloc[test]) for _, test in folds]

    assert tested(table) == tested(table.sort_values(["track", "augmentation", "segment"]))


@pytest.mark.parametrize("by", WHOLE_TRACKS)
@quick
@given(corpora(), st.integers(3, 5), seeds)
def test_what_is_chosen_for_a_fold_has_not_seen_its_tracks_and_artists(by, table, n_folds, seed):
    folds = divide(table, by, n_folds, seed)
    inner = splits.inner_folds(folds)
    compared = ("track", "artist") if by in BY_ARTIST else ("track",)
    for i, (_, test) in enumerate(folds):
        for train, _ in (inner[i], inner[i - 1]):
            leakage = splits.check_leakage(table.iloc[train], table.iloc[test])
            assert not any(getattr(leakage, f"{name}s") for name in compared)


@pytest.mark.parametrize("by", splits.SPLITS)
@quick
@given(corpora(), st.integers(3, 5), seeds)
def test_inner_folds_leave_two_neighbours_out_and_nothing_else(by, table, n_folds, seed):
    folds = divide(table, by, n_folds, seed)
    inner = splits.inner_folds(folds)
    tests = [set(test) for _, test in folds]
    assert [set(test) for _, test in inner] == [
        tests[i] | tests[(i + 1) % n_folds] for i in range(n_folds)
    ]
    assert [set(train) for train, _ in inner] == [
        set(folds[i][0]) & set(folds[(i + 1) % n_folds][0]) for i in range(n_folds)
    ]
    assert not any(set(train) & set(test) for train, test in inner)
    tested, times = np.unique(np.concatenate([test for _, test in inner]), return_counts=True)
    assert set(tested) == set().union(*tests)
    assert set(times) == {2}


@pytest.mark.parametrize("n_folds", [0, 1, 2])
def test_two_of_fewer_than_three_folds_cannot_be_left_out(n_folds):
    with pytest.raises(ValueError, match=f"{n_folds} folds; .* at least 3"):
        splits.inner_folds([(np.array([0]), np.array([1]))] * n_folds)


@quick
@given(corpora())
def test_the_fault_filtered_parts_hold_what_the_column_says(table):
    assume(set(splits.PARTS) <= set(table["fault_filtered"]))
    parts = zip(splits.PARTS, splits.fault_filtered(table), strict=True)
    for name, rows in parts:
        said = table["fault_filtered"] == name
        if name != "train":
            said &= table["augmentation"] == "original"
        assert rows.tolist() == np.flatnonzero(said).tolist()


def test_the_fault_filtered_parts_of_gtzan_are_as_large_as_published():
    facts = pd.read_csv(Path(dataset.__file__).with_name("tracks.csv"))
    parts = splits.fault_filtered(facts.assign(augmentation="original"))
    assert [len(rows) for rows in parts] == [443, 197, 290]
    assert len(set(np.concatenate(parts))) == 930


@pytest.fixture
def segments() -> pd.DataFrame:
    """20 tracks of each of GTZAN's genres, 5 segments each, and an augmented copy of each."""
    rows = [
        (f"{genre}.{k:05d}", genre, f"{genre}-{k // 2}", splits.PARTS[k % 3], segment, augmentation)
        for genre in dataset.GENRES
        for k in range(20)
        for augmentation in ("original", "white_noise")
        for segment in range(5)
    ]
    columns = ["track", "genre", "artist", "fault_filtered", "segment", "augmentation"]
    return pd.DataFrame(rows, columns=columns).astype({"genre": "category"})


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA])
def test_tracks_outside_the_fault_filtered_partition_are_nowhere(segments, dtype, nothing):
    jazz = segments["genre"] == "jazz"
    named = segments["fault_filtered"].astype(object).mask(jazz, nothing).astype(dtype)
    table = segments.assign(fault_filtered=named)
    parts = splits.fault_filtered(table)
    copies = segments["augmentation"] != "original"
    for name, rows in zip(splits.PARTS, parts):
        said = (segments["fault_filtered"] == name) & ~jazz & ~(copies & (name != "train"))
        assert rows.tolist() == np.flatnonzero(said).tolist()
    for train, test in splits.folds(table, "fault_filtered"):
        assert not jazz.iloc[[*train, *test]].any()


@pytest.mark.parametrize("missing", splits.PARTS)
def test_a_fault_filtered_part_without_rows_is_refused(segments, missing):
    table = segments[segments["fault_filtered"] != missing]
    with pytest.raises(ValueError, match=r"\b0 (rows )?to .*; each part needs some"):
        splits.fault_filtered(table)


@pytest.mark.parametrize("test_size", [0.2, 0.25])
def test_segment_split_is_a_partition_of_the_rows(segments, test_size):
    train, test = splits.segment(segments, test_size=test_size)
    assert sorted([*train, *test]) == list(range(2000))
    assert len(test) == test_size * 2000


def test_segment_split_leaks(segments):
    train, test = (segments["track"].iloc[rows] for rows in splits.segment(segments))
    assert set(test) <= set(train)


@pytest.mark.parametrize("seed", range(5))
def test_track_split_keeps_each_track_on_one_side(segments, seed):
    train, test = splits.track(segments.sample(frac=1, random_state=seed), seed=seed)
    table = segments.sample(frac=1, random_state=seed)
    assert not set(table["track"].iloc[train]) & set(table["track"].iloc[test])
    assert set(table["augmentation"].iloc[test]) == {"original"}
    counts = table["augmentation"].iloc[train].value_counts()
    assert counts["original"] == counts["white_noise"] == 800
    assert len(test) == 200


@pytest.mark.parametrize("seed", range(5))
def test_track_split_has_the_same_share_of_every_genre(segments, seed):
    _, test = splits.track(segments, seed=seed)
    counts = segments.iloc[test].groupby("genre", observed=False)["track"].nunique()
    assert list(counts.index) == list(dataset.GENRES)
    assert (counts - 4).abs().max() <= OFF_BY


@pytest.mark.parametrize("split", [splits.track, splits.artist])
@pytest.mark.parametrize(("test_size", "n_tracks"), [(0.1, 20), (0.25, 50), (0.5, 100)])
def test_a_split_heeds_the_test_size(segments, split, test_size, n_tracks):
    _, test = split(segments, test_size=test_size)
    n_tested = segments["track"].iloc[test].nunique()
    # 10 artists of a genre do not go into 4 parts evenly.
    assert n_tested == pytest.approx(n_tracks, abs=0 if split is splits.track else 10)


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("tracks_per_genre", [2, 3, 5, 10])
def test_track_split_of_a_small_corpus_works(segments, tracks_per_genre):
    small = segments[segments["track"].str[-5:].astype(int) < tracks_per_genre]
    train, test = splits.track(small)
    assert len(train) > len(test) > 0
    if tracks_per_genre >= 5 * (1 + OFF_BY):
        assert set(small["genre"].iloc[test]) == set(dataset.GENRES)


def test_artist_split_keeps_each_artist_on_one_side(segments, recwarn):
    train, test = (segments.iloc[rows] for rows in splits.artist(segments))
    assert not splits.check_leakage(train, test).artists
    assert set(test["augmentation"]) == {"original"}
    assert (test.groupby("genre", observed=False)["artist"].nunique() - 2).abs().max() <= OFF_BY
    assert not recwarn.list


@pytest.mark.parametrize("split", [splits.segment, splits.track, splits.artist])
def test_the_seed_decides_the_split(segments, split):
    first, again, other = (split(segments, seed=seed)[1].tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("by", splits.SPLITS)
def test_the_seed_decides_the_folds(segments, by):
    first, again, other = (
        [rows.tolist() for fold in splits.folds(segments, by, seed=seed) for rows in fold]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("split", [splits.track, splits.artist])
@pytest.mark.parametrize("test_size", [0, 0.7, 1])
def test_a_split_refuses_impossible_shares(segments, split, test_size):
    with pytest.raises(ValueError, match=r"above 0 and up to 0.5"):
        split(segments, test_size=test_size)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("track", "4 tracks, and 5 folds need at least 5"),
        ("artist", "3 artists, and 5 folds need at least 5"),
        ("fault_filtered", "2 artists, and 5 folds need at least 5"),
    ],
)
def test_folds_say_how_many_tracks_or_artists_they_need(by, message):
    table = pd.DataFrame(
        {
            "track": list("aabbccdd"),
            "genre": "x",
            "artist": [*"AAAABB", None, None],
            "fault_filtered": [*["train"] * 6, None, None],
            "augmentation": "original",
        }
    )
    with pytest.raises(ValueError, match=message):
        splits.folds(table, by)


def test_a_split_of_another_name_is_refused(segments):
    with pytest.raises(ValueError, match="no split 'album'; there are segment, track, artist, fau"):
        splits.folds(segments, "album")


def test_the_warning_of_a_single_artist_comes_from_the_split_by_artist_too(segments):
    table = segments.assign(artist=segments["artist"].where(segments["genre"] != "jazz", "Miles"))
    with pytest.warns(UserWarning, match="all tracks of jazz are by one artist"):
        train, test = splits.artist(table)
    assert (table["genre"].iloc[train] == "jazz").sum() == 200
    assert "jazz" not in set(table["genre"].iloc[test])


@pytest.mark.filterwarnings("ignore:all tracks of")
def test_no_artist_leaks_through_a_genre_of_his_alone():
    table = pd.DataFrame(
        {
            "track": list("abcdefgh"),
            "genre": [*"mmnnnnnn"],
            "artist": [*"XXXYZWVV"],
            "augmentation": "original",
        }
    )
    folds = splits.folds(table, "artist", n_folds=3)
    for train, test in folds:
        assert not splits.check_leakage(table.iloc[train], table.iloc[test]).artists
    assert sorted(np.concatenate([test for _, test in folds])) == [3, 4, 5, 6, 7]


def test_a_track_of_unknown_artist_is_its_own_artist():
    table = pd.DataFrame({"track": list("aabc"), "artist": [None, None, "X", "X"]})
    assert splits.group(table, "artist").tolist() == ["a", "a", "X", "X"]
    assert splits.group(table, "track").tolist() == ["a", "a", "b", "c"]


def test_a_genre_of_two_unknown_artists_is_not_of_one():
    table = pd.DataFrame(
        {
            "track": ["r1", "r2", "j1", "j2", "b1", "b1"],
            "genre": pd.Categorical([*"rrjjbb"], categories=[*"bjrz"]),
            "artist": [None, None, "X", "X", None, None],
        }
    )
    assert splits.one_artist_genres(table) == ["b", "j"]


@pytest.mark.parametrize(
    ("tracks", "artists", "leakage"),
    [
        ("cd", ["Z", None], ([], [])),
        ("dba", ["Z", "Z", "Z"], (["a", "b"], [])),
        ("def", ["Y", "X", "Y"], ([], ["X", "Y"])),
        ("aed", [None, "X", None], (["a"], ["X"])),
    ],
    ids=["none", "tracks", "artists", "both"],
)
def test_leaks_are_named_in_order_and_unknown_artists_are_none(tracks, artists, leakage):
    train = pd.DataFrame({"track": list("aabg"), "artist": ["X", "X", "Y", None]})
    test = pd.DataFrame({"track": list(tracks), "artist": artists})
    assert splits.check_leakage(train, test) == leakage
