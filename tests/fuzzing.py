"""Spoil sound files in thousands of ways; try bad files in a process that may die of them.

As a program it tries one file after the other, and tells of each when it begins, what it ended in
and what memory it took. For each it can map `ROOM` more than before; a file that takes longer than
`PATIENCE` ends it. One of the spoilt sound files is tried again, with the sound files that
`write_seeds` wrote, by its number:

    python tests/fuzzing.py sounds SEEDS EMPTY_FOLDER 123
"""

import argparse
import faulthandler
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

ROOM = 2 * 2**30
"""Bytes."""

PATIENCE = 40
"""Seconds, far more than any file needs, as the machine may be busy."""

# name, format, subtype, samples a second, channels, seconds
SEEDS = [
    ("pcm16.wav", "WAV", "PCM_16", 22_050, 1, 4),
    ("short.wav", "WAV", "PCM_16", 22_050, 1, 0.7),
    ("pcm24.wav", "WAV", "PCM_24", 48_000, 2, 0.7),
    ("float.wav", "WAV", "FLOAT", 44_100, 2, 0.7),
    ("double.wav", "WAVEX", "DOUBLE", 8_000, 1, 4),
    ("ima.wav", "WAV", "IMA_ADPCM", 16_000, 2, 0.7),
    ("ms.wav", "WAV", "MS_ADPCM", 16_000, 1, 0.7),
    ("gsm.wav", "WAV", "GSM610", 8_000, 1, 0.7),
    ("big.wav", "RF64", "PCM_16", 11_025, 1, 0.7),
    ("sphere.wav", "NIST", "PCM_16", 16_000, 1, 0.7),
    ("a.flac", "FLAC", "PCM_16", 44_100, 2, 4),
    ("deep.flac", "FLAC", "PCM_24", 32_000, 1, 0.7),
    ("a.ogg", "OGG", "VORBIS", 44_100, 2, 4),
    ("short.ogg", "OGG", "VORBIS", 8_000, 1, 0.7),
    ("a.opus", "OGG", "OPUS", 48_000, 2, 0.7),
    ("narrow.opus", "OGG", "OPUS", 8_000, 1, 4),
    ("a.mp3", "MP3", "MPEG_LAYER_III", 44_100, 2, 4),
    ("short.mp3", "MP3", "MPEG_LAYER_III", 16_000, 1, 0.7),
    ("a.au", "AU", "PCM_16", 22_050, 1, 4),
    ("law.au", "AU", "ULAW", 8_000, 1, 0.7),
    ("g721.au", "AU", "G721_32", 8_000, 1, 0.7),
    ("a.aiff", "AIFF", "PCM_16", 44_100, 2, 0.7),
    ("float.aif", "AIFF", "FLOAT", 22_050, 1, 0.7),
    ("a.w64", "W64", "PCM_16", 22_050, 1, 0.7),
    ("a.caf", "CAF", "PCM_16", 22_050, 1, 0.7),
    ("alac.caf", "CAF", "ALAC_16", 22_050, 2, 0.7),
    # libsndfile goes by the bytes, so what is called .wav may be any of these.
    ("amiga.wav", "SVX", "PCM_16", 22_050, 1, 0.7),
    ("paris.wav", "PAF", "PCM_24", 22_050, 1, 0.7),
    ("berkeley.wav", "IRCAM", "PCM_16", 22_050, 1, 0.7),
    ("creative.wav", "VOC", "PCM_16", 22_050, 1, 0.7),
    ("octave.wav", "MAT4", "PCM_16", 22_050, 1, 0.7),
    ("matlab.wav", "MAT5", "PCM_16", 22_050, 1, 0.7),
    ("portable.wav", "PVF", "PCM_16", 22_050, 1, 0.7),
    ("htk.wav", "HTK", "PCM_16", 22_050, 1, 0.7),
    ("midi.wav", "SDS", "PCM_16", 22_050, 1, 0.7),
    ("avr.wav", "AVR", "PCM_16", 22_050, 1, 0.7),
    ("akai.wav", "MPC2K", "PCM_16", 22_050, 1, 0.7),
    ("tracker.wav", "XI", "DPCM_16", 44_100, 1, 0.7),
    ("psion.wav", "WVE", "ALAW", 8_000, 1, 0.7),
]


