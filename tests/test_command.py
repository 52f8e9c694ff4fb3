"""The command line: python -m gtzan_mfcc."""

import io
import os
import re
import signal
import subprocess
import sys
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from conftest import PROJECT, quick_network
from gtzan_mfcc import __main__, augmentation, predict, training
from gtzan_mfcc.features import Settings

RATE = 22_050
GENRES = ["drum & bass", 'a, "b"', "民謡"]


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

    def song(name="song.wav", seconds=7, peak=0.5):
        path = os.path.join(tmp_path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        noise = np.random.default_rng(0).uniform(-peak, peak, seconds * RATE)
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
wrong = [["predict", "a.wav", "--model", "misspelt.keras"], ["predict", "a.wav"]]
helps = [["--help"], ["predict", "--help"], ["train", "--help"]]
for arguments in (*helps, *wrong, ["--version"]):
    with contextlib.suppress(SystemExit):
        __main__.main(arguments)
print({"tensorflow", "keras", "librosa", "pandas", "numpy"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT
    )
    assert done.stdout.count("usage: ") == 3
    assert done.stdout.endswith("not installed\nset()\n")
    model, song = done.stderr.splitlines()
    assert model.startswith("misspelt.keras: no such file")
    assert song.startswith("a.wav: no such file")


def test_the_program_predicts_gtzans_genres_by_default(song, tmp_path):
    path = song("a song.wav", 10)
    cut = tmp_path / "cut.mp3"
    soundfile.write(cut, soundfile.read(path)[0], RATE)
    cut.write_bytes(cut.read_bytes()[:30_000])
    done = program("predict", path, cut)
    assert done.returncode == 1
    # libmpg123 writes lines of its own to stderr; they are hidden.
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"{cut}: cut short")
    expected = predict.predict(path, predict.load_pretrained())
    genre = "unsure" if expected.unsure else expected.genre
    shown = f"{path}: {genre} ({expected.best_guesses})\n"
    assert done.stdout.decode() == shown


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(song, model, redirect):
    done = program("predict", song(), "--model", model, redirect=redirect)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"song.wav" in done.stdout) == (redirect == "2>&-")


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
    short = song()
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(7_200_000), 1_000)  # Two hours.
    command = [sys.executable, "-m", "gtzan_mfcc", "predict", "--csv", "--model", model]
    with subprocess.Popen(
        [*command, short, long],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
        # A shell may have started the tests with SIGINT ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        header = running.stdout.readline()
        row = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        rest, error = running.communicate(timeout=5)
    assert header.startswith(b'"file","genre",')
    assert row.decode().startswith(f'"{short}",')
    assert (running.returncode, rest, error) == (130, b"", b"stopped.\n")


def test_text_has_the_best_guesses_and_each_segment(run, song, model):
    path = song()
    short = song("short.wav", 1, peak=1e-4)
    prediction = predict.predict(path, predict.load_model(model))
    status, out, err = run("predict", path, short, "--model", model, "--over-time")
    assert (status, err) == (0, "")
    first, second, third, fourth, _ = out.splitlines()
    genre = "unsure" if prediction.unsure else prediction.genre
    assert first == f"{path}: {genre} ({prediction.best_guesses})"
    assert second.startswith("      0.0 to     3.0 s: ")
    assert third.startswith("      3.0 to     6.0 s: ")
    assert fourth.startswith(f"{short}: ")
    assert "(too short for a segment, repeated) (almost no sound: " in fourth


def test_an_unsure_song_gets_three_guesses_and_no_genre(run, song, monkeypatch, model):
    monkeypatch.setattr(predict.Prediction, "unsure", True)
    path = song()
    guesses = predict.predict(path, predict.load_model(model)).best_guesses
    assert run("predict", path, "--model", model)[1] == f"{path}: unsure ({guesses})\n"


def test_csv_has_a_row_per_song_in_utf_8_whatever_the_console_has(song, model):
    path = song('Motörhead, "日本".wav')
    done = program(
        "predict", path, "--csv", "--model", model, PYTHONIOENCODING="cp1252"
    )
    assert b"\r" not in done.stdout
    (row,) = pd.read_csv(io.BytesIO(done.stdout)).to_dict("records")
    prediction = predict.predict(path, predict.load_model(model))
    assert row == {
        "file": path,
        "genre": prediction.genre,
        "seconds": 7.0,
        "padded": False,
        "silent": False,
        **prediction.over_time.mean().round(4),
    }


def test_csv_over_time_has_a_row_per_segment(run, song, model):
    path = song()
    _, out, _ = run("predict", path, "--model", model, "--csv", "--over-time")
    table = pd.read_csv(io.StringIO(out)).set_index(["start", "end"])
    assert table.pop("file").to_list() == [path] * 2
    expected = predict.predict(path, predict.load_model(model)).over_time
    pd.testing.assert_frame_equal(table, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("genre", "form"), [("genre", ["--csv"]), ("start", ["--csv", "--over-time"])]
)
def test_a_class_that_is_named_as_a_column_is_refused_for_csv(
    run, song, tmp_path, genre, form
):
    own = save_model(tmp_path / "own.keras", ["a", genre])
    status, out, err = run("predict", song(), "--model", own, *form)
    assert (status, out) == (2, "")
    assert err.startswith(f"the class {genre} is named as a column")


@pytest.mark.parametrize("form", ["--over-time", "--csv"])
def test_bad_files_are_reported_on_stderr_and_others_predicted(
    run, song, model, tmp_path, form
):
    good = [song("a.wav"), song(os.fsdecode(b"caf\xe9.wav"))]  # One name is no text.
    empty = tmp_path / "empty.mp3"
    empty.touch()
    missing = tmp_path / "nowhere.wav"
    status, out, err = run("predict", empty, missing, *good, "--model", model, form)
    assert status == 1
    first, second = err.splitlines()
    assert first.startswith(f"{missing}: no such file")
    assert second.startswith(f"{empty}: the file is empty")
    assert r"caf\udce9.wav" in out
    assert run("predict", *good, "--model", model, form) == (0, out, "")


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
    run, song, model, monkeypatch
):
    arguments = ("predict", song(), "--model", model)
    status, out, err = run(*arguments, "--hop-seconds", "4")
    assert (status, out) == (2, "")
    assert err == "hop_seconds is 4.0; take up to 3.0.\n"
    monkeypatch.setattr(predict, "load_model", int)
    with pytest.raises(ValueError, match="invalid literal"):
        run(*arguments)


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
    assert remark.startswith("Tracks without artist: 8.")
    assert written == f"{output}: {', '.join(classes)}, from 8 songs"
    few, *_, ignored, left_out = err.splitlines()
    assert few == "0: 3 songs are few; accuracy may be low."
    assert ignored == f"ignored, unknown file extension: {music / '0' / 'notes.txt'}"
    assert left_out.startswith(f"left out: {empty}: the file is empty")
    own = predict.load_model(output)
    assert (own.genres, own.settings) == (classes, Settings(n_mfcc=20))


