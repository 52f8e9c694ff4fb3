"""Compare time, memory and size of `extract_mfcc` with those of the study's code.

``make bench`` runs all parts on GTZAN, or on the toy corpus if there is no GTZAN. A
quick run is ``python tests/benchmarks/extraction.py --tracks 20 --rounds 2 ratio``.
Each measurement is in a new process. The two ways alternate, so that other load on the
machine affects both.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import audiomentations
import joblib
import numpy as np
import pandas as pd
import psutil
import scipy.fft
import soundfile
import soxr

from gtzan_mfcc import audio, augmentation, dataset, extraction, notebook
from gtzan_mfcc._librosa import librosa

SEED = 0
SEGMENT = 66_150
PARTS = ["ratio", "floor", "growth", "long"]


def corpus(n_tracks):
    """Return n tracks, one genre after the other, repeated with new names."""
    tracks = dataset.load_tracks(notebook.corpus_folder())
    tracks = tracks[~tracks["path"].str.contains(r"jazz\.00054")]
    turn = tracks.groupby("genre", observed=True).cumcount()
    tracks = tracks.assign(turn=turn).sort_values(["turn", "genre"], kind="stable")
    again = [
        tracks.assign(track=tracks["track"] + f".{k}")
        for k in range(1 + n_tracks // len(tracks))
    ]
    return pd.concat(again).head(n_tracks).reset_index(drop=True)


def the_studys_way(tracks, folder):
    """Load, slice, augment and transform a segment at a time; write JSON at the end."""
    data = {"mapping": list(tracks["genre"].cat.categories), "labels": [], "mfcc": []}
    for track, path, label in zip(
        tracks["track"], tracks["path"], tracks["genre"].cat.codes
    ):
        signal, rate = librosa.load(path, sr=22_050)
        # The generators of the package, so that both ways draw the same numbers.
        gain, noise, pitch = (
            augmentation.track_generator(track, name, seed=SEED)
            for name in augmentation.STUDY
        )
        for k in range(10):
            segment = signal[k * SEGMENT : (k + 1) * SEGMENT]
            if len(segment) < 129 * 512:
                continue
            segment = librosa.util.fix_length(segment, size=SEGMENT)
            decibels = 20 * np.log10(gain.uniform(2, 4))
            amplitude = np.float32(noise.choice([0.1, 0.2, 0.3, 0.4])) * segment.std()
            semitones = pitch.choice([-1, -2, -3])
            versions = [
                segment,
                audiomentations.Gain(decibels, decibels, p=1.0)(segment, rate),
                segment
                + amplitude * noise.standard_normal(len(segment), dtype=np.float32),
                librosa.effects.pitch_shift(segment, sr=rate, n_steps=semitones),
            ]
            for version in versions:
                mfcc = librosa.feature.mfcc(
                    y=version, sr=rate, n_mfcc=13, n_fft=2048, hop_length=512
                )
                data["mfcc"].append(mfcc.T.tolist())
                data["labels"].append(int(label))
    with open(folder / "data.json", "w") as file:
        json.dump(data, file, indent=4)


def our_way(tracks, folder):
    """Do the same with one call of the package."""
    extraction.extract_mfcc(
        tracks,
        augmentations=augmentation.STUDY,
        seed=SEED,
        cache=folder,
        progress=False,
    )


def measure(way, what, folder):
    """Run one way in a new process; return time, peak memory and bytes written.

    ``what`` is a number of tracks, or the name of a file.
    """
    command = [sys.executable, __file__, way, str(what), str(folder)]
    process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        memory = 0
        # Pages that several processes share count several times.
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory += one.memory_info().rss
        peak = max(peak, memory)
        time.sleep(0.5)  # measuring takes time of a core, and our way uses all cores
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    seconds = float(process.stdout.read())
    return {"seconds": seconds, "megabytes": peak / 1e6, "bytes": written}


def only(way, what, folder):
    """Run one way in this process, and print the seconds that it takes."""
    tracks = corpus(int(what)) if what.isdigit() else [what]
    function = the_studys_way if way == "study" else our_way
    start = time.perf_counter()
    function(tracks, Path(folder))
    print(time.perf_counter() - start)


def ratio(n_tracks, rounds):
    """Run both ways in turn on the same tracks, and compare them."""
    print(f"\n{n_tracks} tracks with three augmented copies, {rounds} rounds in turn:")
    theirs = []
    ours = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as temporary:
            study = Path(temporary, "study")
            study.mkdir()
            theirs.append(measure("study", n_tracks, study))
            package = Path(temporary, "package")
            ours.append(measure("package", n_tracks, package))
            compare(corpus(n_tracks), study, package)
        print(f"  study {theirs[-1]}\n  package {ours[-1]}")
    theirs = pd.DataFrame(theirs)
    ours = pd.DataFrame(ours)
    ratios = theirs["seconds"] / ours["seconds"]
    return {
        "speed_ratio": ratios.median(),
        "slowest_ratio": ratios.min(),
        "fastest_ratio": ratios.max(),
        "share_of_bytes": ours["bytes"][0] / theirs["bytes"][0],
        "peak_mb": round(ours["megabytes"].max()),
        "study_peak_mb": round(theirs["megabytes"].max()),
        "tracks": n_tracks,
        "rounds": rounds,
    }


def compare(tracks, theirs, ours):
    """Compare the MFCCs of both ways, copy by copy."""
    copies = ["original", *augmentation.STUDY]
    data = json.loads((theirs / "data.json").read_text())
    study = np.array(data["mfcc"], np.float32)
    segments = extraction.extract_mfcc(
        tracks, augmentations=augmentation.STUDY, seed=SEED, cache=ours
    )
    # The study's copies follow each segment; ours follow each track.
    for position, copy in enumerate(copies):
        x = segments.select(segments.table["augmentation"] == copy).x
        difference = np.abs(x - study[position :: len(copies)]).max()
        print(f"  {copy:12} MFCCs differ by {difference:.1e} at most")
        # librosa shifts the pitch in float32, and so differs from itself in float64;
        # tests/test_augmentation.py compares with that.
        assert difference < 0.01 or copy == "pitch_scale"


def growth():
    """Measure time and memory of our way for several numbers of tracks."""
    results = {}
    for size in (50, 100, 200, 400, 1000):
        with tempfile.TemporaryDirectory() as folder:
            measured = measure("package", size, Path(folder))
        results[f"ms_a_track_at_{size}"] = round(measured["seconds"] / size * 1000)
        results[f"peak_mb_at_{size}"] = round(measured["megabytes"])
    return results


def floor():
    """Compare the time of a track on one core with that of what no code can avoid."""
    tracks = corpus(20)
    frames = np.random.default_rng(0).normal(size=(130, 2048))
    quiet = frames.astype(np.float32)
    spectrum = scipy.fft.rfft(quiet)[:116]
    signal = quiet.ravel()[:SEGMENT]

    def extract():
        extraction.extract_mfcc(
            tracks, augmentations=augmentation.STUDY, n_jobs=1, progress=False
        )

    def decode():
        for path in tracks["path"]:
            for _ in audio.blocks(path):
                pass

    def transform():
        for _ in range(10 * len(tracks)):
            for _ in range(4):  # the MFCCs of the original and its copies
                scipy.fft.rfft(quiet)
            # What the pitch shift needs, and the random numbers of the noise.
            scipy.fft.rfft(frames)
            scipy.fft.irfft(spectrum)
            soxr.resample(signal[:58_932], 19_644, 22_050)
            np.random.default_rng(0).standard_normal(SEGMENT, dtype=np.float32)

    times = {"all": [], "decoding": [], "transforms": []}
    for _ in range(5):
        for name, work in zip(times, (extract, decode, transform)):
            start = time.process_time()
            work()
            times[name].append(time.process_time() - start)
    return {
        f"{name}_core_ms": float(np.median(seconds)) / len(tracks) * 1000
        for name, seconds in times.items()
    }


def long_file():
    """Extract one file of an hour, 44.1 kHz stereo (1,270 MB), with all copies."""
    y = audio.load(corpus(1).loc[0, "path"])
    stereo = np.stack([y, y[::-1]], axis=1)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "long.flac")
        with soundfile.SoundFile(path, "w", 44_100, 2) as file:
            for _ in range(3600 * 44_100 // len(y)):
                file.write(stereo)
        measured = measure("package", path, Path(temporary))
    return {"hours": 1, "hour_file_peak_mb": round(measured["megabytes"])}


def main():
    """Run the given parts, by default all, and record the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.parts[0] in ("study", "package"):
        only(*options.parts)
        return
    label = dataset.corpus_label(dataset.load_tracks(notebook.corpus_folder()))
    print(f"{label}; {joblib.cpu_count()} cores")
    for part in options.parts:
        if part == "ratio":
            numbers = ratio(options.tracks, options.rounds)
        else:
            numbers = {"growth": growth, "floor": floor, "long": long_file}[part]()
        numbers["cores"] = joblib.cpu_count()
        print(f"{part}: {numbers}")
        notebook.record(
            f"extraction_{part}", corpus=label, split="none", seed=SEED, **numbers
        )


if __name__ == "__main__":
    main()
