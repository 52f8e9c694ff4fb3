import errno
import os
from functools import partial

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import _cache, audio, augmentation, dataset, extraction, features
from gtzan_mfcc._disk import Rows


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def extract(cache):
    """extract_mfcc in this process, silent, with a cache of the test's own."""
    return partial(extraction.extract_mfcc, n_jobs=1, cache=cache, progress=False)


@pytest.fixture
def extract_features(cache):
    return partial(extraction.extract_features, n_jobs=1, cache=cache, progress=False)


@pytest.fixture
def tracks(small_corpus) -> pd.DataFrame:
    return dataset.load_tracks(small_corpus)


@pytest.fixture
def no_work(monkeypatch):
    """Let every computation of features fail."""

    def work(*_, **__):
        raise RuntimeError("worked")

    monkeypatch.setattr(audio, "load", work)
    monkeypatch.setattr(audio, "segments", work)


def finished(cache):
    """Folders of results that are complete, as far as one sees from outside."""
    return [path for path in cache.iterdir() if path.is_dir() and path.suffix != ".unfinished"]


BAD_FILES = {
    "empty": ("copy or download it again", lambda path, y: path.touch()),
    "nan": (
        "NaN",
        lambda path, y: soundfile.write(path, np.r_[y, np.nan], 22_050, subtype="FLOAT"),
    ),
    "short": ("use a longer recording", lambda path, y: soundfile.write(path, y[:5_000], 22_050)),
    "text": ("not a sound file", lambda path, y: path.write_text("la la la")),
    "truncated": (
        "cut short",
        lambda path, y: (
            soundfile.write(path, y, 22_050),
            path.write_bytes(path.read_bytes()[:100_000]),
        ),
    ),
}


@pytest.fixture
def spoiled_tracks(small_corpus, tone) -> pd.DataFrame:
    """Two good tracks of each genre, and in `loud` one of each kind of bad file."""
    for name, (_, write) in BAD_FILES.items():
        write(small_corpus / "loud" / f"{name}.wav", tone)
    return dataset.load_tracks(small_corpus)


def test_segments_are_in_the_order_of_the_tracks(extract, tracks):
    segments = extract(tracks)
    assert len(segments) == 8
    assert segments.mfcc.shape == (8, 130, 13)
    assert segments.mfcc.dtype == np.float32
    assert list(segments.table) == [
        "track", "genre", "artist", "fault_filtered", "segment", "augmentation",
    ]  # fmt: skip
    assert segments.table["track"].to_list() == list(np.repeat(tracks["track"], 2))
    assert segments.table["segment"].to_list() == [0, 1] * 4
    assert set(segments.table["augmentation"]) == {"original"}
    assert len(segments.left_out) == 0
    assert list(segments.left_out) == ["track", "path", "reason"]


def test_segments_hold_the_mfccs_of_their_piece_of_the_track(extract, tracks):
    segments = extract(tracks)
    for k, path in enumerate(tracks["path"]):
        expected = features.mfcc(audio.cut(audio.load(path)))
        np.testing.assert_allclose(segments.mfcc[2 * k : 2 * k + 2], expected, atol=1e-3)


def test_labels_are_indices_into_the_genres(extract, tracks):
    segments = extract(tracks[::-1])
    assert segments.genres == ["loud", "quiet"]
    assert segments.labels.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("rows", [[6, 1], [False, True] + 4 * [False] + [True, False]], ids=str)
def test_select_keeps_rows_of_array_and_table_together(extract, tracks, rows):
    segments = extract(tracks)
    rows = np.array(rows)
    selected = segments.select(rows)
    np.testing.assert_array_equal(selected.mfcc, segments.mfcc[rows])
    assert selected.table.index.to_list() == [0, 1]
    expected = segments.table[["track", "segment"]].to_numpy()[rows]
    assert selected.table[["track", "segment"]].to_numpy().tolist() == expected.tolist()
    assert selected.genres == segments.genres


def test_augmented_copies_follow_the_originals_track_by_track(extract, tracks):
    copies = ("white_noise", "random_gain")
    segments = extract(tracks[:2], augmentations=copies)
    table = segments.table
    assert table["track"].to_list() == ["loud.00000"] * 6 + ["loud.00001"] * 6
    assert table["segment"].to_list() == [0, 1] * 6
    assert table["augmentation"].to_list() == 2 * list(np.repeat(["original", *copies], 2))
    y = audio.cut(audio.load(tracks.loc[1, "path"]))
    for position, copy in ((6, "original"), (8, "white_noise"), (10, "random_gain")):
        y_copy = augmentation.augment(
            y, copy, seed=augmentation.track_generator("loud.00001", copy, seed=0)
        )
        np.testing.assert_allclose(
            segments.mfcc[position : position + 2], features.mfcc(y_copy), atol=1e-3
        )


