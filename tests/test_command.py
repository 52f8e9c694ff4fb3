"""The command line: python -m gtzan_mfcc."""

import io
import json
import os
import re
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
FORMS = [[], ["--over-time"], ["--json"], ["--csv"], ["--csv", "--over-time"]]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch, tmp_path):
    """Extract in threads of this process, and keep the user's cache out of it."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("GTZAN_MFCC_CACHE", str(tmp_path / "cache"))
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


def save_model(path, genres=GENRES):
    network = quick_network(n_mfcc=20, n_genres=len(genres))
    predict.Classifier(network, genres, Settings(n_mfcc=20)).save(path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Save a model of other classes, and return the path."""
    return save_model(tmp_path_factory.mktemp("model") / "my model.keras")


@pytest.fixture
def song(tmp_path):
    """Write a file of noise, and return the path."""

    def song(name="song.wav", seconds=7.0, peak=0.5):
        path = os.path.join(tmp_path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        noise = np.random.default_rng(len(name)).uniform(
            -peak, peak, int(seconds * RATE)
        )
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
    names = "--model --json --csv --over-time --hop-seconds --output --facts --cache"
    names += " --no-score --seed --version"
    assert set(names.split()) <= set(re.findall(r"--[\w-]+", done.stdout))
    assert done.stdout.endswith("not installed\nset()\n")
    assert done.stderr.startswith("misspelt.keras: no such file")


def test_the_program_predicts_gtzans_genres_by_default(song, tmp_path, capfd):
    path = song("a song.wav", 10)
    cut = tmp_path / "cut.mp3"
    soundfile.write(cut, soundfile.read(path)[0], RATE)
    cut.write_bytes(cut.read_bytes()[:30_000])
    done = program("predict", path, cut, tmp_path / "nowhere.wav", "--json")
    assert done.returncode == 1
    # libmpg123 writes lines of its own to stderr; they are hidden.
    missing, damaged = done.stderr.decode().splitlines()
    assert missing.startswith(f"{tmp_path / 'nowhere.wav'}: no such file")
    assert damaged.startswith(f"{cut}: cut short")
    (entry,) = json.loads(done.stdout)
    expected = predict.predict(path, predict.load_pretrained()).probabilities
    assert entry["file"] == path
    assert entry["probabilities"] == pytest.approx(expected.to_dict(), abs=2e-4)


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(song, model, redirect):
    done = program("predict", song(), "--model", model, redirect=redirect)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"song.wav" in done.stdout) == (">&-" not in redirect.split())


def test_a_reader_of_only_the_first_line_sees_no_error(song, model):
    songs = [song(f"{k}.wav", 20) for k in range(8)]
    redirect = "| { head -1; }; exit ${PIPESTATUS[0]}"
    done = program("predict", "--model", model, *songs, redirect=redirect)
    # Python crashes (SIGABRT) if it exits during a prediction.
    assert done.stdout.decode().startswith(f"{songs[0]}: ")
    assert done.stderr == b""


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


def test_csv_and_json_have_the_probabilities(run, song, model):
    path = song('say "hi", 唄.wav')
    prediction = predict.predict(path, predict.load_model(model))
    facts = {
        "genre": prediction.genre,
        "seconds": 7.0,
        "padded": False,
        "silent": False,
    }
    likely = pytest.approx(prediction.probabilities.to_dict(), abs=1e-4)

    _, out, _ = run("predict", path, "--model", model, "--csv")
    (row,) = pd.read_csv(io.StringIO(out)).to_dict("records")
    assert {genre: row.pop(genre) for genre in GENRES} == likely
    assert row == {"file": path, **facts}

    _, out, _ = run("predict", path, "--model", model, "--csv", "--over-time")
    table = pd.read_csv(io.StringIO(out)).set_index(["start", "end"])
    assert table.pop("file").to_list() == [path] * 2
    pd.testing.assert_frame_equal(table, prediction.over_time, atol=1e-4)

    _, out, _ = run("predict", path, "--model", model, "--json", "--over-time")
    (entry,) = json.loads(out)
    segments = entry.pop("over_time")
    assert [(each["start"], each["end"]) for each in segments] == [(0, 3), (3, 6)]
    assert entry.pop("probabilities") == likely
    assert entry == {"file": path, **facts}


def test_a_class_that_is_named_as_a_column_is_refused_for_csv(run, song, tmp_path):
    own = save_model(tmp_path / "own.keras", ["genre", "start"])
    status, out, err = run("predict", song(), "--model", own, "--csv")
    assert (status, out) == (2, "")
    assert err == "the class genre is named as a column of CSV; take --json.\n"
    _, out, _ = run("predict", song(), "--model", own, "--json", "--over-time")
    (entry,) = json.loads(out)
    assert sorted(entry["over_time"][0]["probabilities"]) == ["genre", "start"]


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
    skipped = ".jpg (2), .wmx (1), no extension (1)"
    assert err.splitlines() == [
        f"{tmp_path / 'music'}: skipped other files: {skipped}.",
        f"{tmp_path / 'none'}: no such file or folder with sound files.",
    ]
    pattern = tmp_path / "music" / "a" / "*.wav"
    status, out, _ = run("predict", pattern, "--model", model, "--csv")
    assert (status, out.count(".wav")) == (0, 1)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_the_output_is_complete_up_to_ctrl_c(run, song, model, monkeypatch, form):
    path = song()
    expected = run("predict", path, "--model", model, *form)[1]

    def stopped(songs, model, **_):
        yield songs[0], predict.predict(songs[0], model)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict_files", stopped)
    stopped_run = run("predict", path, path, "--model", model, *form)
    assert stopped_run == (130, expected, "stopped.\n")


