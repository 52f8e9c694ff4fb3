"""Nothing breaks it: every input ends in a result, or in an error that says what is wrong."""

import math
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import fuzzing
import numpy as np
import pytest
import soundfile
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gtzan_mfcc import audio, dataset, extraction, predict

FOLDER = "Größe 大 🎵 'x' "


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Sound files in every format, not yet spoilt."""
    folder = tmp_path_factory.mktemp("seeds")
    fuzzing.write_seeds(folder)
    return folder


@pytest.fixture(scope="module")
def spoilt(seeds, tmp_path_factory):
    """What two thousand spoilt files end in: one dict a file."""
    work = tmp_path_factory.mktemp("spoilt") / FOLDER
    work.mkdir()
    told = fuzzing.run_on_two("sounds", range(fuzzing.N_CASES), seeds, work)
    assert len(told) == fuzzing.N_CASES > 1_000
    return list(told.values())


@pytest.fixture(scope="module")
def model():
    return predict.load_pretrained()


@pytest.mark.parametrize("seed", fuzzing.SEEDS, ids=lambda seed: seed[0])
def test_sound_of_every_format_loads_before_it_is_spoilt(seeds, seed):
    name, *_, seconds = seed
    assert len(audio.load(seeds / name)) == pytest.approx(22_050 * seconds, rel=0.1)


def test_no_spoilt_file_crashes_hangs_or_ends_in_another_error(spoilt):
    good = [{"result"}, {"AudioError"}]
    bad = [c for c in spoilt if c.get("load", {}).keys() not in good or "death" in c]
    bad += [c for c in spoilt if c.get("predict", {}).keys() not in good and c not in bad]
    assert not bad, "\n".join([f"{len(bad)} of {len(spoilt)}", *map(str, bad), fuzzing.__doc__])


def test_spoilt_files_are_neither_all_refused_nor_all_taken(spoilt):
    for step in ("load", "predict"):
        ends = [next(iter(case.get(step, {"death": None}))) for case in spoilt]
        assert min(ends.count("result"), ends.count("AudioError")) > len(spoilt) / 5


def test_what_is_refused_is_named(spoilt):
    for case in spoilt:
        for step in ("load", "predict"):
            if message := case.get(step, {}).get("AudioError"):
                assert message.startswith(f"{case['path']}: "), case
                assert len(message) > len(case["path"]) + 20, case


def test_what_loads_is_finite_and_what_is_heard_are_probabilities(spoilt):
    for case in spoilt:
        if loaded := case.get("load", {}).get("result"):
            assert loaded["finite"], case
            assert loaded["samples"] > 0, case
        if heard := case.get("predict", {}).get("result"):
            assert np.isfinite(heard).all(), case
            assert np.min(heard) >= 0, case
            np.testing.assert_allclose(np.sum(heard, axis=1), 1, rtol=1e-5, err_msg=str(case))


def test_what_does_not_load_is_not_heard_either_and_for_the_same_reason(spoilt):
    for case in spoilt:
        load, heard = case.get("load", {}), case.get("predict", {})
        if "AudioError" in load:
            assert heard == load, case
        elif "result" in load:
            enough = load["result"]["samples"] >= 11_025
            assert ("result" in heard) == enough, case


def test_no_spoilt_file_takes_much_memory(spoilt):
    greedy = [case for case in spoilt if case.get("took", 0) > 200e6]
    assert not greedy


def test_the_same_number_spoils_in_the_same_way(seeds):
    for number in range(0, fuzzing.N_CASES, 50):
        assert fuzzing.spoil(number, seeds) == fuzzing.spoil(number, seeds)


@pytest.mark.parametrize("extension", fuzzing.EXTENSIONS)
def test_text_is_no_sound_whatever_it_is_called(tmp_path, model, extension):
    path = tmp_path / f"words{extension}"
    # With some lengths, libsndfile has all of the samples that it promised.
    for size in (20_000, 30_001, 65_536):
        path.write_bytes(b"not a song\n" * (size // 11))
        for attempt in (audio.load, lambda path: predict.predict(path, model)):
            with pytest.raises(audio.AudioError, match="not a sound file") as caught:
                attempt(path)
            assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("extension", fuzzing.EXTENSIONS)
@pytest.mark.parametrize("seed", ["pcm16.wav", "a.flac", "a.ogg", "a.mp3", "a.au"])
def test_sound_is_sound_whatever_it_is_called(seeds, tmp_path, seed, extension):
    path = tmp_path / f"sound{extension}"
    path.write_bytes((seeds / seed).read_bytes())
    np.testing.assert_array_equal(audio.load(path), audio.load(seeds / seed))


# --- Signals


def signal(kind, length, filling, draw_seed):
    rng = np.random.default_rng(draw_seed)
    y = 0.1 * rng.standard_normal(length)
    if filling == "zeros":
        y[:] = 0
    elif filling != "noise" and length:
        y[rng.integers(length, size=max(1, length // 1_000))] = float(filling)
    kind = np.dtype(kind)
    with np.errstate(all="ignore"):
        if kind.kind in "iu":
            bounds = np.iinfo(kind)
            y = np.clip(np.nan_to_num(y), -1, 1) * float(bounds.max)
            return np.clip(y, float(bounds.min), np.nextafter(float(bounds.max), 0)).astype(kind)
        if kind.names:
            return np.zeros(length, kind)
        return y.astype(kind) if kind.kind not in "mM" else np.nan_to_num(y).astype(kind)


NUMBERS = ["f2", "f4", "f8", ">f8", "g", "i1", "i2", ">i2", "i4", "i8", "u1", "u2", "u4", "u8"]
OTHERS = ["?", "O", "c8", "c16", "S5", "U5", "M8[s]", "m8[s]", [("left", "f4"), ("right", "f4")]]
FILLINGS = ["noise", "zeros", "nan", "inf", "-inf", "1e300", "-1e30", "1e9", "1e-40"]
LENGTHS = st.one_of(
    st.integers(0, 70_000), st.sampled_from([0, 1, 11_024, 11_025, 66_047, 66_048, 66_150])
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(NUMBERS),
    length=LENGTHS,
    filling=st.sampled_from(FILLINGS),
    rate=st.one_of(
        st.integers(), st.integers(900, 1_000_100), st.sampled_from([0, -1, 10**9, 22_050, 48_000])
    ),
    seed=st.integers(0, 2**32),
)
@example("f4", 70_000, "noise", 22_050, 0)
@example("f4", 70_000, "1e9", 1_000, 0)
@example("i8", 66_150, "1e300", 1_000_000, 0)
@example("u8", 66_150, "zeros", 22_050, 0)
def test_any_signal_at_any_rate_is_heard_or_refused(model, kind, length, filling, rate, seed):
    y = signal(kind, length, filling, seed)
    before = y.copy()
    try:
        heard = predict.predict(y, model, sample_rate=rate)
    except audio.AudioError as error:
        too_short = length * 22_050 < 11_025 * rate
        bad = y.dtype.kind == "f" and not (np.abs(y.astype("g")) < 1e10).all()
        assert too_short or bad or not 1_000 <= rate <= 1_000_000, error
        assert len(str(error)) > 20
    else:
        assert 1_000 <= rate <= 1_000_000
        assert heard.seconds == pytest.approx(length / rate, abs=1e-3)
        probabilities = heard.over_time[model.genres].to_numpy()
        assert np.isfinite(probabilities).all()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(y, before)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(NUMBERS + OTHERS),
    shape=st.lists(st.integers(0, 300), max_size=4).map(tuple),
    seed=st.integers(0, 2**32),
)
@example("f4", (), 0)
@example("f4", (0,), 0)
@example("f4", (2, 70_000), 0)
@example("f4", (70_000, 1), 0)
def test_an_array_that_is_no_signal_is_refused(model, kind, shape, seed):
    assume(math.prod(shape) <= 200_000)
    y = signal(kind, math.prod(shape), "noise", seed).reshape(shape)
    with pytest.raises(audio.AudioError) as caught:
        predict.predict(y, model)
    # A signal of one channel is refused for its length alone, as it has 300 samples at most.
    told = "sample" if len(shape) == 1 and kind in NUMBERS else "a signal of shape"
    assert told in str(caught.value)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.one_of(st.floats(), st.integers(), st.floats(0, 3), st.floats(2.9, 3.1)))
@example(3)
@example(1 / 22_050)
@example(np.nextafter(3, 4))
@example(math.nan)
@example(math.inf)
@example(10**400)
@example(5e-324)
@example(0)
@example(True)
def test_any_hop_is_taken_or_refused(model, hop_seconds):
    y = 0.1 * np.random.default_rng(0).standard_normal(66_150 + 200)
    if 1 / 22_050 <= hop_seconds <= 3:
        heard = predict.predict(y, model, hop_seconds=hop_seconds)
        hop = round(hop_seconds * 22_050)
        whole = 200 // hop + 1
        assert len(heard.over_time) == whole + (66_150 + 200 - whole * hop >= 66_048)
        assert np.isfinite(heard.over_time).all(axis=None)
    else:
        with pytest.raises(ValueError, match="hop_seconds is "):
            predict.predict(y, model, hop_seconds=hop_seconds)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.data())
def test_pieces_of_any_size_give_the_same_segments(data):
    total = data.draw(st.one_of(st.integers(0, 3_000), st.integers(0, 300_000)), label="total")
    length = data.draw(st.integers(1, total + 100), label="length")
    # As many segments as there are samples would only take long.
    hop = data.draw(st.integers(min(length, 1 + total // 500), length), label="hop")
    shortest = data.draw(st.none() | st.integers(1, length + 10), label="shortest")
    cuts = data.draw(st.lists(st.integers(0, total), max_size=20), label="cuts")
    y = np.arange(1, total + 1, dtype=np.float32)

    def segments(pieces):
        try:
            return np.concatenate(
                list(audio.segments(pieces, length, hop=hop, shortest=shortest)), dtype=np.float32
            )
        except audio.AudioError as error:
            return str(error)

    whole, in_pieces = segments([y]), segments(np.split(y, sorted(cuts)))
    if isinstance(whole, str):
        assert whole == in_pieces
        assert total < length // 6
    else:
        np.testing.assert_array_equal(whole, in_pieces, strict=True)
        assert whole.shape[1] == length


# --- Folders

NAMES = st.one_of(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30
    ),
    st.sampled_from(
        [
            *("genres", "genres_original", "Rock", "rock", "ROCK", "blues", "a b", " ", "-", "~"),
            *(
                "é",
                "e\u0301",
                "🎷",
                "👩‍👩‍👧",
                "大",
                "'",
                '"',
                "\n",
                "a\\b",
                "*",
                "[a]",
                "?",
                "%s",
                "{}",
            ),
            *(".hidden", "..x", "a.", "a.wav", "nan", "NA", "None", "tracks.csv", "\u202e", "٣"),
        ]
    ),
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
EXTENSIONS = (".wav", ".WAV", ".flac", ".au", ".Aiff", ".ogg", ".opus", ".mp3")
ENDS = [".wav", ".WAV", ".flac", ".au", ".Aiff", ".ogg", ".opus", ".mp3"]
FILES = st.one_of(
    st.builds(str.__add__, NAMES, st.sampled_from([*ENDS, ".txt", ""])),
    st.builds(
        str.__add__,
        st.sampled_from(["blues.00000", "rock.00001", "x.٠٠٠٠٠"]),
        st.sampled_from(ENDS),
    ),
)


def is_sound(name):
    stem, end = os.path.splitext(name)
    return end.lower() in map(str.lower, [*ENDS, ".aif", ".w64", ".caf"]) and stem[0] != "."


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.dictionaries(NAMES, st.lists(FILES, max_size=6, unique=True), min_size=1, max_size=5))
@example({"genres": ["a.wav"], "genres_original": ["a.wav"]})
@example({"genres": ["a.txt"], "rock": ["a.wav"]})
@example({"rock": ["a.wav", "a.mp3", "A.wav"], "Rock": ["a.wav"]})
@example({"é": ["é.wav"], "e\u0301": ["é.wav", "e\u0301.wav"]})
def test_every_sound_file_of_any_folder_is_listed_once(classes):
    expected = {
        (name, os.path.splitext(file)[0])
        for name, files in classes.items()
        for file in files
        if is_sound(file) and not name.startswith(".")
    }
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        for name, files in classes.items():
            Path(folder, name).mkdir()
            for file in files:
                Path(folder, name, file).touch()
        heard = {name for name, _ in expected}
        above = {"genres", "genres_original"} & classes.keys() - heard
        if above or not expected:
            with pytest.raises(dataset.DatasetError) as caught:
                dataset.load_tracks(folder)
            assert str(caught.value).startswith(folder)
            return
        tracks = dataset.load_tracks(folder)
    paths = [Path(path) for path in tracks["path"]]
    assert sorted((path.parent.name, path.stem) for path in paths) == sorted(expected)
    assert tracks["genre"].to_list() == [path.parent.name for path in paths]
    assert list(tracks["genre"].cat.categories) == sorted(heard)
    assert tracks["track"].is_unique
    assert all(path.stem in name for name, path in zip(tracks["track"], paths))


@pytest.fixture(scope="module")
def corpus(seeds, tmp_path_factory):
    """Two hundred good and bad files, in folders of strange names."""
    folder = tmp_path_factory.mktemp("corpus") / FOLDER
    classes = [
        folder / name for name in ("genres", "Rock 'n' Roll", "rock", "é", "e\u0301", "🎷\n")
    ]
    for path in classes:
        path.mkdir(parents=True)
    for k, number in enumerate(range(0, fuzzing.N_CASES, 10)):
        case = fuzzing.spoil(number, seeds)
        (classes[k % len(classes)] / case.name).write_bytes(case.content)
    here = classes[0]
    for good in ("a good one.wav", "a ‘good’ two.FLAC", "🎷.au", "\u202egood.wav"):
        soundfile.write(here / good, np.random.default_rng(0).uniform(-1, 1, 70_000), 22_050)
    os.mkfifo(here / "pipe.wav")
    (here / "folder.wav").mkdir()
    (here / "to nothing.wav").symlink_to("nothing")
    (here / "to itself.wav").symlink_to("to itself.wav")
    (here / "zero.wav").symlink_to("/dev/zero")
    (here / ".hidden.wav").write_bytes(b"not listed")
    (here / "notes.txt").write_bytes(b"not listed")
    return folder


def test_a_folder_of_good_and_bad_files_is_extracted_without_the_bad_ones(corpus):
    told = fuzzing.run("corpus", [corpus])[str(corpus)]
    assert "result" in told.get("extract", {}), told
    extracted = told["extract"]["result"]
    listed = {str(path) for path in corpus.glob("*/[!.]*") if is_sound(path.name)}
    used, left_out = set(extracted["used"]), set(extracted["left_out"])
    assert used | left_out == listed
    assert not used & left_out
    # What each file is by itself decides, whatever its neighbours are.
    alone = fuzzing.run("files", listed)
    assert used == {path for path, end in alone.items() if "result" in end["predict"]}
    assert left_out == {path for path, end in alone.items() if "AudioError" in end["predict"]}
    assert min(len(used), len(left_out)) > 30
    for path, reason in extracted["left_out"].items():
        assert reason.startswith(f"{path}: ")
    good = {Path(path).name for path in used}
    assert {"a good one.wav", "a ‘good’ two.FLAC", "🎷.au", "\u202egood.wav"} <= good
    bad = {Path(path).name for path in left_out}
    assert {"pipe.wav", "folder.wav", "to nothing.wav", "to itself.wav", "zero.wav"} <= bad


def test_names_of_bytes_that_are_no_text_are_read_as_any_other(tmp_path, tone, model):
    # As on disks from systems with other encodings.
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9"))
    folder.mkdir()
    good, bad = (folder / os.fsdecode(name) for name in (b"\xff.wav", b"\xfe.wav"))
    soundfile.write(tmp_path / "good.wav", tone, 22_050)
    (tmp_path / "good.wav").rename(good)
    bad.write_bytes(b"not a song\n" * 99)
    assert len(audio.load(good)) == len(tone)
    assert predict.predict(good, model).genre in model.genres
    with pytest.raises(audio.AudioError, match="not a sound file") as caught:
        predict.predict(bad, model)
    assert str(caught.value).startswith(f"{bad}: ")
    tracks = dataset.load_tracks(tmp_path)
    assert tracks["path"].to_list() == [str(bad), str(good)]
    segments = extraction.extract_mfcc(tracks, augmentations=["random_gain"], n_jobs=1)
    assert set(segments.table["track"]) == {f"{folder.name}/{good.stem}"}
    assert segments.left_out["path"].to_list() == [str(bad)]


# --- Odd paths


def ends_of(path):
    """Load and predict in a process of its own, that may hang."""
    with tempfile.TemporaryFile("w+") as told:
        code = (
            "import sys; from gtzan_mfcc import audio\n"
            "try: audio.load(sys.argv[1])\n"
            "except audio.AudioError as error: print(error)\n"
        )
        subprocess.run([sys.executable, "-c", code, path], stdout=told, check=True, timeout=120)
        told.seek(0)
        return told.read()


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [
        fifo,
        lambda path: path.symlink_to(path),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("/dev/random"),
        lambda path: path.symlink_to("/dev/tty"),
    ],
    ids=["fifo", "loop", "zeros", "noise", "terminal"],
)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make):
    path = tmp_path / "odd.wav"
    make(path)
    assert ends_of(path).startswith(f"{path}: no such file")


def test_a_socket_is_refused(monkeypatch, tmp_path, model):
    monkeypatch.chdir(tmp_path)  # Its whole path may be too long for a socket.
    bound_socket(Path("s.wav"))
    with pytest.raises(audio.AudioError, match=r"s\.wav: no such file"):
        predict.predict("s.wav", model)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "/",
            "..",
            "~",
            "nothing.wav",
            "a/b/c.wav",
            "file.txt/a.wav",
            "\0.wav",
            "a\0b.wav",
        ),
        *(
            "x" * 300 + ".wav",
            "x/" * 3_000 + "a.wav",
            "http://example.org/a.wav",
            "-",
            "\ud800.wav",
        ),
        *("/dev/zero", "/dev/null", "/proc/self/mem", "/proc/self", "*.wav", "\n", "🎵" * 70),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_leads_to_no_sound_is_refused_and_named(
    monkeypatch, tmp_path, model, name, kind
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("not a folder")
    for attempt in (audio.load, lambda path: predict.predict(path, model)):
        with pytest.raises(audio.AudioError) as caught:
            attempt(kind(name))
        message = str(caught.value)
        assert message.startswith(f"{kind(name)}: ") or message.startswith(f"{Path(name)}: ")
        # Not twice, once as it was given and once as pathlib writes it.
        assert message.count(": ") == 1 + str(Path(name)).count(": ")


@contextmanager
def somebody_else():
    """Not root, who may read anything."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_may_not_be_read_is_refused_and_named(tone, model, locked):
    # Not in tmp_path, which nobody but root may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "class", "locked.wav")
        path.parent.mkdir()
        soundfile.write(path, tone, 22_050)
        (path if locked == "file" else path.parent).chmod(0)
        try:
            with somebody_else():
                for attempt in (audio.load, lambda path: predict.predict(path, model)):
                    with pytest.raises(audio.AudioError) as caught:
                        attempt(path)
                    assert str(caught.value).startswith(f"{path}: ")
                    assert locked == "folder" or "ermission" in str(caught.value)
        finally:
            path.parent.chmod(0o755)
