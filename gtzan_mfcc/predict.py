"""Predict the genre of songs, over time and as a whole; save and load models."""

import dataclasses
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from threading import Lock
from typing import BinaryIO

import joblib
import numpy as np
import pandas as pd

from gtzan_mfcc import audio, features
from gtzan_mfcc._keras import keras
from gtzan_mfcc.audio import AudioError
from gtzan_mfcc.features import Settings
from gtzan_mfcc.models import ModelError, check_probabilities

PRETRAINED = Path(__file__).with_name("pretrained.keras")
"""The file of the model that `load_pretrained` loads."""

# Keras models cannot be called by several threads at the same time.
_one_at_a_time = Lock()

# A song: a file by its name, an open file, the bytes of a file, or a signal.
Song = str | Path | BinaryIO | bytes | np.ndarray


def check_genres(genres: Sequence[str]) -> None:
    """Raise an error if these cannot be the genres of a classifier.

    Parameters
    ----------
    genres : list or tuple of str
        Names of the genres.

    Raises
    ------
    ModelError
        If there are fewer than two, if two are the same, if one is not text, or if they
        are not in a list or tuple, which has an order.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> check_genres(["jazz", "rock"])
    """
    names = {genre for genre in genres if isinstance(genre, str)}
    if not isinstance(genres, list | tuple) or len(names) < max(2, len(genres)):
        raise ModelError(
            f"the genres are {genres}; give a list of two or more different names, in "
            "the order of the labels."
        )


