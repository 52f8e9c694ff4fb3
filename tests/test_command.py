"""The command line: python -m gtzan_mfcc."""

import contextlib
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

RATE, WHOLE = 22_050, 66_150
GENRES = ["drum & bass", 'a, "b"', "民謡"]
FORMS = [[], ["--over-time"], ["--json"], ["--csv"], ["--csv", "--over-time"]]


@pytest.fixture(scope="module", autouse=True)
def _threads():
    """Extract in this process, instead of starting others."""
    with joblib.parallel_config(backend="threading"):
        yield


@pytest.fixture
def run(capsys):
    """Run the command in this process; give its status and what it wrote."""

    def run(*arguments):
        capsys.readouterr()
        sys.stderr.reconfigure(errors="backslashreplace")  # As Python's own is.
        status = __main__.main([os.fspath(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def program(*arguments):
    """Start the command as a program of its own."""
    # Where output is not buffered, nothing is left to be written at the end.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-m", "gtzan_mfcc", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        cwd=PROJECT,
    )


def untrained(genres=GENRES):
    return quick_network(n_mfcc=20, n_genres=len(genres))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Give the file of a model of classes of one's own."""
    path = tmp_path_factory.mktemp("model") / "my model.keras"
    predict.Classifier(untrained(), GENRES).save(path)
    return path


@pytest.fixture
def song(tmp_path):
    """Write noise, and give its path."""

    def song(name="song.wav", seconds=7.0):
        path = os.path.join(tmp_path, name)
        noise = np.random.default_rng(len(name)).uniform(-0.5, 0.5, int(seconds * RATE))
        # By way of a handle, since soundfile takes no name that is no text.
        with open(path, "wb") as file:
            soundfile.write(file, noise, RATE, format="WAV")
        return path

    return song


def test_help_names_the_commands_and_does_not_wait_for_tensorflow():
    code = """
import contextlib, sys
from gtzan_mfcc import __main__
for arguments in (["--help"], ["predict", "--help"], ["train", "--help"], ["predict"]):
    with contextlib.suppress(SystemExit):
        __main__.main(arguments)
print({"tensorflow", "keras"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert re.search(r"^    predict +tell", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^    train +make", done.stdout, flags=re.MULTILINE)
    assert {"--model", "--json", "--csv", "--over-time", "--hop-seconds", "--output"} <= set(
        re.findall(r"--[\w-]+", done.stdout)
    )
    assert done.stdout.endswith("set()\n")


def test_the_program_tells_the_genre_of_songs_by_gtzans_genres(song, tmp_path):
    path = song("a song.wav", 10)
    running = program("predict", path, str(tmp_path / "nowhere.wav"), "--json")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1
    assert err == f"{tmp_path / 'nowhere.wav'}: no such file; check the name and the folder.\n"
    (entry,) = json.loads(out)
    assert entry["file"] == path
    assert sorted(entry["probabilities"]) == list(dataset.GENRES)
    expected = predict.predict(path, predict.load_pretrained())
    assert entry["genre"] == expected.genre
    assert entry["probabilities"] == pytest.approx(expected.probabilities.to_dict(), abs=2e-4)


def test_who_reads_but_the_first_line_sees_no_error(song, model):
    songs = [song(f"{k}.wav", 20) for k in range(16)]
    running = program("predict", "--model", str(model), *songs)
    assert running.stdout.readline().startswith(f"{songs[0]}: ")
    running.stdout.close()
    err = running.stderr.read()
    running.wait(timeout=120)
    running.stderr.close()
    # Python crashes (SIGABRT) if a song is still being heard as it ends.
    assert (running.returncode, err) == (1, "")


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("n_songs", [0, 1])
def test_a_reader_that_closes_early_leaves_nothing_to_be_written(
    song, model, monkeypatch, capfd, form, n_songs
):
    read, write = os.pipe()
    os.close(read)
    songs = [song(f"{k}.wav") for k in range(n_songs)] or ["nowhere.wav"]
    out = os.fdopen(write, "w", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        status = __main__.main(["predict", *songs, "--model", str(model), *form])
    assert status == 1
    out.close()  # As Python does at the end; an error here would be told.
    assert "Traceback" not in capfd.readouterr().err


def test_text_tells_the_best_guesses_and_each_segment(run, song, model):
    paths = [song(), song("short.wav", 1)]
    status, out, err = run(
        "predict", *paths, "--model", model, "--over-time", "--hop-seconds", "1.5"
    )
    assert (status, err) == (0, "")
    expected = []
    for path, note in zip(paths, ["", " (too short for a segment, repeated)"]):
        prediction = predict.predict(path, predict.load_model(model), hop_seconds=1.5)
        expected.append(f"{path}: {prediction.genre} ({prediction.best_guesses}){note}")
        for row in prediction.over_time.to_dict("records"):
            genre = max(GENRES, key=row.get)
            times = f"  {row['start']:7.1f} to {row['end']:7.1f} s"
            expected.append(f"{times}: {genre} {row[genre]:.0%}")
    assert out.splitlines() == expected
    assert expected[2].startswith("      1.5 to     4.5 s: ")


@pytest.mark.parametrize("over_time", [False, True])
def test_json_is_an_array_with_an_object_a_song(run, song, model, over_time):
    paths = [song("a.wav"), song("b c.wav", 0.5)]
    options = ["--over-time"] if over_time else []
    status, out, err = run("predict", *paths, "--json", "--model", model, *options)
    assert (status, err) == (0, "")
    entries = json.loads(out)
    for entry, path, seconds in zip(entries, paths, [7.0, 0.5], strict=True):
        prediction = predict.predict(path, predict.load_model(model))
        facts = {"file": path, "genre": prediction.genre, "seconds": seconds}
        facts["padded"] = seconds == 0.5
        assert entry.items() >= facts.items()
        assert list(entry["probabilities"]) == list(prediction.probabilities.index)
        assert entry["probabilities"] == pytest.approx(prediction.probabilities.to_dict(), abs=1e-4)
        assert ("over_time" in entry) is over_time
        if over_time:
            pd.testing.assert_frame_equal(
                pd.DataFrame(entry["over_time"]), prediction.over_time, atol=1e-4, check_dtype=False
            )


@pytest.mark.parametrize("over_time", [False, True])
def test_csv_is_a_table_with_a_row_a_song_or_segment(run, song, model, over_time):
    paths = [song("a.wav"), song("b c.wav", 0.5)]
    options = ["--over-time"] if over_time else []
    status, out, err = run("predict", *paths, "--csv", "--model", model, *options)
    assert (status, err) == (0, "")
    predictions = [predict.predict(path, predict.load_model(model)) for path in paths]
    if over_time:
        expected = pd.concat([one.over_time for one in predictions], ignore_index=True)
        expected.insert(0, "file", [paths[0], paths[0], paths[1]])
    else:
        expected = pd.DataFrame([one.probabilities[GENRES].to_dict() for one in predictions])
        expected.insert(0, "file", paths)
        expected.insert(1, "genre", [one.genre for one in predictions])
        expected.insert(2, "seconds", [7.0, 0.5])
        expected.insert(3, "padded", [False, True])
    table = pd.read_csv(io.StringIO(out))
    pd.testing.assert_frame_equal(table, expected, atol=1e-4, check_dtype=False)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_bad_files_are_named_on_stderr_and_the_rest_is_told(run, song, model, tmp_path, form):
    nowhere, empty = tmp_path / "nowhere.wav", tmp_path / "empty.mp3"
    empty.touch()
    good = [song("a.wav"), song("b.wav")]
    status, out, err = run("predict", empty, good[0], nowhere, good[1], "--model", model, *form)
    assert status == 1
    assert [line.partition(": ")[0] for line in err.splitlines()] == [str(empty), str(nowhere)]
    assert out == run("predict", *good, "--model", model, *form)[1]
    assert all(path in out for path in good)
    # If all files are bad, the output is empty but whole.
    status, out, _ = run("predict", nowhere, "--model", model, *form)
    assert status == 1
    if "--json" in form:
        assert json.loads(out) == []
    elif "--csv" in form:
        table = pd.read_csv(io.StringIO(out))
        assert (len(table), list(table)[-3:]) == (0, GENRES)
    else:
        assert out == ""


NAMES = ["a, b.wav", 'say "hi".wav', "two\nlines.wav", "back\r.wav", "唄 é.wav", "$.wav"]


@pytest.mark.skipif(os.name == "nt", reason="names with quotes and newlines")
@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_files_of_any_name_are_read_back_from_the_output(run, song, model, form):
    paths = [song(name) for name in NAMES]
    status, out, err = run("predict", *paths, "--model", model, form)
    assert (status, err) == (0, "")
    table = pd.DataFrame(json.loads(out)) if form == "--json" else pd.read_csv(io.StringIO(out))
    assert table["file"].to_list() == paths


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_name_that_is_no_text_stops_nothing(run, song, model, form):
    strange, other = song(os.fsdecode(b"caf\xe9.wav")), song("other.wav")
    missing = os.path.join(os.path.dirname(other), os.fsdecode(b"\xff.wav"))
    status, out, err = run("predict", missing, strange, other, "--model", model, *form)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert r"\udcff.wav: no such file" in err
    assert r"caf\udce9.wav" in out
    assert other in out


def test_main_may_be_called_where_stdout_is_no_file(song, model):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert __main__.main(["predict", song(), "--model", str(model)]) == 0
    assert "song.wav: " in out.getvalue()


@pytest.mark.parametrize("kind", ["missing", "text", "other model"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=" ".join)
def test_a_bad_model_is_told_before_any_output(run, song, tmp_path, kind, form):
    path = tmp_path / "bad.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "other model":
        untrained().save(path)
    status, out, err = run("predict", song(), "--model", path, *form)
    assert (status, out) == (2, "")
    assert err.startswith(f"{path}: ")
    assert len(err.splitlines()) == 1
    if kind == "other model":
        assert "take predict.Classifier(network, genres)" in err


@pytest.mark.parametrize("hop", ["0", "3.01", "nan"])
@pytest.mark.parametrize("form", [[], ["--csv"]], ids=" ".join)
def test_a_hop_that_makes_no_sense_is_told_before_any_output(run, song, model, hop, form):
    status, out, err = run(
        "predict", "nowhere.wav", song(), "--model", model, f"--hop-seconds={hop}", *form
    )
    assert (status, out) == (2, "")
    assert err == f"hop_seconds is {float(hop)}; take up to 3.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["listen", "a.wav"],
        ["predict", "a.wav", "--hop-seconds", "often"],
        ["predict", "a.wav", "--json", "--csv"],
        ["train", "folder"],
    ],
    ids=" ".join,
)
def test_what_is_no_command_tells_the_usage(run, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m gtzan_mfcc")


@pytest.fixture
def folder(tmp_path):
    """Write two songs a class into a folder, and give it."""

    def folder(*classes):
        for number, name in enumerate(classes):
            (tmp_path / "music" / name).mkdir(parents=True)
            for k in range(2):
                noise = np.random.default_rng(k).uniform(-0.5, 0.5, WHOLE + 1_000)
                path = tmp_path / "music" / name / f"{k}.wav"
                soundfile.write(path, np.cumsum(noise) / 200 if number % 2 else noise, RATE)
        return tmp_path / "music"

    return folder


@pytest.fixture
def trained(monkeypatch):
    """Leave the training out, and list what copies of what classes it would have been on."""
    calls = []

    def fit(segments, rows, *, seed):
        calls.append((segments.table["augmentation"].iloc[rows].tolist(), segments.genres, seed))
        return untrained(segments.genres)

    monkeypatch.setattr(training, "fit_statistics_mlp", fit)
    return calls


def test_a_model_is_trained_on_a_folder_and_tells_its_classes_apart(
    run, folder, tmp_path, monkeypatch
):
    for quick in ("epochs", "members"):
        monkeypatch.setitem(training.fit_statistics_mlp.__kwdefaults__, quick, 1)
    classes = ["drum & bass", 'my "best", really', "nan", "0", "民謡"]
    music = folder(*classes)
    empty = music / "0" / "empty.wav"
    empty.touch()
    output = tmp_path / "my own.keras"
    status, out, err = run("train", music, "--output", output)
    assert status == 1
    counts = ", ".join(f"{name} (2)" for name in sorted(classes))
    assert out == f"{output}: {counts}\n"
    assert f"left out: {empty}: the file is empty" in err
    songs = [music / name / "1.wav" for name in classes]
    status, out, err = run("predict", *songs, "--model", output, "--json")
    assert (status, err) == (0, "")
    for entry in json.loads(out):
        assert sorted(entry["probabilities"]) == sorted(classes)
        assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_training_takes_all_segments_with_copies_and_the_seed(run, folder, trained, tmp_path):
    output, music = tmp_path / "model.keras", folder("b", "a")
    more = tmp_path / "more"
    for name in "ab":
        (more / name).mkdir(parents=True)
        (music / name / "1.wav").rename(more / name / "2.wav")
    status, out, err = run("train", music, more, "--output", output, "--seed=7")
    assert (status, out) == (0, f"{output}: a (2), b (2)\n")
    assert "left out" not in err
    assert trained == [(4 * ["original", *augmentation.ROBUST], ["a", "b"], 7)]
    assert predict.load_model(output).genres == ["a", "b"]


@pytest.mark.parametrize(
    ("classes", "spoilt", "finding"),
    [
        (["alone"], "", "alone is the only class; two are needed."),
        (["alone", "other"], "other", "alone is the only class; two are needed."),
        (["a", "start"], "", "start"),
        (["a"], "a", "none of 2 tracks can be used"),
        ([], "", "no such folder"),
    ],
)
def test_a_folder_that_no_model_can_learn_from_is_refused(
    run, folder, trained, tmp_path, classes, spoilt, finding
):
    music = folder(*classes)
    for path in music.glob(f"{spoilt or 'nothing'}/*.wav"):
        path.write_bytes(b"no sound")
    status, out, err = run("train", music, "--output", tmp_path / "model.keras")
    assert (status, out) == (2, "")
    assert finding in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not trained
    assert not list(tmp_path.glob("*.keras"))


@pytest.mark.parametrize("output", ["nowhere/model.keras", "folder.keras", "model", "model.h5"])
def test_an_output_that_cannot_be_written_is_refused_before_the_training(
    run, folder, trained, tmp_path, output
):
    (tmp_path / "folder.keras").mkdir()
    status, _, err = run("train", folder("a", "b"), "--output", tmp_path / output)
    assert status == 2
    assert f"{tmp_path / output}: name a file NAME.keras" in err
    assert not trained
