"""A song to the probability of each genre, over time and as a whole, by a model in one file."""

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
from gtzan_mfcc import models as _  # noqa: F401 - so that load_model knows the layers of ours
from gtzan_mfcc._keras import keras
from gtzan_mfcc.audio import SAMPLE_RATE, SEGMENT_LENGTH, AudioError

# The model that `load_pretrained` loads.
PRETRAINED = Path(__file__).with_name("pretrained.keras")

# Of the tables of results, beside one a genre.
_COLUMNS = ("file", "genre", "seconds", "padded", "silent", "start", "end")

# Keras's networks are not made to be called by several threads at once.
_one_at_a_time = Lock()


class ModelError(ValueError):
    """A model that cannot be used; the message says why and what to do."""


def check_genres(genres: Sequence[str]) -> None:
    """Raise a ModelError if these cannot be the genres of a classifier."""
    if len(genres) < 2:
        raise ModelError(f"{', '.join(genres)} is the only class; two are needed.")
    if len({*_COLUMNS, *genres}) < len(_COLUMNS) + len(genres):
        wrong = f"two have the same name, or one has that of a column ({', '.join(_COLUMNS)})"
        raise ModelError(f"the genres are {', '.join(genres)}: {wrong}; rename it.")


@keras.saving.register_keras_serializable(package="gtzan_mfcc")
class Classifier(keras.Model):
    """A trained network, with all that it takes to name the genre of a song.

    It takes segments of 3 s at 22,050 Hz, as `gtzan_mfcc.extraction` makes them.
    ``classifier.save("name.keras")`` writes it to one file, and `load_model` reads it.

    Parameters
    ----------
    network : keras.Model
        From MFCCs of a segment, (batch, frames, n_mfcc) with or without a last axis of 1, or from
        the 57 features, (batch, 57), to (batch, n_genres) probabilities. It standardises its
        input itself, if need be.
    genres : sequence of str
        Names of the genres, in the order of the labels it was trained with.
    n_fft, hop_length : int
        Length of the MFCCs' Fourier transform (even), and samples from frame to frame.

    Raises
    ------
    ModelError
        If the network takes or gives something else.

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
        # Neither a network that was never built nor a model of scikit-learn has shapes.
        takes, gives = (getattr(network, name, None) for name in ("input_shape", "output_shape"))
        if takes not in allowed or gives != (None, len(genres)):
            needed = f"(None, {frames}, n_mfcc) or (None, {n_features}) to (None, {len(genres)})"
            raise ModelError(f"the network goes from {takes} to {gives}, and not from {needed}.")
        self.genres, self.n_fft, self.hop_length = list(genres), int(n_fft), int(hop_length)
        # Without the optimiser it was trained by, which is twice as large as the weights.
        self.network = keras.Model(network.inputs[0], network.outputs[0], name=network.name)
        self.build(takes)
        self.on_features = takes == allowed[0]

    @property
    def shortest_segment(self) -> int:
        """Fewest samples that make a segment, as in `gtzan_mfcc.extraction`."""
        # As Kaggle's table of the 57 features, they leave out a segment's last sample.
        return SEGMENT_LENGTH - 1 if self.on_features else audio.shortest_segment(self.hop_length)

    def call(self, x: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Give the probabilities of each genre for what the network takes."""
        return self.network(x, training=training)

    def hear(self, segments: np.ndarray) -> np.ndarray:
        """Give the probabilities of each genre for segments of sound.

        Parameters
        ----------
        segments : np.ndarray [shape=(n, 66150), dtype=float32]

        Returns
        -------
        probabilities : np.ndarray [shape=(n, n_genres)]

        Raises
        ------
        ModelError
            If what the network gives are no probabilities.
        """
        if self.on_features:
            x = features.tabular_features(segments[:, :-1])
        else:
            settings = {"n_fft": self.n_fft, "hop_length": self.hop_length}
            x = features.mfcc(segments, n_mfcc=self.network.input_shape[2], **settings)
        # Filled up to as many rows as mostly come, since Keras compiles the network anew for each
        # number of them.
        missing = -len(x) % audio.SEGMENTS_AT_ONCE
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]))]).astype("float32")
        with _one_at_a_time:
            probabilities = self.network.predict_on_batch(x)[: len(segments)]
        total = probabilities.sum(axis=1)
        if not (probabilities >= 0).all() or not np.allclose(total, 1, atol=0.01):
            raise ModelError("the network gives no probabilities; it should end in a softmax.")
        return probabilities

    def get_config(self) -> dict:
        """Give what the classifier was made with."""
        config = {name: getattr(self, name) for name in ("genres", "n_fft", "hop_length")}
        return config | {"network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config: dict) -> "Classifier":
        """Make a classifier of what `get_config` gave, in the safe mode that Keras is in."""
        return cls(**config | {"network": keras.saving.deserialize_keras_object(config["network"])})


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a model hears in a song.

    Attributes
    ----------
    over_time : pd.DataFrame
        One row a segment: ``start`` and ``end`` in s, then the probability of each genre.
    seconds : float
        Length of the song.
    padded : bool
        Whether it was too short for a segment, and was repeated until it filled one.
    silent : bool
        Whether its root mean square is more than 60 dB below full scale: there is hardly any
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
        """The three most probable genres in a line, such as ``"rock 81%, blues 12%, jazz 4%"``."""
        return ", ".join(f"{genre} {p:.0%}" for genre, p in self.probabilities.head(3).items())

    def __repr__(self) -> str:
        """Tell the three most probable genres, and how much was heard."""
        heard = f"{self.seconds:.1f} s, segments: {len(self.over_time)}"
        heard += ", padded" * self.padded + ", silent" * self.silent
        return f"Prediction({self.best_guesses}; {heard})"


def predict(
    song: str | Path | np.ndarray,
    model: Classifier,
    *,
    sample_rate: int = SAMPLE_RATE,
    hop_seconds: float = 3.0,
) -> Prediction:
    """Tell the genre of a song: of each segment of it, and of the whole.

    A song of hours needs no more memory than one of a minute. One that is too short for a segment,
    but has half a second, is repeated until it fills one. What is left after the last whole
    segment, less than 3 s, is not heard, as in `gtzan_mfcc.extraction.extract_mfcc`.

    Parameters
    ----------
    song : str, Path or np.ndarray [shape=(n,)]
        A file that `gtzan_mfcc.audio.load` reads, or a signal of one channel.
    model : Classifier
        From `load_pretrained` or `load_model`, or made of a network of yours; or any object with
        the attributes ``genres`` and ``shortest_segment`` and the method ``hear`` of a Classifier.
    sample_rate : int
        Sample rate of a signal in Hz; a file knows its own.
    hop_seconds : float
        Seconds from the start of a segment to that of the next; with less than 3 they overlap.

    Returns
    -------
    prediction : Prediction

    Raises
    ------
    AudioError
        If the song cannot be read, or has less than half a second. The message names the file.
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
    # 60 dB below full scale; quiet music has some 40.
    silent = sum(energy) < 1e-6 * length
    padded = length < model.shortest_segment
    return Prediction(over_time, length / SAMPLE_RATE, padded=padded, silent=bool(silent))


def predict_files(
    paths: Iterable[str | Path], model: Classifier, *, hop_seconds: float = 3.0, n_jobs: int = -1
) -> Iterator[tuple[str | Path, Prediction | AudioError]]:
    """Tell the genres of many songs, on all cores; a bad file does not end the run.

    Parameters
    ----------
    paths : iterable of str or Path
        Files that `gtzan_mfcc.audio.load` reads.
    model, hop_seconds
        As for `predict`.
    n_jobs : int
        Number of threads; -1 for one a core.

    Yields
    ------
    path : str or Path
    prediction : Prediction or AudioError
        In the order of `paths`, each as soon as it is there; the error is not raised.

    Raises
    ------
    ModelError, ValueError
        As `predict`.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.
    """

    def attempt(path: str | Path) -> tuple[str | Path, Prediction | AudioError]:
        try:
            return path, predict(path, model, hop_seconds=hop_seconds)
        except AudioError as error:
            return path, error

    # Threads will do: reading, resampling and transforming all let the others run. Python crashes
    # if it ends while TensorFlow runs, so those that have begun are waited for, but not after
    # Ctrl-C: the command ends at once then.
    pool, wait = ThreadPoolExecutor(joblib.effective_n_jobs(n_jobs)), True
    try:
        yield from pool.map(attempt, paths)
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        pool.shutdown(wait, cancel_futures=True)


def load_model(path: str | Path) -> Classifier:
    """Load a classifier from a file that ``classifier.save`` wrote.

    Keras's safe mode refuses a file that brings code with it, as far as Keras's makers know: keep
    Keras up to date. Nothing bounds the memory or the time that a stranger's network takes. A
    model with layers of your own is for ``keras.saving.load_model``, which gives a Classifier, too.

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
        If there is no such file, if it is damaged or unsafe, or holds another kind of model.

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
    except Exception as error:  # Keras raises all sorts of errors for a damaged file.
        reason = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:300]
        raise ModelError(f"{path}: no model that can be loaded: {reason}") from error
    return model


def _check_archive(path: Path) -> None:
    # What has another ending Keras would take for one of its older, unsafe formats.
    if path.suffix != ".keras" or not path.is_file():
        raise ValueError("there is no file of that name, or it does not end in .keras")
    # Keras compresses nothing; what does may unpack to more than the memory holds.
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError("an archive that would unpack to more than it holds")


def load_pretrained() -> Classifier:
    """Load the model that comes with the package; what it can do is in MODEL_CARD.md.

    Returns
    -------
    classifier : Classifier
        Of GTZAN's ten genres, on 20 MFCCs.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    return load_model(PRETRAINED)