def test_longer_tracks_give_more_segments(extract, small_corpus, tone):
    soundfile.write(small_corpus / "loud" / "loud.00000.wav", np.tile(tone, 5), 22_050)
    soundfile.write(small_corpus / "loud" / "loud.00001.wav", tone, 22_050)
    counts = extract(dataset.load_tracks(small_corpus)).table["track"].value_counts(sort=False)
    assert counts.to_list() == [5, 1, 2, 2]


def test_settings_reach_the_mfccs(extract, tracks):
    segments = extract(tracks[:1], n_mfcc=20, n_fft=1024, hop_length=1000)
    assert segments.mfcc.shape == (2, 67, 20)
    y = audio.cut(audio.load(tracks.loc[0, "path"]))
    expected = features.mfcc(y, n_mfcc=20, n_fft=1024, hop_length=1000)
    np.testing.assert_allclose(segments.mfcc, expected, atol=1e-3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_bad_files_are_left_out_with_their_reasons(extract, spoiled_tracks, n_jobs):
    segments = extract(spoiled_tracks, n_jobs=n_jobs)
    assert segments.table["track"].nunique() == 4
    assert np.isfinite(segments.mfcc).all()
    assert segments.left_out["track"].to_list() == [f"loud/{name}" for name in BAD_FILES]
    for (_, path, reason), (finding, _) in zip(
        segments.left_out.itertuples(index=False), BAD_FILES.values()
    ):
        assert reason.startswith(f"{path}: ")
        assert finding in reason


def test_rows_after_a_bad_file_belong_to_their_track(extract, spoiled_tracks):
    good = ~spoiled_tracks["track"].isin([f"loud/{name}" for name in BAD_FILES])
    spoiled, clean = extract(spoiled_tracks), extract(spoiled_tracks[good])
    np.testing.assert_array_equal(spoiled.mfcc, clean.mfcc)
    pd.testing.assert_frame_equal(spoiled.table, clean.table)


def test_features_leave_bad_files_out(extract_features, spoiled_tracks):
    table, left_out = extract_features(spoiled_tracks)
    assert table["filename"].str.count("wav").sum() == 8
    assert set(left_out["track"]) == {f"loud/{name}" for name in BAD_FILES}


@pytest.mark.filterwarnings("ignore:.* tasks have been successfully executed")
@pytest.mark.parametrize(
    ("how", "n_jobs"), [("extract", 1), ("extract", 2), ("extract_features", 1)]
)
def test_strict_raises_at_the_first_bad_file(spoiled_tracks, cache, request, how, n_jobs):
    with pytest.raises(audio.AudioError, match=r"empty\.wav: the file is empty"):
        request.getfixturevalue(how)(spoiled_tracks, strict=True, n_jobs=n_jobs)
    assert not finished(cache)


@pytest.mark.parametrize("how", ["extract", "extract_features"])
def test_strict_raises_for_a_track_left_out_before(spoiled_tracks, cache, request, how):
    extract = request.getfixturevalue(how)
    extract(spoiled_tracks)
    assert len(finished(cache)) == 1
    with pytest.raises(audio.AudioError, match=r"empty\.wav: the file is empty"):
        extract(spoiled_tracks, strict=True)


def test_a_run_that_strict_has_ended_can_go_on_without(extract, spoiled_tracks):
    for _ in range(2):
        with pytest.raises(audio.AudioError, match=r"empty\.wav: the file is empty"):
            extract(spoiled_tracks, strict=True)
    assert len(extract(spoiled_tracks).left_out) == len(BAD_FILES)


def test_strict_is_content_with_good_files(extract, tracks):
    assert len(extract(tracks, strict=True)) == 8


@pytest.mark.parametrize("how", ["extract", "extract_features"])
def test_nothing_but_bad_files_raises(spoiled_tracks, cache, request, how):
    bad = spoiled_tracks[spoiled_tracks["track"].isin(["loud/text", "loud/short"])]
    for _ in range(2):
        with pytest.raises(audio.AudioError, match=r"none of 2 tracks can be used; .*short\.wav: "):
            request.getfixturevalue(how)(bad)
    assert not finished(cache)


def test_no_tracks_at_all_raise(extract, tracks):
    with pytest.raises(audio.AudioError, match="the track table is empty"):
        extract(tracks[:0])


def test_a_file_that_is_gone_is_left_out(extract, tracks):
    os.remove(tracks.loc[2, "path"])
    (reason,) = extract(tracks).left_out["reason"]
    assert "no such file" in reason


def test_the_second_call_reads_what_the_first_computed(extract, tracks, request):
    first = extract(tracks, augmentations=["random_gain"])
    request.getfixturevalue("no_work")
    second = extract(tracks, augmentations=["random_gain"])
    np.testing.assert_array_equal(first.mfcc, second.mfcc)
    pd.testing.assert_frame_equal(first.table, second.table)
    pd.testing.assert_frame_equal(first.left_out, second.left_out)


def test_reasons_are_read_back_too(extract, spoiled_tracks, request):
    first = extract(spoiled_tracks)
    request.getfixturevalue("no_work")
    pd.testing.assert_frame_equal(extract(spoiled_tracks).left_out, first.left_out)


def test_facts_of_the_tracks_are_never_out_of_date(extract, tracks, request):
    extract(tracks)
    request.getfixturevalue("no_work")
    segments = extract(tracks.assign(artist="somebody", genre=pd.Categorical(["x", "y"] * 2)))
    assert set(segments.table["artist"]) == {"somebody"}
    assert segments.genres == ["x", "y"]


def test_the_default_cache_is_in_the_build_folder(tracks):
    extraction.extract_mfcc(tracks[:1], n_jobs=1, progress=False)
    (folder,) = finished(dataset.build_dir() / "cache")
    assert folder.name.startswith("mfcc-")


@pytest.mark.parametrize(
    "settings",
    [
        {"n_mfcc": 20},
        {"n_fft": 1024},
        {"hop_length": 256},
        {"augmentations": ["random_gain"]},
        {"augmentations": ["white_noise"], "seed": 1},
    ],
    ids=str,
)
def test_other_settings_are_computed_anew(extract, tracks, request, settings):
    extract(tracks[:1])
    extract(tracks[:1], augmentations=["white_noise"])
    request.getfixturevalue("no_work")
    with pytest.raises(RuntimeError, match="worked"):
        extract(tracks[:1], **settings)


def test_changed_files_are_computed_anew(extract, tracks, tone):
    before = extract(tracks).mfcc
    soundfile.write(tracks.loc[0, "path"], tone[::-1], 22_050)
    after = extract(tracks)
    assert len(after) == 7
    assert not np.allclose(after.mfcc[0], before[0])


def test_touched_files_and_other_names_are_computed_anew(extract, tracks, request):
    extract(tracks)
    request.getfixturevalue("no_work")
    with pytest.raises(RuntimeError, match="worked"):
        extract(tracks.assign(track=["a", "b", "c", "d"]))
    os.utime(tracks.loc[3, "path"], (0, 0))
    with pytest.raises(RuntimeError, match="worked"):
        extract(tracks)


def test_other_selections_and_orders_are_copied(extract, tracks, request):
    whole = extract(tracks)
    request.getfixturevalue("no_work")
    np.testing.assert_array_equal(extract(tracks[:3]).mfcc, whole.mfcc[:6])
    order = [6, 7, 4, 5, 2, 3, 0, 1]
    np.testing.assert_array_equal(extract(tracks[::-1]).mfcc, whole.mfcc[order])


@pytest.mark.parametrize("place", ["work", "writing", "finishing"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_a_run_that_is_stopped_leaves_nothing_that_looks_finished(
    extract, tracks, cache, monkeypatch, error, place
):
    places = {
        "work": (_cache, "_attempt"),
        "writing": (Rows, "append"),
        "finishing": (Rows, "finish"),
    }

    def stop(*_, **__):
        raise error("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(*places[place], stop)
        with pytest.raises(error, match="stopped"):
            extract(tracks)
    assert not finished(cache)
    assert len(extract(tracks)) == 8
    assert len(finished(cache)) == 1
    assert not list(cache.glob("*.unfinished"))


def test_a_failure_to_write_is_told_with_the_folder(extract, tracks, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for place in ("append", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(Rows, place, full)
            with pytest.raises(extraction.CacheError, match="No space left") as caught:
                extract(tracks)
        assert str(caught.value).startswith(f"{cache} cannot be written to")


def test_the_number_of_workers_changes_no_byte(tracks, tmp_path):
    for n_jobs in (1, 2):
        settings = {"n_jobs": n_jobs, "cache": tmp_path / f"jobs-{n_jobs}", "progress": False}
        extraction.extract_mfcc(tracks, augmentations=augmentation.AUGMENTATIONS, **settings)
        extraction.extract_features(tracks, **settings)
    files = sorted(path.relative_to(tmp_path / "jobs-1") for path in tmp_path.glob("jobs-1/*/*"))
    assert [path.name for path in files] == 2 * ["items.jsonl", "rows.npy"]
    for path in files:
        one, two = ((tmp_path / f"jobs-{n_jobs}" / path).read_bytes() for n_jobs in (1, 2))
        assert one == two, path


def test_features_are_in_the_form_of_kaggles_3_s_table(extract_features, tracks):
    table, _ = extract_features(tracks)
    assert list(table) == ["filename", "length", *features.FEATURE_NAMES, "label"]
    names = [f"{track}.{k}.wav" for track in tracks["track"] for k in range(2)]
    assert table["filename"].to_list() == names
    assert set(table["length"]) == {66_149}
    assert table["label"].to_list() == ["loud"] * 4 + ["quiet"] * 4
    y = audio.load(tracks.loc[0, "path"])[66_150 : 66_150 + 66_149]
    np.testing.assert_allclose(
        table.loc[1, features.FEATURE_NAMES].astype(float), features.tabular_features(y), rtol=1e-4
    )


def test_features_keep_a_last_piece_of_kaggles_length(extract_features, small_corpus, tone):
    path = small_corpus / "loud" / "loud.00000.wav"
    for samples, segments in ((66_150 + 66_149, 2), (66_150 + 66_148, 1)):
        soundfile.write(path, np.resize(tone, samples), 22_050)
        assert len(extract_features(dataset.load_tracks(small_corpus)[:1])[0]) == segments


def test_features_of_whole_tracks_are_in_the_form_of_kaggles_30_s_table(extract_features, tracks):
    table, _ = extract_features(tracks, whole_tracks=True)
    assert table["filename"].to_list() == [f"{track}.wav" for track in tracks["track"]]
    assert set(table["length"]) == {2 * int(3.5 * 22_050)}
    np.testing.assert_allclose(
        table.loc[3, features.FEATURE_NAMES].astype(float),
        features.tabular_features(audio.load(tracks.loc[3, "path"])),
        rtol=1e-4,
    )


def test_features_are_written_where_asked_and_read_back(
    extract_features, tracks, tmp_path, request
):
    table, _ = extract_features(tracks[:2], tmp_path / "mine.csv")
    pd.testing.assert_frame_equal(dataset.load_feature_table(tmp_path / "mine.csv"), table)
    request.getfixturevalue("no_work")
    extract_features(tracks[:2], tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "mine.csv").read_bytes()


def test_labels_of_features_follow_the_track_table(extract_features, tracks):
    extract_features(tracks[:1])
    other, _ = extract_features(tracks[:1].assign(genre=pd.Categorical(["other"])))
    assert set(other["label"]) == {"other"}


def test_progress_is_shown_only_when_asked_for(extract, tracks, capfd, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    extract(tracks[:1])
    monkeypatch.setenv("TQDM_DISABLE", "1")
    extract(tracks[:2], progress=True)
    assert capfd.readouterr() == ("", "")
    monkeypatch.delenv("TQDM_DISABLE")
    extract(tracks[:3], progress=True)
    assert "3/3" in capfd.readouterr().err


def test_names_of_augmentations_are_checked_before_the_work(extract, tracks, cache):
    with pytest.raises(ValueError, match="no augmentation reverb; there are random_gain"):
        extract(tracks, augmentations=["reverb"])
    assert not cache.exists() or not list(cache.iterdir())
    assert len(extract(tracks, augmentations="random_gain")) == 16


def test_genres_that_are_not_there_are_not_reported(extract, tracks):
    assert extract(tracks[tracks["genre"] == "quiet"]).genres == ["quiet"]


def test_a_cache_with_a_part_missing_is_made_again(extract, tracks, cache):
    whole = extract(tracks)
    (lost,) = cache.glob("*/rows.npy")
    lost.unlink()
    np.testing.assert_array_equal(extract(tracks).mfcc, whole.mfcc)


@pytest.mark.parametrize("error", [PermissionError("no access"), librosa.ParameterError("odd")])
def test_an_unforeseen_fault_of_one_file_does_not_end_the_run(extract, tracks, monkeypatch, error):
    blocks = audio.blocks

    def read_all_but_one(path):
        if path == tracks.loc[1, "path"]:
            raise error
        return blocks(path)

    monkeypatch.setattr(audio, "blocks", read_all_but_one)
    (reason,) = extract(tracks).left_out["reason"]
    assert str(error) in reason
    assert tracks.loc[1, "path"] in reason


def test_a_tiny_file_does_not_end_a_table_of_whole_tracks(extract_features, small_corpus, tone):
    soundfile.write(small_corpus / "loud" / "loud.00000.wav", tone[:100], 22_050)
    table, left_out = extract_features(dataset.load_tracks(small_corpus), whole_tracks=True)
    assert len(table) == 3
    assert "100 samples" in left_out["reason"][0]
