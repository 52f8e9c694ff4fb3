"""Run extract_mfcc as a program of its own, which can be told when to die.

It writes the name of each track that is computed, by whatever process, to the file LOG.
"""

import argparse
import os
import resource
import signal
import sys
from pathlib import Path

from gtzan_mfcc import augmentation, dataset, extraction
from gtzan_mfcc._disk import Rows

_track_mfcc, _open, _append = extraction._track_mfcc, Path.open, Rows.append


def logged(track, path, **settings):
    with open(os.environ["LOG"], "a") as log:
        log.write(f"{track}\n")
    return _track_mfcc(track, path, **settings)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


class CutShort:
    """A file to which so much is written whole, of the next only a half; then the process dies."""

    def __init__(self, file, whole):
        self.file, self.whole = file, whole

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        if self.whole:
            self.whole -= 1
            return self.file.write(data)
        data = memoryview(data).cast("B")
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        return die()


def die_when_appending(n, moment):
    """Die at a moment in the writing of the n-th track."""

    def open_and_die(path, *args, **kwargs):
        if moment == "no line" and path.name == "items.jsonl":
            die()
        file = _open(path, *args, **kwargs)
        if moment == "half a line" and path.name == "items.jsonl":
            return CutShort(file, whole=0)
        if moment in ("half a header", "half the rows") and path.name == "rows.npy":
            return CutShort(file, whole=["half a header", "half the rows"].index(moment))
        return file

    def append(rows, *args):
        if len(rows.items) == n:
            if moment == "no rows":
                die()
            Path.open = open_and_die
        _append(rows, *args)

    Rows.append = append


def die_when_finishing(moment):
    if moment == "the rename":
        Path.rename = die
    else:
        calls = iter([os.fsync, die] if moment == "the second fsync" else [die])
        os.fsync = lambda file: next(calls)(file)


def main():
    import extracting  # Workers look for `logged` there, not in the program they did not start.

    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("cache")
    parser.add_argument("--tracks", default=None, help="which, by position: 0,3,1")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--wait", action="store_true", help="begin when there is a line to read")
    parser.add_argument("--full-at", type=int, help="no file may be longer than so many bytes")
    parser.add_argument("--append", type=int, help="die when this track is written, at ...")
    parser.add_argument("--finish", action="store_true", help="die when finishing, at ...")
    parser.add_argument("--at", help="... this moment")
    asked = parser.parse_args()

    extraction._track_mfcc = extracting.logged
    if asked.append is not None:
        die_when_appending(asked.append, asked.at)
    if asked.finish:
        die_when_finishing(asked.at)
    tracks = dataset.load_tracks(asked.corpus)
    if asked.tracks:
        tracks = tracks.iloc[[int(k) for k in asked.tracks.split(",")]]
    if asked.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    if asked.full_at:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked.full_at, resource.RLIM_INFINITY))
    extraction.extract_mfcc(
        tracks,
        augmentations=augmentation.AUGMENTATIONS,
        n_jobs=asked.n_jobs,
        cache=asked.cache,
        progress=asked.progress,
    )


if __name__ == "__main__":
    main()