def test_errors_of_users_are_one_line_and_errors_of_programs_a_traceback(
    run, song, model, tmp_path, monkeypatch
):
    path = song()
    (tmp_path / "bad.keras").write_text("no model")
    status, out, err = run("predict", path, "--model", tmp_path / "bad.keras")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    status, _, err = run("predict", path, "--model", model, "--hop-seconds", "4")
    assert (status, err) == (2, "--hop-seconds is 4.0; take 0.01 to 3.0.\n")
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
    """Replace the training by a network for the first class; list the training sets."""
    calls = []

    def fit_nothing(segments, *, seed):
        calls.append((segments, seed))
        network = quick_network(n_mfcc=20, n_genres=len(segments.genres))
        kernel, bias = network.get_weights()
        network.set_weights([0 * kernel, bias + np.eye(len(bias))[0]])
        return network

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
    output = tmp_path / "my own.keras"
    status, out, err = run("train", music, "--output", output)
    assert status == 1
    score, *by_class, remark, written = out.splitlines()
    assert re.fullmatch(r"Accuracy on unseen songs: \d+% \(95 % interval .*\)", score)
    assert [line.partition(":")[0].strip() for line in by_class] == classes
    assert remark.startswith("tracks without artist: 8.")
    assert written == f"{output}: {', '.join(f'{name} (2)' for name in classes)}"
    assert f"left out: {empty}: the file is empty" in err
    own = predict.load_model(output)
    assert (own.genres, own.settings) == (classes, Settings(n_mfcc=20))


def test_two_folders_may_have_songs_of_the_same_name(run, folder, trained, tmp_path):
    folders = [folder("a", "b", name=name) for name in ("first", "second")]
    output = tmp_path / "model.keras"
    status, out, err = run("train", *folders, "--output", output, "--seed", "7")
    assert (status, out.splitlines()[-1]) == (0, f"{output}: a (4), b (4)")
    assert err == "Few songs, so accuracy may be low: a (4), b (4).\n"
    segments, seed = trained[-1]
    assert seed == 7
    assert segments.table["track"].nunique() == 8
    copies = ["original", *augmentation.ROBUST]
    assert segments.table["augmentation"].to_list() == 8 * copies
    # The finished songs are in the user's cache.
    assert list((tmp_path / "cache").iterdir())


def test_training_prints_the_accuracy_by_class_and_the_ignored_files(
    run, folder, trained, tmp_path
):
    music = folder("a", "b", songs=6)
    (music / "b" / "notes.txt").touch()
    facts = pd.DataFrame(
        {"track": [f"{genre}/{k}" for genre in "ab" for k in range(6)]}
    )
    facts["artist"] = [*"aaabbbcccddd"]
    facts.to_csv(tmp_path / "facts.csv", index=False)
    output = tmp_path / "model.keras"
    arguments = ("train", music, "--output", output)
    _, out, err = run(*arguments, "--facts", tmp_path / "facts.csv")
    score, *others = out.splitlines()
    assert score.startswith("Accuracy on unseen songs: 50% (")
    written = f"{output}: a (6), b (6)"
    kept_apart = "Artists are kept apart."
    assert others == ["  a: 6 of 6", "  b: 0 of 6", kept_apart, written]
    assert err == f"ignored, unknown file extension (1): {music / 'b' / 'notes.txt'}\n"
    assert run(*arguments, "--no-score")[1] == f"{written}\n"


@pytest.mark.parametrize(
    ("classes", "spoilt", "found"),
    [
        (["alone"], "", "alone is the only class; two are needed."),
        (["alone", "other"], "other/*", "alone is the only class; two are needed."),
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


def test_without_a_folder_and_without_gtzan_nothing_is_trained(run, monkeypatch):
    monkeypatch.setattr(dataset, "find_corpus", lambda: None)
    status, out, err = run("train", "--output", "model.keras")
    assert (status, out) == (2, "")
    assert "no GTZAN was found" in err


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


def test_a_usual_cache_that_cannot_be_written_is_done_without(
    run, folder, trained, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GTZAN_MFCC_CACHE", str(tmp_path / "file" / "cache"))
    arguments = ["train", folder("a", "b", songs=5), "--output", tmp_path / "m.keras"]
    status, _, err = run(*arguments)
    assert status == 0
    assert err.startswith("Nothing is kept if this run stops (")
    # A folder that the user names must be usable.
    assert run(*arguments, "--cache", tmp_path / "file")[0] == 2