def test_folders_may_have_songs_of_the_same_name_and_artists_are_kept_apart(
    run, folder, trained, tmp_path
):
    folders = [folder("a", "b", songs=3, name=name) for name in ("first", "second")]
    facts = tmp_path / "facts.csv"
    facts.write_text(
        "track,artist\na/0,ann\na/1,bob\na/2,bob\nb/0,cat\nb/1,dan\nb/2,dan\n"
    )
    output = tmp_path / "model.keras"
    arguments = ["train", *folders, "--output", output, "--facts", facts]
    status, out, err = run(*arguments, "--seed", "7")
    assert (status, err) == (0, "")
    written = f"{output}: a, b, from 12 songs"
    assert out.splitlines() == [
        "Accuracy on unseen songs: 100% (95 % interval 28% to 100%)",
        "  a: 6 of 6",
        "  b: 6 of 6",
        "Artists are kept apart.",
        written,
    ]
    segments, seed = trained[-1]
    assert seed == 7
    assert segments.table["track"].nunique() == 12
    copies = ["original", *augmentation.ROBUST]
    assert segments.table["augmentation"].to_list() == 12 * copies
    # The finished songs are in the user's cache.
    assert list((tmp_path / "cache").iterdir())
    assert run(*arguments, "--no-score") == (0, f"{written}\n", "")


@pytest.mark.parametrize("classes", [["alone"], ["alone", "spoilt"]])
def test_a_folder_that_no_model_can_learn_from_is_refused(
    run, folder, trained, tmp_path, classes
):
    music = folder(*classes)
    for path in music.glob("spoilt/*"):
        path.write_bytes(b"no sound")
    status, out, err = run("train", music, "--output", tmp_path / "model.keras")
    assert (status, out) == (2, "")
    assert "['alone']; give a list of two or more" in err
    assert not trained


@pytest.mark.parametrize("output", ["nowhere/m.keras", "m.h5", "m" * 250 + ".keras"])
def test_an_output_that_cannot_be_written_is_refused_before_the_extraction(
    run, folder, tmp_path, output
):
    status, _, err = run("train", folder("a", "b"), "--output", tmp_path / output)
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
