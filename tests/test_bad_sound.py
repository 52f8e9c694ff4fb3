"""A bad sound file gives an error that says what is wrong and what to do."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gtzan_mfcc import audio

PAGE = b"<html>404: not a song</html>\n" * 999
NOISE = np.random.default_rng(0).bytes(50_000)


def sound(tmp_path, y, rate=22_050, kind="WAV", subtype=None):
    """Return the content of a file with these samples."""
    path = tmp_path / "sound"
    soundfile.write(path, np.array(y, np.float32), rate, subtype, format=kind)
    return path.read_bytes()


def refusal(file):
    """Load a file that cannot be loaded; return the message without the path."""
    with pytest.raises(audio.AudioError) as caught:
        audio.load(file)
    name, message = f"{Path(file)}: ", str(caught.value)
    assert message.startswith(name)
    assert message.count(name) == 1
    return message.removeprefix(name)


@pytest.fixture
def refused(tmp_path):
    def refused(content, name="a.wav"):
        (tmp_path / name).write_bytes(content)
        return refusal(tmp_path / name)

    return refused


def test_what_is_no_sound_is_refused(refused, tone, tmp_path):
    assert refused(b"") == "the file is empty; copy or download it again."
    for name in ("a.wav", "a.mp3", "a.snd", "a.gsm", "a.m4a"):
        for content in (PAGE, NOISE, sound(tmp_path, tone)[:20]):
            message = refused(content, name)
            assert message.startswith("not a sound file (")
            assert message.endswith("download it again.")
    message = refused(sound(tmp_path, []))
    assert message == "holds no samples; copy or download it again."


def test_samples_that_are_no_numbers_are_refused(refused, tmp_path):
    def message(y):
        return refused(sound(tmp_path, y, subtype="FLOAT"))

    assert "2 of the 4 samples from 0 s on are NaN" in message([0, np.nan, -np.inf, 1])
    late = np.append(np.zeros(45 * 22_050), np.nan)
    assert "1 of the 330,751 samples from 30 s on" in message(late)
    assert "3 of the 3 samples" in message([1e30] * 3)


@pytest.mark.parametrize("rate", [999, 1_000_001, 0x7FFFFFFF])
def test_a_sample_rate_that_no_music_has_is_refused(refused, tmp_path, tone, rate):
    wav = bytearray(sound(tmp_path, tone))
    wav[24:28] = rate.to_bytes(4, "little")
    assert f"{rate:,} samples per second, not 1,000 to 1,000,000" in refused(wav)


def test_a_header_that_cannot_be_is_refused(refused, tmp_path, tone):
    wav = sound(tmp_path, tone)
    for start, size in ((22, 2), (24, 4)):  # The number of channels, the sample rate.
        assert "not a sound file" in refused(wav[:start] + bytes(size) + wav[28:])


def test_one_missing_sample_is_reported(refused, tmp_path, tone):
    message = refused(sound(tmp_path, tone)[:-2])
    assert message == (
        "cut short, with 77,174 of the 77,175 samples that its header states; copy or "
        "download it again."
    )


@pytest.mark.parametrize("kind", ["OGG", "FLAC", "MP3"])
@pytest.mark.parametrize("hole", [bytes(3_000), NOISE[:5_000]])
def test_a_hole_is_reported(refused, tmp_path, tone, kind, hole):
    whole = sound(tmp_path, tone, kind=kind)
    message = refused(whole[:10_000] + hole + whole[10_000 + len(hole) :])
    assert "samples that its header states" in message


def test_an_ogg_file_cut_short_is_heard(tmp_path, tone):
    # An OGG file does not contain its length.
    whole = sound(tmp_path, tone, kind="OGG")
    assert 0 < len(audio.load(whole[: len(whole) // 2])) < len(tone)


@pytest.mark.parametrize("extra", [NOISE, b"LIST\x64\0\0\0" + bytes(100)])
def test_what_follows_the_samples_is_not_heard(tmp_path, tone, extra):
    assert len(audio.load(sound(tmp_path, tone) + extra)) == len(tone)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "/", "nothing.wav", "file.txt/a.wav", "\0.wav", "x" * 300 + ".wav"),
        *("x/" * 3_000 + "a.wav", "http://example.org/a.wav", "\ud800.wav", "*.wav"),
        *("/dev/null", "/proc/self/mem"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_leads_to_no_sound_is_refused(monkeypatch, tmp_path, name, kind):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("not a folder")
    is_folder = "a folder, not a sound file" in refusal(kind(name))
    assert is_folder == os.path.isdir(Path(name))


def test_what_is_no_regular_file_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    Path("loop.wav").symlink_to("loop.wav")
    Path("zero.wav").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
    names = sorted(map(str, Path().glob("*.wav")))
    # In another process, because it could wait for ever.
    code = (
        "import sys; from gtzan_mfcc import audio\n"
        "for path in sys.argv[1:]:\n"
        "    try: audio.load(path)\n"
        "    except audio.AudioError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, *names]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert re.findall("^(.*): no such file; check", told, re.MULTILINE) == names
    assert len(names) == 4


def test_an_open_file_that_has_no_end_is_refused():
    reading, writing = os.pipe()
    wanted = pytest.raises(audio.AudioError, match=r"cannot be read .*seek")
    with open(reading, "rb") as file, open(writing, "wb"), wanted:
        audio.load(file)


def test_a_file_with_a_name_in_another_encoding_is_read(tmp_path, tone):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp3"))
    path.write_bytes(sound(tmp_path, tone, kind="MP3"))
    assert len(audio.load(path)) == len(tone)
    path.write_bytes(PAGE)
    assert "not a sound file" in refusal(path)


def test_what_may_not_be_read_is_refused(tone):
    # Not in tmp_path, which only its owner may enter. Root may read all files.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "locked.wav")
        soundfile.write(path, tone, 22_050)
        path.chmod(0)
        Path(folder).chmod(0o755)
        me = os.geteuid()
        os.seteuid(me or 65_534)
        try:
            assert "cannot be read (Permission denied)" in refusal(path)
        finally:
            os.seteuid(me)
