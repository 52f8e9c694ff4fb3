"""Make a synthetic corpus of ten genres with NumPy; it is not music."""

from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from scipy.io import wavfile

from gtzan_mfcc._util import locked, writing_to
from gtzan_mfcc.audio import SAMPLE_RATE


class _Style(NamedTuple):
    """How the tracks of a genre sound."""

    register: float  # of the key note, in semitones above 130.8 Hz
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
    "arpeggio": _Style(
        register=0,
        bars_per_minute=39,
        chord=_MINOR,
        patterns="x....... 0121012101210121 b.b.",
        slope=0.45,
        attack=0.01,
        length=0.5,
    ),
    "bells": _Style(
        register=20,
        bars_per_minute=39,
        chord=_MAJOR,
        patterns="x.x. 2..1..0.",
        slope=0.95,
        attack=0.002,
        length=2.0,
    ),
    "chorale": _Style(
        register=0,
        bars_per_minute=31,
        chord=_MAJOR,
        patterns="x.x. 2.01 b.b.",
        slope=0.8,
        attack=0.2,
        length=1.8,
    ),
    "drone": _Style(
        register=-7,
        bars_per_minute=26,
        chord=_FIFTH,
        patterns="xxxx 1...2... bbbb",
        slope=0.6,
        attack=0.5,
        length=5.0,
    ),
    "fuzz": _Style(
        register=-17,
        bars_per_minute=50,
        chord=_FIFTH,
        patterns="xxxxxxxx bbbbbbbb b.bb",
        slope=0.3,
        attack=0.005,
        length=0.45,
    ),
    "groove": _Style(
        register=-4,
        bars_per_minute=39,
        chord=_SEVENTH,
        patterns="..x..x.. b..b..b.b.b...b.",
        slope=0.65,
        attack=0.004,
        length=0.33,
    ),
    "march": _Style(
        register=7,
        bars_per_minute=47,
        chord=_MAJOR,
        patterns="xxxx 0..01.2. b.b. 2.222.22",
        slope=0.5,
        attack=0.04,
        length=0.65,
    ),
    "pulse": _Style(
        register=4,
        bars_per_minute=52,
        chord=_MINOR,
        patterns=".x.x.x.x 0..1..2. ..bb..bb bbbb",
        slope=0.4,
        attack=0.005,
        length=0.26,
    ),
    "shuffle": _Style(
        register=12,
        bars_per_minute=42,
        chord=_SEVENTH,
        patterns="x.xx.xx.xx.x 012.10 bbbb 2.22.2",
        slope=0.3,
        attack=0.004,
        length=0.4,
    ),
    "waltz": _Style(
        register=9,
        bars_per_minute=73,
        chord=_MAJOR,
        patterns=".xx 2..0.1 b..",
        slope=0.75,
        attack=0.06,
        length=1.0,
    ),
}

GENRES = tuple(_STYLES)
"""The ten genres, in alphabetical order; they differ from GTZAN's."""

# Semitones from the key note to the root of the chord, bar by bar.
_ROOTS = (0, 5)


class _Spread(NamedTuple):
    """How much a property of the sound differs within a genre: standard deviations."""

    artist: float  # between the artists of the genre
    recording: float  # between the recordings of an artist
    size: tuple = ()  # of a property with several values


_SPREADS = {
    # In semitones.
    "key": _Spread(2.8, 0.8),
    # In octaves: 1 is a factor of 2.
    "tempo": _Spread(0.1, 0.02),
    "slope": _Spread(0.18, 0.04),
    "attack": _Spread(0.36, 0.3),
    "length": _Spread(0.18, 0.2),
    # In decibels: of each pattern, of each frequency band, of the hiss, and of all.
    "mix": _Spread(3.0, 4.0, (4,)),
    "colour": _Spread(3.0, 1.0, (4,)),
    "hiss": _Spread(0.0, 1.5),
    "level": _Spread(0.0, 3.0),
}

# Three artists take turns in each genre. All tracks of one are in the same part.
_PARTS = ("train", "test", "valid")

# In each genre, track 5 is the recording of track 2 once more.
_REPLICA_OF = {5: 2}


