"""The command line: python -m gtzan_mfcc."""

import io
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile

from conftest import PROJECT, quick_network
from gtzan_mfcc import __main__, augmentation, dataset, evaluation, predict, training

RATE, WHOLE = 22_050, 66_150
GENRES = ["drum & bass", 'a, "b"', "民謡"]
FORMS = [[], ["--over-time"], ["--json"], ["--csv"], ["--csv", "--over-time"]]


@pytest.fixture(scope="module", autouse=True)
def _threads():
    """Extract in threads of this process."""
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


def program(*arguments):
    """Start the command in another process."""
    # With buffered output, so that there is something to flush at the end.
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
    """Save a model of other classes, and return the path."""
    path = tmp_path_factory.mktemp("model") / "my model.keras"
    predict.Classifier(untrained(), GENRES).save(path)
    return path


@pytest.fixture
def song(tmp_path):
    """Write a file of noise, and return the path."""

    def song(name="song.wav", seconds=7.0, peak=0.5):
        path = os.path.join(tmp_path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        noise = np.random.default_rng(len(name)).uniform(-peak, peak, int(seconds * RATE))
        # Open the file first: soundfile rejects names that are not valid text.
        with open(path, "wb") as file:
            soundfile.write(file, noise, RATE, format="WAV")
        return path

    return song


def test_help_names_the_commands_and_nothing_waits_for_tensorflow():
    code = """
import contextlib, sys
from gtzan_mfcc import __main__
misspelt = ["predict", "a.wav", "--model", "misspelt.keras"]
helped = (["--help"], ["predict", "--help"], ["train", "--help"], ["predict"])
for arguments in (*helped, ["train", "a", "--output", "b.h5"], misspelt, ["--version"]):
    with contextlib.suppress(SystemExit):
        __main__.main(arguments)
print({"tensorflow", "keras", "librosa"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert re.search(r"^    predict +predict", done.stdout, flags=re.MULTILINE)
    assert re.search(r"^    train +make", done.stdout, flags=re.MULTILINE)
    names = "--model --json --csv --over-time --hop-seconds --output --no-score --seed --version"
    assert set(names.split()) <= set(re.findall(r"--[\w-]+", done.stdout))
    assert done.stdout.endswith(f"{version('gtzan-mfcc')}\nset()\n")
    error = "misspelt.keras: no such file; name one that `train` has written."
    assert done.stderr.splitlines()[-1] == error


def test_the_program_predicts_gtzans_genres_by_default(song, tmp_path, capfd):
    path, cut = song("a song.wav", 10), tmp_path / "cut.mp3"
    soundfile.write(cut, soundfile.read(path)[0], RATE)
    cut.write_bytes(cut.read_bytes()[:30_000])
    soundfile.read(cut)
    # libmpg123 prints this itself.
    assert "Warning: Xing stream size off" in capfd.readouterr().err
    running = program("predict", path, str(cut), str(tmp_path / "nowhere.wav"), "--json")
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1
    missing, damaged = err.splitlines()
    assert missing == f"{tmp_path / 'nowhere.wav'}: no such file, or a folder without sound files."
    assert damaged.startswith(f"{cut}: cut short")
    (entry,) = json.loads(out)
    assert entry["file"] == path
    assert sorted(entry["probabilities"]) == list(dataset.GENRES)
    expected = predict.predict(path, predict.load_pretrained())
    assert entry["genre"] == expected.genre
    assert entry["probabilities"] == pytest.approx(expected.probabilities.to_dict(), abs=2e-4)


def test_a_reader_of_only_the_first_line_sees_no_error(song, model):
    songs = [song(f"{k}.wav", 20) for k in range(16)]
    running = program("predict", "--model", str(model), *songs)
    assert running.stdout.readline().startswith(f"{songs[0]}: ")
    running.stdout.close()
    err = running.stderr.read()
    running.wait(timeout=120)
    running.stderr.close()
    # Python crashes (SIGABRT) if it exits during a prediction.
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
    out.close()  # As Python does at exit; it would print an error here.
    assert "Traceback" not in capfd.readouterr().err


def test_text_has_the_best_guesses_and_each_segment(run, song, model):
    paths = [song(), song("short.wav", 1), song("silent.wav", peak=1e-4)]
    status, out, err = run(
        "predict", *paths, "--model", model, "--over-time", "--hop-seconds", "1.5"
    )
    assert (status, err) == (0, "")
    expected = []
    notes = " (too short for a segment, repeated)", " (almost no sound: the genre means nothing)"
    for path, note in zip(paths, ["", *notes]):
        prediction = predict.predict(path, predict.load_model(model), hop_seconds=1.5)
        expected.append(f"{path}: {prediction.genre} ({prediction.best_guesses}){note}")
        for row in prediction.over_time.to_dict("records"):
            genre = max(GENRES, key=row.get)
            times = f"  {row['start']:7.1f} to {row['end']:7.1f} s"
            expected.append(f"{times}: {genre} {row[genre]:.0%}")
    assert out.splitlines() == expected
    assert expected[2].startswith("      1.5 to     4.5 s: ")


@pytest.mark.parametrize("over_time", [False, True])
def test_json_and_csv_have_the_same_values_for_songs_and_segments(run, song, model, over_time):
    paths = [song("a.wav"), song("b c.wav", 0.5, peak=0)]
    heard = [predict.predict(path, predict.load_model(model)) for path in paths]
    facts = {"file": paths, "genre": [one.genre for one in heard]}
    songs = pd.DataFrame(facts | {"seconds": [7.0, 0.5], "padded": [False, True]})
    songs["silent"] = songs["padded"]
    songs[GENRES] = [one.probabilities[GENRES].to_list() for one in heard]
    segments = pd.concat([one.over_time for one in heard], ignore_index=True)
    segments.insert(0, "file", [paths[0], paths[0], paths[1]])

    options = ["--model", model, *["--over-time"] * over_time]
    status, out, err = run("predict", *paths, "--csv", *options)
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    pd.testing.assert_frame_equal(table, segments if over_time else songs, atol=1e-4)

    status, out, err = run("predict", *paths, "--json", *options)
    assert (status, err) == (0, "")
    told = json.loads(out)
    for entry, one in zip(told, heard, strict=True):
        assert ("over_time" in entry) is over_time
        told_segments = pd.DataFrame(entry.pop("over_time", one.over_time))
        pd.testing.assert_frame_equal(told_segments, one.over_time, atol=1e-4)
        assert list(entry["probabilities"]) == list(one.probabilities.index)
        entry |= entry.pop("probabilities")
    pd.testing.assert_frame_equal(pd.DataFrame(told)[[*songs]], songs, atol=1e-4)


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_bad_files_are_reported_on_stderr_and_others_predicted(run, song, model, tmp_path, form):
    nowhere, empty = tmp_path / "nowhere.wav", tmp_path / "empty.mp3"
    empty.touch()
    good = [song("a.wav"), song("b.wav")]
    status, out, err = run("predict", empty, good[0], nowhere, good[1], "--model", model, *form)
    assert status == 1
    # Missing files are reported first.
    assert [line.partition(": ")[0] for line in err.splitlines()] == [str(nowhere), str(empty)]
    assert out == run("predict", *good, "--model", model, *form)[1]
    assert all(path in out for path in good)
    # If all files are bad, the output is empty but valid.
    status, out, _ = run("predict", empty, "--model", model, *form)
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


def test_folders_are_songs_at_any_depth_in_the_order_of_names(
    run, song, model, tmp_path, monkeypatch
):
    paths = [song(f"music/{name}") for name in ("a/1.wav", "a/b/2.WAV", "c.flac")]
    (tmp_path / "music" / "a" / "cover.jpg").touch()
    (tmp_path / "music" / "a" / "up").symlink_to(tmp_path / "music")
    (tmp_path / "none").mkdir()
    alone = song("alone.wav")
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    (tmp_path / "my.keras").write_bytes(model.read_bytes())
    status, out, err = run("predict", alone, "~/music", "none", "--model", "~/my.keras", "--csv")
    assert (status, err) == (1, "none: no such file, or a folder without sound files.\n")
    assert pd.read_csv(io.StringIO(out))["file"].to_list() == [alone, *paths]
    assert run("predict", tmp_path / "none") == (1, "", err.replace("none", f"{tmp_path}/none"))


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_the_output_is_complete_up_to_ctrl_c(run, song, model, monkeypatch, form):
    path, other = song(), song("other.wav")
    expected = run("predict", path, "--model", model, *form)[1]

    def stopped(songs, model, **_):
        yield songs[0], predict.predict(songs[0], model)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "predict_files", stopped)
    told = run("predict", path, other, "--model", model, *form)
    assert told == (130, expected, "stopped.\n")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=" ".join)
def test_a_bad_model_is_reported_before_any_output(run, song, tmp_path, form):
    path = tmp_path / "bad.keras"
    path.write_text("no model")
    status, out, err = run("predict", song(), "--model", path, *form)
    assert (status, out) == (2, "")
    assert err.startswith(f"{path}: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["predict", "a", "--json", "--csv"], ["train", "a"]])
def test_wrong_arguments_print_the_usage(run, arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m gtzan_mfcc")


@pytest.fixture
def folder(tmp_path):
    """Write a few songs per class into a folder, and return it."""

    def folder(*classes, songs=2):
        for number, name in enumerate(classes):
            (tmp_path / "music" / name).mkdir(parents=True)
            for k in range(songs):
                noise = np.random.default_rng(k).uniform(-0.5, 0.5, WHOLE + 1_000)
                path = tmp_path / "music" / name / f"{k}.wav"
                soundfile.write(path, np.cumsum(noise) / 200 if number % 2 else noise, RATE)
        return tmp_path / "music"

    return folder


CALLS = []


def fit_nothing(segments, rows, *, seed):
    """Make a network that always predicts the first genre; record the training rows."""
    CALLS.append((segments.table["augmentation"].iloc[rows].tolist(), segments.genres, seed))
    model = untrained(segments.genres)
    kernel, bias = model.get_weights()
    model.set_weights([0 * kernel, bias + np.eye(len(bias))[0]])
    return model


@pytest.fixture
def trained(monkeypatch):
    """Replace the training, and list the copies and classes of each call."""
    CALLS.clear()
    monkeypatch.setattr(training, "fit_statistics_mlp", fit_nothing)
    return CALLS


def test_a_model_is_trained_on_a_folder_and_predicts_its_classes(
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
    score, *by_class, remark, written = out.splitlines()
    assert re.fullmatch(r"Accuracy on unseen songs: \d+% \(95 % interval \d+% to \d+%\)", score)
    assert [line.rpartition(": ")[0] for line in by_class] == [
        f"  {name}" for name in sorted(classes)
    ]
    assert remark == "tracks without artist: 10. So the split keeps tracks apart, not artists."
    assert written == f"{output}: {counts}"
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
    status, out, err = run("train", music, more, "--output", output, "--seed=7", "--no-score")
    assert (status, out) == (0, f"{output}: a (2), b (2)\n")
    assert err == "Few songs, so accuracy may be low: a (2), b (2).\n"
    expected = (4 * ["original", *augmentation.ROBUST], ["a", "b"], 7)
    assert trained == [expected]
    assert predict.load_model(output).genres == ["a", "b"]
    run("train", music, more, "--output", output, "--seed=7")
    # Two folds with half of the songs each, and then all songs.
    half = 2 * ["original", *augmentation.ROBUST]
    assert trained[1:] == [(half, ["a", "b"], 7)] * 2 + [expected]


def test_training_prints_the_accuracy_and_the_ignored_files(run, folder, trained, tmp_path):
    music, output = folder("a", "b", songs=6), tmp_path / "model.keras"
    (music / "b" / "album").mkdir()
    (music / "b" / "5.wav").rename(music / "b" / "album" / "5.wav")
    notes, loose, twice = music / "b" / "notes.txt", music / "c.wav", music / "a" / "0.mp3"
    for path in (notes, loose, twice):
        path.touch()
    groups = np.arange(12), np.arange(12) // 3
    tracks, artists = (evaluation.accuracy_interval(np.arange(12) < 6, each) for each in groups)
    score = "Accuracy on unseen songs: 50% (95 % interval {:.0%} to {:.0%})"
    score += "\n  a: 6 of 6\n  b: 0 of 6\n"
    status, out, err = run("train", music, "--output", output)
    remark = "tracks without artist: 12. So the split keeps tracks apart, not artists."
    written = f"{output}: a (6), b (6)\n"
    assert (status, out) == (0, f"{score.format(*tracks)}{remark}\n{written}")
    assert sorted(err.splitlines()) == [
        f"ignored, exists in another format (1): {twice}",
        f"ignored, not in a class folder (1): {loose}",
        f"ignored, unknown file extension (1): {notes}",
    ]
    # Two artists per class, four in all.
    names = [f"a/{k}" for k in range(6)] + [*(f"b/{k}" for k in range(5)), "b/album/5"]
    facts = pd.DataFrame({"track": names, "artist": [*"aaabbbcccddd"]})
    facts.to_csv(music / "tracks.csv", index=False)
    _, out, err_again = run("train", music, "--output", output)
    written = f"Artists are kept apart.\n{written}"
    assert (out, err_again) == (f"{score.format(*artists)}{written}", err)


def test_classes_of_a_single_song_are_not_tested(run, folder, trained, tmp_path):
    status, out, _ = run("train", folder("a", "b", songs=1), "--output", tmp_path / "m.keras")
    assert (status, len(out.splitlines())) == (0, 2)
    assert out.startswith("not tested: ")


@pytest.mark.parametrize(
    ("classes", "spoilt", "finding"),
    [
        (["alone"], "", "alone is the only class; two are needed."),
        (["alone", "other"], "other", "alone is the only class; two are needed."),
        (["a", "start"], "", "start"),
        (["a", "b"], "*", "none of 4 tracks can be used"),
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
    if spoilt:  # Printed before the extraction.
        counts = ", ".join(f"{name} (2)" for name in classes)
        assert err.startswith(f"Few songs, so accuracy may be low: {counts}.\n")
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
