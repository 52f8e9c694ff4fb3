import os
from functools import partial
from pathlib import Path

import audiomentations
import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import audio, augmentation, dataset, extraction, features
from gtzan_mfcc.extraction import Segments
from gtzan_mfcc.features import Settings

# In this process, without a progress bar.
extract = partial(extraction.extract_mfcc, n_jobs=1, progress=False)
extract_features = partial(extraction.extract_features, n_jobs=1, progress=False)


@pytest.fixture
def tracks(small_corpus) -> pd.DataFrame:
    return dataset.load_tracks(small_corpus)


def test_segments_are_in_the_order_of_the_tracks(tracks):
    segments = extract(tracks[::-1])
    assert segments.x.shape == (8, 130, 13)
    assert segments.x.dtype == np.float32
    assert set(segments.table) == {*tracks, "segment", "start", "augmentation"}
    names = [track for track in tracks["track"][::-1] for _ in range(2)]
    assert segments.table["track"].to_list() == names
    assert segments.table["segment"].to_list() == [0, 1] * 4
    assert segments.table["start"].to_list() == [0, 3] * 4
    assert set(segments.table["augmentation"]) == {"original"}
    assert segments.genres == ["loud", "quiet"]
    assert segments.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert segments.settings == Settings()
    assert len(segments) == 8
    assert len(segments.left_out) == 0
    # Genres without tracks in the selection are left out.
    assert extract(tracks[tracks["genre"] == "quiet"]).genres == ["quiet"]


def test_copies_follow_the_originals_track_by_track(small_corpus):
    # The second is long enough for three blocks; draws continue from block to block.
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 75 * 22_050)
    soundfile.write(small_corpus / "loud" / "loud.00001.wav", noise, 22_050)
    tracks = dataset.load_tracks(small_corpus)[:2]
    segments = extract(tracks, augmentations=["white_noise", "pitch_scale"], seed=3)
    y = audio.load(tracks["path"][1]).reshape(25, 66_150)
    k = 6
    for copy in ("original", "white_noise", "pitch_scale"):
        rows = slice(k, k + 25)
        assert set(segments.table["track"][rows]) == {"loud.00001"}
        assert set(segments.table["augmentation"][rows]) == {copy}
        assert segments.table["segment"][rows].to_list() == list(range(25))
        rng = augmentation.track_generator("loud.00001", copy, seed=3)
        augment = augmentation.AUGMENTATIONS.get(copy, lambda y, seed: y)
        expected = features.mfcc(augment(y, seed=rng))
        np.testing.assert_allclose(segments.x[rows], expected, atol=1e-3)
        k += 25


def test_with_other_settings_the_mfccs_of_all_copies_are_librosas(tracks):
    settings = Settings(sample_rate=16_000, seconds=5, hop_length=256, n_mels=64)
    segments = extract(tracks[:1], settings, augmentations=augmentation.AUGMENTATIONS)
    y = librosa.load(tracks["path"][0], sr=16_000)[0]
    batch = y[np.newaxis, :80_000]
    for copy, x in zip(segments.table["augmentation"], segments.x, strict=True):
        y = batch
        if copy != "original":
            rng = augmentation.track_generator("loud.00000", copy, seed=0)
            function = augmentation.AUGMENTATIONS[copy]
            y = augmentation.augment(function, batch, seed=rng, sample_rate=16_000)
        expected = librosa.feature.mfcc(
            y=y[0], sr=16_000, hop_length=256, n_mels=64, n_mfcc=13
        )
        assert x.shape == (313, 13)
        np.testing.assert_allclose(x, expected.T, atol=2e-3)


def test_overlapping_segments_say_where_they_start(tracks):
    segments = extract(tracks[:1], hop_seconds=1.5)
    assert segments.table["start"].to_list() == [0, 1.5, 3]
    y = audio.load(tracks["path"][0])[33_075 : 33_075 + 66_150]
    np.testing.assert_allclose(segments.x[1], features.mfcc(y), atol=1e-3)
    for hop_seconds in (0, 3.1):
        with pytest.raises(ValueError, match="take 1 to 66,150 samples"):
            extract(tracks[:1], hop_seconds=hop_seconds)