@keras.saving.register_keras_serializable(package="gtzan_mfcc")
class Classifier(keras.Model):
    """A trained network, with the genres and settings that it needs to predict songs.

    ``classifier.save("name.keras")`` writes it to one file, and `load_model` reads it.

    Parameters
    ----------
    network : keras.Model
        From the MFCCs of segments, (batch, frames, n_mfcc) with or without a last axis
        of 1, to (batch, n_genres) probabilities. If the input must be standardised, the
        network has a layer for it.
    genres : sequence of str
        Names of the genres, in the order of the labels in training.
    settings : Settings
        How the MFCCs of the training were computed, such as ``segments.settings``.

    Raises
    ------
    ModelError
        If the network has other inputs or outputs, or if the genres cannot be used.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.

    Examples
    --------
    >>> from gtzan_mfcc import models
    >>> network = models.cnn(n_genres=2)
    >>> classifier = Classifier(network, ["jazz", "rock"], features.STUDY)
    >>> classifier.predict_proba(np.zeros((5, 66_150), np.float32)).shape
    (5, 2)
    """

    def __init__(
        self,
        network: keras.Model,
        genres: Sequence[str],
        settings: Settings,
    ) -> None:
        super().__init__()
        check_genres(genres)
        takes = network.input_shape
        gives = network.output_shape
        needs = (None, settings.frames, settings.n_mfcc)
        if takes not in (needs, (*needs, 1)) or gives != (None, len(genres)):
            raise ModelError(
                f"the network goes from {takes} to {gives}, and not from {needs} to "
                f"(None, {len(genres)}); pass the genres and settings of its training."
            )
        self.genres = list(genres)
        self.settings = settings
        # Leave out the optimiser, which is twice as large as the weights.
        self.network = keras.Model(
            network.inputs[0], network.outputs[0], name=network.name
        )
        self.build(takes)

    def call(self, x: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Compute the probabilities of the genres from the input of the network."""
        return self.network(x, training=training)

    def predict_proba(self, segments: np.ndarray) -> np.ndarray:
        """Predict the probabilities of the genres for segments of sound.

        Parameters
        ----------
        segments : np.ndarray [shape=(n, segment_length), dtype=float32]
            Signals, of the sample rate and length that the settings state.

        Returns
        -------
        probabilities : np.ndarray [shape=(n, n_genres)]

        Raises
        ------
        ModelError
            If the output of the network is not probabilities.
        """
        x = features.mfcc(segments, self.settings)
        # Pad to the usual number of rows: Keras compiles the network for each number.
        missing = -len(x) % audio.SEGMENTS_AT_ONCE
        x = np.pad(x, ((0, missing), (0, 0), (0, 0)))
        with _one_at_a_time:
            probabilities = self.network.predict_on_batch(x)[: len(segments)]
        check_probabilities(probabilities, len(self.genres))
        return probabilities

    def save(self, filepath: str | Path, overwrite: bool = True) -> None:
        """Write the classifier to a file, ``NAME.keras``."""
        # Keras would write other formats, which `load_model` refuses.
        if Path(filepath).suffix != ".keras":
            raise ModelError(f"{filepath}: name a file NAME.keras.")
        super().save(filepath, overwrite=overwrite)

    def get_config(self) -> dict:
        """Return the arguments of the classifier, for Keras."""
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "genres": list(self.genres),
            "settings": dataclasses.asdict(self.settings),
        }

    @classmethod
    def from_config(cls, config: dict) -> "Classifier":
        """Make a classifier from the result of `get_config`, in Keras's safe mode."""
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(network, config["genres"], Settings(**config["settings"]))


@dataclass(frozen=True, repr=False, eq=False)
class Prediction:
    """The predicted genres of a song.

    Attributes
    ----------
    over_time : pd.DataFrame
        One row per segment, one column per genre: probabilities. The index has two
        levels, ``start`` and ``end`` of the segment in s.
    seconds : float
        Length of the song.
    padded : bool
        Whether the song was too short for a segment (see
        `gtzan_mfcc.features.Settings.shortest_segment`), and was repeated to fill one.
    silent : bool
        Whether the root mean square is more than 60 dB below full scale. Then there is
        almost no sound, and the genres mean nothing.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this class.

    Examples
    --------
    >>> index = pd.MultiIndex.from_tuples([(0, 3), (3, 6)], names=["start", "end"])
    >>> over_time = pd.DataFrame({"jazz": [0.2, 0.4], "rock": [0.8, 0.6]}, index)
    >>> prediction = Prediction(over_time, seconds=6.5, padded=False, silent=False)
    >>> prediction
    Prediction(rock 70%, jazz 30%; 6.5 s, segments: 2)
    >>> prediction.genre
    'rock'
    """

    over_time: pd.DataFrame
    seconds: float
    padded: bool
    silent: bool

    @property
    def probabilities(self) -> pd.Series:
        """Mean probability of each genre over the segments, highest first."""
        mean = self.over_time.mean().rename("probability")
        return mean.sort_values(ascending=False, kind="stable")

    @property
    def genre(self) -> str:
        """The most probable genre."""
        return self.probabilities.index[0]

    @property
    def unsure(self) -> bool:
        """Whether the most probable genre has a probability below one half."""
        return bool(self.probabilities.iloc[0] < 0.5)

    @property
    def best_guesses(self) -> str:
        """The three most probable genres, as ``"rock 81%, blues 12%, jazz 4%"``."""
        best = self.probabilities.head(3)
        return ", ".join(f"{genre} {p:.0%}" for genre, p in best.items())

    def __repr__(self) -> str:
        """Show the most probable genres, the length and the number of segments."""
        facts = [f"{self.seconds:.1f} s", f"segments: {len(self.over_time)}"]
        if self.padded:
            facts.append("padded")
        if self.silent:
            facts.append("silent")
        return f"Prediction({self.best_guesses}; {', '.join(facts)})"


def predict(
    song: Song,
    model: Classifier,
    *,
    sample_rate: int | None = None,
    hop_seconds: float | None = None,
) -> Prediction:
    """Predict the genre of a song: of each segment, and of the whole song.

    The memory does not depend on the length of the song. A song that is shorter than a
    segment, but has at least a sixth of it (half a second), is repeated to fill one.
    The rest after the last segment is not used, as in
    `gtzan_mfcc.extraction.extract_mfcc`.

    Parameters
    ----------
    song : str, Path, binary file, bytes or np.ndarray [shape=(n,)]
        What `gtzan_mfcc.audio.load` reads, or a signal of one channel.
    model : Classifier
        From `load_pretrained` or `load_model`, or made from your network; or any object
        with the attributes ``genres`` and ``settings`` and the method ``predict_proba``
        of a Classifier.
    sample_rate : int, optional
        Sample rate of a signal in Hz, by default that of the model; not used for files.
    hop_seconds : float, optional
        Seconds from the start of one segment to the next; if less than the length of a
        segment, segments overlap. By default they do not.

    Returns
    -------
    prediction : Prediction

    Raises
    ------
    AudioError
        If the song cannot be read, or is shorter than a sixth of a segment. The message
        names the file.
    ModelError
        If the model predicts no probabilities; or if `hop_seconds` is more than a
        segment, or less than one sample.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.

    Examples
    --------
    >>> from gtzan_mfcc import toy
    >>> y = toy.make_track("waltz", 0, seconds=7)
    >>> prediction = predict(y, load_pretrained(), hop_seconds=2)
    >>> prediction.over_time.index.to_list()
    [(0.0, 3.0), (2.0, 5.0), (4.0, 7.0)]
    """
    settings = model.settings
    rate = settings.sample_rate
    if hop_seconds is None:
        hop_seconds = settings.seconds
    if not 1 / rate <= hop_seconds <= settings.seconds:
        raise ModelError(
            f"hop_seconds is {hop_seconds}; take up to {settings.seconds}."
        )
    step = round(hop_seconds * rate)
    if isinstance(song, np.ndarray):
        native = rate if sample_rate is None else sample_rate
        signal = _Measured([audio.convert(song, native, rate)])
    else:
        signal = _Measured(audio.blocks(song, sample_rate=rate))
    name = f"{Path(song)}: " if isinstance(song, str | Path) else ""
    batches = []
    try:
        for batch in audio.segments(
            signal,
            settings.segment_length,
            step=step,
            shortest=settings.shortest_segment,
        ):
            batches.append(model.predict_proba(batch))
    except AudioError as error:
        raise AudioError(name + str(error).removeprefix(name)) from error
    probabilities = np.concatenate(batches).astype(float)
    check_probabilities(probabilities, len(model.genres))  # of a model of any kind
    start = np.arange(len(probabilities)) * step
    end = np.minimum(start + settings.segment_length, signal.n_samples)
    times = pd.MultiIndex.from_arrays(
        [start / rate, end / rate], names=["start", "end"]
    )
    return Prediction(
        pd.DataFrame(probabilities, times, model.genres),
        seconds=signal.n_samples / rate,
        padded=signal.n_samples < settings.shortest_segment,
        # 60 dB below full scale; quiet music is about 40 dB below.
        silent=bool(signal.energy < 1e-6 * signal.n_samples),
    )


def predict_files(
    files: Iterable[Song],
    model: Classifier,
    *,
    hop_seconds: float | None = None,
    n_jobs: int = -1,
) -> Iterator[tuple[Song, Prediction | AudioError]]:
    """Predict the genres of many songs on all cores; a bad file does not end the run.

    Parameters
    ----------
    files : iterable of str, Path, binary files or bytes
        Files that `gtzan_mfcc.audio.load` reads. There may be no end of them: not more
        than two per thread are taken before the first result. With ``n_jobs=1``, each
        result comes before the next file is taken.
    model, hop_seconds
        As for `predict`.
    n_jobs : int
        Number of threads; -1 for one per core.

    Yields
    ------
    file
        As in `files`.
    prediction : Prediction or AudioError
        In the order of `files`. An AudioError is not raised.

    Raises
    ------
    ModelError
        As for `predict`.

    Notes
    -----
    Processes that are made by ``fork`` cannot predict, because TensorFlow hangs in
    them. Use ``multiprocessing.get_context("spawn")`` for processes of your own.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> for file, result in predict_files(["missing.wav"], load_pretrained()):
    ...     print(type(result).__name__, "for", file)
    AudioError for missing.wav
    """
    if isinstance(files, str | bytes):
        raise TypeError("files are a list or another iterable; predict takes one song.")

    def attempt(file):
        try:
            return predict(file, model, hop_seconds=hop_seconds)
        except AudioError as error:
            return error

    # Threads are enough: reading, resampling and Fourier transforms release the GIL.
    n_threads = joblib.effective_n_jobs(n_jobs)
    pool = ThreadPoolExecutor(n_threads)
    started = deque()
    try:
        for file in files:
            started.append((file, pool.submit(attempt, file)))
            if len(started) >= 2 * n_threads - 1:
                first, result = started.popleft()
                yield first, result.result()
        for file, result in started:
            yield file, result.result()
    finally:
        # Songs that run go on, and Python waits for them when it exits.
        pool.shutdown(wait=False, cancel_futures=True)


def load_model(path: str | Path) -> Classifier:
    """Load a classifier from a file that was written by ``classifier.save``.

    The safe mode of Keras refuses files that contain code. It may have faults that are
    still unknown, so keep Keras up to date. There is no limit to the memory or time
    that a file from others may need. If the model has custom layers, use
    ``keras.saving.load_model``, which returns a Classifier, too.

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
        If the file does not exist, is damaged or unsafe, has another kind of model, or
        was written by a newer Keras and cannot be read.

    See Also
    --------
    Notebook ``8_your_own_music`` introduces this helper.

    Examples
    --------
    >>> load_model(PRETRAINED).genres[:3]
    ['blues', 'classical', 'country']
    """
    # With another suffix, Keras would try its older, unsafe formats.
    if Path(path).suffix != ".keras" or not os.path.isfile(path):
        raise ModelError(f"{path}: no such file, or its name does not end in .keras.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds of errors for a damaged file.
        reason = shorten(str(error).rpartition("Exception encountered: ")[2], 300)
        raise ModelError(
            f"{path}: not a model that Keras {keras.__version__} can load; if a newer "
            f"Keras wrote it, update Keras. {type(error).__name__}: {reason}"
        ) from error
    if not isinstance(model, Classifier):
        raise ModelError(
            f"{path}: a {type(model).__name__}, which has no names of genres; save a "
            "predict.Classifier of it."
        )
    return model


def load_pretrained() -> Classifier:
    """Load the model of the package; MODEL_CARD.md describes its training and accuracy.

    Returns
    -------
    classifier : Classifier
        A model of GTZAN's ten genres, on 20 MFCCs.

    See Also
    --------
    Notebook ``5_evaluation`` introduces this helper.

    Examples
    --------
    >>> load_pretrained().settings.n_mfcc
    20
    """
    return load_model(PRETRAINED)


class _Measured:
    """The pieces of a signal; measures their length and energy while they are read."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.n_samples = 0
        self.energy = 0.0

    def __iter__(self):
        for piece in self.pieces:
            self.n_samples += len(piece)
            self.energy += np.sum(np.square(piece, dtype=float))
            yield piece
