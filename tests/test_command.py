"""The command line: python -m gtzan_mfcc."""

import io
import os
import re
import signal
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from conftest import PROJECT, quick_network
from gtzan_mfcc import __main__, augmentation, dataset, predict, training
from gtzan_mfcc.features import Settings

RATE = 22_050
GENRES = ["drum & bass", 'a, "b"', "民謡"]
FORMS = [[], ["--over-time"], ["--csv"], ["--csv", "--over-time"]]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    """Extract in threads of this process, and keep the user's cache out of it."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    cache = str(tmp_path / "cache")
    monkeypatch.setattr(__main__, "user_cache_dir", lambda *_, **__: cache)
    with joblib.parallel_config(backend="threading"):
        yield


@pytest.fixture
def run(capsys):
    """Run the command in this process; return its status, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        for stream in (sys.stdout, sys.stderr):  # As in the program.
            stream.reconfigure(errors="backslashreplace")
        status = __main__.main([os.fspath(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def program(*arguments, redirect="", **environment):
    """Run the command in a shell of its own."""
    command = f'exec "$0" -m gtzan_mfcc "$@" {redirect}'
    return subprocess.run(
        ["bash", "-c", command, sys.executable, *map(os.fspath, arguments)],
        capture_output=True,
        cwd=PROJECT,
        env=os.environ | environment,
    )


def save_model(path, genres):
    network = quick_network(n_mfcc=20, n_genres=len(genres))
    predict.Classifier(network, genres, Settings(n_mfcc=20)).save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Save a model of other classes, and return the path."""
    return save_model(tmp_path_factory.mktemp("model") / "my model.keras", GENRES)


@pytest.fixture
def song(tmp_path):
    """Write a file of noise, and return the path."""

    def song(name="song.wav", seconds=7.0, peak=0.5):
        path = os.path.join(tmp_path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        noise = np.random.default_rng(0).uniform(-peak, peak, int(seconds * RATE))
        # Open the file first: soundfile rejects names that are not valid text.
        with open(path, "wb") as file:
            soundfile.write(file, noise, RATE, format="WAV")
        return path

    return song


def test_help_and_errors_in_the_arguments_do_not_wait_for_tensorflow():
    code = """
import contextlib, importlib.metadata, sys
def missing(name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = missing  # As in a clone that is not installed.
from gtzan_mfcc import __main__
wrong = ["predict", "a.wav", "--model", "misspelt.keras"]
helps = [["--help"], ["predict", "--help"], ["train", "--help"]]
for arguments in (*helps, wrong, ["--version"]):
    with contextlib.suppress(SystemExit):
        __main__.main(arguments)
print({"tensorflow", "keras", "librosa", "pandas", "numpy"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT
    )
    names = "--model --csv --over-time --hop-seconds --output --facts --cache --seed"
    assert set(names.split()) <= set(re.findall(r"--[\w-]+", done.stdout))
    assert done.stdout.endswith("not installed\nset()\n")
    assert done.stderr.startswith("misspelt.keras: no such file")


def test_the_program_predicts_gtzans_genres_by_default(song, tmp_path):
    path = song("a song.wav", 10)
    cut = tmp_path / "cut.mp3"
    soundfile.write(cut, soundfile.read(path)[0], RATE)
    cut.write_bytes(cut.read_bytes()[:30_000])
    done = program("predict", path, cut, tmp_path / "nowhere.wav")
    assert done.returncode == 1
    # libmpg123 writes lines of its own to stderr; they are hidden.
    missing, damaged = done.stderr.decode().splitlines()
    assert missing.startswith(f"{tmp_path / 'nowhere.wav'}: no such file")
    assert damaged.startswith(f"{cut}: cut short")
    expected = predict.predict(path, predict.load_pretrained())
    shown = f"{path}: {expected.genre} ({expected.best_guesses})\n"
    assert done.stdout.decode() == shown


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(song, model, redirect):
    done = program("predict", song(), "--model", model, redirect=redirect)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"song.wav" in done.stdout) == (">&-" not in redirect.split())


def test_a_reader_of_only_the_first_line_sees_no_error(song, model):
    songs = [song(f"{k}.wav", 20) for k in range(8)]
    redirect = "| { head -1; }; exit ${PIPESTATUS[0]}"
    done = program("predict", "--model", model, *songs, redirect=redirect)
    # Python crashes (SIGABRT) if it exits during a prediction.
    assert done.returncode == 1
    assert done.stdout.decode().startswith(f"{songs[0]}: ")
    assert done.stderr == b""


def test_ctrl_c_ends_the_program_at_once_and_the_csv_has_the_songs_so_far(
    song, model, tmp_path
):
    first = song("first.wav")
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(7_200_000), 1_000)  # Two hours.
    command = [sys.executable, "-m", "gtzan_mfcc", "predict", "--csv", "--model", model]
    with subprocess.Popen(
        [*command, first, long],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
    ) as running:
        lines = [running.stdout.readline() for _ in range(2)]
        running.send_signal(signal.SIGINT)
        rest, error = running.communicate(timeout=5)
    assert (running.returncode, error) == (130, b"stopped.\n")
    table = pd.read_csv(io.BytesIO(b"".join(lines) + rest))
    assert table["file"].to_list() == [first]


def test_csv_is_utf_8_whatever_the_console_has(song, model):
    path = song("Motörhead 日本.wav")
    done = program(
        "predict", path, "--csv", "--model", model, PYTHONIOENCODING="cp1252"
    )
    table = pd.read_csv(io.BytesIO(done.stdout))
    assert table["file"].to_list() == [path]
    assert list(table)[-3:] == GENRES
    assert b"\r" not in done.stdout


def test_text_has_the_best_guesses_and_each_segment(run, song, model):
    path = song("a.wav", 7)
    short = song("short.wav", 1, peak=1e-4)
    first, second = predict.predict_files([path, short], predict.load_model(model))
    status, out, err = run("predict", path, short, "--model", model, "--over-time")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{path}: {first[1].genre} ({first[1].best_guesses})"
    assert lines[1].startswith("      0.0 to     3.0 s: ")
    assert lines[2].startswith("      3.0 to     6.0 s: ")
    notes = (
        "(too short for a segment, repeated) (almost no sound: the genre means nothing)"
    )
    assert lines[3] == f"{short}: {second[1].genre} ({second[1].best_guesses}) {notes}"


def test_csv_has_a_row_per_song_or_per_segment(run, song, model):
    path = song('say "hi", 唄.wav')
    prediction = predict.predict(path, predict.load_model(model))

    _, out, _ = run("predict", path, "--model", model, "--csv")
    (row,) = pd.read_csv(io.StringIO(out)).to_dict("records")
    likely = {genre: row.pop(genre) for genre in GENRES}
    assert likely == pytest.approx(prediction.probabilities.to_dict(), abs=1e-4)
    assert row == {
        "file": path,
        "genre": prediction.genre,
        "seconds": 7.0,
        "padded": False,
        "silent": False,
    }

    _, out, _ = run("predict", path, "--model", model, "--csv", "--over-time")
    table = pd.read_csv(io.StringIO(out)).set_index(["start", "end"])
    assert table.pop("file").to_list() == [path] * 2
    pd.testing.assert_frame_equal(table, prediction.over_time, atol=1e-4)


def test_a_class_that_is_named_as_a_column_is_refused_for_csv(run, song, tmp_path):
    own = save_model(tmp_path / "own.keras", ["genre", "start"])
    status, out, err = run("predict", song(), "--model", own, "--csv")
    assert (status, out) == (2, "")
    assert err == "the class genre is named as a column of CSV; leave out --csv.\n"
    _, _, err = run("predict", song(), "--model", own, "--csv", "--over-time")
    assert err.startswith("the class start")


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_bad_files_are_reported_on_stderr_and_others_predicted(
    run, song, model, tmp_path, form
):
    good = [song("a.wav"), song(os.fsdecode(b"caf\xe9.wav"))]  # One name is no text.
    (tmp_path / "empty.mp3").touch()
    bad = [tmp_path / "empty.mp3", tmp_path / "nowhere.wav"]
    status, out, err = run("predict", *bad, *good, "--model", model, *form)
    assert status == 1
    assert {line.partition(": ")[0] for line in err.splitlines()} == set(map(str, bad))
    assert out == run("predict", *good, "--model", model, *form)[1]
    assert good[0] in out
    assert r"caf\udce9.wav" in out


def test_a_folder_is_searched_and_a_pattern_is_expanded(run, song, model, tmp_path):
    paths = [song(f"music/{name}") for name in ("a/1.wav", "a/b/2.WAV", "c.flac")]
    for name in ("cover.jpg", "back.JPG", "song.wmx", "README"):
        (tmp_path / "music" / "a" / name).touch()
    (tmp_path / "none").mkdir()
    arguments = ("predict", tmp_path / "music", tmp_path / "none", "--model", model)
    status, out, err = run(*arguments, "--csv")
    assert status == 1
    assert pd.read_csv(io.StringIO(out))["file"].to_list() == paths
    assert err.splitlines() == [
        f"{tmp_path / 'music'}: skipped other files (.jpg, .wmx, no extension).",
        f"{tmp_path / 'none'}: no such file or folder with sound files.",
    ]
    pattern = tmp_path / "music" / "a" / "*.wav"
    status, out, _ = run("predict", pattern, "--model", model)
    assert (status, out.count(".wav")) == (0, 1)


def test_errors_of_users_are_one_line_and_errors_of_programs_a_traceback(
    run, song, model, tmp_path, monkeypatch
):
    path = song()
    (tmp_path / "bad.keras").write_text("no model")
    status, out, err = run("predict", path, "--model", tmp_path / "bad.keras")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    status, _, err = run("predict", path, "--model", model, "--hop-seconds", "4")
    assert (status, err) == (2, "hop_seconds is 4.0; take up to 3.0.\n")
    monkeypatch.setattr(predict, "load_model", lambda path: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        run("predict", path, "--model", model)


@pytest.fixture
def folder(tmp_path):
    """Write songs into folders of classes, and return the path."""

    def folder(*classes, songs=2, name="music"):
        for number, genre in enumerate(classes):
            (tmp_path / name / genre).mkdir(parents=True)
            for k in range(songs):
                y = np.random.default_rng(k).uniform(-0.5, 0.5, 67_000)
                if number % 2:
                    y = np.cumsum(y) / 200
                soundfile.write(tmp_path / name / genre / f"{k}.wav", y, RATE)
        return tmp_path / name

    return folder


@pytest.fixture
def trained(monkeypatch):
    """Replace the training by an untrained network; list the training sets."""
    calls = []

    def fit_nothing(segments, *, seed):
        calls.append((segments, seed))
        return quick_network(n_mfcc=20, n_genres=len(segments.genres))

    monkeypatch.setattr(training, "fit_statistics_mlp", fit_nothing)
    return calls


def test_a_model_is_trained_on_a_folder_and_predicts_its_classes(
    run, folder, tmp_path, monkeypatch
):
    for quick in ("epochs", "members"):
        monkeypatch.setitem(training.fit_statistics_mlp.__kwdefaults__, quick, 1)
    classes = ["0", 'my "best", really', "nan", "民謡"]
    music = folder(*classes)
    empty = music / "0" / "empty.wav"
    empty.touch()
    (music / "0" / "notes.txt").touch()
    output = tmp_path / "my own.keras"
    status, out, err = run("train", music, "--output", output)
    assert status == 1
    score, *_, remark, written = out.splitlines()
    assert re.fullmatch(r"Accuracy on unseen songs: \d+% \(95 % interval .*\)", score)
    assert remark.startswith("tracks without artist: 8.")
    assert written == f"{output}: {', '.join(classes)}, from 8 songs"
    *few, ignored, left_out = err.splitlines()
    assert few[0] == "0: 3 songs are few; accuracy may be low."
    assert ignored == f"ignored, unknown file extension: {music / '0' / 'notes.txt'}"
    assert left_out.startswith(f"left out: {empty}: the file is empty")
    own = predict.load_model(output)
    assert (own.genres, own.settings) == (classes, Settings(n_mfcc=20))


def test_folders_may_have_songs_of_the_same_name_and_artists_are_kept_apart(
    run, folder, trained, tmp_path
):
    folders = [folder("a", "b", name=name) for name in ("first", "second")]
    facts = tmp_path / "facts.csv"
    facts.write_text("track,artist\na/0,ann\na/1,bob\nb/0,cat\nb/1,dan\n")
    output = tmp_path / "model.keras"
    arguments = ["train", *folders, "--output", output, "--facts", facts]
    status, out, err = run(*arguments, "--seed", "7")
    assert (status, len(err.splitlines())) == (0, 2)
    *_, remark, written = out.splitlines()
    assert remark == "Artists are kept apart."
    assert written == f"{output}: a, b, from 8 songs"
    segments, seed = trained[-1]
    assert seed == 7
    assert segments.table["track"].nunique() == 8
    copies = ["original", *augmentation.ROBUST]
    assert segments.table["augmentation"].to_list() == 8 * copies
    # The finished songs are in the user's cache.
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("classes", "spoilt", "found"),
    [
        (["alone"], "", "['alone']; give a list of two or more"),
        (["alone", "other"], "other/*", "['alone']; give a list of two or more"),
        (["a", "b"], "*/*", "none of 4 tracks can be used"),
        ([], "", "no such folder"),
    ],
)
def test_a_folder_that_no_model_can_learn_from_is_refused(
    run, folder, trained, tmp_path, classes, spoilt, found
):
    music = folder(*classes)
    for path in music.glob(spoilt or "nothing"):
        path.write_bytes(b"no sound")
    status, out, err = run("train", music, "--output", tmp_path / "model.keras")
    assert (status, out) == (2, "")
    assert found in err.splitlines()[-1]
    assert not trained


def test_training_prints_the_accuracy_of_each_class(run, folder, trained, tmp_path):
    music = folder("a", "b", songs=6)
    facts = tmp_path / "facts.csv"
    tracks = [f"{genre}/{k}" for genre in "ab" for k in range(6)]
    artists = [*"aaabbbcccddd"]
    pd.DataFrame({"track": tracks, "artist": artists}).to_csv(facts, index=False)
    arguments = ("train", music, "--facts", facts)
    output = tmp_path / "model.keras"
    status, out, err = run(*arguments, "--output", output)
    assert (status, err) == (0, "")
    score, *by_class, _, written = out.splitlines()
    assert score == "Accuracy on unseen songs: 100% (95 % interval 28% to 100%)"
    assert by_class == ["  a: 6 of 6", "  b: 6 of 6"]
    status, out, _ = run(*arguments, "--output", output, "--no-score")
    assert (status, out) == (0, f"{written}\n")


def test_without_a_folder_and_without_gtzan_nothing_is_trained(run, monkeypatch):
    monkeypatch.setattr(dataset, "find_corpus", lambda: None)
    status, out, err = run("train", "--output", "model.keras")
    assert (status, out) == (2, "")
    assert "no GTZAN was found" in err
    assert not os.path.exists("model.keras")


@pytest.mark.parametrize(
    "output", ["nowhere/m.keras", "folder.keras", "m.h5", "m" * 250 + ".keras"]
)
def test_an_output_that_cannot_be_written_is_refused_before_the_extraction(
    run, folder, tmp_path, output
):
    (tmp_path / "folder.keras").mkdir()
    music = folder("a", "b")
    status, _, err = run("train", music, "--output", tmp_path / output)
    assert status == 2
    assert f"{tmp_path / output}" in err
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_to_is_refused(run, folder, trained, tmp_path):
    (tmp_path / "cache").touch()
    arguments = ["train", folder("a", "b"), "--output", tmp_path / "m.keras"]
    status, _, err = run(*arguments)
    assert status == 2
    assert f"{tmp_path / 'cache'}" in err
    assert "name another folder" in err
    assert run(*arguments, "--cache", tmp_path / "other")[0] == 0
