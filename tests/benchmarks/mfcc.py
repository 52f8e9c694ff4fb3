"""Compare time and values of `features.mfcc` with those of four other libraries.

``make mfcc`` runs it on GTZAN, or on the toy corpus if there is no GTZAN. The first run
installs the libraries that are not in ``.venv`` into ``build/mfcc``: 7 GB on Linux,
since PyTorch comes with CUDA, which is not used. If pip cannot install a library, the
run goes on without it.

Each library has a process of its own, with one thread. The processes take turns, so
that other load on the machine affects all of them. For a batch, librosa clips 80 dB
below the maximum of the batch; all other values are of one signal.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

RATE = 22_050
SEGMENT = 66_150
N_FFT = 2048
HOP = 512
N_MELS = 128
N_MFCC = 13
N_TRACKS = 10
FRAMES = 1 + SEGMENT // HOP

# One call of pip for each, so that one that cannot be had does not stop the others.
PINS = [
    "essentia==2.1b6.dev1389 numpy==2.4.6",
    "python_speech_features==0.6 numpy==2.4.6 scipy==1.17.1",
    "torchaudio==2.9.1 torch==2.9.1 numpy==2.4.6",
]


# The libraries are in two environments, so each is imported only where it is needed.
# Each function prepares a library, and returns what computes MFCCs: of one signal, or
# of several if the library can.


def ours():
    """Prepare `features.mfcc`."""
    from gtzan_mfcc import features

    return features.mfcc


def librosa():
    """Prepare librosa."""
    import librosa

    def compute(y):
        coefficients = librosa.feature.mfcc(
            y=y, sr=RATE, n_mfcc=N_MFCC, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS
        )
        return coefficients.swapaxes(-2, -1)

    return compute


def python_speech_features():
    """Prepare python_speech_features. Its mel bands are HTK's, and it never clips."""
    import python_speech_features

    def compute(y):
        coefficients = python_speech_features.mfcc(
            np.pad(y, N_FFT // 2),
            RATE,
            winlen=N_FFT / RATE,
            winstep=HOP / RATE,
            numcep=N_MFCC,
            nfilt=N_MELS,
            nfft=N_FFT,
            preemph=0,
            ceplifter=0,
            appendEnergy=False,
            winfunc=lambda n: np.hanning(n + 1)[:-1],
        )
        # It takes the natural logarithm, librosa takes decibels.
        return coefficients[:FRAMES] * (10 / np.log(10))

    return compute


def essentia():
    """Prepare essentia. It works frame by frame, and never clips."""
    import essentia

    essentia.log.infoActive = False
    import essentia.standard

    window = essentia.standard.Windowing(
        type="hann", size=N_FFT, normalized=False, zeroPhase=False, symmetric=False
    )
    spectrum = essentia.standard.Spectrum(size=N_FFT)
    mfcc = essentia.standard.MFCC(
        inputSize=N_FFT // 2 + 1,
        sampleRate=RATE,
        numberBands=N_MELS,
        numberCoefficients=N_MFCC,
        highFrequencyBound=RATE / 2,
        warpingFormula="slaneyMel",
        weighting="linear",
        normalize="unit_tri",
        logType="dbpow",
    )

    def compute(y):
        frames = essentia.standard.FrameGenerator(y, frameSize=N_FFT, hopSize=HOP)
        coefficients = [mfcc(spectrum(window(frame)))[1] for frame in frames]
        return np.array(coefficients[:FRAMES])

    return compute


def torchaudio():
    """Prepare torchaudio."""
    import torch
    import torchaudio

    torch.set_num_threads(1)
    transform = torchaudio.transforms.MFCC(
        RATE,
        N_MFCC,
        melkwargs={
            "n_fft": N_FFT,
            "hop_length": HOP,
            "n_mels": N_MELS,
            "mel_scale": "slaney",
            "norm": "slaney",
            "pad_mode": "constant",
        },
    )

    def compute(y):
        # A channel each, because it clips below the maximum of all channels.
        coefficients = transform(torch.from_numpy(y)[..., None, :])[..., 0, :, :]
        return coefficients.swapaxes(-2, -1).numpy()

    return compute


LIBRARIES = {
    "gtzan_mfcc": ours,
    "librosa": librosa,
    "python_speech_features": python_speech_features,
    "essentia": essentia,
    "torchaudio": torchaudio,
}
OF_THIS_PROJECT = ["gtzan_mfcc", "librosa"]
WITH_BATCHES = ["gtzan_mfcc", "librosa", "torchaudio"]


def work(name, folder):
    """Compute the values in this process; then what each line of the input asks for."""
    batches = np.load(folder / "segments.npy")
    compute = LIBRARIES[name]()
    values = [compute(y) for segments in batches for y in segments]
    np.save(folder / f"{name}.npy", values)
    print(version(name), flush=True)
    for line in sys.stdin:
        # The time of the processor: further threads would not make it less.
        started = time.process_time()
        for segments in batches:
            if line == "batch\n":
                compute(segments)
            else:
                for y in segments:
                    compute(y)
        print(time.process_time() - started, flush=True)


def install(environment):
    """Install what is missing of the other libraries."""
    python = environment / "bin" / "python"
    if not python.exists():
        print(f"Installing the libraries into {environment}; some minutes, once.")
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    for packages in PINS:
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *packages.split()], check=False)


