"""Download Kaggle's copy of GTZAN into this folder: ``make data``."""

import os
import shutil
from pathlib import Path

from gtzan_mfcc import dataset
from gtzan_mfcc.dataset import DatasetError

KAGGLE_HANDLE = "andradaolteanu/gtzan-dataset-music-genre-classification"


def download(folder: str | Path | None = None) -> Path:
    """Download Kaggle's copy of GTZAN (over 1 GB, no account needed) and check what arrived.

    Shows its progress, goes on where an interrupted download stopped, and returns at once
    if all is there.

    Parameters
    ----------
    folder : str or Path, optional
        Where to; by default the project's ``data``.

    Returns
    -------
    corpus : Path
        The folder for `gtzan_mfcc.dataset.load_tracks`.

    Raises
    ------
    DatasetError
        If Kaggle cannot be reached, or what arrived is incomplete.
    """
    folder = Path(folder) if folder is not None else dataset.project_dir() / "data"
    corpus = folder / "Data" / "genres_original"
    if corpus.is_dir():
        try:
            check_corpus(corpus)
            return corpus
        except DatasetError:
            pass  # Incomplete: fetch it again.
    import kagglehub  # which nobody waits for where all is there

    # Kept beside its destination until complete, so that a stopped download can go on.
    partial = folder / ".kagglehub"
    previous = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(partial)
    try:
        arrived = Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:
        raise DatasetError(
            f"could not download {KAGGLE_HANDLE} from Kaggle: {error}. Try again; what has "
            f"arrived is kept. Or fetch it with a browser and unpack it into {folder}."
        ) from error
    finally:
        os.environ.pop("KAGGLEHUB_CACHE")
        if previous is not None:
            os.environ["KAGGLEHUB_CACHE"] = previous
    try:
        check_corpus(arrived / "Data" / "genres_original")
    except DatasetError:
        # kagglehub takes it for complete, and would only hand it out again.
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder / "Data", ignore_errors=True)
    # On Kaggle's and Google's own notebooks the data is mounted elsewhere, read-only.
    transfer = shutil.move if arrived.is_relative_to(partial) else shutil.copytree
    transfer(arrived / "Data", folder / "Data")
    shutil.rmtree(partial, ignore_errors=True)
    return corpus


def check_corpus(folder: str | Path) -> None:
    """Check that a folder holds all of GTZAN as Kaggle gives it.

    Parameters
    ----------
    folder : str or Path
        The folder with one folder a genre.

    Raises
    ------
    DatasetError
        If any of the ten genres lacks some of its 100 tracks, or ``features_3_sec.csv``
        is not beside the folder. The message names all that is missing.
    """
    folder = Path(folder)
    counts = dataset.load_tracks(folder)["genre"].value_counts()
    faults = [
        f"{counts.get(genre, 0)} of 100 tracks of {genre}"
        for genre in dataset.GENRES
        if counts.get(genre, 0) != 100
    ]
    if dataset.find_feature_table(folder) is None:
        faults.append("no features_3_sec.csv beside it")
    if faults:
        raise DatasetError(f"{folder} is not all of GTZAN: {'; '.join(faults)}; download it again.")


if __name__ == "__main__":
    print(download())
