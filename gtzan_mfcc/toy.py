"""Make a synthetic corpus of ten genres with NumPy; it is not music."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from scipy.io import wavfile

from gtzan_mfcc._util import locked, writing_to
from gtzan_mfcc.audio import SAMPLE_RATE


class _Style(NamedTuple):
    """How the tracks of a genre sound."""

    bars_per_minute: float
    chord: tuple
    # A pattern is one bar, divided equally between its characters: "." is a rest, "x"
    # the chord, "b" its lowest note an octave down, a digit that note of the chord an
    # octave up.
    patterns: str
    slope: float  # harmonic k has the amplitude k ** -slope
    attack: float  # seconds until the maximum of a note
    length: float  # of a note, in seconds


# Chords, in semitones above the root.
_MINOR = (0, 3, 7)
_MAJOR = (0, 4, 7)
_SEVENTH = (0, 4, 10)
_FIFTH = (0, 7, 12)

_STYLES = {
    "arpeggio": _Style(30, _MINOR, "x....... 0121012101210121 b.b.", 1.0, 0.01, 0.4),
    "bells": _Style(18, _MAJOR, "x.x. 2..1..0.", 1.7, 0.002, 1.6),
    "chorale": _Style(16, _MAJOR, "x.x. 2.01 b.b.", 1.4, 0.2, 1.4),
    "drone": _Style(4, _FIFTH, "xxxx 1...2... bbbb", 1.2, 0.5, 4.0),
    "fuzz": _Style(38, _FIFTH, "xxxxxxxx bbbbbbbb b.bb", 0.4, 0.005, 0.35),
    "groove": _Style(24, _SEVENTH, "..x..x.. b..b..b.b.b...b.", 1.1, 0.004, 0.25),
    "march": _Style(28, _MAJOR, "xxxx 0..01.2. b.b. 2.222.222.222222", 0.8, 0.04, 0.5),
    "pulse": _Style(32, _MINOR, ".x.x.x.x 0..1..2. ..bb..bb bbbb", 0.6, 0.005, 0.2),
    "shuffle": _Style(
        26, _SEVENTH, "x.xx.xx.xx.x 012.10 bbbb 2.22.22.22.2", 1.4, 0.004, 0.3
    ),
    "waltz": _Style(56, _MAJOR, ".xx 2..0.1 b..", 0.9, 0.03, 0.4),
}

GENRES = tuple(_STYLES)
"""The ten genres, in alphabetical order; they differ from GTZAN's."""

# Semitones from the key note to the root of the chord, bar by bar.
_ROOTS = (0, 5, 7, 0)

# The part for all tracks of each artist; five artists take turns in each genre.
_PARTITION_OF_ARTIST = ("train", "test", "train", "valid", "train")