def write_seeds(folder):
    """Write a sound file in each format."""
    rng = np.random.default_rng(0)
    for name, kind, subtype, rate, channels, seconds in SEEDS:
        t = np.arange(int(seconds * rate)) / rate
        y = 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-(t % 0.5) * 4)
        y = np.stack([(k + 1) / channels * y for k in range(channels)], axis=1)
        y += 0.01 * rng.standard_normal(y.shape)
        soundfile.write(folder / name, y, rate, subtype, format=kind)


def truncated(b, rng, seeds):
    return b[: rng.integers(len(b))]


def truncated_header(b, rng, seeds):
    return b[: rng.integers(200)]


def flipped(b, rng, within):
    b = bytearray(b)
    for at in rng.integers(min(len(b), within), size=rng.integers(1, 9)):
        b[at] ^= 1 << rng.integers(8)
    return bytes(b)


def flipped_header(b, rng, seeds):
    return flipped(b, rng, 200)


def flipped_anywhere(b, rng, seeds):
    return flipped(b, rng, len(b))


def overwritten(b, rng, within):
    at = int(rng.integers(min(len(b), within)))
    width = int(rng.choice([1, 2, 4, 8]))
    top = 2 ** (8 * width)
    value = int(rng.choice([0, 1, 2, 255, 1_025, 2**31 - 1, 2**31, 2**32 - 2, 2**63 - 1])) % top
    if rng.random() < 0.4:
        value = top - 1
    order = "little" if rng.random() < 0.5 else "big"
    return b[:at] + value.to_bytes(width, order) + b[at + width :]


def overwritten_field(b, rng, seeds):
    return overwritten(b, rng, 48)


def overwritten_header(b, rng, seeds):
    return overwritten(b, rng, 400)


def inserted(b, rng, seeds):
    at = int(rng.integers(len(b) if rng.random() < 0.5 else 200))
    return b[:at] + rng.bytes(int(rng.integers(1, 5_000))) + b[at:]


def removed(b, rng, seeds):
    at = int(rng.integers(len(b) if rng.random() < 0.5 else 200))
    return b[:at] + b[at + int(rng.integers(1, 5_000)) :]


def zeros_inside(b, rng, seeds):
    at, n = int(rng.integers(len(b))), int(rng.integers(1, 20_000))
    return b[:at] + bytes(len(b[at : at + n])) + b[at + n :]


def noise_after_the_header(b, rng, seeds):
    at = int(rng.integers(12, 300))
    return b[:at] + rng.bytes(max(0, len(b) - at))


def another_after_it(b, rng, seeds):
    return b + seeds[int(rng.integers(len(seeds)))]


