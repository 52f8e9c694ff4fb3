"""A bad sound file gives a result, or an error that says what is wrong and what to do."""

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
AGAIN, EXPORT = "download it again", "export the file again"


def put(at, new):
    """Overwrite the bytes from a position on."""
    return lambda b: b[:at] + new + b[at + len(new) :]


def sound(y, rate=22_050):
    """Replace the samples of the file."""

    def write(b):
        with tempfile.TemporaryFile() as file:
            soundfile.write(file, np.array(y, np.float32), rate, "FLOAT", format="WAV")
            file.seek(0)
            return file.read()

    return write


# In these WAV files, the number of channels is at byte 22, the sample rate at 24, the size of the
# samples at 40, and the samples at 44. The message of the error must match the expression.
REFUSED = {
    "empty.wav": (lambda b: b"", "the file is empty; copy or download it again"),
    "page.wav": (lambda b: PAGE, f"not a sound file .*Format not recognised.*; {AGAIN}"),
    "page.mp3": (lambda b: PAGE, f"not a sound file .*Format not recognised.*; {AGAIN}"),
    # libsndfile would accept any file with such a name.
    "page.snd": (lambda b: PAGE, f"not a sound file .*; {AGAIN}"),
    "page.gsm": (lambda b: PAGE, f"not a sound file .*; {AGAIN}"),
    "noise.wav": (lambda b: NOISE, f"not a sound file .*; {AGAIN}"),
    "header.wav": (lambda b: b[:20], f"not a sound file .*; {AGAIN}"),
    "nothing.wav": (sound([]), "holds no samples; copy or download it again"),
    "nan.wav": (sound([0, np.nan, -np.inf, 1]), f"2 of the 4 .* 0 s on are NaN, inf.*; {EXPORT}"),
    "late.wav": (sound([0] * 45 * 22_050 + [np.nan]), "1 of the 330,751 samples from 30 s on"),
    "loud.wav": (sound([1e30] * 70_000), r"70,000 of the 70,000 .* above 1e\+10"),
    "rate-0.wav": (put(24, bytes(4)), f"not a sound file .*; {AGAIN}"),
    "rate-999.wav": (sound([0] * 999, 999), f"999 .* 1,000 to 1,000,000; {EXPORT}"),
    "rate-1000001.wav": (put(24, b"\x41\x42\x0f\0"), f"1,000,001 samples a second.*; {EXPORT}"),
    "rate-highest.wav": (put(24, b"\xff\xff\xff\x7f"), "2,147,483,647 samples a second"),
    "channels-0.wav": (put(22, bytes(2)), f"not a sound file .*; {AGAIN}"),
    "last-sample.wav": (lambda b: b[:-2], "cut short, with 77,174 of the 77,175 samples"),
    "short.wav": (
        lambda b: b[:2_044],
        f"cut short, with 1,000 of the 77,175 samples .*; .*{AGAIN}",
    ),
    "noise.flac": (put(5_000, NOISE), f"damaged sound .*; {AGAIN}"),
    "hole.ogg": (put(10_000, bytes(3_000)), f"cut short, .*; copy or {AGAIN}"),
    "hole.mp3": (put(10_000, bytes(3_000)), f"damaged sound .*; {AGAIN}"),
}

HEARD = {
    # A program that writes to a pipe does not know the size.
    "pipe.wav": put(40, b"\xff\xff\xff\x7f"),
    "ffmpeg.wav": put(40, b"\xff\xff\xff\xff"),
    "pipe.au": put(8, b"\xff\xff\xff\xff"),
    "tags.wav": lambda b: b[:36] + b"LIST\x64\0\0\0" + bytes(100) + b[36:],
    "more.wav": lambda b: b + NOISE,
    "tags.mp3": lambda b: b"ID3\4\0\0\0\0\7h" + bytes(1_000) + b,
    "junk.mp3": lambda b: b"junk" * 500 + b,
}


@pytest.fixture
def spoil(tmp_path, tone):
    """Write a sound file with this name, and change its bytes by a function."""

    def spoil(name, change):
        path = tmp_path / name
        kind = path.suffix[1:].upper()
        kind = kind if kind in soundfile.available_formats() else "WAV"
        soundfile.write(path, tone, 22_050, format=kind)
        path.write_bytes(change(path.read_bytes()))
        return path

    return spoil


def refusal(path):
    """Load a file that cannot be loaded; return the message without the path."""
    with pytest.raises(audio.AudioError) as caught:
        audio.load(path)
    message, given, name = str(caught.value), f"{path}: ", f"{Path(path)}: "
    assert message.startswith((given, name))
    message = message.removeprefix(given).removeprefix(name)
    assert not message.startswith(name)
    return message


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_named_with_its_fault_and_the_remedy(spoil, name):
    change, finding = REFUSED[name]
    assert re.match(finding, refusal(spoil(name, change)))


@pytest.mark.parametrize("name", HEARD)
def test_an_odd_file_is_heard_in_full(spoil, tone, name):
    y = audio.load(spoil(name, HEARD[name]))
    assert y.shape == tone.shape
    np.testing.assert_allclose(y, tone, atol=0.2)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.95])
@pytest.mark.parametrize("ending", ["wav", "flac", "au", "aiff", "caf", "mp3", "ogg"])
def test_a_file_cut_short_is_refused_or_shorter(spoil, tone, ending, share):
    path = spoil(f"a.{ending}", lambda b: b[: int(share * len(b))])
    if ending == "ogg" and share > 0.1:
        # An OGG file does not contain its length.
        assert 0 < len(audio.load(path)) < len(tone)
    else:
        assert AGAIN in refusal(path)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "~", "/", "nothing.wav", "file.txt/a.wav", "\0.wav", "a\0b.wav"),
        *("x" * 300 + ".wav", "x/" * 3_000 + "a.wav", "http://example.org/a.wav", "\ud800.wav"),
        *("/dev/null", "/proc/self/mem", "*.wav", "\n", "🎵" * 70),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_that_leads_to_no_sound_is_refused(monkeypatch, tmp_path, name, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("not a folder")
    assert ("a folder, not a sound file" in refusal(kind(name))) == os.path.isdir(Path(name))


def test_what_is_no_regular_file_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    for name, target in [("loop", "loop.wav"), ("zero", "/dev/zero"), ("terminal", "/dev/tty")]:
        Path(f"{name}.wav").symlink_to(target)
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
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.findall("^(.*): no such file; check the name", told, re.MULTILINE) == names
    assert len(names) == 5


def test_a_file_with_a_name_in_another_encoding_is_read(tmp_path, tone):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp3"))
    soundfile.write(tmp_path / "a.mp3", tone, 22_050)
    path.write_bytes(b"junk" * 500 + (tmp_path / "a.mp3").read_bytes())
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