def make_track(
    genre: str, number: int, *, seed: int = 0, seconds: float = 30.0
) -> np.ndarray:
    """Make one track of the toy corpus.

    Parameters
    ----------
    genre : str
        One of `GENRES`.
    number : int
        Number of the track in its genre, from 0. Every genre has three artists, who
        take turns. Track 5 is a replica of track 2.
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
    style = _STYLES[genre]
    deviation, rng = _deviations(genre, _REPLICA_OF.get(number, number), seed)
    bar_seconds = 60 / style.bars_per_minute * 2 ** deviation["tempo"]
    bar = int(bar_seconds * SAMPLE_RATE)
    note = partial(
        _note,
        slope=style.slope * 2 ** deviation["slope"],
        colour=deviation["colour"],
        attack=style.attack * 2 ** deviation["attack"],
        length=style.length * 2 ** deviation["length"],
    )
    note = cache(note)  # A track has few notes of different pitch.
    key = style.register + deviation["key"]
    n = int(seconds * SAMPLE_RATE)
    y = 0.02 * _factor(deviation["hiss"]) * rng.standard_normal(n)
    for pattern, decibels in zip(style.patterns.split(), deviation["mix"]):
        level = _factor(decibels)
        for start, semitones in _melody(pattern, style.chord, bar, n):
            sound = note(key + semitones)[: n - start]
            y[start : start + len(sound)] += level * rng.uniform(0.5, 1) * sound
    # The level is high, because the CNN trains well on MFCCs of this size.
    level = 0.3 * _factor(deviation["level"])
    return np.tanh(level * y / np.sqrt(np.mean(y**2))).astype(np.float32)


def make_corpus(
    folder: str | Path,
    *,
    tracks_per_genre: int = 6,
    seed: int = 0,
    seconds: float = 15.0,
) -> Path:
    """Make the toy corpus in GTZAN's layout, unless it exists.

    Writes ``<folder>/<genre>/<genre>.00000.wav`` and so on (mono, 22,050 Hz, 16 bits),
    and ``tracks.csv`` (``track``, ``artist``, ``fault_filtered``, ``replica_of``; no
    artist is in two parts of ``fault_filtered``, and a replica is in none). The folder
    appears when it is complete. If several processes call this, one makes the corpus,
    and the others wait for its lock, ``<folder>.lock``, which is not removed.

    Parameters
    ----------
    folder : str or Path
        The folder to make. A folder that is not empty is not changed.
    tracks_per_genre : int
        Number of tracks of each of the ten genres. With three or more, all three
        artists occur; with six or more, there is a replica.
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
        rows = ["track,artist,fault_filtered,replica_of"]
        for genre in GENRES:
            (made / genre).mkdir(parents=True)
            for number in range(tracks_per_genre):
                track = f"{genre}.{number:05d}"
                y = make_track(genre, number, seed=seed, seconds=seconds)
                path = made / genre / f"{track}.wav"
                wavfile.write(path, SAMPLE_RATE, np.int16(32_767 * y))
                artist = number % len(_PARTS)
                part, original = _PARTS[artist], ""
                if number in _REPLICA_OF:
                    part, original = "", f"{genre}.{_REPLICA_OF[number]:05d}"
                rows.append(f"{track},{genre}-artist-{artist},{part},{original}")
        (made / "tracks.csv").write_text("\n".join(rows) + "\n")
        # On a file system without locks, another process may have made it by now.
        if not any(folder.glob("*")):
            made.rename(folder)
    return folder


def _factor(decibels):
    """Return the factor of the amplitude that changes a level by so many decibels."""
    return 10 ** (decibels / 20)


def _deviations(genre, number, seed):
    """Draw how a recording differs from its genre; return the generator, too."""
    artist = [seed, GENRES.index(genre), number % len(_PARTS)]
    of_artist = np.random.default_rng([*artist, 0])
    of_recording = np.random.default_rng([*artist, 1 + number])
    deviations = {}
    # The order of the draws decides how each track sounds.
    for name, spread in _SPREADS.items():
        deviations[name] = spread.artist * of_artist.normal(size=spread.size)
        deviations[name] += spread.recording * of_recording.normal(size=spread.size)
    return deviations, of_recording


def _melody(pattern, chord, bar, n):
    """Yield the notes of a pattern in all bars: first sample, and pitch."""
    for number, start in enumerate(range(0, n, bar)):
        root = _ROOTS[number % len(_ROOTS)]
        for step, mark in enumerate(pattern):
            if mark == "x":
                notes = chord
            elif mark == "b":
                notes = [-12]
            elif mark == ".":
                notes = []
            else:
                notes = [12 + chord[int(mark)]]
            at = start + step * bar // len(pattern)
            if at < n:
                yield from [(at, root + semitones) for semitones in notes]


def _note(semitones, slope, colour, attack, length):
    """Make one note: a sum of harmonics with an attack and a decay."""
    frequency = 130.8 * 2 ** (semitones / 12)
    # No harmonics above 10 kHz, to avoid aliasing.
    harmonics = np.arange(1.0, min(40, 10_000 / frequency))
    # The colour is a level at four frequencies between 92 and 8,372 Hz.
    octaves = np.log2(harmonics * frequency / 65.4)
    bands = np.linspace(0.5, 7, len(colour))
    amplitudes = harmonics**-slope * _factor(np.interp(octaves, bands, colour))
    # Repeating one cycle takes a tenth of the time of adding sines.
    cycle = np.fft.irfft(-1j * np.append(0, amplitudes), 4096)
    cycle /= np.abs(cycle).max()
    t = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    phase = (4096 * frequency * t).astype(int) % 4096
    return cycle[phase] * np.minimum(t / attack, 1) * (1 - t / length) ** 3
