"""Spoil sound files of every format in many ways, and hear them.

    python tests/fuzz/spoilt_sound.py FOLDER FIRST LAST

tries the spoilt files of these numbers one after the other, in a folder that exists. It ends at
the first that crashes, takes too much time or memory, or ends in anything but a result or an
AudioError; that file stays in the folder. The last line counts what ended how.
"""

import faulthandler
import io
import os
import resource
import sys
from collections import Counter
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

from gtzan_mfcc import audio, predict

PATIENCE = 40
"""Seconds a file may take: far more than any needs, as the machine may be busy."""

ROOM = 200 * 2**20
"""Bytes of memory a file may take beyond what the files before it did."""

# By some of these, libsndfile or soundfile would take anything for sound.
ENDINGS = ["", *"wav FLAC ogg mp3 mp4 txt sd2 raw au snd vox gsm".split()]


def seeds():
    """Sound in every format that soundfile writes and reads: a list of bytes for each."""
    # SD2 lies in two files, and leaves one of them in the working directory.
    kinds = [kind for kind in soundfile.available_formats() if kind != "SD2"]
    subtypes_of = {kind: soundfile.available_subtypes(kind) for kind in kinds}
    found, rng = {}, np.random.default_rng(0)
    for kind, subtypes in subtypes_of.items():
        for subtype, (rate, channels) in product(subtypes, [(16_000, 1), (48_000, 2)]):
            y = np.sin(np.arange(7 * rate // 10) / 9)[:, np.newaxis].repeat(channels, axis=1)
            y, file = 0.3 * y + 0.01 * rng.standard_normal(y.shape), io.BytesIO()
            with suppress(soundfile.LibsndfileError, TypeError):
                soundfile.write(file, y, rate, subtype, format=kind)
                soundfile.read(io.BytesIO(file.getvalue()))
                found.setdefault(kind, []).append(file.getvalue())
    return found


def truncated(b, rng, other):
    return b[: rng.integers(len(b) if rng.random() < 0.5 else 200)]


def flipped(b, rng, other):
    b = bytearray(b)
    for at in rng.integers(len(b) if rng.random() < 0.3 else 200, size=rng.integers(1, 9)):
        b[at % len(b)] ^= 1 << rng.integers(8)
    return bytes(b)


def overwritten(b, rng, other):
    """Put a number that is often a limit into the header."""
    at, width = int(rng.integers(rng.choice([48, 400]))), int(rng.choice([1, 2, 4, 8]))
    top = 2 ** (8 * width)
    values = [0, 1, 2, 255, 1_025, top // 2 - 1, top // 2, top - 2, top - 1, top - 1]
    value = values[rng.integers(len(values))] % top
    order = "little" if rng.random() < 0.5 else "big"
    return b[:at] + value.to_bytes(width, order) + b[at + width :]


def replaced(b, rng, other):
    """Put nothing, noise, zeros or other sound in the place of some bytes, or of none."""
    at = int(rng.integers(len(b) if rng.random() < 0.5 else 200))
    gone, come = rng.choice([0, 1, 5_000, 20_000], size=2)
    come = [rng.bytes(come), bytes(int(come)), other[at:], other][rng.integers(4)]
    return b[:at] + come + b[at + int(gone) :]


def tagged(b, rng, other):
    size = int(rng.choice([0, 10, 1_000, 2**20, 2**28 - 1]))
    claim = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    tag = b"ID3\x04\x00" + bytes([rng.choice([0, 16, 64, 255])]) + claim
    return tag + bytes(min(size, int(rng.integers(2_000)))) + b


def anything(b, rng, other):
    size = int(rng.choice([1, 3, 100, 5_000, 200_000]))
    return [bytes(size), rng.bytes(size), b"not a song\n" * size, b][rng.integers(4)]


WAYS = [truncated, *2 * [flipped, overwritten, replaced], tagged, anything]


def spoil(number, sounds):
    """Give name and bytes of the spoilt file of this number."""
    rng = np.random.default_rng(number)
    kind, other = rng.choice(list(sounds), size=2)
    b, other = (sounds[name][rng.integers(len(sounds[name]))] for name in (kind, other))
    way = WAYS[rng.integers(len(WAYS))]
    ending = kind.lower() if rng.random() < 0.6 else ENDINGS[rng.integers(len(ENDINGS))]
    return f"{number:05d} größer 大 {way.__name__} {kind}.{ending}".rstrip("."), way(b, rng, other)


def hear(path, model):
    """Load a file and predict its genre; tell what it ended in."""
    try:
        y = audio.load(path)
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        heard = predict.predict(path, model)
    except audio.AudioError as error:
        assert str(error).startswith(f"{path}: ")
        return "refused"
    np.testing.assert_allclose(heard.over_time[model.genres].sum(axis=1), 1, rtol=1e-4)
    return "heard"


def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder, first, last):
    faulthandler.enable()
    model, sounds, ends = predict.load_pretrained(), seeds(), Counter()
    predict.predict(np.zeros(70_000, np.float32), model)
    # Memory that is asked for and not used counts, too.
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2**31, resource.RLIM_INFINITY))
    for number in range(int(first), int(last)):
        name, content = spoil(number, sounds)
        path = Path(folder, name)
        path.write_bytes(content)
        print(path, file=sys.stderr, flush=True)
        before = peak()
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        ends[hear(path, model)] += 1
        faulthandler.cancel_dump_traceback_later()
        assert peak() - before < ROOM, "too much memory"
        path.unlink()
    print(ends["heard"], ends["refused"])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*sys.argv[1:])
