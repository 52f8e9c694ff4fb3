"""Compare the MFCCs of tracks with those of the same tracks in another format.

GTZAN's own files are lossless. If yours are compressed, and you have some originals,
``python tests/benchmarks/codec.py FOLDER`` says how much that changes. FOLDER holds
``jazz.00000.flac`` or ``jazz.00000.wav`` for a track ``jazz.00000`` of the corpus.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc import dataset, extraction, notebook


def main():
    """Compare segment by segment, and record the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    originals = sorted(parser.parse_args().folder.iterdir())
    tracks = dataset.load_tracks(notebook.corpus_folder())
    corpus = dataset.corpus_label(tracks)
    path = tracks.set_index("track")["path"]
    pairs = {
        file.stem: (path[file.stem], file) for file in originals if file.stem in path
    }
    compressed, lossless = (
        extraction.extract_mfcc(list(files), n_jobs=1).x
        for files in zip(*pairs.values())
    )
    spread = extraction.extract_mfcc(tracks, cache=notebook.cache_dir()).x.std(
        axis=(0, 1)
    )
    error = np.sqrt(np.square(compressed - lossless).mean(axis=(0, 1)))
    share = pd.Series(error / spread, np.arange(1, len(error) + 1))
    print(share.rename_axis("MFCC number").to_frame("error in standard deviations"))
    notebook.record(
        "codec",
        corpus=corpus,
        split="none",
        seed=0,
        tracks=len(pairs),
        formats=f"{Path(path.iloc[0]).suffix} and {originals[0].suffix}",
        mfcc_error=float(np.sqrt(np.square(share).mean())),
        least_and_greatest_error=[float(share.min()), float(share.max())],
    )


if __name__ == "__main__":
    main()
