"""Hunt for the unknown: thousands of inputs nobody thought of. Takes minutes; see `make fuzz`."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import spoilt_sound
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_audio import cut

from gtzan_mfcc import audio, dataset, extraction, predict

N_FILES = 5_000


@pytest.fixture(scope="module")
def model():
    return predict.load_pretrained()


def test_every_spoilt_file_is_heard_or_refused(tmp_path):
    def attempt(first):
        numbers = [str(first), str(first + N_FILES // 2)]
        command = [sys.executable, spoilt_sound.__file__, str(tmp_path), *numbers]
        return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")

    # Processes of their own, as a file may crash them.
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, [0, N_FILES // 2]))
    for process in done:
        assert process.returncode == 0, f"{process.stderr[-3_000:]}\n{spoilt_sound.__doc__}"
    heard, refused = np.sum([np.fromstring(p.stdout.splitlines()[-1], sep=" ") for p in done], 0)
    assert heard + refused == N_FILES
    assert min(heard, refused) > N_FILES / 5


def test_a_folder_of_spoilt_files_is_extracted_without_the_bad_ones(tmp_path, tone):
    sounds = spoilt_sound.seeds()
    for number in range(N_FILES, N_FILES + 200):
        name, content = spoilt_sound.spoil(number, sounds)
        path = tmp_path / ["Rock 'n' Roll", "é", "e\u0301", "🎷\n"][number % 4] / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    soundfile.write(path.with_name("\u202ea ‘good’ one.flac"), tone, 22_050)
    os.mkfifo(path.with_name("pipe.wav"))
    path.with_name("zero.wav").symlink_to("/dev/zero")
    tracks = dataset.load_tracks(tmp_path)
    segments = extraction.extract_mfcc(tracks, n_jobs=2, progress=False)
    assert np.isfinite(segments.mfcc).all()
    reasons = segments.left_out.set_index("path")["reason"]
    used = set(segments.table["track"])
    assert len(tracks) == len(used) + len(reasons) == 203
    assert min(len(used), len(reasons)) > 30
    for path in tracks["path"]:
        try:
            assert (path in reasons) == (len(audio.load(path)) < 11_025)
        except audio.AudioError as error:
            assert reasons[path] == str(error)


# --- Signals

FILLINGS = [0, 0.1, np.nan, np.inf, -np.inf, 1e300, -1e30, 1e9, 1e-40]


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from("f2 f4 f8 >f8 g i1 i2 >i2 i4 i8 u1 u2 u4 u8".split()),
    length=st.integers(0, 70_000) | st.sampled_from([11_024, 11_025, 66_047, 66_048]),
    filling=st.sampled_from(FILLINGS),
    rate=st.integers() | st.integers(900, 1_000_100) | st.sampled_from([0, -1, 22_050, 48_000]),
    seed=st.integers(0, 2**32),
)
@example("f4", 70_000, 1e9, 1_000, 0)
@example("i8", 66_150, 1e300, 1_000_000, 0)
@example("u8", 66_150, 0, 22_050, 0)
def test_any_signal_at_any_rate_is_heard_or_refused(model, kind, length, filling, rate, seed):
    rng = np.random.default_rng(seed)
    y = 0.1 * rng.standard_normal(length)
    y[rng.random(length) < 0.01] = filling
    with np.errstate(all="ignore"):
        if np.dtype(kind).kind in "iu":
            y = np.nan_to_num(y).clip(-1, 1) * (np.iinfo(kind).max // 2)
        y = y.astype(kind)
    try:
        heard = predict.predict(y, model, sample_rate=rate)
    except audio.AudioError as error:
        too_short = length * 22_050 < 11_025 * rate
        bad = y.dtype.kind == "f" and not (np.abs(y.astype("g")) < 1e10).all()
        assert too_short or bad or not 1_000 <= rate <= 1_000_000, error
    else:
        assert 1_000 <= rate <= 1_000_000
        assert heard.seconds == pytest.approx(length / rate, abs=1e-3)
        np.testing.assert_allclose(heard.over_time[model.genres].sum(axis=1), 1, rtol=1e-4)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_pieces_of_any_size_give_the_same_segments(data):
    total = data.draw(st.integers(1, 3_000) | st.integers(1, 300_000), label="total")
    length = data.draw(st.integers(1, total + 100), label="length")
    # As many segments as there are samples would only take long.
    step = data.draw(st.integers(min(length, 1 + total // 500), length), label="step")
    shortest = data.draw(st.none() | st.integers(1, length + 10), label="shortest")
    cuts = data.draw(st.lists(st.integers(0, total), max_size=20), label="cuts")
    y, how = np.arange(1, total + 1, dtype=np.float32), {"step": step, "shortest": shortest}
    if total < min(length // 6, shortest or length):
        with pytest.raises(audio.AudioError, match=f"{total:,} samples of sound"):
            list(audio.segments(np.split(y, sorted(cuts)), length, **how))
    else:
        found = np.concatenate(list(audio.segments(np.split(y, sorted(cuts)), length, **how)))
        np.testing.assert_array_equal(found, cut(y, length, **how), strict=True)


# --- Folders

ODD = (
    "genres genres_original Rock rock - ~ é e\u0301 🎷 ' \" a\\b * [a] ? %s {} .x a. nan NA \u202e"
)
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from([*ODD.split(), " ", "\n"]),
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
SOUND = ".wav .WAV .flac .au .Aiff .ogg .mp3".split()
FILES = st.builds(str.__add__, NAMES, st.sampled_from([*SOUND, ".txt", ""]))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, st.lists(FILES, max_size=6, unique=True), min_size=1, max_size=5))
@example({"genres": ["a.wav"], "genres_original": ["a.wav"]})
@example({"rock": ["a.wav", "a.mp3", "A.wav"], "Rock": ["a.wav"]})
@example({"é": ["é.wav"], "e\u0301": ["é.wav", "e\u0301.wav"]})
def test_every_sound_file_of_any_folder_is_listed_once(classes):
    files = [(genre, Path(name)) for genre, names in classes.items() for name in names]
    sound = {(genre, file.stem) for genre, file in files if file.suffix in SOUND}
    expected = sorted(names for names in sound if not any(name[0] == "." for name in names))
    with tempfile.TemporaryDirectory() as folder:
        for genre, names in classes.items():
            Path(folder, genre).mkdir()
            for name in names:
                Path(folder, genre, name).touch()
        above = {"genres", "genres_original"} & classes.keys() - {genre for genre, _ in expected}
        if above or not expected:
            with pytest.raises(dataset.DatasetError, match=re.escape(folder)):
                dataset.load_tracks(folder)
        else:
            tracks = dataset.load_tracks(folder)
            paths = [Path(path) for path in tracks["path"]]
            assert sorted((path.parent.name, path.stem) for path in paths) == expected
            assert tracks["genre"].to_list() == [path.parent.name for path in paths]
            assert tracks["track"].is_unique