def make_track(
    genre: str, number: int, *, seed: int = 0, seconds: float = 30.0
) -> np.ndarray:
    """Make one track of the toy corpus.

    Parameters
    ----------
    genre : str
        One of `GENRES`.
    number : int
        Number of the track in its genre, from 0. Every genre has five artists; the
        artist depends only on the number.
    seed : int
        Seed of the corpus. The same genre, number, seed and length give the same track.
    seconds : float
        Length of the track.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]
        The signal at 22,050 Hz; full scale is -1 to 1.

    Raises
    ------
    ValueError
        If there is no such genre, or the number is negative.

    See Also
    --------
    make_corpus : Writes tracks of all genres to a folder.

    Examples
    --------
    >>> make_track("waltz", 0, seconds=3).shape
    (66150,)
    """
    if genre not in GENRES or number < 0:
        raise ValueError(f"no track {genre} {number}; the genres are {GENRES}.")
    n = int(seconds * SAMPLE_RATE)
    style = _STYLES[genre]
    stream = [seed, GENRES.index(genre), number % 5]
    artist = np.random.default_rng([*stream, 0])
    rng = np.random.default_rng([*stream, 1 + number])

    def vary(spread, size=None):
        """Draw a value of the artist plus a deviation of this track."""
        return spread * (artist.normal(size=size) + 0.5 * rng.normal(size=size))

    # The order of the draws decides how each track sounds.
    bar_seconds = 60 / style.bars_per_minute * 2 ** vary(0.08)
    bar = int(bar_seconds * SAMPLE_RATE)
    voice = np.array([style.slope, style.attack, style.length])
    # One array: NumPy's powers of arrays and of numbers differ in the last bit.
    voice *= 2 ** vary(0.2, 3)
    key = rng.integers(-5, 6) + vary(0.1)
    y = 0.02 * rng.standard_normal(n)
    for pattern in style.patterns.split():
        notes = _notes_of_bar(pattern, style.chord)
        level = 10 ** (vary(1.5) / 20)
        for i in range(n // bar + 1):
            # One bar in five is a rest, so that segments differ.
            if rng.random() >= 0.8:
                continue
            root = key + _ROOTS[i % 4]
            for step, semitones in notes:
                at = i * bar + step * bar // len(pattern)
                note = _note(root + semitones, *voice)
                note *= level * rng.uniform(0.5, 1)
                place = y[at : at + len(note)]
                place += note[: len(place)]
    # The level is high, because the CNN trains well on MFCCs of this size.
    return np.tanh(0.35 * y / np.sqrt(np.mean(y**2))).astype(np.float32)


def make_corpus(
    folder: str | Path,
    *,
    tracks_per_genre: int = 6,
    seed: int = 0,
    seconds: float = 15.0,
) -> Path:
    """Make the toy corpus in GTZAN's layout, unless it exists.

    Writes ``<folder>/<genre>/<genre>.00000.wav`` and so on (mono, 22,050 Hz, 16 bits),
    and ``tracks.csv`` (``track``, ``artist``, ``fault_filtered``; no artist is in two
    parts). The folder appears when it is complete. If several processes call this, one
    makes the corpus, and the others wait for its lock, ``<folder>.lock``, which is not
    removed.

    Parameters
    ----------
    folder : str or Path
        The folder to make. A folder that is not empty is not changed.
    tracks_per_genre : int
        Number of tracks of each of the ten genres; with five or more, all five artists
        occur.
    seed : int
        Seed of the tracks.
    seconds : float
        Length of each track.

    Returns
    -------
    folder : Path
        For `gtzan_mfcc.dataset.load_tracks`.

    Raises
    ------
    CacheError
        If the folder cannot be written to.

    See Also
    --------
    gtzan_mfcc.notebook.corpus_folder : Makes this corpus if there is no GTZAN.

    Examples
    --------
    >>> with TemporaryDirectory() as parent:
    ...     folder = make_corpus(f"{parent}/toy", tracks_per_genre=1, seconds=0.1)
    ...     len(list(folder.rglob("*.wav")))
    10
    """
    folder = Path(folder)
    parent = folder.parent
    with (
        writing_to(parent),
        locked(Path(f"{folder}.lock")),
        TemporaryDirectory(dir=parent) as unfinished,
    ):
        if any(folder.glob("*")):
            return folder
        made = Path(unfinished, "made")
        rows = ["track,artist,fault_filtered"]
        for genre in GENRES:
            (made / genre).mkdir(parents=True)
            for number in range(tracks_per_genre):
                track = f"{genre}.{number:05d}"
                artist = number % 5
                y = make_track(genre, number, seed=seed, seconds=seconds)
                path = made / genre / f"{track}.wav"
                wavfile.write(path, SAMPLE_RATE, np.int16(32_767 * y))
                part = _PARTITION_OF_ARTIST[artist]
                rows.append(f"{track},{genre}-artist-{artist},{part}")
        (made / "tracks.csv").write_text("\n".join(rows) + "\n")
        # On a file system without locks, another process may have made it by now.
        if not any(folder.glob("*")):
            made.rename(folder)
    return folder


def _notes_of_bar(pattern, chord):
    """List the notes of a pattern: the step in the bar, and semitones from its root."""
    notes = []
    for step, mark in enumerate(pattern):
        if mark == "x":
            notes += [(step, tone) for tone in chord]
        elif mark == "b":
            notes.append((step, -12))
        elif mark != ".":
            notes.append((step, 12 + chord[int(mark)]))
    return notes


def _note(semitones, slope, attack, length):
    """Make one note: a sum of harmonics with an attack and a decay."""
    frequency = 130.8 * 2 ** (semitones / 12)
    # No harmonics above 10 kHz, to avoid aliasing.
    harmonics = np.arange(1.0, min(40, 10_000 / frequency))
    # Repeating one cycle takes a tenth of the time of adding sines.
    cycle = np.fft.irfft(-1j * np.append(0, harmonics**-slope), 4096)
    cycle /= np.abs(cycle).max()
    t = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    phase = (4096 * frequency * t).astype(int) % 4096
    return cycle[phase] * np.minimum(t / attack, 1) * (1 - t / length) ** 3
