"""Download Kaggle's copy of GTZAN into this folder: ``make data``."""

import os
import shutil
import sys
from pathlib import Path

from gtzan_mfcc import dataset
from gtzan_mfcc.dataset import DatasetError

KAGGLE_HANDLE = "andradaolteanu/gtzan-dataset-music-genre-classification"


def download(folder: str | Path | None = None) -> Path:
    """Download Kaggle's copy of GTZAN (over 1 GB, no account needed), and check it.

    Shows the progress, continues an interrupted download, and returns at once if GTZAN
    is already there.

    Parameters
    ----------
    folder : str or Path, optional
        The destination; by default ``data`` of the project.

    Returns
    -------
    corpus : Path
        The folder for `gtzan_mfcc.dataset.load_tracks`.

    Raises
    ------
    DatasetError
        If Kaggle cannot be reached, or the downloaded copy is incomplete.
    """
    folder = Path(folder) if folder is not None else dataset.project_dir() / "data"
    corpus = folder / "Data" / "genres_original"
    if corpus.is_dir():
        try:
            check_corpus(corpus)
            return corpus
        except DatasetError:
            pass  # Incomplete: download it again.
    import kagglehub  # slow, so only if needed

    # Download next to the destination, so that an interrupted download can continue.
    partial = folder / ".kagglehub"
    previous = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(partial)
    try:
        arrived = Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:
        raise DatasetError(
            f"could not download {KAGGLE_HANDLE} from Kaggle ({type(error).__name__}). "
            "Is there a network? Try again; the download will continue. Or download it "
            f"with a browser and unpack it into {folder}."
        ) from error
    finally:
        os.environ.pop("KAGGLEHUB_CACHE")
        if previous is not None:
            os.environ["KAGGLEHUB_CACHE"] = previous
    try:
        check_corpus(arrived / "Data" / "genres_original")
    except DatasetError:
        # kagglehub regards this copy as complete, and would return it again.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder / "Data", ignore_errors=True)
    # In notebooks at Kaggle and Google, the data is mounted elsewhere and read-only.
    transfer = shutil.move if arrived.is_relative_to(partial) else shutil.copytree
    transfer(arrived / "Data", folder / "Data")
    shutil.rmtree(partial, ignore_errors=True)
    return corpus


def check_corpus(folder: str | Path) -> None:
    """Check that a folder has all of Kaggle's copy of GTZAN.

    Parameters
    ----------
    folder : str or Path
        The folder with one folder per genre.

    Raises
    ------
    DatasetError
        If any of the ten genres has fewer than 100 tracks, or ``features_3_sec.csv`` is
        not next to the folder. The message lists everything that is missing.
    """
    folder = Path(folder)
    tracks = dataset.load_tracks(folder, facts=dataset.load_facts())
    counts = tracks["genre"].value_counts()
    faults = [
        f"{counts.get(genre, 0)} of 100 tracks of {genre}"
        for genre in dataset.GENRES
        if counts.get(genre, 0) != 100
    ]
    if dataset.find_feature_table(folder) is None:
        faults.append("no features_3_sec.csv beside it")
    if faults:
        raise DatasetError(
            f"{folder} is not all of GTZAN: {'; '.join(faults)}; download it again."
        )


if __name__ == "__main__":
    try:
        print(download())
    except DatasetError as error:
        sys.exit(str(error))
