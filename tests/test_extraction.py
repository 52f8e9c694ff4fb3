from functools import partial

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import audio, augmentation, dataset, extraction, features


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def extract(cache):
    """Run extract_mfcc in this process, without a progress bar, with a new cache."""
    return partial(extraction.extract_mfcc, n_jobs=1, cache=cache, progress=False)


@pytest.fixture
def extract_features(cache):
    return partial(extraction.extract_features, n_jobs=1, cache=cache, progress=False)


@pytest.fixture
def tracks(small_corpus) -> pd.DataFrame:
    return dataset.load_tracks(small_corpus)


def segments_of(path):
    return np.concatenate(list(audio.segments(audio.load(path))))


def test_segments_are_in_the_order_of_the_tracks(extract, tracks):
    segments = extract(tracks[::-1])
    assert segments.mfcc.shape == (8, 130, 13)
    assert segments.mfcc.dtype == np.float32
    assert set(segments.table) == {*tracks.drop(columns="path"), "segment", "augmentation"}
    assert segments.table["track"].to_list() == list(np.repeat(tracks["track"][::-1], 2))
    assert segments.table["segment"].to_list() == [0, 1] * 4
    assert set(segments.table["augmentation"]) == {"original"}
    assert segments.genres == ["loud", "quiet"]
    assert segments.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert len(segments.left_out) == 0
    # Genres without tracks in the selection are left out.
    assert extract(tracks[tracks["genre"] == "quiet"]).genres == ["quiet"]


@pytest.mark.parametrize(
    "settings", [{}, {"n_mfcc": 20, "n_fft": 1024, "hop_length": 1000}], ids=str
)
def test_copies_follow_the_originals_track_by_track(extract, small_corpus, settings):
    copies = ("original", "white_noise", "pitch_scale", "random_gain")
    # Long enough for three blocks; the draws continue from one to the next.
    path = small_corpus / "loud" / "loud.00001.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 75 * 22_050), 22_050)
    tracks = dataset.load_tracks(small_corpus)[:2]
    segments = extract(tracks, augmentations=copies[1:], seed=3, **settings)
    assert segments.table["track"].to_list() == ["loud.00000"] * 8 + ["loud.00001"] * 100
    assert segments.table["segment"].to_list() == [*range(2)] * 4 + [*range(25)] * 4
    of_track = [*np.repeat(copies, 2), *np.repeat(copies, 25)]
    assert segments.table["augmentation"].to_list() == of_track
    y = segments_of(path)
    for copy, mfcc in zip(copies, np.split(segments.mfcc[8:], 4)):
        seed = augmentation.track_generator("loud.00001", copy, seed=3)
        heard = y if copy == "original" else augmentation.AUGMENTATIONS[copy](y, seed=seed)
        np.testing.assert_allclose(mfcc, features.mfcc(heard, **settings), atol=1e-3)


def test_copies_by_functions_of_ones_own(extract, tracks):
    own = {"noisy": partial(augmentation.white_noise, factors=[1])}
    segments = extract(tracks[:1], augmentations=own, seed=3)
    assert segments.table["augmentation"].to_list() == ["original"] * 2 + ["noisy"] * 2
    rng = augmentation.track_generator("loud.00000", "noisy", seed=3)
    noisy = own["noisy"](segments_of(tracks.loc[0, "path"]), seed=rng)
    np.testing.assert_allclose(segments.mfcc[2:], features.mfcc(noisy), atol=1e-3)


@pytest.mark.parametrize("rows", [[6, 1], [False, True] + 4 * [False] + [True, False]], ids=str)
def test_select_keeps_rows_of_array_and_table_together(extract, tracks, rows):
    segments, rows = extract(tracks), np.array(rows)
    selected = segments.select(rows)
    np.testing.assert_array_equal(selected.mfcc, segments.mfcc[rows])
    expected = segments.table[rows] if rows.dtype == bool else segments.table.iloc[rows]
    pd.testing.assert_frame_equal(selected.table, expected.reset_index(drop=True))


BAD_FILES = {
    "cut short": ("cut.wav", lambda path: path.write_bytes(path.read_bytes()[:100_000])),
    "copy or download it again": ("empty.wav", lambda path: path.write_bytes(b"")),
    "the study left it out too": ("jazz.00054.wav", lambda path: path.write_bytes(b"RIFF")),
    "no such file": ("missing.wav", lambda path: path.unlink()),
    "samples of sound": ("short.wav", lambda path: soundfile.write(path, [0.1], 22_050)),
    "not a sound file": ("text.wav", lambda path: path.write_text("la la la")),
}  # fmt: skip


@pytest.fixture
def spoiled_tracks(small_corpus, tone) -> pd.DataFrame:
    """Make two good tracks of each genre, and in `loud` one bad file of each kind."""
    for name, _ in BAD_FILES.values():
        soundfile.write(small_corpus / "loud" / name, tone, 22_050)
    tracks = dataset.load_tracks(small_corpus)
    for name, spoil in BAD_FILES.values():
        spoil(small_corpus / "loud" / name)
    return tracks


def is_bad(tracks):
    return ~tracks["track"].str.contains(r"d\.0000[01]|quiet")


def test_bad_files_are_left_out_with_their_reasons(extract, spoiled_tracks):
    bad = is_bad(spoiled_tracks)
    segments = extract(spoiled_tracks)
    assert segments.left_out["track"].to_list() == spoiled_tracks["track"][bad].to_list()
    for path, reason, finding in zip(
        segments.left_out["path"], segments.left_out["reason"], BAD_FILES
    ):
        assert reason.startswith(f"{path}: ")
        assert finding in reason
    assert segments.left_out["reason"].str.contains("the study left it out").sum() == 1
    clean = extract(spoiled_tracks[~bad])
    np.testing.assert_array_equal(segments.mfcc, clean.mfcc)
    pd.testing.assert_frame_equal(segments.table, clean.table)


