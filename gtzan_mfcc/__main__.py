"""The command line: ``python -m gtzan_mfcc``; see ``--help``."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

# Slow imports are in the functions that need them, so that --help and errors in the arguments
# appear at once.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line arguments of the process by default.

    Returns
    -------
    status : int
        0 for success, 1 if a file could not be used, 2 for an error, 130 after Ctrl-C.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this command.
    """
    options = _parser().parse_args(arguments)
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has closed the pipe, as in `... | head`. Discard the rest of the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except (RuntimeError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gtzan_mfcc")
    parser.add_argument("--version", action="version", version=version("gtzan-mfcc"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="predict the genre of songs")
    predict.description = _predict.__doc__
    predict.set_defaults(run=_predict)
    add = predict.add_argument
    add("songs", nargs="+", metavar="SONG", help="a sound file, or a folder, with its subfolders")
    add("--model", metavar="FILE", help="a model file (default: the package's model)")
    add("--over-time", action="store_true", help="also print each segment of 3 s")
    add("--hop-seconds", type=float, default=3.0, metavar="S", help="a segment every S seconds")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")

    train = commands.add_parser("train", help="make a model from folders of songs")
    train.description = _train.__doc__
    train.set_defaults(run=_train)
    add = train.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="of class folders (default: GTZAN, else toys)")
    add("--output", required=True, metavar="FILE", help="the file to write, NAME.keras")
    add("--no-score", action="store_true", help="do not measure the accuracy")
    add("--seed", type=int, default=0, metavar="N", help="seed of the training (default: 0)")
    return parser


def _predict(options: argparse.Namespace) -> int:
    """Print the genre of each song, and the three most probable genres.

    A file that cannot be read is reported on standard error and skipped.
    """
    if options.model and not Path(options.model).expanduser().is_file():
        raise ValueError(f"{options.model}: no such file; name one that `train` has written.")
    from gtzan_mfcc.dataset import sound_files

    songs, bad = [], 0
    for name in options.songs:
        path = Path(name).expanduser()
        found = sound_files(path) if path.is_dir() else [path] * path.exists()
        if not found:
            print(f"{name}: no such file, or a folder without sound files.", file=sys.stderr)
        songs, bad = songs + found, bad + (not found)
    if not songs:
        return 1
    # TensorFlow takes seconds.
    import pandas as pd

    from gtzan_mfcc import predict
    from gtzan_mfcc._progress import bar

    model = predict.load_model(Path(options.model or predict.PRETRAINED).expanduser())
    results = predict.predict_files(songs, model, hop_seconds=options.hop_seconds)
    entries, rows = [], []
    try:
        for song, each in bar(results, "song", True, total=len(songs)):
            if isinstance(each, predict.AudioError):
                tqdm.write(str(each), file=sys.stderr)
                bad += 1
                continue
            entry = {"file": str(song), "genre": each.genre, "seconds": round(each.seconds, 3)}
            entry |= {"padded": each.padded, "silent": each.silent}
            probabilities = each.probabilities.round(4).to_dict()
            over_time = each.over_time.round(4).to_dict("records") if options.over_time else []
            details = {"over_time": over_time} if over_time else {}
            entries.append(entry | {"probabilities": probabilities} | details)
            rows += [entry | row for row in over_time or [probabilities]]
            if not (options.json or options.csv):
                tqdm.write(_as_text(each, entry, over_time))
    finally:
        # After Ctrl-C, the JSON or CSV is complete for the songs so far.
        if options.json:
            print(json.dumps(entries, indent=2))
        elif options.csv:
            facts = "start end" if options.over_time else "genre seconds padded silent"
            table = pd.DataFrame(rows, columns=["file", *facts.split(), *model.genres])
            table.to_csv(sys.stdout, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return 1 if bad else 0


def _as_text(prediction: object, entry: dict, over_time: list[dict]) -> str:
    text = f"{entry['file']}: {prediction.genre} ({prediction.best_guesses})"
    text += " (too short for a segment, repeated)" * prediction.padded
    text += " (almost no sound: the genre means nothing)" * prediction.silent
    for row in over_time:
        genre = max(prediction.probabilities.index, key=row.get)
        text += f"\n  {row['start']:7.1f} to {row['end']:7.1f} s: {genre} {row[genre]:.0%}"
    return text


def _train(options: argparse.Namespace) -> int:
    """Train a model on FOLDER/CLASS/SONG, and print its accuracy.

    Songs in subfolders of CLASS belong to the class. The accuracy is that of a cross-validation,
    on songs that are not in training. The model is then trained on all songs.
    """
    output = Path(options.output).expanduser()
    if output.suffix != ".keras" or output.is_dir() or not output.parent.is_dir():
        raise ValueError(f"{output}: name a file NAME.keras in an existing folder.")
    import pandas as pd

    from gtzan_mfcc import augmentation, dataset, evaluation, extraction, predict, training
    from gtzan_mfcc._disk import aside

    found = [dataset.load_tracks(folder) for folder in options.folders or [None]]
    # They are reported here, so left_out names only the tracks that cannot be used.
    ignored = [file for each in found for file in each.attrs.pop("ignored")]
    ignored = pd.DataFrame(ignored, columns=["path", "reason"])
    tracks = pd.concat(found, ignore_index=True)
    predict.check_genres(sorted(set(tracks["genre"])))
    if few := [f"{genre} ({n})" for genre, n in tracks["genre"].value_counts().items() if n < 5]:
        print(f"Few songs, so accuracy may be low: {', '.join(few)}.", file=sys.stderr)
    for reason, paths in ignored.groupby("reason")["path"]:
        print(f"ignored, {reason} ({len(paths)}): {', '.join(paths)}", file=sys.stderr)
    segments = extraction.extract_mfcc(tracks, n_mfcc=20, augmentations=augmentation.ROBUST)
    for reason in segments.left_out["reason"]:
        print(f"left out: {reason}", file=sys.stderr)
    predict.check_genres(segments.genres)
    fit = training.fit_statistics_mlp
    if not options.no_score:
        x, table = segments.mfcc, segments.table
        card, tested = evaluation.report_card(fit, x, table, by=["artist"], seeds=[options.seed])
        share, low, high = card[["track_accuracy", "track_low", "track_high"]].iloc[0]
        if tested:
            print(f"Accuracy on unseen songs: {share:.0%} (95 % interval {low:.0%} to {high:.0%})")
            for genre, votes in evaluation.track_vote(tested["artist"]).groupby("genre"):
                print(f"  {genre}: {(votes['predicted'] == genre).sum()} of {len(votes)}")
        print(card["remark"].iloc[0] or "Artists are kept apart.")
    with aside(output) as unfinished:
        network = fit(segments, segments.table.index.to_numpy(), seed=options.seed)
        predict.Classifier(network, segments.genres).save(unfinished)
    counts = segments.table.groupby("genre", observed=True)["track"].nunique()
    print(f"{options.output}: {', '.join(f'{genre} ({n})' for genre, n in counts.items())}")
    return 0 if segments.left_out.empty else 1


if __name__ == "__main__":
    # Hide what libmpg123 and TensorFlow write to the file descriptor; keep Python's own stderr.
    with suppress(OSError):
        sys.stderr = os.fdopen(os.dup(2), "w", 1, errors="backslashreplace")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # A file name may not be valid text.
    sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    status = main()
    if status == 130:
        # Do not wait for the songs that are being processed.
        os._exit(status)
    sys.exit(status)