def test_own_augmentations_get_one_signal(tracks):
    def by_seed(y, seed, sample_rate):
        return y + 0.01 * seed.normal(size=len(y)) * (sample_rate == 22_050)

    own = {"backwards": lambda y: y[::-1], "by seed": by_seed}
    segments = extract(tracks[:1], augmentations=own, seed=3)
    copies = ["original", "original", "backwards", "backwards", "by seed", "by seed"]
    assert segments.table["augmentation"].to_list() == copies
    batch = np.concatenate(list(audio.segments(audio.load(tracks["path"][0]))))
    rng = augmentation.track_generator("loud.00000", "by seed", seed=3)
    drawn = augmentation.augment(by_seed, batch, seed=rng)
    for x, y in ((segments.x[2:4], batch[:, ::-1]), (segments.x[4:], drawn)):
        np.testing.assert_allclose(x, features.mfcc(y), atol=1e-3)
    with pytest.raises(ValueError, match=r"\(33075,\) .*\(66150,\)"):
        extract(tracks, augmentations={"half": lambda y: y[::2]})


@pytest.mark.parametrize(
    ("augmentations", "message"),
    [
        (["reverb"], "no augmentation reverb; there are random_gain, white_noise"),
        (["mp3", "mp3"], "two copies have the same name"),
        ({"original": augmentation.mp3}, "or one is original"),
    ],
)
def test_copies_need_known_augmentations_and_different_names(
    tracks, tmp_path, augmentations, message
):
    with pytest.raises(ValueError, match=message):
        extract(tracks, augmentations=augmentations, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_files_need_no_table_and_no_genre(tracks):
    files = tracks["path"].to_list()
    whole = extract(tracks)
    for some in (files, list(map(Path, files))):
        segments = extract(some)
        np.testing.assert_array_equal(segments.x, whole.x)
        assert segments.table["track"].unique().tolist() == files
        assert "genre" not in segments.table
    assert len(extract(files[0])) == 2
    with pytest.raises(ValueError, match="some segments have no genre"):
        segments.labels  # noqa: B018
    table, _ = extract_features(files[:1])
    assert table["filename"].to_list() == [f"{files[0]}.{k}.wav" for k in range(2)]
    assert table["label"].isna().all()
    partly = tracks.assign(genre=[None, "b", "c", "d"])
    assert extract(partly).table["genre"].to_list()[1:3] == [np.nan, "b"]


def test_names_that_occur_twice_are_refused_and_numbers_are_names(tracks):
    with pytest.raises(ValueError, match="two tracks have the name a; give each"):
        extract(tracks.assign(track=["a", "b", "c", "a"]))
    numbered = extract(tracks.assign(track=[5, 6, 7, 8]), augmentations=["mp3"])
    assert numbered.table["track"].unique().tolist() == [5, 6, 7, 8]


# What the reason of each bad file must say.
REASONS = {
    "cut.wav": "cut short",
    "empty.wav": "the file is empty",
    "jazz.00054.wav": "the study left it out too",
    "missing.wav": "no such file",
    "text.wav": "not a sound file",
}


@pytest.fixture
def bad(tmp_path, tone) -> pd.DataFrame:
    """Make a bad file of each kind."""
    soundfile.write(tmp_path / "cut.wav", tone, 22_050)
    os.truncate(tmp_path / "cut.wav", 100_000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "jazz.00054.wav").write_text("RIFF")
    (tmp_path / "text.wav").write_text("la la la")
    paths = [str(tmp_path / name) for name in REASONS]
    return pd.DataFrame({"track": paths, "path": paths, "genre": "loud"})


@pytest.fixture
def spoiled_tracks(tracks, bad) -> pd.DataFrame:
    """Put the bad files behind the first two of four good ones."""
    return pd.concat([tracks[:2], bad, tracks[2:]])


@pytest.mark.parametrize("kind", [str, Path])
def test_bad_files_are_left_out_with_their_reasons(spoiled_tracks, tracks, bad, kind):
    spoiled_tracks["path"] = spoiled_tracks["path"].astype(object).map(kind)
    segments = extract(spoiled_tracks)
    left_out = segments.left_out
    assert left_out["track"].to_list() == bad["track"].to_list()
    for path, reason, expected in zip(
        bad["path"], left_out["reason"], REASONS.values(), strict=True
    ):
        assert reason.startswith(f"{path}: ")
        assert expected in reason
    assert left_out["reason"].str.contains("the study left it out").sum() == 1
    clean = extract(tracks)
    np.testing.assert_array_equal(segments.x, clean.x)
    pd.testing.assert_frame_equal(segments.table, clean.table)
    assert len(clean.left_out) == 0


@pytest.mark.parametrize("extract", [extract, extract_features])
def test_strict_raises_at_the_first_bad_file(spoiled_tracks, tracks, tmp_path, extract):
    for _ in range(2):
        with pytest.raises(audio.AudioError, match=r"cut\.wav: cut short"):
            extract(spoiled_tracks, strict=True, cache=tmp_path)
    extract(tracks, strict=True)


@pytest.mark.parametrize("extract", [extract, extract_features])
def test_nothing_that_can_be_used_raises(bad, extract):
    message = r"none of 5 tracks can be used; .*cut\.wav: "
    with pytest.raises(audio.AudioError, match=message):
        extract(bad)
    for nothing in (bad[:0], []):
        with pytest.raises(audio.AudioError, match="the track table is empty"):
            extract(nothing)


def test_facts_of_the_tracks_are_never_out_of_date(tracks, tmp_path):
    extract(tracks, cache=tmp_path)
    extract_features(tracks, cache=tmp_path)
    tracks = tracks.assign(artist="somebody", genre=pd.Categorical(["x", "y"] * 2))
    segments = extract(tracks, cache=tmp_path)
    assert set(segments.table["artist"]) == {"somebody"}
    assert segments.genres == ["x", "y"]
    labels = extract_features(tracks, cache=tmp_path)[0]["label"]
    assert labels.to_list() == ["x", "x", "y", "y"] * 2


def test_the_number_of_workers_and_the_order_of_tracks_change_no_byte(
    spoiled_tracks, tmp_path
):
    shift = audiomentations.Shift(p=1.0)
    copies = {
        **augmentation.AUGMENTATIONS,
        "shift": shift,
        "compose": audiomentations.Compose([shift], p=0.5),
        "own": lambda y, seed: y + np.random.rand(len(y)) * seed.random(),
    }

    def compute(name, tracks, n_jobs):
        cache = tmp_path / name
        x = extract(tracks, augmentations=copies, n_jobs=n_jobs, cache=cache).x
        extract_features(tracks, n_jobs=n_jobs, cache=cache)
        files = cache.glob("**/*.npy")
        return x, {path.name: path.read_bytes() for path in files}

    x, one = compute("one", spoiled_tracks, 1)
    other, two = compute("two", spoiled_tracks, 2)
    np.testing.assert_array_equal(x, other)
    assert one == two
    other, back = compute("back", spoiled_tracks[::-1], 1)
    by_track = x.reshape(4, -1, 130, 13)
    np.testing.assert_array_equal(by_track[::-1], other.reshape(by_track.shape))
    # The files of the MFCCs are the same; the joined ones have another order.
    assert len(set(one) & set(back)) == 4 * (len(copies) + 1)
    assert all(one[name] == back[name] for name in set(one) & set(back))


@pytest.mark.parametrize("whole_tracks", [False, True], ids=["3 s", "30 s"])
def test_features_are_in_the_form_of_kaggles_tables(tracks, tmp_path, whole_tracks):
    table, left_out = extract_features(tracks, whole_tracks=whole_tracks)
    assert list(table) == ["filename", "length", *features.FEATURE_NAMES, "label"]
    assert len(left_out) == 0
    y = audio.load(tracks["path"][0])
    if whole_tracks:
        assert table["filename"][0] == "loud.00000.wav"
        assert table["length"].to_list() == [154_350] * 4
        assert table["label"].to_list() == ["loud", "loud", "quiet", "quiet"]
        ours = table.loc[0, features.FEATURE_NAMES]
    else:
        assert table["filename"][1] == "loud.00000.1.wav"
        assert table["length"].to_list() == [66_149] * 8
        assert table["label"].to_list() == ["loud"] * 4 + ["quiet"] * 4
        ours = table.loc[1, features.FEATURE_NAMES]
        y = y[66_150 : 66_150 + 66_149]
    expected = features.tabular_features(y)
    np.testing.assert_allclose(ours.astype(float), expected, rtol=1e-4)
    path = tmp_path / "mine.csv"
    table.to_csv(path, index=False)
    pd.testing.assert_frame_equal(dataset.load_feature_table(path), table)


@pytest.fixture
def segments() -> Segments:
    table = pd.DataFrame({"track": list("aabc"), "genre": list("yyxz")}, list("9876"))
    return Segments(np.arange(8).reshape(4, 2), table)


def test_a_table_of_ones_own_needs_only_the_names_of_the_tracks(segments):
    assert segments.genres == ["x", "y", "z"]
    assert segments.labels.tolist() == [1, 1, 0, 2]
    assert segments.labels.dtype == np.int64
    assert segments.table["segment"].to_list() == [0, 1, 0, 0]
    assert set(segments.table["augmentation"]) == {"original"}
    assert segments in [segments]


@pytest.mark.parametrize("rows", [[1, 3], [False, True, False, True]], ids=str)
def test_select_keeps_rows_together_and_all_genres(segments, rows):
    selected = segments.select(rows)
    assert selected.x.tolist() == [[2, 3], [6, 7]]
    assert selected.table["track"].to_list() == ["a", "c"]
    assert selected.labels.tolist() == [1, 2]
    assert selected.genres == ["x", "y", "z"]


def test_select_genres_forgets_the_others(segments):
    selected = segments.select_genres(["z", "y"])
    assert selected.genres == ["y", "z"]
    assert selected.labels.tolist() == [0, 0, 1]
    assert segments.genres == ["x", "y", "z"]
    with pytest.raises(ValueError, match=r"no genre \['jazz'\]; there are x, y, z"):
        segments.select_genres(["x", "jazz"])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"track": ["a"]}, "x has 2 rows, and the table 1"),
        ({"genre": ["x", "y"]}, "a name in the column track"),
        ({"track": ["a", None]}, "a name in the column track"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Segments(np.zeros((2, 3)), pd.DataFrame(table))


@pytest.mark.parametrize("column", ["segment", "start", "augmentation"])
def test_a_column_that_the_result_has_is_not_overwritten(tracks, column):
    with pytest.raises(ValueError, match=f"has a column {column}; rename it"):
        extract(tracks.assign(**{column: 1}))


def test_relative_paths_are_those_of_the_current_folder(tracks, tmp_path, monkeypatch):
    for name, path in zip("ab", tracks["path"][[0, 2]]):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("song.wav").write_bytes(Path(path).read_bytes())
        os.utime("song.wav", (0, 0))
        # Workers and results of the other folder are there.
        segments = extract(["song.wav"], n_jobs=2, cache=tmp_path / "cache")
        assert segments.table["track"][0] == "song.wav"
        expected = extract([path])
        np.testing.assert_array_equal(segments.x, expected.x)


def test_an_augmentation_that_fails_for_one_file_leaves_out_this_file(tracks, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(70_000), 22_050)
    files = [tmp_path / "silence.wav", tracks["path"][0]]
    with np.errstate(invalid="ignore"):
        segments = extract(files, augmentations={"loud": lambda y: y / np.abs(y).max()})
    assert segments.table["path"].unique().tolist() == [tracks["path"][0]]
    assert "silence.wav: the augmentation" in segments.left_out["reason"][0]


@pytest.mark.parametrize("labels", [[2, 10, 10], [True, False, False], ["b", "a", "a"]])
def test_genres_of_any_type_are_text(labels):
    table = pd.DataFrame({"track": [*"abc"], "genre": labels})
    for genre in (table["genre"], table["genre"].astype("category")):
        segments = extraction.Segments(np.zeros((3, 1)), table.assign(genre=genre))
        names = np.take(segments.genres, segments.labels)
        assert names.tolist() == [str(label) for label in labels]


def test_rows_are_selected_by_a_mask_of_the_same_index_or_by_positions():
    table = pd.DataFrame({"track": [*"abc"]})
    segments = extraction.Segments(np.arange(3), table)
    mask = segments.table["track"] == "b"
    for rows in (mask, mask.to_numpy(), mask.to_list(), [1], np.array([1])):
        assert segments.select(rows).x.tolist() == [1]
    assert len(segments.select([])) == 0
    with pytest.raises(ValueError, match="the index of the mask is not that of"):
        segments.select(mask[::-1])
    with pytest.raises(IndexError, match="boolean index did not match"):
        segments.select([True, False])
