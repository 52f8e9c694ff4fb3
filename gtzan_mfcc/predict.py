"""A song to the probability of each genre, over time and as a whole, by a model in one file."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import joblib
import numpy as np
import pandas as pd

from gtzan_mfcc import _model_file, audio, features
from gtzan_mfcc import models as _  # noqa: F401 - so that load_model knows the layers of ours
from gtzan_mfcc._keras import keras
from gtzan_mfcc.audio import SAMPLE_RATE, SEGMENT_LENGTH, AudioError

PRETRAINED = Path(__file__).with_name("pretrained.keras")
"""The model that `load_pretrained` loads."""

# Keras's networks are not made to be called by several threads at once.
_one_at_a_time = Lock()


class ModelError(ValueError):
    """A model that cannot be used; the message says why and what to do."""


def check_genres(genres: Sequence[str]) -> None:
    """Raise a ModelError if these cannot be the genres of a classifier."""
    listed = isinstance(genres, Iterable) and not isinstance(genres, (str, dict))
    if not listed or not all(isinstance(genre, str) for genre in genres):
        raise ModelError(f"genres is {genres!r}; take a list of names.")
    if len({*genres, "start", "end"}) < len(genres) + 2:
        raise ModelError(
            "two genres have the same name, or one is called start or end, as the times in a "
            "prediction are; rename it."
        )


@keras.saving.register_keras_serializable(package="gtzan_mfcc")
class Classifier(keras.Model):
    """A trained network, with all that it takes to name the genre of a song.

    ``classifier.save("name.keras")`` writes it to one file, and `load_model` reads it.

    Parameters
    ----------
    network : keras.Model
        From MFCCs of a segment, (batch, frames, n_mfcc) with or without a last axis of 1, or from
        the 57 features, (batch, 57), to (batch, n_genres) probabilities. It standardises its
        input itself, if need be.
    genres : sequence of str
        Names of the genres, in the order of the labels it was trained with.
    sample_rate : int
        Sample rate in Hz of the sound it was trained on.
    segment_length : int
        Samples in a segment. (The 57 features leave out the last of them, as Kaggle's table does.)
    n_fft, hop_length : int
        Length of the MFCCs' Fourier transform, and samples from frame to frame.

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
        sample_rate: int = SAMPLE_RATE,
        segment_length: int = SEGMENT_LENGTH,
        n_fft: int = features.N_FFT,
        hop_length: int = features.HOP_LENGTH,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        check_genres(genres)
        self.genres = list(genres)
        self.sample_rate, self.segment_length = sample_rate, segment_length
        self.n_fft, self.hop_length = n_fft, hop_length
        self._check_settings()
        try:
            (takes,), (gives,) = network.inputs, network.outputs
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError("a network with one input and one output is needed.") from error
        if takes.shape[0] is not None or "float" not in takes.dtype:
            raise ModelError("a network is needed that takes any number of rows of floats.")
        self._check_shapes(takes.shape[1:], gives.shape[1:])
        # Without the optimiser it was trained by, which is twice as large as the weights.
        self.network = keras.Model(takes, gives, name=network.name)
        self.build(self.network.input_shape)

    def _check_settings(self) -> None:
        names = ("sample_rate", "segment_length", "n_fft", "hop_length")
        for name in names:
            if type(getattr(self, name)) is not int:
                raise ModelError(f"{name} is {getattr(self, name)!r}; take a whole number.")
        # The limits are far from what anybody uses; beyond them, memory would give out.
        limits = [audio.SAMPLE_RATES, (1, 2**22), (2, min(self.segment_length, 2**16))]
        for name, (least, most) in zip(names, [*limits, (1, self.n_fft)]):
            if not least <= getattr(self, name) <= most:
                raise ModelError(f"{name} is {getattr(self, name)}; take {least} to {most}.")
        if self.n_fft % 2:
            raise ModelError(f"n_fft is {self.n_fft}; take an even number.")

    def _check_shapes(self, takes: tuple, gives: tuple) -> None:
        frames = 1 + self.segment_length // self.hop_length
        on_mfccs = len(takes) in (2, 3) and takes[0] == frames and takes[2:] in ((), (1,))
        on_mfccs = on_mfccs and takes[1] in range(1, features.N_MELS + 1)
        on_mfccs = on_mfccs and frames * self.n_fft <= 2**26
        on_features = (
            takes == (len(features.FEATURE_NAMES),) and self.segment_length > features.N_FFT
        )
        if not on_mfccs and not on_features:
            raise ModelError(
                f"the network takes arrays of shape {takes}, and neither ({frames}, n_mfcc) nor "
                f"({len(features.FEATURE_NAMES)},) is that."
            )
        if gives != (len(self.genres),):
            raise ModelError(
                f"the network gives arrays of shape {gives}, and there are {len(self.genres)} "
                "names of genres."
            )

    @property
    def _on_features(self) -> bool:
        return len(self.network.input_shape) == 2

    @property
    def shortest_segment(self) -> int:
        """Fewest samples that give as many frames as a whole segment, as in extraction."""
        left_out = 1 if self._on_features else self.segment_length % self.hop_length
        return self.segment_length - left_out

    def call(self, x: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Give the probabilities of each genre for what the network takes."""
        return self.network(x, training=training)

    def hear(self, segments: np.ndarray) -> np.ndarray:
        """Give the probabilities of each genre for segments of sound.

        Parameters
        ----------
        segments : np.ndarray [shape=(n, segment_length), dtype=float32]

        Returns
        -------
        probabilities : np.ndarray [shape=(n, n_genres)]

        Raises
        ------
        ModelError
            If what the network gives are no probabilities.
        """
        if self._on_features:
            x = features.tabular_features(segments[:, :-1], sample_rate=self.sample_rate)
        else:
            x = features.mfcc(
                segments,
                sample_rate=self.sample_rate,
                n_mfcc=self.network.input_shape[2],
                n_fft=self.n_fft,
                hop_length=self.hop_length,
            )
        # Filled up to as many rows as mostly come, since Keras compiles the network anew for each
        # number of them.
        missing = -len(x) % audio.SEGMENTS_AT_ONCE
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]))]).astype("float32")
        with _one_at_a_time:
            probabilities = self.network.predict_on_batch(x)[: len(segments)]
        if not (probabilities >= 0).all() or not np.allclose(
            probabilities.sum(axis=1), 1, atol=0.01
        ):
            raise ModelError("the network gives no probabilities; it should end in a softmax.")
        return probabilities

    def get_config(self) -> dict:
        """Give what the classifier was made with."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "genres": self.genres,
            "sample_rate": self.sample_rate,
            "segment_length": self.segment_length,
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> "Classifier":
        """Make a classifier of what `get_config` gave."""
        network = keras.saving.deserialize_keras_object(config.get("network"), custom_objects)
        try:
            return cls(**config | {"network": network})
        except TypeError as error:
            raise ModelError(f"its settings are not those of a Classifier ({error}).") from error


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

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.
    """

    over_time: pd.DataFrame
    seconds: float
    padded: bool

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
        padded = ", too short for a segment and repeated" if self.padded else ""
        heard = f"{self.seconds:.1f} s, segments: {len(self.over_time)}{padded}"
        return f"Prediction({self.best_guesses}; {heard})"


def predict(
    song: str | Path | np.ndarray,
    model: Classifier,
    *,
    sample_rate: int = SAMPLE_RATE,
    hop_seconds: float | None = None,
) -> Prediction:
    """Tell the genre of a song: of each segment of it, and of the whole.

    A song of hours needs no more memory than one of a minute. One that is too short for a segment,
    but has half a second, is repeated until it fills one. What is left after the last whole
    segment, less than 3 s, is not heard, as in `gtzan_mfcc.extraction.extract_mfcc`.

    Parameters
    ----------
    song : str, Path or np.ndarray [shape=(n,)]
        A file that libsndfile reads, or a signal of one channel.
    model : Classifier
        From `load_pretrained` or `load_model`, or made of a network of yours.
    sample_rate : int
        Sample rate of a signal in Hz; a file knows its own.
    hop_seconds : float, optional
        Seconds from the start of a segment to that of the next, if they are to overlap.

    Returns
    -------
    prediction : Prediction

    Raises
    ------
    AudioError
        If the song cannot be read, or has less than half a second. The message names the file.
    ModelError
        If `model` is no Classifier.
    ValueError
        If `hop_seconds` is more than a segment, or less than one sample.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    if not isinstance(model, Classifier):
        raise ModelError(
            f"{type(model).__name__} does not say what its genres are; "
            "take predict.Classifier(network, genres)."
        )
    segment_seconds = model.segment_length / model.sample_rate
    if hop_seconds is None:
        hop_seconds = segment_seconds
    if not 1 / model.sample_rate <= hop_seconds <= segment_seconds:
        raise ValueError(f"hop_seconds is {hop_seconds}; take up to {segment_seconds:g}.")
    hop = round(hop_seconds * model.sample_rate)
    length, shortest, n_samples = model.segment_length, model.shortest_segment, 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal n_samples
        for piece in pieces:
            n_samples += len(piece)
            yield piece

    if isinstance(song, (str, Path)):
        pieces = audio.blocks(song, sample_rate=model.sample_rate)
    else:
        pieces = [audio.convert(song, sample_rate, sample_rate=model.sample_rate)]
    try:
        batches = audio.segments(counted(), length, hop=hop, shortest=shortest)
        probabilities = np.concatenate([model.hear(batch) for batch in batches])
    except AudioError as error:
        if not isinstance(song, (str, Path)) or str(error).startswith(f"{Path(song)}: "):
            raise
        raise AudioError(f"{Path(song)}: {error}") from error
    seconds = n_samples / model.sample_rate
    start = np.arange(len(probabilities)) * hop / model.sample_rate
    over_time = pd.DataFrame(probabilities.astype(float), columns=model.genres)
    over_time.insert(0, "start", start)
    over_time.insert(1, "end", np.minimum(start + segment_seconds, seconds))
    return Prediction(over_time, seconds, padded=n_samples < shortest)


def predict_files(
    paths: Iterable[str | Path],
    model: Classifier,
    *,
    hop_seconds: float | None = None,
    n_jobs: int = -1,
) -> Iterator[tuple[str | Path, Prediction | AudioError]]:
    """Tell the genres of many songs, on all cores; a bad file does not end the run.

    Parameters
    ----------
    paths : iterable of str or Path
        Files that libsndfile reads.
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
    Notebook ``7_your_own_music`` introduces this helper.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]

    def attempt(path: str | Path) -> tuple[str | Path, Prediction | AudioError]:
        try:
            return path, predict(path, model, hop_seconds=hop_seconds)
        except AudioError as error:
            return path, error

    # Threads will do: reading, resampling and transforming all let the others run.
    n_threads = joblib.effective_n_jobs(n_jobs)
    # Leaving the block waits for what has begun.
    with ThreadPoolExecutor(n_threads) as pool:
        begun = deque()
        try:
            for path in paths:
                begun.append(pool.submit(attempt, path))
                while begun and (begun[0].done() or len(begun) > 2 * n_threads):
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for later in begun:
                later.cancel()


def load_model(path: str | Path) -> Classifier:
    """Load a classifier from a file that ``classifier.save`` wrote; it need not be trusted.

    Keras's safe mode is on, and nothing but layers and numbers may be in the file, so that it
    brings no code; what promises more than the file has bytes is refused beforehand. (A stranger's
    network may still be slow, or large when it is used.) A model with layers of your own is for
    ``keras.saving.load_model``, which gives a Classifier, too.

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
    Notebook ``7_your_own_music`` introduces this helper.
    """
    path = Path(path)
    try:
        _model_file.check(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises all sorts of errors for a damaged file.
        reason = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:300]
        raise ModelError(f"{path}: not a model that can be loaded ({reason}).") from error
    if not isinstance(model, Classifier):
        raise ModelError(
            f"{path}: a Keras model that does not say what its genres are; load it with Keras, if "
            "you trust it, and save predict.Classifier(network, genres)."
        )
    return model


def load_pretrained() -> Classifier:
    """Load the model that comes with the package; what it can do is in the README's model card.

    Returns
    -------
    classifier : Classifier
        Of GTZAN's ten genres, on 20 MFCCs.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.
    """
    return load_model(PRETRAINED)
