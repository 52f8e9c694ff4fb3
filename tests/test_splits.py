import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import dataset, splits

by_column = pytest.mark.parametrize("by", ["track", "artist", "album"])


@pytest.fixture
def segments():
    """Make 20 tracks per genre of GTZAN: 5 segments, and an augmented copy of each."""
    track = np.repeat(range(200), 10)
    table = pd.DataFrame({"track": track, "artist": track // 2, "album": track // 4})
    table["genre"] = np.repeat(dataset.GENRES, 200)
    table["augmentation"] = ["original", "white_noise"] * 1000
    return table


def random_songs(seed):
    """Make 60 songs in 3 genres, by artists and on albums that may be unknown."""
    rng = np.random.default_rng(seed)
    songs = pd.DataFrame({"track": [f"song {k}" for k in range(60)]})
    songs["genre"] = rng.choice(["jazz", "pop", "rock"], 60)
    songs["artist"] = pd.Series(rng.choice([*"ABCDEFGHIJKLMNOPQRST", None], 60))
    songs["album"] = rng.choice([*range(30), np.nan], 60)
    copies = songs.loc[songs.index.repeat(4)]
    augmentations = ["original", "original", "noise", "noise"] * 60
    return copies.assign(augmentation=augmentations).sample(frac=1, random_state=seed)


@by_column
@pytest.mark.parametrize("seed", range(8))
def test_folds_test_each_original_once_and_train_on_all_other_groups(by, seed):
    table = random_songs(seed)
    originals = np.flatnonzero(table["augmentation"] == "original")
    folds = splits.folds(table, by, n_folds=4, seed=seed)
    tested = np.concatenate([test for _, test in folds])
    assert sorted(tested) == originals.tolist()
    for train, test in folds:
        in_test = table["track"].isin(table["track"].iloc[test])
        assert train.tolist() == np.flatnonzero(~in_test).tolist()
        assert not table[by].iloc[train].dropna().isin(table[by].iloc[test]).any()


@by_column
def test_the_order_number_and_types_of_the_rows_do_not_matter(by):
    def tested(table):
        folds = splits.folds(table, by, n_folds=4)
        return [set(table["track"].iloc[test]) for _, test in folds]

    table = random_songs(seed=0)
    expected = tested(table)
    assert tested(table.sort_values("track")) == expected
    assert tested(table.astype({"genre": "category", by: "category"})) == expected
    # Some tracks have more segments and copies than others.
    assert (
        tested(pd.concat([table, table.sample(frac=0.4, random_state=1)])) == expected
    )
    # A table of tracks has no augmentation.
    songs = table.drop_duplicates("track").drop(columns="augmentation")
    assert tested(songs) == expected


def test_the_only_artist_of_a_genre_is_in_each_training_set():
    songs = pd.DataFrame({"track": [*"abcdefg"], "artist": [*"XXYYZZX"]})
    songs["genre"] = ["polka"] * 2 + ["rock"] * 5
    message = "^polka: only one artist; its tracks are used for training only.$"
    with pytest.warns(UserWarning, match=message) as caught:
        folds = splits.folds(songs, "artist", n_folds=5, fewer=True)
    assert caught[0].filename == __file__
    assert [test.tolist() for _, test in folds] == [[4, 5], [2, 3]]
    assert folds[0][0].tolist() == [0, 1, 2, 3, 6]
    assert folds[1][0].tolist() == [0, 1, 4, 5, 6]


def test_a_split_by_segment_is_a_partition_of_the_rows_that_leaks(segments):
    train, test = splits.split(segments, "segment", test_size=0.25)
    assert len(test) == 500
    assert sorted([*train, *test]) == list(range(2000))
    assert segments["track"].iloc[test].isin(segments["track"].iloc[train]).all()


@by_column
@pytest.mark.parametrize("test_size", [0.05, 0.25, 0.4, 0.8])
def test_a_split_by_a_column_has_the_test_size_and_tests_no_copies(
    segments, by, test_size
):
    rows = splits.split(segments, by, test_size=test_size)
    train, test = (segments.iloc[positions] for positions in rows)
    # An artist has 2 of the 20 tracks of a genre, and an album 4.
    tolerance = 0 if by == "track" else 20
    assert test["track"].nunique() == pytest.approx(200 * test_size, abs=tolerance)
    assert train["track"].nunique() + test["track"].nunique() == 200
    assert not set(train[by]) & set(test[by])
    assert set(test["augmentation"]) == {"original"}
    assert set(train["augmentation"]) == {"original", "white_noise"}


def test_each_genre_has_the_same_share_of_the_test_set(segments):
    _, test = splits.split(segments, "track", test_size=0.4)
    assert segments["genre"].iloc[test].value_counts().to_list() == [8 * 5] * 10


@pytest.mark.parametrize("by", ["segment", "artist"])
def test_the_seed_decides(segments, by):
    def tested(seed):
        _, test = splits.split(segments, by, seed=seed)
        return test.tolist()

    assert tested(seed=3) == tested(seed=3)
    assert tested(seed=3) != tested(seed=4)


@pytest.mark.parametrize("test_size", [0, 1, 20, np.nan])
def test_a_test_size_is_a_share(segments, test_size):
    with pytest.raises(ValueError, match="take a share between 0 and 1"):
        splits.split(segments, "segment", test_size=test_size)


def test_impossible_folds_are_refused(segments):
    with pytest.raises(ValueError, match="no column 'label'"):
        splits.folds(segments, "label")
    # Four artists, but scikit-learn leaves one of the four folds empty.
    songs = pd.DataFrame({"artist": [*"DABCCBCDB"], "genre": [*"yxyxxxxyx"]})
    songs["track"] = range(9)
    with pytest.raises(ValueError, match="4 folds by artist is empty"):
        splits.folds(songs, "artist", n_folds=4)


@pytest.mark.parametrize(
    ("originals", "by_artist", "by_track"),
    [
        # Of unknown artists.
        ({"a": "b"}, "aaXXY", "aacde"),
        ({"b": "c"}, "aXXXY", "abbde"),
        # A circle.
        ({"a": "b", "b": "c", "c": "a"}, "XXXXY", "aaade"),
        # Replicas by two artists make them one.
        ({"d": "e"}, "abXXX", "abcdd"),
        # The original is not in the table.
        ({"b": "gone", "e": "gone"}, "aYXXY", "abcdb"),
    ],
)
def test_replicas_are_in_the_group_of_their_original(originals, by_artist, by_track):
    table = pd.DataFrame({"track": [*"abcde"], "artist": [None, np.nan, *"XXY"]})
    table["replica_of"] = table["track"].map(originals)
    assert splits.group(table, "artist").tolist() == [*by_artist]
    assert splits.group(table, "track").tolist() == [*by_track]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_fault_filtered_parts_are_those_of_the_column_and_only_train_has_copies(dtype):
    parts = ["train", "train", "valid", "valid", "test", "test", None]
    table = pd.DataFrame({"fault_filtered": pd.Series(parts, dtype=dtype)})
    table["augmentation"] = ["original", "noise"] * 3 + ["original"]
    rows = splits.fault_filtered(table)
    assert [part.tolist() for part in rows] == [[0, 1], [2], [4]]
    with pytest.raises(ValueError, match="no row has test in the column"):
        splits.fault_filtered(table[:4])


@pytest.mark.parametrize("tracks", [[1, 2, 3], ["1", "2", "3"]])
def test_replicas_are_linked_if_names_are_numbers(tracks):
    # A column with a gap has floats.
    table = pd.DataFrame({"track": tracks, "replica_of": [None, 1, None]})
    assert splits.group(table, "track").tolist() == ["1", "1", "3"]


def test_rows_without_a_genre_are_refused(segments):
    segments.loc[3, "genre"] = None
    with pytest.raises(ValueError, match="some rows have no genre"):
        splits.folds(segments, "artist")
