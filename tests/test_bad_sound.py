"""A bad sound file gives an error that says what is wrong and what to do."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtzan_mfcc import audio

PAGE = b"<html>404: not a song</html>\n" * 999
NOISE = np.random.default_rng(0).bytes(50_000)


def sound(y, rate=22_050, kind="WAV", subtype=None):
    """Return the content of a sound file."""
    file = io.BytesIO()
    soundfile.write(file, y, rate, format=kind, subtype=subtype)
    return file.getvalue()


def refusal(file):
    """Load a file that cannot be loaded; return the message without the path."""
    with pytest.raises(audio.AudioError) as caught:
        audio.load(file)
    before, name, message = str(caught.value).rpartition(f"{Path(file)}: ")
    assert name and not before
    return message


@pytest.fixture
def refused(tmp_path):
    def refused(content, name="a.wav"):
        (tmp_path / name).write_bytes(content)
        return refusal(tmp_path / name)

    return refused


def test_what_is_no_sound_is_refused(refused, tone):
    assert refused(b"") == "the file is empty; copy or download it again."
    for content in (PAGE, NOISE, sound(tone)[:20]):
        for name in ("a.wav", "a.snd", "a.m4a"):
            message = refused(content, name)
            assert message.startswith("not a sound file")
            assert message.endswith("copy or download it again.")
    assert refused(sound([])).startswith("no samples")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e11])
def test_samples_that_are_no_numbers_are_refused(refused, bad):
    late = np.append(np.zeros(45 * 22_050), bad)
    content = sound(late, subtype="FLOAT")
    assert "samples are NaN, infinite or above 1e10" in refused(content)


@pytest.mark.parametrize("rate", [999, 1_000_001])
def test_a_sample_rate_that_no_music_has_is_refused(refused, tone, rate):
    wav = bytearray(sound(tone))
    wav[24:28] = rate.to_bytes(4, "little")
    assert f"{rate:,} samples per second, not 1,000 to 1,000,000" in refused(wav)


def test_a_header_that_cannot_be_is_refused(refused, tone):
    wav = sound(tone)
    without_channels = wav[:22] + bytes(2) + wav[24:]
    assert "not a sound file" in refused(without_channels)


def test_one_missing_sample_is_reported(refused, tone):
    message = refused(sound(tone)[:-2])
    assert message == (
        "cut short or damaged, with 77,174 of the 77,175 samples that its header "
        "states; copy or download it again."
    )


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "MP3"])
@pytest.mark.parametrize("hole", [bytes(3_000), NOISE[:5_000]])
def test_a_hole_is_reported(refused, tone, kind, hole):
    whole = sound(tone, kind=kind)
    message = refused(whole[:10_000] + hole + whole[10_000 + len(hole) :])
    assert message.startswith("cut short or damaged, with")


def test_an_ogg_file_cut_short_is_heard(tone):
    # An OGG file does not contain its length.
    whole = sound(tone, kind="OGG")
    assert 0 < len(audio.load(whole[: len(whole) // 2])) < len(tone)


@pytest.mark.parametrize("extra", [NOISE, b"LIST\x64\0\0\0" + bytes(100)])
def test_what_follows_the_samples_is_not_heard(tone, extra):
    assert len(audio.load(sound(tone) + extra)) == len(tone)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing.wav",
        "file.txt/a.wav",
        "\0.wav",
        "x" * 300 + ".wav",
        "\ud800.wav",
        "/dev/null",
    ],
    ids=ascii,
)
def test_a_path_that_leads_to_no_sound_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("not a folder")
    assert re.match("no such file, or a folder|cannot be read", refusal(name))


def test_what_never_ends_is_refused_at_once(tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    endless = tmp_path / "endless.wav"
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        # In another process, because it could wait for ever.
        code = f"from gtzan_mfcc import audio; audio.load({str(path)!r})"
        done = subprocess.run(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60
        )
        assert b"no such file, or a folder or pipe" in done.stderr


def test_an_open_file_that_has_no_end_is_refused():
    reading, writing = os.pipe()
    wanted = pytest.raises(audio.AudioError, match=r"cannot be read .*seek")
    with open(reading, "rb") as file, open(writing, "wb"), wanted:
        audio.load(file)


def test_a_file_with_a_name_in_another_encoding_is_read(tmp_path, tone):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp3"))
    path.write_bytes(sound(tone, kind="MP3"))
    assert len(audio.load(path)) == len(tone)
    path.write_bytes(PAGE)
    assert "not a sound file" in refusal(path)