def load_segments(tracks):
    """Load the segments of the tracks, in batches of ten."""
    from gtzan_mfcc import audio

    segments = []
    for path in tracks["path"]:
        y = audio.load(path)
        segments.extend(y[: len(y) // SEGMENT * SEGMENT].reshape(-1, SEGMENT))
    return np.array(segments[: len(segments) // 10 * 10]).reshape(-1, 10, SEGMENT)


def reference(batches, top_db):
    """Compute the MFCCs of all segments by librosa, clipped or not."""
    import librosa

    values = []
    for y in batches.reshape(-1, SEGMENT):
        mel = librosa.feature.melspectrogram(
            y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS
        )
        decibels = librosa.power_to_db(mel, top_db=top_db)
        values.append(librosa.feature.mfcc(S=decibels, n_mfcc=N_MFCC).T)
    return np.array(values)


def start(name, environment, folder):
    """Start the process of a library, and return it with the library's version."""
    python = environment / "bin" / "python"
    if name in OF_THIS_PROJECT:
        python = sys.executable
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    process = subprocess.Popen(
        [python, __file__, "--work", name, folder],
        env=os.environ | dict.fromkeys(threads, "1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, process.stdout.readline().strip()


def take_turns(processes, what, rounds):
    """Let each process compute all segments in each round; return the seconds."""
    seconds = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            print(what, file=process.stdin, flush=True)
            seconds[name].append(float(process.stdout.readline()))
    return {name: np.array(each) for name, each in seconds.items()}


def compare(rounds):
    """Compare all libraries that are there, and record the numbers."""
    import psutil
    from extraction import corpus

    from gtzan_mfcc import dataset, notebook

    label = dataset.corpus_label(dataset.load_tracks(notebook.corpus_folder()))
    environment = notebook.build_dir() / "mfcc"
    install(environment)
    batches = load_segments(corpus(N_TRACKS))
    n_segments = batches.shape[0] * batches.shape[1]
    print(f"{label}; {n_segments} segments in each round; {psutil.cpu_count()} cores")
    numbers = {"segments": n_segments, "rounds": rounds, "cores": psutil.cpu_count()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        np.save(folder / "segments.npy", batches)
        processes = {}
        for name in LIBRARIES:
            process, found = start(name, environment, folder)
            if found:
                processes[name] = process
                numbers[f"{name}_version"] = found
            else:
                print(f"{name} is skipped: the lines above say why.")
        clipped = reference(batches, 80)
        unclipped = reference(batches, None)
        for name in processes:
            values = np.load(folder / f"{name}.npy")
            numbers[f"{name}_difference"] = np.abs(values - clipped).max()
            numbers[f"{name}_difference_unclipped"] = np.abs(values - unclipped).max()
        # Batches come last: what they leave to the C library makes single signals fast.
        singly = take_turns(processes, "singly", rounds)
        able = {name: processes[name] for name in WITH_BATCHES if name in processes}
        batch = take_turns(able, "batch", rounds)
        for process in processes.values():
            process.communicate()
    for way, seconds in (("singly", singly), ("batch", batch)):
        for name, each in seconds.items():
            ratio = np.median(each / seconds["gtzan_mfcc"])
            numbers[f"{name}_{way}_ms"] = np.median(each) / n_segments * 1000
            numbers[f"{name}_{way}_ratio"] = ratio
    show(numbers, processes)
    notebook.record("mfcc_benchmark", corpus=label, split="none", seed=0, **numbers)


def show(numbers, names):
    """Print a row for each library: times of a segment, ratios to ours, differences."""
    import pandas as pd

    columns = ["singly_ms", "singly_ratio", "batch_ms", "batch_ratio"]
    columns += ["difference", "difference_unclipped"]
    rows = [[numbers.get(f"{name}_{column}") for column in columns] for name in names]
    table = pd.DataFrame(rows, names, columns, dtype=float)
    print(table.to_string(float_format="{:.2g}".format, na_rep=""))


def main():
    """Compare the libraries, or be the process of one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        name, folder = options.work
        work(name, Path(folder))
    else:
        compare(options.rounds)


if __name__ == "__main__":
    main()
