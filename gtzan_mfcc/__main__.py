"""The command line: ``python -m gtzan_mfcc``; see ``--help``."""

import argparse
import csv
import glob
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path
from tqdm import tqdm

from gtzan_mfcc._util import UserError, bar, package_versions, temporary

if TYPE_CHECKING:
    from gtzan_mfcc.predict import Prediction

# Slow imports are in the functions that need them, so that --help and errors in the
# arguments appear at once.


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
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has closed the pipe, as in `... | head`. Discard the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gtzan_mfcc")
    version = package_versions("gtzan-mfcc")["gtzan-mfcc"] or "not installed"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="predict the genre of songs")
    predict.description = _predict.__doc__
    predict.set_defaults(run=_predict)
    add = predict.add_argument
    add("songs", nargs="+", metavar="SONG", help="a sound file, a folder, or a pattern")
    add("--model", metavar="FILE", help="a model file (default: the package's model)")
    add("--over-time", action="store_true", help="also print each segment")
    add("--hop-seconds", type=float, metavar="S", help="a segment every S seconds")
    form = predict.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")

    train = commands.add_parser("train", help="make a model from folders of songs")
    train.description = _train.__doc__
    train.set_defaults(run=_train)
    add = train.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="of classes (default: GTZAN)")
    add("--output", required=True, metavar="FILE", help="the file to write, NAME.keras")
    add("--facts", metavar="FILE", help="a CSV table of the songs, as tracks.csv")
    usual = str(_usual_cache()).replace("%", "%%")
    cache = f"keeps what is finished, to continue after a stop (default: {usual})"
    add("--cache", metavar="FOLDER", help=cache)
    add("--no-score", action="store_true", help="do not measure the accuracy")
    add("--seed", type=int, default=0, metavar="N", help="of the training (default: 0)")
    return parser


def _predict(options: argparse.Namespace) -> int:
    """Print the genre of each song, and the three most probable genres.

    Of a folder, all sound files are predicted, and those of its subfolders. A file that
    cannot be read is reported on standard error and skipped.
    """
    if options.model and not Path(options.model).expanduser().is_file():
        wanted = "name one that `train` has written."
        raise UserError(f"{options.model}: no such file; {wanted}")
    songs = []
    bad = 0
    for name in options.songs:
        found = _find_songs(name)
        if not found:
            print(f"{name}: no such file or folder with sound files.", file=sys.stderr)
            bad += 1
        songs += found
    if not songs:
        return 1
    # TensorFlow takes seconds.
    from gtzan_mfcc import predict

    model = predict.load_model(Path(options.model or predict.PRETRAINED).expanduser())
    hop_seconds = options.hop_seconds or model.settings.seconds
    if not 0.01 <= hop_seconds <= model.settings.seconds:
        wanted = f"take 0.01 to {model.settings.seconds}"
        raise UserError(f"--hop-seconds is {hop_seconds}; {wanted}.")
    columns = ["file", "genre", "seconds", "padded", "silent"]
    if options.over_time:
        columns = ["file", "start", "end"]
    if options.csv and set(columns) & set(model.genres):
        named = ", ".join(sorted(set(columns) & set(model.genres)))
        raise UserError(f"the class {named} is named as a column of CSV; take --json.")
    results = predict.predict_files(songs, model, hop_seconds=hop_seconds)
    entries = []
    try:
        for song, result in bar(results, "song", True, total=len(songs)):
            if isinstance(result, predict.AudioError):
                tqdm.write(str(result), file=sys.stderr)
                bad += 1
            elif options.json or options.csv:
                entries.append(_as_json(str(song), result, options.over_time))
            else:
                tqdm.write(_as_text(str(song), result, options.over_time))
    finally:
        # After Ctrl-C, the JSON or CSV is complete for the songs so far.
        if options.json:
            print(json.dumps(entries, indent=2))
        elif options.csv:
            _print_csv(entries, columns, model.genres)
    return 1 if bad else 0


def _find_songs(name: str) -> list[Path]:
    """List the songs of a file, a folder, or a pattern, which not all shells expand."""
    from gtzan_mfcc import dataset

    path = os.path.expanduser(name)
    songs = []
    for each in [path] if os.path.exists(path) else sorted(glob.glob(path)):
        if not os.path.isdir(each):
            songs.append(Path(each))
            continue
        songs += dataset.sound_files(each)
        files = dataset.ignored_files(each)
        files = files["path"][files["reason"] == "unknown file extension"]
        counts = Counter(Path(file).suffix.lower() or "no extension" for file in files)
        if counts:
            shown = ", ".join(f"{suffix} ({n})" for suffix, n in sorted(counts.items()))
            print(f"{each}: skipped other files: {shown}.", file=sys.stderr)
    return songs


def _as_json(song: str, prediction: "Prediction", over_time: bool) -> dict:
    entry = {
        "file": song,
        "genre": prediction.genre,
        "seconds": round(prediction.seconds, 3),
        "padded": prediction.padded,
        "silent": prediction.silent,
        "probabilities": prediction.probabilities.round(4).to_dict(),
    }
    if over_time:
        entry["over_time"] = [
            {"start": round(start, 3), "end": round(end, 3), "probabilities": dict(row)}
            for (start, end), row in prediction.over_time.round(4).iterrows()
        ]
    return entry