def another_from_the_middle_on(b, rng, seeds):
    other = seeds[int(rng.integers(len(seeds)))]
    return b[: len(b) // 2] + other[len(other) // 2 :]


def tagged(b, rng, seeds):
    size = int(rng.choice([0, 10, 1_000, 2**20, 2**28 - 1]))
    claim = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    tag = b"ID3\x04\x00" + bytes([rng.choice([0, 16, 64, 255])]) + claim
    return tag + bytes(min(size, int(rng.integers(2_000)))) + b


def another_extension(b, rng, seeds):
    return b  # See `spoil`.


def checksum(page):
    """Of a page of an Ogg file."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC[crc >> 24 ^ byte]
    return crc


def _crc_of(byte):
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if crc >> 31 else 0)
    return crc


_CRC = [_crc_of(byte) for byte in range(256)]


def flipped_with_a_right_checksum(b, rng, seeds):
    """Flip bytes of one of the first pages of an Ogg file, whose decoder then does not drop it."""
    pages = [k for k in range(len(b)) if b.startswith(b"OggS", k)][:6]
    if len(pages) < 2:
        return flipped_anywhere(b, rng, seeds)
    k = int(rng.integers(len(pages) - 1))
    start, end = pages[k : k + 2]
    page = bytearray(flipped(b[start:end], rng, end - start))
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", checksum(page))
    return b[:start] + bytes(page) + b[end:]


_WAYS = [
    truncated,
    truncated_header,
    flipped_header,
    flipped_header,
    flipped_anywhere,
    overwritten_field,
    overwritten_field,
    overwritten_header,
    inserted,
    removed,
    zeros_inside,
    noise_after_the_header,
    another_after_it,
    another_from_the_middle_on,
    tagged,
    another_extension,
    flipped_with_a_right_checksum,
]

# Some have libsndfile or soundfile take any bytes for sound without a header.
EXTENSIONS = ("", ".wav", ".FLAC", ".ogg", ".mp3", ".mp4", ".txt", ".sd2")
EXTENSIONS += (".raw", ".au", ".snd", ".vox", ".gsm")

_ROUNDS = 3

N_CASES = _ROUNDS * len(_WAYS) * len(SEEDS) + 20


class Case(NamedTuple):
    number: int
    seed: str
    way: str
    name: str
    content: bytes


def spoil(number, folder):
    """Make the case of this number out of the seeds in a folder; the same each time."""
    rng = np.random.default_rng(number)
    nth, k = divmod(number, len(SEEDS))
    if nth >= _ROUNDS * len(_WAYS):
        size = int(rng.choice([1, 3, 100, 5_000, 200_000]))
        way, content = [("zeros", bytes(size)), ("noise", rng.bytes(size))][number % 2]
        extension = EXTENSIONS[int(rng.integers(len(EXTENSIONS)))]
        return Case(number, "nothing", way, f"{number:04d} größer 大{extension}", content)
    way, seed = _WAYS[nth % len(_WAYS)], Path(folder, SEEDS[k][0])
    seeds = []
    if "another" in way.__name__:
        seeds = [Path(folder, name).read_bytes() for name, *_ in SEEDS]
    content = way(seed.read_bytes(), rng, seeds)
    extension = seed.suffix
    if way is another_extension:
        extension = EXTENSIONS[int(rng.integers(len(EXTENSIONS)))]
    name = f"{number:04d} größer 大 {seed.stem}{extension}"
    return Case(number, seed.name, way.__name__, name, content)


def outcome(do, *args):
    """Call a function, and tell what it ended in."""
    try:
        return {"result": do(*args)}
    except ValueError as error:
        # The package's own errors, by name, since here they need not be imported.
        if type(error).__name__ in ("AudioError", "ModelError"):
            return {type(error).__name__: str(error)}
        return {"escaped": f"{type(error).__name__}: {error}"}
    except Exception as error:  # Whatever it is, it is what the tests are after.
        return {"escaped": f"{type(error).__name__}: {error}"}


def load(path):
    from gtzan_mfcc import audio

    y = audio.load(path)
    assert y.ndim == 1
    assert y.dtype == np.float32
    return {"samples": len(y), "finite": bool(np.isfinite(y).all())}


def probabilities(path, model):
    from gtzan_mfcc import predict

    over_time = predict.predict(path, model).over_time
    return over_time.drop(columns=["start", "end"]).to_numpy().tolist()


def try_sound(path, model):
    return {"load": outcome(load, path), "predict": outcome(probabilities, path, model)}


def hear(model):
    """Hear noise as long as a segment, and give the probabilities."""
    seconds = max(3, model.segment_length / model.sample_rate)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, int(22_050 * seconds))
    return probabilities(noise, model)


def try_to_load(path, _):
    from gtzan_mfcc import predict

    return {"load": outcome(lambda: predict.load_model(path).genres)}


def try_model(path, _):
    """Load it and, if it can be loaded, hear with it."""
    from gtzan_mfcc import predict

    loaded = outcome(predict.load_model, path)
    if (model := loaded.get("result")) is None:
        return {"load": loaded}
    return {"load": {"result": model.genres}, "predict": outcome(hear, model)}


def try_corpus(path, _):
    """Extract a folder of sound; tell which tracks were used, and which were left out and why."""
    from gtzan_mfcc import dataset, extraction

    def extract():
        tracks = dataset.load_tracks(path)
        with tempfile.TemporaryDirectory() as cache:
            segments = extraction.extract_mfcc(tracks, n_jobs=1, cache=cache, progress=False)
            assert np.isfinite(segments.mfcc).all()
            left_out = segments.left_out.set_index("path")["reason"].to_dict()
            used = set(segments.table["track"])
        return {
            "tracks": tracks["track"].to_list(),
            "used": tracks.loc[tracks["track"].isin(used), "path"].to_list(),
            "left_out": left_out,
        }

    return {"extract": outcome(extract)}


_ATTEMPTS = {
    "files": try_sound,
    "corpus": try_corpus,
    "models": try_model,
    "models unheard": try_to_load,
}


def peak():
    """Bytes of memory that this process has had at most since `forget_peak`."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("no VmHWM in /proc/self/status")


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def bound_memory():
    """Let this process map no more than `ROOM` beyond what it has mapped by now."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + ROOM, most))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["sounds", *_ATTEMPTS])
    parser.add_argument("paths", nargs="*")
    asked = parser.parse_args()
    # The libraries for sound write to stdout, too.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    faulthandler.enable()

    def tell(**what):
        print(json.dumps(what), file=told, flush=True)

    from gtzan_mfcc import predict

    model = predict.load_pretrained()
    predict.predict(np.zeros(70_000, np.float32), model)
    items = asked.paths
    if asked.what == "sounds":
        seeds, work, *items = asked.paths
    attempt = _ATTEMPTS.get(asked.what, try_sound)
    for item in items:
        path, about = item, {}
        if asked.what == "sounds":
            case = spoil(int(item), seeds)
            path = str(Path(work, case.name))
            Path(path).write_bytes(case.content)
            about = {"seed": case.seed, "way": case.way}
        tell(item=item, path=path, **about)
        before = forget_peak()
        bound_memory()
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        ends = attempt(path, model)
        faulthandler.cancel_dump_traceback_later()
        tell(item=item, took=peak() - before, **ends)
        if asked.what == "sounds" and not any("escaped" in end for end in ends.values()):
            Path(path).unlink()


def run(what, items, *before):
    """Try all of them in a process of their own, and in a new one those after one that killed it.

    Gives what was told of each, by item; of a killer its ``death``, with the end of stderr.
    """
    told, left = {}, list(map(str, items))
    while left:
        arguments = [sys.executable, __file__, what, *map(str, before), *left]
        done = subprocess.run(
            arguments, capture_output=True, encoding="utf-8", errors="replace", env=_environment()
        )
        for line in done.stdout.splitlines():
            line = json.loads(line)
            told.setdefault(line["item"], {}).update(line)
        ended = [item for item in left if "took" in told.get(item, {})]
        left = left[len(ended) :]
        if left:
            if left[0] not in told:
                raise RuntimeError(f"died before the first file: {done.stderr[-5_000:]}")
            told[left.pop(0)]["death"] = f"exit status {done.returncode}: {done.stderr[-5_000:]}"
    return told


def run_on_two(what, items, *before):
    """As `run`, by two processes."""
    items = list(items)
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda part: run(what, part, *before), (items[::2], items[1::2]))
    return {item: told for part in parts for item, told in part.items()}


def _environment():
    # More threads than cores would only map more memory.
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


if __name__ == "__main__":
    main()
