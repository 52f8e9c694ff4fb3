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
def tracks(small_corpus):
    return dataset.load_tracks(small_corpus)


def test_segments_are_in_the_order_of_the_tracks(tracks):
    segments = extract(tracks[::-1])
    assert segments.x.shape == (8, 130, 13)
    assert segments.x.dtype == np.float32
    assert set(segments.table) == {*tracks, "segment", "start", "augmentation"}
    assert segments.table["track"][::2].to_list() == tracks["track"][::-1].to_list()
    assert segments.table["segment"].to_list() == [0, 1] * 4
    assert segments.table["start"].to_list() == [0, 3] * 4
    assert set(segments.table["augmentation"]) == {"original"}
    assert segments.genres == ["loud", "quiet"]
    assert segments.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert segments.settings == Settings()
    assert len(segments) == 8
    # Genres without tracks in the selection are left out.
    assert extract(tracks[2:]).genres == ["quiet"]


def test_copies_follow_the_originals_track_by_track(small_corpus):
    # The second is long enough for three blocks; draws continue from block to block.
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 75 * 22_050)
    soundfile.write(small_corpus / "loud" / "loud.00001.wav", noise, 22_050)
    tracks = dataset.load_tracks(small_corpus)[:2]
    segments = extract(tracks, augmentations=["white_noise", "pitch_scale"], seed=3)
    y = audio.load(tracks["path"][1]).reshape(25, 66_150)
    first = 6
    for copy in ("original", "white_noise", "pitch_scale"):
        rows = slice(first, first + 25)
        assert set(segments.table["track"][rows]) == {"loud.00001"}
        assert set(segments.table["augmentation"][rows]) == {copy}
        assert segments.table["segment"][rows].to_list() == list(range(25))
        expected = y
        if copy != "original":
            rng = augmentation.track_generator("loud.00001", copy, seed=3)
            expected = augmentation.AUGMENTATIONS[copy](y, seed=rng)
        np.testing.assert_allclose(segments.x[rows], features.mfcc(expected), atol=1e-3)
        first += 25


def test_with_other_settings_the_mfccs_of_all_copies_are_librosas(tracks):
    settings = Settings(sample_rate=16_000, seconds=5, hop_length=256, n_mels=64)
    segments = extract(tracks[:1], settings, augmentations=augmentation.AUGMENTATIONS)
    original = librosa.load(tracks["path"][0], sr=16_000)[0][:80_000]
    for copy, x in zip(segments.table["augmentation"], segments.x, strict=True):
        y = original
        if copy != "original":
            rng = augmentation.track_generator("loud.00000", copy, seed=0)
            function = augmentation.AUGMENTATIONS[copy]
            y = augmentation.augment(function, y, seed=rng, sample_rate=16_000)
        expected = librosa.feature.mfcc(
            y=y, sr=16_000, hop_length=256, n_mels=64, n_mfcc=13
        )
        assert x.shape == (313, 13)
        np.testing.assert_allclose(x, expected.T, atol=2e-3)


def test_segments_that_start_at_the_same_place_are_refused(tracks):
    with pytest.raises(ValueError, match="take 1 to 66,150 samples"):
        extract(tracks, hop_seconds=0)


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
    segments = extract([files[0], Path(files[1])])
    np.testing.assert_array_equal(segments.x, extract(tracks[:2]).x)
    assert segments.table["track"].unique().tolist() == files[:2]
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
    "jazz.00054.wav": "the study left it out too",
    "missing.wav": "no such file",
}


@pytest.fixture
def bad(tmp_path, tone):
    """Make a bad file of each kind."""
    soundfile.write(tmp_path / "cut.wav", tone, 22_050)
    os.truncate(tmp_path / "cut.wav", 100_000)
    (tmp_path / "jazz.00054.wav").write_text("RIFF")
    paths = [tmp_path / name for name in REASONS]
    return pd.DataFrame({"track": [*REASONS], "path": paths, "genre": "loud"})


@pytest.fixture
def spoiled_tracks(tracks, bad):
    """Put the bad files behind the first two of four good ones."""
    return pd.concat([tracks[:2], bad, tracks[2:]])


def test_bad_files_are_left_out_with_their_reasons(spoiled_tracks, tracks, bad):
    segments = extract(spoiled_tracks)
    left_out = segments.left_out
    assert left_out["track"].to_list() == list(REASONS)
    for path, reason in zip(bad["path"], left_out["reason"], strict=True):
        assert reason.startswith(f"{path}: ")
        assert REASONS[path.name] in reason
    assert left_out["reason"].str.contains("the study left it out").sum() == 1
    clean = extract(tracks)
    np.testing.assert_array_equal(segments.x, clean.x)
    pd.testing.assert_frame_equal(segments.table, clean.table)


@pytest.mark.parametrize("extract", [extract, extract_features])
def test_strict_raises_at_the_first_bad_file(spoiled_tracks, tracks, extract):
    with pytest.raises(audio.AudioError, match=r"cut\.wav: cut short"):
        extract(spoiled_tracks, strict=True)
    extract(tracks, strict=True)


