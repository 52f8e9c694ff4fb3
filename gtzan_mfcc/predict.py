"""Predict the genre of songs, over time and as a whole, with a model that is saved in one file."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import joblib
import numpy as np
import pandas as pd

from gtzan_mfcc import audio, features
from gtzan_mfcc import models as _  # noqa: F401 - registers custom layers for load_model
from gtzan_mfcc._disk import OneLineError
from gtzan_mfcc._keras import keras
from gtzan_mfcc.audio import SAMPLE_RATE, SEGMENT_LENGTH, AudioError

# The model that `load_pretrained` loads.
PRETRAINED = Path(__file__).with_name("pretrained.keras")

# Columns of the tables of results; there is also one per genre.
_COLUMNS = ("file", "genre", "seconds", "padded", "silent", "start", "end")

# Keras models cannot be called by several threads at the same time.
_one_at_a_time = Lock()


class ModelError(OneLineError, ValueError):
    """Raised if a model cannot be used; the message says why and what to do."""


def check_genres(genres: Sequence[str]) -> None:
    """Raise a ModelError if these cannot be the genres of a classifier."""
    if len(genres) < 2:
        raise ModelError(f"{', '.join(genres)} is the only class; two are needed.")
    if len({*_COLUMNS, *genres}) < len(_COLUMNS) + len(genres):
        wrong = f"two have the same name, or one has that of a column ({', '.join(_COLUMNS)})"
        raise ModelError(f"the genres are {', '.join(genres)}: {wrong}; rename it.")


@keras.saving.register_keras_serializable(package="gtzan_mfcc")
class Classifier(keras.Model):
    """A trained network with the genres and settings that it needs to predict the genre of songs.

    Its input is segments of 3 s at 22,050 Hz, as in `gtzan_mfcc.extraction`.
    ``classifier.save("name.keras")`` writes it to one file, and `load_model` reads it.

    Parameters
    ----------
    network : keras.Model
        From MFCCs of a segment, (batch, frames, n_mfcc) with or without a last axis of 1, or from
        the 57 features, (batch, 57), to (batch, n_genres) probabilities. If the input must be
        standardised, the network has a layer for it.
    genres : sequence of str
        Names of the genres, in the order of the labels in training.
    n_fft, hop_length : int
        Length of the Fourier transform for the MFCCs (even), and samples from frame to frame.

    Raises
    ------
    ModelError
        If the network has other inputs or outputs, or if genres or settings cannot be used.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.
    """

    def __init__(
        self,
        network: keras.Model,
        genres: Sequence[str],
        *,
        n_fft: int = features.N_FFT,
        hop_length: int = features.HOP_LENGTH,
    ) -> None:
        super().__init__()
        check_genres(genres)
        if n_fft not in range(2, SEGMENT_LENGTH, 2) or hop_length not in range(1, SEGMENT_LENGTH):
            raise ModelError(f"{n_fft=}, {hop_length=}; take numbers of samples, an even n_fft.")
        frames, n_features = 1 + SEGMENT_LENGTH // int(hop_length), len(features.FEATURE_NAMES)
        mfccs = [(None, frames, n) for n in range(1, features.N_MELS + 1)]
        allowed = [(None, n_features), *mfccs, *((*shape, 1) for shape in mfccs)]
        # A network that is not built, or a scikit-learn model, has no shapes.
        takes, gives = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
        if takes not in allowed or gives != (None, len(genres)):
            needed = f"(None, {frames}, n_mfcc) or (None, {n_features}) to (None, {len(genres)})"
            raise ModelError(f"the network goes from {takes} to {gives}, and not from {needed}.")
        self.genres, self.n_fft, self.hop_length = list(genres), int(n_fft), int(hop_length)
        # Leave out the optimiser, which is twice as large as the weights.
        self.network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
        self.build(takes)
        self.on_features = takes == allowed[0]

    @property
    def shortest_segment(self) -> int:
        """Minimum number of samples of a segment, as in `gtzan_mfcc.extraction`."""
        # The 57 features leave out the last sample of a segment, as in Kaggle's table.
        return SEGMENT_LENGTH - 1 if self.on_features else audio.shortest_segment(self.hop_length)

    def call(self, x: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Compute the probabilities of the genres from the input of the network."""
        return self.network(x, training=training)

    def hear(self, segments: np.ndarray) -> np.ndarray:
        """Predict the probabilities of the genres for segments of sound.

        Parameters
        ----------
        segments : np.ndarray [shape=(n, 66150), dtype=float32]

        Returns
        -------
        probabilities : np.ndarray [shape=(n, n_genres)]

        Raises
        ------
        ModelError
            If the output of the network is not a probability distribution.
        """
        if self.on_features:
            x = features.tabular_features(segments[:, :-1])
        else:
            settings = {"n_fft": self.n_fft, "hop_length": self.hop_length}
            x = features.mfcc(segments, n_mfcc=self.network.input_shape[2], **settings)
        # Pad to the usual number of rows: Keras compiles the network for each number of rows.
        missing = -len(x) % audio.SEGMENTS_AT_ONCE
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]))]).astype("float32")
        with _one_at_a_time:
            probabilities = self.network.predict_on_batch(x)[: len(segments)]
        total = probabilities.sum(axis=1)
        if not (probabilities >= 0).all() or not np.allclose(total, 1, atol=0.01):
            raise ModelError("the network gives no probabilities; it should end in a softmax.")
        return probabilities

    def get_config(self) -> dict:
        """Return the arguments of the classifier."""
        config = {name: getattr(self, name) for name in ("genres", "n_fft", "hop_length")}
        return config | {"network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config: dict) -> "Classifier":
        """Make a classifier from the result of `get_config`, in the current safe mode of Keras."""
        return cls(**config | {"network": keras.saving.deserialize_keras_object(config["network"])})


@dataclass(frozen=True, repr=False)
class Prediction:
    """The predicted genres of a song.

    Attributes
    ----------
    over_time : pd.DataFrame
        One row per segment: ``start`` and ``end`` in s, then the probability of each genre.
    seconds : float
        Length of the song.
    padded : bool
        Whether the song was shorter than a segment, and was repeated to fill one.
    silent : bool
        Whether the root mean square is more than 60 dB below full scale. Then there is almost no
        sound, and the genres mean nothing.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.
    """

    over_time: pd.DataFrame
    seconds: float
    padded: bool
    silent: bool

    @property
    def probabilities(self) -> pd.Series:
        """Mean probability of each genre over the segments, highest first."""
        mean = self.over_time.drop(columns=["start", "end"]).mean()
        return mean.sort_values(ascending=False, kind="stable").rename("probability")

    @property
    def genre(self) -> str:
        """The most probable genre."""
        return self.probabilities.index[0]

    @property
    def best_guesses(self) -> str:
        """The three most probable genres as text, such as ``"rock 81%, blues 12%, jazz 4%"``."""
        return ", ".join(f"{genre} {p:.0%}" for genre, p in self.probabilities.head(3).items())

    def __repr__(self) -> str:
        """Show the three most probable genres, the length and the number of segments."""
        facts = f"{self.seconds:.1f} s, segments: {len(self.over_time)}"
        facts += ", padded" * self.padded + ", silent" * self.silent
        return f"Prediction({self.best_guesses}; {facts})"


def predict(
    song: str | Path | np.ndarray,
    model: Classifier,
    *,
    sample_rate: int = SAMPLE_RATE,
    hop_seconds: float = 3.0,
) -> Prediction:
    """Predict the genre of a song: of each segment, and of the whole song.

    The memory does not depend on the length of the song. A song that is shorter than a segment,
    but has at least half a second, is repeated to fill one. The rest after the last segment, less
    than 3 s, is not used, as in `gtzan_mfcc.extraction.extract_mfcc`.

    Parameters
    ----------
    song : str, Path or np.ndarray [shape=(n,)]
        A file that `gtzan_mfcc.audio.load` reads, or a signal of one channel.
    model : Classifier
        From `load_pretrained` or `load_model`, or made from your network; or any object with the
        attributes ``genres`` and ``shortest_segment`` and the method ``hear`` of a Classifier.
    sample_rate : int
        Sample rate of a signal in Hz; not used for a file.
    hop_seconds : float
        Seconds from the start of one segment to the next; below 3, segments overlap.

    Returns
    -------
    prediction : Prediction

    Raises
    ------
    AudioError
        If the song cannot be read or is shorter than half a second. The message names the file.
    ModelError
        If `model` has no ``hear``.
    TypeError
        If `song` is neither a path nor an array.
    ValueError
        If `hop_seconds` is more than a segment, or less than one sample.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    if not hasattr(model, "hear"):
        found = f"{type(model).__name__} has no names of genres, and no method hear"
        raise ModelError(f"{found}; take predict.Classifier(network, genres), or see RECIPES.md.")
    if not isinstance(song, (str, Path, np.ndarray)):
        raise TypeError("a song is a path or an array; predict_files takes several paths.")
    if not 1 / SAMPLE_RATE <= hop_seconds <= 3:
        raise ValueError(f"hop_seconds is {hop_seconds}; take up to 3.")
    step, lengths, energy = round(hop_seconds * SAMPLE_RATE), [], []

    def counted(piece: np.ndarray) -> np.ndarray:
        lengths.append(len(piece))
        energy.append(np.sum(np.square(piece, dtype=float)))
        return piece

    name = f"{Path(song)}: " if isinstance(song, (str, Path)) else ""
    try:
        pieces = map(counted, audio.blocks(song) if name else [audio.convert(song, sample_rate)])
        batches = audio.segments(pieces, step=step, shortest=model.shortest_segment)
        probabilities = np.concatenate([model.hear(batch) for batch in batches])
    except AudioError as error:
        raise AudioError(name + str(error).removeprefix(name)) from error
    start, length = np.arange(len(probabilities)) * step, sum(lengths)
    times = {"start": start, "end": np.minimum(start + SEGMENT_LENGTH, length)}
    over_time = pd.DataFrame(times) / SAMPLE_RATE
    over_time[model.genres] = probabilities.astype(float)
    # 60 dB below full scale; quiet music is about 40 dB below.
    silent = sum(energy) < 1e-6 * length
    padded = length < model.shortest_segment
    return Prediction(over_time, length / SAMPLE_RATE, padded=padded, silent=bool(silent))


def predict_files(
    paths: Iterable[str | Path], model: Classifier, *, hop_seconds: float = 3.0, n_jobs: int = -1
) -> Iterator[tuple[str | Path, Prediction | AudioError]]:
    """Predict the genres of many songs on all cores; a bad file does not end the run.

    Parameters
    ----------
    paths : iterable of str or Path
        Files that `gtzan_mfcc.audio.load` reads.
    model, hop_seconds
        As for `predict`.
    n_jobs : int
        Number of threads; -1 for one per core.

    Yields
    ------
    path : str or Path
    prediction : Prediction or AudioError
        In the order of `paths`, each as soon as it is ready. An AudioError is not raised.

    Raises
    ------
    ModelError, ValueError
        As for `predict`.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.
    """

    def attempt(path: str | Path) -> tuple[str | Path, Prediction | AudioError]:
        try:
            return path, predict(path, model, hop_seconds=hop_seconds)
        except AudioError as error:
            return path, error

    # Threads are enough: reading, resampling and Fourier transforms release the GIL. Python
    # crashes if it exits while TensorFlow runs, so wait for running threads. After Ctrl-C do not
    # wait: the command then exits at once, without Python's own exit.
    pool, wait = ThreadPoolExecutor(joblib.effective_n_jobs(n_jobs)), True
    try:
        yield from pool.map(attempt, paths)
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        pool.shutdown(wait, cancel_futures=True)


def load_model(path: str | Path) -> Classifier:
    """Load a classifier from a file that was written by ``classifier.save``.

    The safe mode of Keras refuses files that contain code. It may have faults that are still
    unknown, so keep Keras up to date. There is no limit to the memory or time that a network from
    others may need. If the model has custom layers, use ``keras.saving.load_model``, which returns
    a Classifier, too.

    Parameters
    ----------
    path : str or Path
        The ``.keras`` file.

    Returns
    -------
    classifier : Classifier

    Raises
    ------
    ModelError
        If the file does not exist, is damaged or unsafe, or has another kind of model.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.
    """
    path = Path(path)
    try:
        _check_archive(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, Classifier):
            raise ValueError(f"a {type(model).__name__}, which has no names of genres")
    except Exception as error:  # Keras raises many kinds of errors for a damaged file.
        reason = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:300]
        raise ModelError(f"{path}: not a model that can be loaded: {reason}") from error
    return model


def _check_archive(path: Path) -> None:
    # With another suffix, Keras would try its older, unsafe formats.
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError("there is no file of that name, or it does not end in .keras")
    # Keras does not compress its files. A compressed file may unpack to more than the memory.
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError("it would unpack to more bytes than the file has")


def load_pretrained() -> Classifier:
    """Load the model of the package; MODEL_CARD.md describes its training and accuracy.

    Returns
    -------
    classifier : Classifier
        A model of GTZAN's ten genres, on 20 MFCCs.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    return load_model(PRETRAINED)
