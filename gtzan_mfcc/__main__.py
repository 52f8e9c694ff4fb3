"""The package from the command line: ``python -m gtzan_mfcc --help``."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_mfcc import dataset
from gtzan_mfcc._disk import aside

if TYPE_CHECKING:  # Help must not wait for TensorFlow.
    from gtzan_mfcc.predict import Prediction


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
    Notebook ``7_your_own_music`` introduces this command.
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
    parser = argparse.ArgumentParser(
        prog="python -m gtzan_mfcc",
        description="Tell the genre of songs; learn from folders of them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="tell the genre of songs")
    predict.description = (
        "Tell the genre of each song, with the three best guesses. A file that cannot be read is "
        "named on stderr, and the status is 1 at the end."
    )
    predict.add_argument("songs", nargs="+", metavar="SONG", help="a WAV, FLAC, OGG, MP3, ... file")
    predict.add_argument(
        "--model", metavar="FILE", help="a model of yours (default: GTZAN's genres)"
    )
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_const", dest="form", const=_Json, help="print JSON")
    form.add_argument("--csv", action="store_const", dest="form", const=_Csv, help="print CSV")
    predict.add_argument("--over-time", action="store_true", help="tell each segment of 3 s, too")
    predict.add_argument(
        "--hop-seconds", type=float, metavar="S", help="start a segment every S seconds (overlap)"
    )
    predict.set_defaults(run=_predict, form=_Text)

    train = commands.add_parser("train", help="make a model from folders of songs")
    train.description = (
        "Train a model on all songs of a folder with one folder a class, <class>/<song>.wav (or "
        ".flac, .ogg, .mp3, ...), for `predict --model FILE`."
    )
    train.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="the folder (default: GTZAN, or toys)"
    )
    train.add_argument("--output", required=True, metavar="FILE", help="NAME.keras, to be written")
    train.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the training (default: 0)"
    )
    train.set_defaults(run=_train)
    return parser


def _predict(options: argparse.Namespace) -> int:
    from gtzan_mfcc import predict

    model = predict.load_model(options.model or predict.PRETRAINED)
    out = options.form(model.genres, options.over_time)
    status = 0
    for song, result in predict.predict_files(
        options.songs, model, hop_seconds=options.hop_seconds
    ):
        if isinstance(result, predict.AudioError):
            print(result, file=sys.stderr)
            status = 1
        else:
            out.add(song, result)
    out.end()
    return status


def _train(options: argparse.Namespace) -> int:
    import numpy as np

    from gtzan_mfcc import extraction, predict, recipes

    output = Path(options.output)
    if output.suffix != ".keras" or output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"{output}: name a file NAME.keras, in a folder that is there.")
    tracks = dataset.load_tracks(options.folder)
    segments = extraction.extract_mfcc(tracks, n_mfcc=20)
    for reason in segments.left_out["reason"]:
        print(f"left out: {reason}", file=sys.stderr)
    if len(segments.genres) < 2:
        raise dataset.DatasetError(f"{segments.genres[0]} is the only class; two are needed.")
    predict.check_genres(segments.genres)
    network = recipes.mfcc_resnet(segments, np.arange(len(segments)), seed=options.seed)
    with aside(output) as unfinished:
        predict.Classifier(network, segments.genres).save(unfinished)
    counts = segments.table.groupby("genre", observed=True)["track"].nunique()
    print(f"{options.output}: {', '.join(f'{genre} ({n})' for genre, n in counts.items())}")
    return 0 if segments.left_out.empty else 1


class _Text:
    """Lines for people."""

    def __init__(self, genres: list[str], over_time: bool) -> None:
        self.genres, self.over_time = genres, over_time

    def add(self, song: str, prediction: "Prediction") -> None:
        padded = " (too short for a segment, repeated)" if prediction.padded else ""
        print(f"{song}: {prediction.genre} ({prediction.best_guesses}){padded}", flush=True)
        for row in prediction.over_time.to_dict("records") if self.over_time else ():
            genre = max(self.genres, key=row.get)
            print(f"  {row['start']:7.1f} to {row['end']:7.1f} s: {genre} {row[genre]:.0%}")

    def end(self) -> None:
        pass


class _Json(_Text):
    """One array, with an object a song."""

    separator = "[\n"

    def add(self, song: str, prediction: "Prediction") -> None:
        entry = {
            "file": song,
            "genre": prediction.genre,
            "probabilities": prediction.probabilities.round(4).to_dict(),
            "seconds": round(prediction.seconds, 3),
            "padded": prediction.padded,
        }
        if self.over_time:
            entry["over_time"] = prediction.over_time.round(4).to_dict("records")
        print(self.separator + json.dumps(entry), end="", flush=True)
        self.separator = ",\n"

    def end(self) -> None:
        print("[]" if self.separator == "[\n" else "\n]")


class _Csv(_Text):
    """One table, with a row a song, or a segment."""

    def __init__(self, genres: list[str], over_time: bool) -> None:
        super().__init__(genres, over_time)
        self.writer = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        facts = ["start", "end"] if over_time else ["genre", "seconds", "padded"]
        self.writer.writerow(["file", *facts, *genres])

    def add(self, song: str, prediction: "Prediction") -> None:
        if self.over_time:
            rows = prediction.over_time.round(4).to_numpy().tolist()
        else:
            of_song = prediction.probabilities[self.genres].round(4)
            facts = [prediction.genre, round(prediction.seconds, 3), prediction.padded]
            rows = [[*facts, *of_song]]
        self.writer.writerows([song, *row] for row in rows)
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
