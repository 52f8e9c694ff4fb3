import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import dataset, splits

by_column = pytest.mark.parametrize("by", ["track", "artist", "album"])


@pytest.fixture
def segments() -> pd.DataFrame:
    """Make 20 tracks per genre of GTZAN: 5 segments, and an augmented copy of each."""
    rows = []
    for genre in dataset.GENRES:
        for k in range(20):
            artist = f"{genre}-{k // 2}"
            album = f"{genre}-{k // 4}"
            row = (f"{genre}.{k:05d}", genre, artist, album)
            rows += [(*row, "original")] * 5
            rows += [(*row, "white_noise")] * 5
    columns = ["track", "genre", "artist", "album", "augmentation"]
    return pd.DataFrame(rows, columns=columns)


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
def test_the_order_and_the_types_of_the_rows_do_not_matter(by):
    def tested(table):
        folds = splits.folds(table, by, n_folds=4)
        return [set(table["track"].iloc[test]) for _, test in folds]

    table = random_songs(0)
    expected = tested(table)
    assert tested(table.sort_values("track")) == expected
    assert tested(table.astype({"genre": "category", by: "category"})) == expected
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
    (first_train, first_test), (second_train, second_test) = folds
    assert first_test.tolist() == [4, 5]
    assert first_train.tolist() == [0, 1, 2, 3, 6]
    assert second_test.tolist() == [2, 3]
    assert second_train.tolist() == [0, 1, 4, 5, 6]


def test_a_split_by_segment_is_a_partition_of_the_rows_that_leaks(segments):
    train, test = splits.split(segments, "segment", test_size=0.25)
    assert len(test) == 500
    assert sorted([*train, *test]) == list(range(2000))
    trained_on = set(segments["track"].iloc[train])
    assert set(segments["track"].iloc[test]) <= trained_on


@by_column
@pytest.mark.parametrize("test_size", [0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.8])
def test_a_split_by_a_column_has_the_test_size_and_tests_no_copies(
    segments, by, test_size
):
    rows = splits.split(segments, by, test_size=test_size)
    train, test = (segments.iloc[positions] for positions in rows)
    # An artist has 2 of the 20 tracks of a genre, and an album 4.
    tolerance = {"track": 0, "artist": 20, "album": 20}[by]
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
    _, test = splits.split(segments, by, seed=3)
    _, again = splits.split(segments, by, seed=3)
    _, other = splits.split(segments, by, seed=4)
    assert np.array_equal(test, again)
    assert not np.array_equal(test, other)


@pytest.mark.parametrize("test_size", [0, 1, -0.2, 20, np.nan])
def test_a_test_size_is_a_share(segments, test_size):
    with pytest.raises(ValueError, match="take a share between 0 and 1"):
        splits.split(segments, "segment", test_size=test_size)


def test_impossible_folds_are_refused(segments):
    with pytest.raises(ValueError, match="no column 'label'; there are track, genre"):
        splits.folds(segments, "label")
    with pytest.raises(ValueError, match=r"n_splits=5 greater|is empty"):
        splits.folds(segments[:40], "track")
    with pytest.raises(ValueError, match="n_splits"):
        splits.folds(segments, "artist", n_folds=1)
    # Four artists, but scikit-learn leaves one of the four folds empty.
    songs = pd.DataFrame({"artist": [*"DABCCBCDB"], "genre": [*"yxyxxxxyx"]})
    songs["track"] = [*"123456789"]
    with pytest.raises(ValueError, match="4 folds by artist is empty"):
        splits.folds(songs, "artist", n_folds=4)


@pytest.mark.parametrize(
    ("replica_of", "by_artist", "by_track"),
    [
        ([None, None, None, None, None], "abXXY", "abcde"),
        (["b", np.nan, pd.NA, None, None], "aaXXY", "aacde"),  # of unknown artists
        ([None, "c", None, None, None], "aXXXY", "abbde"),
        # A chain, and a circle.
        (["b", "c", None, None, None], "XXXXY", "aaade"),
        (["b", "c", "a", None, None], "XXXXY", "aaade"),
        # Replicas by two artists make them one.
        ([None, None, None, "e", None], "abXXX", "abcdd"),
        # The original is not in the table.
        ([None, "gone", None, None, "gone"], "aYXXY", "abcdb"),
    ],
)
def test_replicas_are_in_the_group_of_their_original(replica_of, by_artist, by_track):
    table = pd.DataFrame({"track": [*"abcde"], "artist": [None, np.nan, *"XXY"]})
    table["replica_of"] = replica_of
    assert splits.group(table, "artist").tolist() == [*by_artist]
    assert splits.group(table, "track").tolist() == [*by_track]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_fault_filtered_parts_are_those_of_the_column_and_only_train_has_copies(dtype):
    parts = ["train", "train", "valid", "valid", "test", "test", None]
    table = pd.DataFrame({"fault_filtered": pd.Series(parts, dtype=dtype)})
    table["augmentation"] = ["original", "noise"] * 3 + ["original"]
    train, valid, test = splits.fault_filtered(table)
    assert train.tolist() == [0, 1]
    assert valid.tolist() == [2]
    assert test.tolist() == [4]
    with pytest.raises(ValueError, match="no row has test in the column"):
        splits.fault_filtered(table[:4])


@pytest.mark.parametrize("tracks", [[1, 2, 3], ["1", "2", "3"]])
def test_replicas_are_linked_if_names_are_numbers(tracks):
    # A column with a gap has floats.
    table = pd.DataFrame({"track": tracks, "replica_of": [None, 1, None]})
    assert splits.group(table, "track").tolist() == ["1", "1", "3"]