def _as_text(song: str, prediction: "Prediction", over_time: bool) -> str:
    text = f"{song}: {prediction.genre} ({prediction.best_guesses})"
    if prediction.padded:
        text += " (too short for a segment, repeated)"
    if prediction.silent:
        text += " (almost no sound: the genre means nothing)"
    if over_time:
        for (start, end), row in prediction.over_time.iterrows():
            best = f"{row.idxmax()} {row.max():.0%}"
            text += f"\n  {start:7.1f} to {end:7.1f} s: {best}"
    return text


def _print_csv(entries: list[dict], columns: list[str], genres: list[str]) -> None:
    """Print one row per song, or per segment if the entries have segments."""
    writer = csv.DictWriter(
        sys.stdout,
        [*columns, *genres],
        extrasaction="ignore",
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC,
    )
    writer.writeheader()
    for entry in entries:
        for row in entry.get("over_time", [entry]):
            writer.writerow(entry | row | row["probabilities"])


def _train(options: argparse.Namespace) -> int:
    """Train a model on FOLDER/CLASS/SONG, and print its accuracy.

    Songs in subfolders of CLASS belong to the class. The accuracy is that of a
    cross-validation, on songs that are not in training. The model is then trained on
    all songs.
    """
    output = Path(options.output).expanduser()
    _check_output(output)
    cache = _cache(options.cache)
    # pandas takes a while.
    from gtzan_mfcc._tables import any_file_names

    return any_file_names(_train_model)(options, output, cache)


def _train_model(options: argparse.Namespace, output: Path, cache: Path | None) -> int:
    from gtzan_mfcc import (
        augmentation,
        dataset,
        extraction,
        features,
        metrics,
        predict,
        training,
        validation,
    )

    folders = options.folders or None
    tracks = dataset.load_tracks(folders, facts=options.facts)
    predict.check_genres(sorted(set(tracks["genre"])))
    counts = tracks["genre"].value_counts()
    few = [f"{genre} ({n})" for genre, n in counts.items() if n < 5]
    if few:
        found = ", ".join(few)
        print(f"Few songs, so accuracy may be low: {found}.", file=sys.stderr)
    for reason, paths in dataset.ignored_files(folders).groupby("reason")["path"]:
        shown = ", ".join(paths)
        print(f"ignored, {reason} ({len(paths)}): {shown}", file=sys.stderr)
    segments = extraction.extract_mfcc(
        tracks,
        features.Settings(n_mfcc=20),
        augmentations=augmentation.ROBUST,
        cache=cache,
    )
    for reason in segments.left_out["reason"]:
        print(f"left out: {reason}", file=sys.stderr)
    predict.check_genres(segments.genres)
    if not options.no_score:
        card, tested = validation.report_card(
            training.fit_statistics_mlp,
            segments,
            by="artist",
            seeds=[options.seed],
            cache=cache,
        )
        row = card.loc["artist"]
        if tested:
            low, high = row["track_low"], row["track_high"]
            interval = f"95 % interval {low:.0%} to {high:.0%}"
            print(f"Accuracy on unseen songs: {row['track_accuracy']:.0%} ({interval})")
            votes = metrics.track_vote(tested["artist"])
            for genre in votes.genres:
                correct = votes.correct[votes.table["genre"] == genre]
                print(f"  {genre}: {correct.sum()} of {len(correct)}")
        print(row["remark"] or "Artists are kept apart.")
    network = training.fit_statistics_mlp(segments, seed=options.seed)
    with temporary(output) as unfinished:
        predict.Classifier(network, segments.genres, segments.settings).save(unfinished)
    counts = segments.table.groupby("genre", observed=True)["track"].nunique()
    written = ", ".join(f"{genre} ({n})" for genre, n in counts.items())
    print(f"{options.output}: {written}")
    return 0 if segments.left_out.empty else 1


def _check_output(output: Path) -> None:
    """Raise an error if the file cannot be written, before hours of training."""
    if output.suffix != ".keras" or os.path.isdir(output):
        raise UserError(f"{output}: name a file NAME.keras.")
    try:
        with suppress(FileNotFoundError):
            os.lstat(output)  # The name may be too long.
        tempfile.TemporaryFile(dir=output.parent).close()
    except OSError as error:
        found = f"{output} cannot be written ({error.strerror})"
        raise UserError(f"{found}; name another file.") from error


def _usual_cache() -> Path:
    named = os.environ.get("GTZAN_MFCC_CACHE")
    return Path(named or user_cache_path("gtzan_mfcc", appauthor=False))


def _cache(named: str | None) -> Path | None:
    """Return the folder for finished work; None if the usual one cannot be used."""
    if named:
        return Path(named).expanduser()
    try:
        folder = _usual_cache().expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home.
        found = f"Nothing is kept if this run stops ({error})"
        print(f"{found}; name a folder with --cache.", file=sys.stderr)
        return None
    return folder


def _open_streams() -> None:
    """Prepare the standard streams: for closed ones, other encodings, and libraries."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # It is closed, as in `2>&-`: the next file to be opened would get it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Hide what libmpg123 and TensorFlow write to the descriptor; keep Python's stderr.
    sys.stderr = os.fdopen(os.dup(2), "w", 1, errors="backslashreplace")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    # A console may not have the letters of a file name, which may not even be text.
    sys.stdout.reconfigure(
        encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True
    )
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.formatwarning = lambda message, *_: f"{message}\n"


if __name__ == "__main__":
    _open_streams()
    status = main()
    if status == 130:
        # Do not wait for the songs that are being processed.
        os._exit(status)
    sys.exit(status)
