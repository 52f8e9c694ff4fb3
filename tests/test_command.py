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
from gtzan_mfcc import __main__, dataset, predict, recipes

RATE, WHOLE = 22_050, 66_150
GENRES = ["drum & bass", 'a, "b"', "民謡"]
FORMS = [[], ["--json"], ["--csv"], ["--over-time"], ["--json", "--over-time"]]
FORMS += [["--csv", "--over-time"]]


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


def program(*arguments, **settings):
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
        **settings,
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
    assert err == ""
    assert running.returncode >= 0


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("n_songs", [0, 1, 2])
def test_a_reader_that_closes_early_leaves_nothing_to_be_written(
    song, model, monkeypatch, capfd, form, n_songs
):
    read, write = os.pipe()
    reader = os.fdopen(read, "rb")
    if not n_songs:
        reader.close()

    class OneLine(io.FileIO):
        """Hand the first of what is written to a reader, who has enough then."""

        def write(self, data):
            written = super().write(data)
            reader.close()
            return written

    songs = [song(f"{k}.wav") for k in range(n_songs)] or ["nowhere.wav"]
    out = io.TextIOWrapper(io.BufferedWriter(OneLine(write, "w")), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        status = __main__.main(["predict", *songs, "--model", str(model), *form])
    assert status in (0, 1)
    out.close()  # As Python does at the end; an error here would be told.
    assert "Traceback" not in capfd.readouterr().err


def test_text_tells_the_three_best_guesses(run, song, model):
    path = song()
    status, out, err = run("predict", path, "--model", model)
    best = predict.predict(path, predict.load_model(model)).probabilities
    guesses = ", ".join(f"{genre} {p:.0%}" for genre, p in best.items())
    assert (status, out, err) == (0, f"{path}: {best.index[0]} ({guesses})\n", "")


def test_text_tells_no_more_than_three_guesses_and_what_was_repeated(run, song):
    path = song(seconds=1)
    status, out, err = run("predict", path)
    assert (status, err) == (0, "")
    guess = r"\w+ \d+%"
    assert re.fullmatch(
        rf"{re.escape(path)}: (\w+) \(\1 \d+%, {guess}, {guess}\) "
        r"\(too short for a segment, repeated\)\n",
        out,
    )


def test_text_over_time_has_a_line_a_segment(run, song, model):
    path = song()
    status, out, err = run("predict", path, "--model", model, "--over-time", "--hop-seconds", "1.5")
    table = predict.predict(path, predict.load_model(model), hop_seconds=1.5).over_time
    first, *lines = out.splitlines()
    assert (status, err) == (0, "")
    assert first.startswith(f"{path}: ")
    expected = []
    for _, row in table.iterrows():
        genre = row[GENRES].astype(float).idxmax()
        times = f"{row['start']:7.1f} to {row['end']:7.1f} s"
        expected.append(f"  {times}: {genre} {row[genre]:.0%}")
    assert lines == expected
    assert lines[1].startswith("      1.5 to     4.5 s: ")


@pytest.mark.parametrize("over_time", [False, True])
def test_json_is_an_array_with_an_object_a_song(run, song, model, over_time):
    paths = [song("a.wav"), song("b c.wav", 0.5)]
    options = ["--over-time"] if over_time else []
    status, out, err = run("predict", *paths, "--json", "--model", model, *options)
    assert (status, err) == (0, "")
    entries = json.loads(out)
    assert [entry["file"] for entry in entries] == paths
    assert [entry["seconds"] for entry in entries] == [7.0, 0.5]
    assert [entry["padded"] for entry in entries] == [False, True]
    for entry, path in zip(entries, paths):
        prediction = predict.predict(path, predict.load_model(model))
        assert entry["genre"] == prediction.genre
        assert list(entry["probabilities"]) == list(prediction.probabilities.index)
        assert entry["probabilities"] == pytest.approx(prediction.probabilities.to_dict(), abs=1e-4)
        assert ("over_time" in entry) is over_time
        if over_time:
            pd.testing.assert_frame_equal(
                pd.DataFrame(entry["over_time"]), prediction.over_time, atol=1e-4, check_dtype=False
            )


def test_csv_is_a_table_with_a_row_a_song(run, song, model):
    paths = [song("a.wav"), song("b c.wav", 0.5)]
    status, out, err = run("predict", *paths, "--csv", "--model", model)
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    assert list(table) == ["file", "genre", "seconds", "padded", *GENRES]
    assert table["file"].to_list() == paths
    assert table["seconds"].to_list() == [7.0, 0.5]
    assert table["padded"].to_list() == [False, True]
    for row, path in zip(table.to_dict("records"), paths):
        prediction = predict.predict(path, predict.load_model(model))
        assert row["genre"] == prediction.genre
        probabilities = prediction.probabilities.to_dict()
        assert {genre: row[genre] for genre in GENRES} == pytest.approx(probabilities, abs=1e-4)


def test_csv_over_time_has_a_row_a_segment(run, song, model):
    paths = [song("a.wav"), song("b c.wav", 0.5)]
    status, out, err = run("predict", *paths, "--csv", "--over-time", "--model", model)
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    assert list(table) == ["file", "start", "end", *GENRES]
    assert table["file"].to_list() == [paths[0], paths[0], paths[1]]
    assert table[["start", "end"]].to_numpy().tolist() == [[0, 3], [3, 6], [0, 0.5]]
    np.testing.assert_allclose(table[GENRES].sum(axis=1), 1, atol=2e-4)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_bad_file_is_named_on_stderr_and_the_rest_is_told(run, song, model, tmp_path, form):
    nowhere, empty = tmp_path / "nowhere.wav", tmp_path / "empty.mp3"
    empty.touch()
    good = [song("a.wav"), song("b.wav")]
    status, out, err = run("predict", empty, good[0], nowhere, good[1], "--model", model, *form)
    assert status == 1
    assert [line.partition(": ")[0] for line in err.splitlines()] == [str(empty), str(nowhere)]
    assert out == run("predict", *good, "--model", model, *form)[1]
    assert all(path in out for path in good)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_if_all_files_are_bad_the_output_is_empty_but_whole(run, model, form):
    status, out, err = run("predict", "nowhere.wav", "--model", model, *form)
    assert status == 1
    assert err == "nowhere.wav: no such file; check the name and the folder.\n"
    if "--json" in form:
        assert json.loads(out) == []
    elif "--csv" in form:
        assert len(pd.read_csv(io.StringIO(out))) == 0
    else:
        assert out == ""


NAMES = [
    "a, b.wav",
    'say "hi".wav',
    "two\nlines.wav",
    "tab\t.wav",
    "back\r.wav",
    "唄 é.wav",
    "$.wav",
]


@pytest.mark.skipif(os.name == "nt", reason="names with quotes and newlines")
@pytest.mark.parametrize("form", [form for form in FORMS if "--csv" in form or "--json" in form])
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_is_read_back_from_the_output(run, song, model, name, form):
    path = song(name)
    status, out, err = run("predict", path, "--model", model, *form)
    assert (status, err) == (0, "")
    if "--json" in form:
        names = {entry["file"] for entry in json.loads(out)}
    else:
        names = set(pd.read_csv(io.StringIO(out))["file"])
    assert names == {path}


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


@pytest.mark.skipif(os.name == "nt", reason="the limit is another one")
def test_a_name_that_is_too_long_stops_nothing(run, song, model):
    path = song()
    status, out, err = run("predict", "a" * 300, path, "--model", model)
    assert status == 1
    assert err.startswith("a" * 300 + ": ")
    assert out.startswith(f"{path}: ")


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_terminal_that_knows_no_letter_of_a_name_gets_it_escaped(song, model, monkeypatch, form):
    path = song("唄.wav")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert __main__.main(["predict", path, "--model", str(model), *form]) == 0
    assert rb"\u5504.wav" in terminal.buffer.getvalue()


def test_main_may_be_called_where_stdout_is_no_file(song, model):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert __main__.main(["predict", song(), "--model", str(model)]) == 0
    assert "song.wav: " in out.getvalue()


@pytest.mark.parametrize("kind", ["missing", "text", "folder", "other model"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=" ".join)
def test_a_bad_model_is_told_without_a_traceback(run, song, tmp_path, kind, form):
    path = tmp_path / "bad.keras"
    if kind == "text":
        path.write_text("no model")
    elif kind == "folder":
        path.mkdir()
    elif kind == "other model":
        untrained().save(path)
    status, out, err = run("predict", song(), "--model", path, *form)
    assert (status, out) == (2, "")
    assert err.startswith(f"{path}: ")
    assert len(err.splitlines()) == 1
    if kind == "other model":
        assert "save predict.Classifier(network, genres)" in err


@pytest.mark.parametrize("hop", ["0", "-1", "3.01", "nan", "1e-9", "inf"])
def test_a_hop_that_makes_no_sense_is_told(run, song, model, hop):
    status, out, err = run("predict", song(), "--model", model, f"--hop-seconds={hop}")
    assert (status, out) == (2, "")
    assert err == f"hop_seconds is {float(hop)}; take up to 3.\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["predict"],
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
    """Leave the training out, and list on how many rows of what classes it would have been."""
    calls = []

    def recipe(segments, rows, *, seed):
        calls.append((len(rows), segments.genres, seed))
        return untrained(segments.genres)

    monkeypatch.setattr(recipes, "mfcc_resnet", recipe)
    return calls


def test_a_model_is_trained_on_a_folder_and_tells_its_classes_apart(
    run, folder, tmp_path, monkeypatch
):
    for quick in ("epochs", "members"):
        monkeypatch.setitem(recipes.mfcc_resnet.__kwdefaults__, quick, 1)
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


@pytest.mark.parametrize("seed", [0, 7])
def test_training_takes_all_segments_and_the_seed(run, folder, trained, tmp_path, seed):
    output = tmp_path / "model.keras"
    status, out, err = run("train", folder("b", "a"), "--output", output, f"--seed={seed}")
    assert (status, out) == (0, f"{output}: a (2), b (2)\n")
    assert "left out" not in err
    assert trained == [(4, ["a", "b"], seed)]
    model = predict.load_model(output)
    assert model.genres == ["a", "b"]
    assert model.network.input_shape == (None, 130, 20)


@pytest.mark.parametrize("spoil", [False, True])
def test_a_single_class_is_refused(run, folder, trained, tmp_path, spoil):
    music = folder("alone", "other") if spoil else folder("alone")
    for path in music.glob("other/*.wav"):
        path.write_bytes(b"no sound")
    status, out, err = run("train", music, "--output", tmp_path / "model.keras")
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "alone is the only class; two are needed."
    assert "Traceback" not in err
    assert not trained
    assert not (tmp_path / "model.keras").exists()


def test_a_folder_that_is_missing_or_holds_no_sound_is_refused(run, tmp_path, trained):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "a" / "a.wav").write_bytes(b"no sound")
    for name, finding in (
        ("nowhere", "no such folder"),
        ("empty", "holds nothing"),
        ("bad", "none of 1 tracks can be used"),
    ):
        status, out, err = run("train", tmp_path / name, "--output", tmp_path / "model.keras")
        assert (status, out) == (2, "")
        assert finding in err
        assert "Traceback" not in err
    assert not trained


@pytest.mark.parametrize("output", ["nowhere/model.keras", "folder.keras", "model", "model.h5"])
def test_an_output_is_written_or_refused_before_the_training(
    run, folder, trained, tmp_path, output
):
    (tmp_path / "folder.keras").mkdir()
    status, _, err = run("train", folder("a", "b"), "--output", tmp_path / output)
    if trained:
        assert status == 0
        assert predict.load_model(tmp_path / output).genres == ["a", "b"]
    else:
        assert status == 2
        assert output.rpartition("/")[2] in err


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_class_that_no_model_can_have_is_refused_before_the_training(
    run, folder, trained, tmp_path, name
):
    status, _, err = run("train", folder("a", name), "--output", tmp_path / "model.keras")
    assert status == 2
    assert name in err
    assert not trained