def test_nothing_that_can_be_used_raises(bad):
    with pytest.raises(audio.AudioError, match=r"none of 3 tracks .*cut\.wav: "):
        extract(bad)
    with pytest.raises(audio.AudioError, match="the track table is empty"):
        extract([])


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
    copies = {
        **augmentation.AUGMENTATIONS,
        "shift": audiomentations.Shift(p=1.0),
        "own": lambda y, seed: y + np.random.rand(len(y)) * seed.random(),
    }

    def compute(name, tracks, n_jobs):
        cache = tmp_path / name
        x = extract(tracks, augmentations=copies, n_jobs=n_jobs, cache=cache).x
        table, _ = extract_features(tracks, n_jobs=n_jobs, cache=cache)
        files = cache.glob("tracks/*.npy")
        return x, table, {path.name: path.read_bytes() for path in files}

    x, table, files = compute("one", spoiled_tracks, 1)
    other_x, other_table, other_files = compute("two", spoiled_tracks, 2)
    np.testing.assert_array_equal(x, other_x)
    pd.testing.assert_frame_equal(table, other_table)
    assert files == other_files
    x_back, _, files_back = compute("back", spoiled_tracks[::-1], 1)
    by_track = x.reshape(4, -1, 130, 13)
    np.testing.assert_array_equal(by_track[::-1], x_back.reshape(by_track.shape))
    assert files == files_back


def test_features_are_in_the_form_of_kaggles_tables(tracks, tmp_path):
    segments, _ = extract_features(tracks)
    assert segments["filename"][1] == "loud.00000.1.wav"
    assert segments["length"].to_list() == [66_149] * 8
    assert segments["label"].to_list() == ["loud"] * 4 + ["quiet"] * 4
    whole, _ = extract_features(tracks, whole_tracks=True)
    assert whole["filename"][0] == "loud.00000.wav"
    assert whole["length"].to_list() == [154_350] * 4
    assert whole["label"].to_list() == ["loud", "loud", "quiet", "quiet"]
    y = audio.load(tracks["path"][0])
    for row, signal in (
        (segments.loc[1], y[66_150 : 66_150 + 66_149]),
        (whole.loc[0], y),
    ):
        ours = row[features.FEATURE_NAMES].astype(float)
        np.testing.assert_allclose(ours, features.tabular_features(signal), rtol=1e-4)
    for table in (segments, whole):
        table.to_csv(tmp_path / "mine.csv", index=False)
        read = dataset.load_feature_table(tmp_path / "mine.csv")
        pd.testing.assert_frame_equal(read, table)


@pytest.fixture
def segments():
    table = pd.DataFrame({"track": list("aabc"), "genre": list("yyxz")}, list("9876"))
    return Segments(np.arange(8).reshape(4, 2), table)


def test_a_table_of_ones_own_needs_only_the_names_of_the_tracks(segments):
    assert segments.genres == ["x", "y", "z"]
    assert segments.labels.tolist() == [1, 1, 0, 2]
    assert segments.labels.dtype == np.int64
    assert segments.table["segment"].to_list() == [0, 1, 0, 0]
    assert set(segments.table["augmentation"]) == {"original"}
    assert segments in [segments]


def test_concatenate_joins_rows_genres_and_what_was_left_out(segments):
    lost = pd.DataFrame({"track": ["d"], "path": ["d.wav"], "reason": ["empty"]})
    table = pd.DataFrame({"track": ["e"], "genre": ["w"]})
    joined = extraction.concatenate([segments, Segments(np.ones((1, 2)), table, lost)])
    assert joined.x.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [1, 1]]
    assert joined.genres == ["w", "x", "y", "z"]
    assert joined.labels.tolist() == [2, 2, 1, 3, 0]
    assert joined.left_out.to_dict("list") == lost.to_dict("list")
    other = Segments(segments.x, segments.table, settings=features.STUDY)
    with pytest.raises(ValueError, match="different settings"):
        extraction.concatenate([segments, other])


def test_select_keeps_rows_together_and_all_genres(segments):
    mask = segments.table["track"] == "a"
    for rows in (mask, mask.to_numpy(), mask.to_list(), [0, 1]):
        selected = segments.select(rows)
        assert selected.x.tolist() == [[0, 1], [2, 3]]
        assert selected.table["track"].to_list() == ["a", "a"]
        assert selected.labels.tolist() == [1, 1]
        assert selected.genres == ["x", "y", "z"]
    assert len(segments.select([])) == 0
    with pytest.raises(ValueError, match="the index of the mask is not that of"):
        segments.select(mask[::-1])


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
        ({"track": ["a", None]}, "a name in the column track"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Segments(np.zeros((2, 3)), pd.DataFrame(table))


def test_a_column_that_the_result_has_is_not_overwritten(tracks):
    with pytest.raises(ValueError, match="has a column start; rename it"):
        extract(tracks.assign(start=1))


def test_relative_paths_are_those_of_the_current_folder(tracks, tmp_path, monkeypatch):
    for name, path in zip("ab", tracks["path"][[0, 2]]):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        Path("song.wav").write_bytes(Path(path).read_bytes())
        os.utime("song.wav", (0, 0))
        # Workers and results of the other folder are there.
        segments = extract(["song.wav"], n_jobs=2, cache=tmp_path / "cache")
        assert segments.table["track"][0] == "song.wav"
        np.testing.assert_array_equal(segments.x, extract([path]).x)


def test_an_augmentation_that_fails_for_one_file_leaves_out_this_file(tracks, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(70_000), 22_050)
    files = [tmp_path / "silence.wav", tracks["path"][0]]
    with np.errstate(invalid="ignore"):
        segments = extract(files, augmentations={"loud": lambda y: y / np.abs(y).max()})
    assert segments.table["path"].unique().tolist() == [tracks["path"][0]]
    assert "silence.wav: the augmentation" in segments.left_out["reason"][0]


@pytest.mark.parametrize("labels", [[2, 10, 10], [True, False, False]])
def test_genres_of_any_type_are_text(labels):
    table = pd.DataFrame({"track": [*"abc"], "genre": labels})
    for genre in (table["genre"], table["genre"].astype("category")):
        segments = Segments(np.zeros((3, 1)), table.assign(genre=genre))
        names = np.take(segments.genres, segments.labels)
        assert names.tolist() == [str(label) for label in labels]
