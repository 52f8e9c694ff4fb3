"""The package from the command line: ``python -m gtzan_mfcc --help``."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gtzan_mfcc import dataset
from gtzan_mfcc._disk import aside

# What waits for TensorFlow is imported in the functions that need it, so that help does not.


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those that the program was called with.

    Returns
    -------
    status : int
        0; or 1 if a file could not be used, 2 if nothing could be done at all.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this command.
    """
    options = _parser().parse_args(arguments)
    # A file may have a name that is no text.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads has enough, as in `... | head`; what is still to be flushed has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (dataset.DatasetError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gtzan_mfcc")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="tell the genre of songs")
    predict.description = _predict.__doc__
    predict.set_defaults(run=_predict)
    add = predict.add_argument
    add("songs", nargs="+", metavar="SONG", help="a WAV, FLAC, OGG, MP3, ... file")
    add("--model", metavar="FILE", help="a model of yours (default: GTZAN's genres)")
    add("--over-time", action="store_true", help="tell each segment of 3 s, too")
    add("--hop-seconds", type=float, default=3.0, metavar="S", help="start one every S seconds")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")

    help_of_train = "make a model from folders of songs"
    train = commands.add_parser("train", help=help_of_train, description=_train.__doc__)
    train.set_defaults(run=_train)
    add = train.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="one or more (default: GTZAN, or toys)")
    add("--output", required=True, metavar="FILE", help="NAME.keras, to be written")
    add("--seed", type=int, default=0, metavar="N", help="of the training (default: 0)")
    return parser


def _predict(options: argparse.Namespace) -> int:
    """Tell the genre of each song, with the three best guesses.

    A file that cannot be read is named on stderr, and the status is 1 at the end.
    """
    from gtzan_mfcc import predict

    model = predict.load_model(options.model or predict.PRETRAINED)
    told, bad = [], 0
    for song, heard in predict.predict_files(options.songs, model, hop_seconds=options.hop_seconds):
        if isinstance(heard, predict.AudioError):
            print(heard, file=sys.stderr)
            bad += 1
            continue
        segments = heard.over_time.round(4).to_dict("records") if options.over_time else []
        entry = {"file": song, "genre": heard.genre, "seconds": round(heard.seconds, 3)}
        entry |= {"padded": heard.padded}
        probabilities = heard.probabilities.round(4).to_dict()
        if options.csv:
            told += [{"file": song} | row for row in segments] or [entry | probabilities]
        elif options.json:
            over_time = {"over_time": segments} if options.over_time else {}
            told.append(entry | {"probabilities": probabilities} | over_time)
        else:
            padded = " (too short for a segment, repeated)" if heard.padded else ""
            print(f"{song}: {heard.genre} ({heard.best_guesses}){padded}", flush=True)
            for row in segments:
                genre = max(model.genres, key=row.get)
                print(f"  {row['start']:7.1f} to {row['end']:7.1f} s: {genre} {row[genre]:.0%}")
    if options.json:
        print(json.dumps(told, indent=2))
    elif options.csv:
        facts = ["start", "end"] if options.over_time else ["genre", "seconds", "padded"]
        table = pd.DataFrame(told, columns=["file", *facts, *model.genres])
        table.to_csv(sys.stdout, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return 1 if bad else 0


def _train(options: argparse.Namespace) -> int:
    """Train a model on all songs of the folders, for `predict --model FILE`.

    A folder has one folder a class: <class>/<song>.wav (or .flac, .ogg, .mp3, ...).
    """
    from gtzan_mfcc import augmentation, extraction, predict, training

    output = Path(options.output)
    if output.suffix != ".keras" or output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"{output}: name a file NAME.keras, in a folder that is there.")
    tracks = pd.concat(map(dataset.load_tracks, options.folders or [None]), ignore_index=True)
    segments = extraction.extract_mfcc(tracks, n_mfcc=20, augmentations=augmentation.ROBUST)
    for reason in segments.left_out["reason"]:
        print(f"left out: {reason}", file=sys.stderr)
    if len(segments.genres) < 2:
        raise ValueError(f"{segments.genres[0]} is the only class; two are needed.")
    predict.check_genres(segments.genres)
    network = training.fit_statistics_mlp(segments, np.arange(len(segments)), seed=options.seed)
    with aside(output) as unfinished:
        predict.Classifier(network, segments.genres).save(unfinished)
    counts = segments.table.groupby("genre", observed=True)["track"].nunique()
    print(f"{options.output}: {', '.join(f'{genre} ({n})' for genre, n in counts.items())}")
    return 0 if segments.left_out.empty else 1


if __name__ == "__main__":
    sys.exit(main())
