"""Compare time, memory and size of `extract_mfcc` with those of the study's code.

``make bench`` runs all parts on GTZAN, or on the toy corpus if there is no GTZAN. A
quick run is ``python tests/benchmarks/extraction.py --tracks 20 --rounds 2 ratio``.
Each measurement is in a new process. The two ways alternate, so that other load on the
machine affects both.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import audiomentations
import numpy as np
import pandas as pd
import psutil
import soundfile

from gtzan_mfcc import audio, augmentation, dataset, extraction, notebook
from gtzan_mfcc._librosa import librosa

SEED = 0
SEGMENT = 66_150


def corpus(n_tracks: int) -> pd.DataFrame:
    """Return n tracks, one genre after the other, repeated with new names."""
    tracks = dataset.load_tracks(notebook.corpus_folder())
    tracks = tracks[~tracks["path"].str.contains(r"jazz\.00054")]
    turn = tracks.groupby("genre", observed=True).cumcount()
    tracks = tracks.assign(turn=turn).sort_values(["turn", "genre"], kind="stable")
    again = -(-n_tracks // len(tracks))
    copies = [
        tracks.assign(track=tracks["track"] + (f".{k}" if k else ""))
        for k in range(again)
    ]
    return pd.concat(copies).head(n_tracks).reset_index(drop=True)


def the_studys_way(tracks: pd.DataFrame, folder: Path) -> None:
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


def our_way(tracks: pd.DataFrame | list[str], folder: Path) -> None:
    """Do the same with one call of the package."""
    extraction.extract_mfcc(
        tracks,
        augmentations=augmentation.STUDY,
        seed=SEED,
        cache=folder,
        progress=False,
    )


def one_long_file(path: str, folder: Path) -> None:
    """Extract one track."""
    our_way([path], folder)


def measure(way: str, what: int | str, folder: Path) -> dict:
    """Run one way in a new process; return time, peak memory and bytes written."""
    process = psutil.Popen(
        [
            sys.executable,
            __file__,
            "only",
            "--way",
            way,
            "--what",
            str(what),
            "--folder",
            folder,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _resident(process))
        time.sleep(0.5)  # measuring takes time of a core, and our way uses all cores
    if process.returncode:
        raise RuntimeError(f"{way} on {what} ended with {process.returncode}")
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "seconds": float(process.stdout.read()),
        "megabytes": peak / 1e6,
        "bytes": written,
    }


def _resident(process: psutil.Popen) -> int:
    """Sum the resident bytes of a process and its children; some pages count twice."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def ratio(n_tracks: int, rounds: int) -> dict:
    """Run both ways in turn on the same tracks, and compare them."""
    print(f"\n{n_tracks} tracks with three augmented copies, {rounds} rounds in turn:")
    results = {"the_studys_way": [], "our_way": []}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(rounds):
            for way, measured in results.items():
                folder = Path(temporary, f"{way}-{number}")
                folder.mkdir()
                measured.append(measure(way, n_tracks, folder))
                print(
                    "  {way:15} {seconds:7.1f} s {megabytes:7.0f} MB, {bytes:,} bytes "
                    "written".format(way=way, **measured[-1])
                )
        compare(
            n_tracks, Path(temporary, "the_studys_way-0"), Path(temporary, "our_way-0")
        )
    theirs, ours = (pd.DataFrame(measured) for measured in results.values())
    ratios = theirs["seconds"] / ours["seconds"]
    return {
        "speed_ratio": ratios.median(),
        "slowest_ratio": ratios.min(),
        "fastest_ratio": ratios.max(),
        "share_of_bytes": ours["bytes"][0] / theirs["bytes"][0],
        "ms_a_track": round(ours["seconds"].median() / n_tracks * 1000),
        "study_ms_a_track": round(theirs["seconds"].median() / n_tracks * 1000),
        "peak_mb": round(ours["megabytes"].max()),
        "study_peak_mb": round(theirs["megabytes"].max()),
        "tracks": n_tracks,
        "rounds": rounds,
    }


def compare(n_tracks: int, theirs: Path, ours: Path) -> None:
    """Compare the MFCCs of both ways, copy by copy."""
    data = json.loads((theirs / "data.json").read_text())
    n_copies = 1 + len(augmentation.STUDY)
    study = np.array(data["mfcc"], np.float32)
    study = study.reshape(-1, n_copies, *study.shape[1:])
    segments = extraction.extract_mfcc(
        corpus(n_tracks), augmentations=augmentation.STUDY, seed=SEED, cache=ours
    )
    # The study's copies follow each segment; ours follow each track.
    rows = segments.table.groupby("augmentation").indices
    for position, copy in enumerate(("original", *augmentation.STUDY)):
        difference = np.abs(segments.x[rows[copy]] - study[:, position])
        print(f"  {copy:12} MFCCs differ by {difference.max():.1e} at most")
        np.testing.assert_allclose(segments.x[rows[copy]], study[:, position], atol=0.1)


def growth(sizes: tuple[int, ...]) -> dict:
    """Measure time and memory of our way for several numbers of tracks."""
    results = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measured = measure("our_way", size, Path(folder))
        results[f"ms_a_track_at_{size}"] = round(measured["seconds"] / size * 1000)
        results[f"peak_mb_at_{size}"] = round(measured["megabytes"])
    return results


def long_file(hours: float) -> dict:
    """Extract one file of some hours, 44.1 kHz stereo, with all copies.

    The samples of an hour are 1,270 MB.
    """
    y = audio.load(corpus(1).loc[0, "path"])
    stereo = np.stack([y, y[::-1]], axis=1)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "long.flac")
        with soundfile.SoundFile(path, "w", 44_100, 2) as file:
            for _ in range(int(hours * 3600 * 44_100 / len(y))):
                file.write(stereo)
        measured = measure("one_long_file", str(path), Path(temporary))
    return {"hours": hours, "hour_file_peak_mb": round(measured["megabytes"])}


def main() -> None:
    """Run the given parts, by default all, and record the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["ratio", "growth", "long"])
    parser.add_argument("--tracks", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[50, 100, 200, 400, 1000]
    )
    parser.add_argument("--hours", type=float, default=1)
    for internal in ("--way", "--what", "--folder"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parts == ["only"]:
        way = globals()[options.way]
        what = corpus(int(options.what)) if options.what.isdigit() else options.what
        start = time.perf_counter()
        way(what, Path(options.folder))
        print(time.perf_counter() - start)
        return
    parts = {
        "ratio": lambda: ratio(options.tracks, options.rounds),
        "growth": lambda: growth(tuple(options.sizes)),
        "long": lambda: long_file(options.hours),
    }
    label = dataset.corpus_label(dataset.load_tracks(notebook.corpus_folder()))
    print(f"{label}; {psutil.cpu_count()} cores")
    for name in options.parts:
        numbers = parts[name]()
        print(f"{name}: {numbers}")
        notebook.record(
            f"extraction_{name}", corpus=label, split="none", seed=SEED, **numbers
        )


if __name__ == "__main__":
    main()