def test_files_that_are_no_tracks_are_left_out_too(extract, extract_features, small_corpus):
    for name in ("cover.jpg", "loud.00000.mp3"):
        (small_corpus / "loud" / name).touch()
    tracks = dataset.load_tracks(small_corpus)
    ignored = pd.DataFrame(tracks.attrs["ignored"])
    assert ignored["track"].to_list() == ["loud.00000", "loud/cover"]
    for left_out in (extract(tracks, strict=True).left_out, extract_features(tracks)[1]):
        pd.testing.assert_frame_equal(left_out, ignored, check_dtype=False)


@pytest.mark.parametrize("how", ["extract", "extract_features"])
def test_strict_raises_at_the_first_bad_file(spoiled_tracks, request, how):
    extract, bad = request.getfixturevalue(how), is_bad(spoiled_tracks)
    with pytest.raises(audio.AudioError, match=r"cut\.wav: cut short"):
        extract(spoiled_tracks, strict=True)
    extract(spoiled_tracks)
    with pytest.raises(audio.AudioError, match=r"cut\.wav: cut short"):
        extract(spoiled_tracks, strict=True)
    extract(spoiled_tracks[~bad], strict=True)


@pytest.mark.parametrize("how", ["extract", "extract_features"])
def test_nothing_that_can_be_used_raises(spoiled_tracks, request, how):
    extract, bad = request.getfixturevalue(how), spoiled_tracks[is_bad(spoiled_tracks)][:3]
    for _ in range(2):
        with pytest.raises(audio.AudioError, match=r"none of 3 tracks can be used; .*cut\.wav: "):
            extract(bad)
    with pytest.raises(audio.AudioError, match="the track table is empty"):
        extract(bad[:0])


def test_facts_of_the_tracks_are_never_out_of_date(extract, extract_features, tracks):
    extract(tracks)
    extract_features(tracks)
    tracks = tracks.assign(artist="somebody", genre=pd.Categorical(["x", "y"] * 2))
    segments = extract(tracks)
    assert set(segments.table["artist"]) == {"somebody"}
    assert segments.genres == ["x", "y"]
    assert extract_features(tracks)[0]["label"].to_list() == ["x", "x", "y", "y"] * 2


def test_the_default_cache_is_in_the_build_folder(tracks):
    extraction.extract_mfcc(tracks[:1], n_jobs=1, progress=False)
    assert len(list((dataset.build_dir() / "cache").glob("mfcc-*.npy"))) == 1


def test_names_of_augmentations_are_checked_before_the_work(extract, tracks, cache):
    with pytest.raises(ValueError, match="no augmentation reverb; there are random_gain"):
        extract(tracks, augmentations=["reverb"])
    assert not cache.exists()


def test_the_number_of_workers_and_the_order_of_tracks_change_no_byte(spoiled_tracks, tmp_path):
    def all_files(name, tracks, n_jobs):
        settings = {"n_jobs": n_jobs, "cache": tmp_path / name, "progress": False}
        extraction.extract_mfcc(tracks, augmentations=augmentation.AUGMENTATIONS, **settings)
        extraction.extract_features(tracks, **settings)
        return {path.name: path.read_bytes() for path in tmp_path.glob(f"{name}/**/*.npy")}

    one = all_files("one", spoiled_tracks, 1)
    assert one == all_files("two", spoiled_tracks, 2)
    back = all_files("back", spoiled_tracks[::-1], 1)
    assert len(one.keys() & back.keys()) == 2 * 10  # All except the two joined arrays.
    assert all(one[name] == back[name] for name in one.keys() & back.keys())


@pytest.mark.parametrize("whole_tracks", [False, True], ids=["3 s", "30 s"])
def test_features_are_in_the_form_of_kaggles_tables(
    extract_features, tracks, tmp_path, monkeypatch, whole_tracks
):
    path = tmp_path / "mine.csv"
    table, left_out = extract_features(tracks, whole_tracks=whole_tracks)
    table.to_csv(path, index=False)
    assert list(table) == ["filename", "length", *features.FEATURE_NAMES, "label"]
    if whole_tracks:
        names, length, start = [f"{track}.wav" for track in tracks["track"]], 154_350, 0
    else:
        names = [f"{track}.{k}.wav" for track in tracks["track"] for k in range(2)]
        length, start = 66_149, 66_150
    assert table["filename"].to_list() == names
    assert set(table["length"]) == {length}
    assert table["label"].to_list() == list(np.repeat(["loud", "quiet"], len(names) // 2))
    assert len(left_out) == 0
    row = 0 if whole_tracks else 1
    y = audio.load(tracks.loc[0, "path"])[start : start + length]
    ours = table.loc[row, features.FEATURE_NAMES].astype(float)
    np.testing.assert_allclose(ours, features.tabular_features(y), rtol=1e-4)
    pd.testing.assert_frame_equal(dataset.load_feature_table(path), table)
    # The same from the cache.
    monkeypatch.delattr(features, "tabular_features")
    again, _ = extract_features(tracks, whole_tracks=whole_tracks)
    pd.testing.assert_frame_equal(again, table)


def test_a_tiny_file_does_not_end_a_table_of_whole_tracks(extract_features, small_corpus, tone):
    soundfile.write(small_corpus / "loud" / "loud.00000.wav", tone[:100], 22_050)
    table, left_out = extract_features(dataset.load_tracks(small_corpus), whole_tracks=True)
    assert len(table) == 3
    assert "100 samples" in left_out["reason"][0]
