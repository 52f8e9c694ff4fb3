"""The command line: ``python -m gtzan_mfcc``; see ``--help``."""

import argparse
import csv
import glob
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_dir
from tqdm import tqdm

from gtzan_mfcc._util import UserError, bar, package_versions, temporary

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
        return options.run(options)
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


def _parser():
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
    add("--csv", action="store_true", help="print a row per song, or per segment")

    train = commands.add_parser("train", help="make a model from folders of songs")
    train.description = _train.__doc__
    train.set_defaults(run=_train)
    add = train.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="of classes (default: GTZAN)")
    add("--output", required=True, metavar="FILE", help="the file to write, NAME.keras")
    add("--facts", metavar="FILE", help="a CSV table of the songs, as tracks.csv")
    add(
        "--cache",
        metavar="FOLDER",
        default=user_cache_dir("gtzan_mfcc", appauthor=False),
        help="keeps what is finished, to continue after a stop (default: %(default)s)",
    )
    add("--no-score", action="store_true", help="do not measure the accuracy")
    add("--seed", type=int, default=0, metavar="N", help="of the training (default: 0)")
    return parser


def _predict(options):
    """Print the genre of each song, and the three most probable genres.

    If no genre has a probability of one half, the song is called unsure. The package's
    model learnt ten genres from recordings of before 2002, and is wrong about many
    songs: MODEL_CARD.md has its accuracy on several kinds of music.

    Of a folder, all sound files are predicted, and those of its subfolders. A file that
    cannot be read is reported on standard error and skipped.
    """
    if options.model and not os.path.isfile(options.model):
        raise UserError(
            f"{options.model}: no such file; name one that `train` has written."
        )
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

    model = predict.load_model(options.model or predict.PRETRAINED)
    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    if options.csv:
        writer.writerow(_csv_columns(model.genres, options.over_time))
    results = predict.predict_files(songs, model, hop_seconds=options.hop_seconds)
    for song, result in bar(results, "song", True, total=len(songs)):
        # The progress bar makes room for the lines.
        with tqdm.external_write_mode():
            if isinstance(result, predict.AudioError):
                print(result, file=sys.stderr)
                bad += 1
            elif options.csv:
                writer.writerows(_csv_rows(song, result, options.over_time))
            else:
                print(_as_text(song, result, options.over_time))
    return 1 if bad else 0


def _find_songs(name):
    """List the songs of a file, a folder, or a pattern, which not all shells expand."""
    songs = []
    for path in [name] if os.path.exists(name) else sorted(glob.glob(name)):
        if not os.path.isdir(path):
            songs.append(Path(path))
            continue
        from gtzan_mfcc import dataset

        songs += dataset.sound_files(path)
        files = dataset.ignored_files(path)
        files = files["path"][files["reason"] == "unknown file extension"]
        suffixes = {Path(file).suffix.lower() or "no extension" for file in files}
        if suffixes:
            shown = ", ".join(sorted(suffixes))
            print(f"{path}: skipped other files ({shown}).", file=sys.stderr)
    return songs


def _csv_columns(genres, over_time):
    columns = ["file", "genre", "seconds", "padded", "silent"]
    if over_time:
        columns = ["file", "start", "end"]
    for genre in genres:
        if genre in columns:
            raise UserError(
                f"the class {genre} is named as a column of CSV; leave out --csv."
            )
    return columns + genres


def _csv_rows(song, prediction, over_time):
    if over_time:
        for (start, end), row in prediction.over_time.round(4).iterrows():
            yield [song, start, end, *row]
    else:
        mean = prediction.over_time.mean().round(4)
        yield [
            song,
            prediction.genre,
            prediction.seconds,
            prediction.padded,
            prediction.silent,
            *mean,
        ]


def _as_text(song, prediction, over_time):
    genre = "unsure" if prediction.unsure else prediction.genre
    text = f"{song}: {genre} ({prediction.best_guesses})"
    if prediction.padded:
        text += " (too short for a segment, repeated)"
    if prediction.silent:
        text += " (almost no sound: the genre means nothing)"
    if over_time:
        for (start, end), row in prediction.over_time.iterrows():
            best = f"{row.idxmax()} {row.max():.0%}"
            text += f"\n  {start:7.1f} to {end:7.1f} s: {best}"
    return text


def _train(options):
    """Train a model on FOLDER/CLASS/SONG, and print its accuracy.

    Songs in subfolders of CLASS belong to the class. The accuracy is that of a
    cross-validation, on songs that are not in training. The model is then trained on
    all songs.
    """
    output = Path(options.output)
    _check_output(output)
    # pandas takes a while.
    from gtzan_mfcc import (
        augmentation,
        dataset,
        extraction,
        features,
        predict,
        training,
    )

    folders = options.folders or None
    tracks = dataset.load_tracks(folders, facts=options.facts)
    predict.check_genres(sorted(set(tracks["genre"])))
    for genre, n in tracks["genre"].value_counts().items():
        if n < 5:
            print(f"{genre}: {n} songs are few; accuracy may be low.", file=sys.stderr)
    for path, reason in dataset.ignored_files(folders).itertuples(index=False):
        print(f"ignored, {reason}: {path}", file=sys.stderr)
    segments = extraction.extract_mfcc(
        tracks,
        features.Settings(n_mfcc=20),
        augmentations=augmentation.ROBUST,
        cache=options.cache,
    )
    for reason in segments.left_out["reason"]:
        print(f"left out: {reason}", file=sys.stderr)
    predict.check_genres(segments.genres)
    if not options.no_score:
        _print_score(segments, options)
    network = training.fit_statistics_mlp(segments, seed=options.seed)
    with temporary(output) as unfinished:
        predict.Classifier(network, segments.genres, segments.settings).save(unfinished)
    n_songs = segments.table["track"].nunique()
    print(f"{output}: {', '.join(segments.genres)}, from {n_songs:,} songs")
    return 0 if segments.left_out.empty else 1


def _check_output(output):
    """Raise an error if the file cannot be written, before hours of training."""
    if output.suffix != ".keras":
        raise UserError(f"{output}: name a file NAME.keras.")
    output.open("ab").close()
    if not output.stat().st_size:
        output.unlink()
    tempfile.TemporaryFile(dir=output.parent).close()


def _print_score(segments, options):
    """Print the accuracy of cross-validation, and whether artists were kept apart."""
    from gtzan_mfcc import metrics, training, validation

    card, predictions = validation.report_card(
        training.fit_statistics_mlp,
        segments,
        by="artist",
        seeds=[options.seed],
        cache=options.cache,
    )
    row = card.loc["artist"]
    if predictions:
        print(
            f"Accuracy on unseen songs: {row['track_accuracy']:.0%} (95 % interval "
            f"{row['track_low']:.0%} to {row['track_high']:.0%})"
        )
        votes = metrics.track_vote(predictions["artist"])
        for genre in votes.genres:
            correct = votes.correct[votes.true == genre]
            print(f"  {genre}: {correct.sum()} of {len(correct)}")
    print(row["remark"] or "Artists are kept apart.")


def _open_streams():
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
