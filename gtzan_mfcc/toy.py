"""Make a stand-in corpus from nothing but NumPy: ten synthetic genres, not music, no licence."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from gtzan_mfcc import dataset
from gtzan_mfcc.audio import SAMPLE_RATE

# Raised when the same settings give other sound, so that an older corpus is made again.
_VERSION = 1


@dataclass(frozen=True)
class Voice:
    """How one instrument sounds: a sum of harmonics under an envelope."""

    slope: float  # harmonic k has the amplitude k ** -slope: 0.5 is piercing, 3 nearly a sine
    even: float  # amplitude of the even harmonics: 0 is hollow like a clarinet
    attack: float  # seconds until the note is there
    decay: float  # seconds until it has fallen to a third
    clang: float = 0.0  # amplitude of a second series of harmonics, out of tune, as in a bell


ACCORDION = Voice(slope=1.0, even=0.7, attack=0.03, decay=0.5)
BELL = Voice(slope=2.2, even=0.5, attack=0.002, decay=0.6, clang=0.8)
BRASS = Voice(slope=0.9, even=1.0, attack=0.04, decay=0.7)
CHOIR = Voice(slope=1.9, even=0.8, attack=0.15, decay=4.0)
GUITAR = Voice(slope=1.1, even=0.9, attack=0.003, decay=0.3)
ORGAN = Voice(slope=1.4, even=0.3, attack=0.02, decay=6.0)
PIANO = Voice(slope=1.6, even=0.9, attack=0.003, decay=0.5)
REED = Voice(slope=1.2, even=0.1, attack=0.02, decay=0.5)
SUB = Voice(slope=2.2, even=1.0, attack=0.005, decay=0.35)
SYNTH = Voice(slope=0.8, even=1.0, attack=0.005, decay=0.15)


@dataclass(frozen=True)
class Recipe:
    """What makes a genre; to change one, change its line in `RECIPES` and raise `_VERSION`.

    A pattern is one bar, each character an equal share of it: ``.`` nothing, ``x`` a
    stroke, ``X`` a loud one. A chord is semitones above the key note; one a bar, in turn.
    """

    tempo: tuple[float, float]  # beats a minute, from and to
    beats: int  # in a bar
    chords: tuple[tuple[int, ...], ...]
    harmony: Voice
    comping: str  # pattern of the chords
    lead: Voice
    melody: str  # pattern of single notes out of the chord
    bass: str = ""
    kick: str = ""
    snare: str = ""
    hat: str = ""
    drive: float = 0.0  # distortion of the chords: 0 clean, 10 a wall
    noise: float = 0.0  # level of hiss under it all


_MAJOR = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))
_MINOR = ((0, 3, 7), (8, 12, 15), (3, 7, 10), (10, 14, 17))
_BLUES = ((0, 4, 10), (0, 4, 10), (5, 9, 15), (7, 11, 17))
_FIFTHS = ((0, 7, 12), (3, 10, 15), (5, 12, 17), (0, 7, 12))
_STILL = ((0, 7, 12, 19),)

RECIPES = {
    "arpeggio": Recipe((108, 136), 4, _MINOR, CHOIR, "x.......", SYNTH, "Xxxxxxxxxxxxxxxx",
                       bass="x...x...", hat="..x...x."),
    "bells": Recipe((60, 84), 4, _MAJOR, BELL, "x...x...", BELL, "x..x..x.", noise=0.01),
    "chorale": Recipe((60, 80), 4, _MAJOR, CHOIR, "x.x.", ORGAN, "x.xx", bass="x.x."),
    "drone": Recipe((50, 70), 4, _STILL, ORGAN, "x...", CHOIR, "x.......", bass="x...",
                    noise=0.06),
    "fuzz": Recipe((128, 168), 4, _FIFTHS, GUITAR, "XxxxXxxx", GUITAR, "x...x...",
                   bass="xxxxxxxx", kick="X.x.X.x.", snare="..X...X.", hat="x.x.x.x.", drive=9.0,
                   noise=0.02),
    "groove": Recipe((94, 114), 4, _BLUES, GUITAR, "..x..x....x..x..", PIANO, "x..x......x.....",
                     bass="X..x..x.x.x...x.", kick="X.....x...X.....", snare="....X.......X..x",
                     hat="xxxxxxxxxxxxxxxx"),
    "march": Recipe((106, 124), 4, _MAJOR, BRASS, "x.x.x.x.", BRASS, "X..xx.x.", bass="x...x...",
                    kick="X...X...", snare="x.xxx.xxx.xxxxxx"),
    "pulse": Recipe((118, 134), 4, _MINOR, SYNTH, "..x...x...x...x.", SYNTH, "x..x..x.x..x..x.",
                    bass="..xx..xx..xx..xx", kick="X...X...X...X...", snare="....x.......x...",
                    hat="..X...X...X...X."),
    "shuffle": Recipe((90, 126), 4, _BLUES, PIANO, "x.xx.xx.xx.x", REED, "x.xx....xx.x",
                      bass="x.xx.xx.xx.x", kick="X.....X.....", snare="...X.....X..",
                      hat="x.xx.xx.xx.x"),
    "waltz": Recipe((132, 180), 3, _MAJOR, ACCORDION, ".xx", REED, "x..x.x", bass="X.."),
}  # fmt: skip

GENRES: tuple[str, ...] = tuple(sorted(RECIPES))
"""The ten genres, in alphabetical order; none is one of GTZAN's."""

# Who plays tracks 0, 1, ..., over and over, and the part all tracks of an artist are in: of ten
# tracks five are in train, two in valid and three in test, as in GTZAN's fault-filtered partition.
_ARTIST_OF_TRACK = (0, 1, 2, 3, 4, 0, 1, 2, 0, 1)
_PARTITION_OF_ARTIST = ("train", "test", "train", "valid", "valid")

# What sets how hard the corpus is: the chance that a part of a section is played as in the genre
# that the artist borrows from.
_BORROWED = 0.15

_PARTS = ("chords", "melody", "bass", "drums")
_SECTIONS = 4  # In a track, one after the other and over again, as verse and chorus are.
_SECTION_SECONDS = 4.0
_KNOBS = np.array([60, 150, 400, 1000, 2500, 5000, 9000])  # Hz, of the tone control.


@dataclass(frozen=True)
class Habits:
    """What an artist, and each track of theirs, does in a way of its own."""

    second_genre: str  # where the artist borrows from
    tempo: float  # place in the genre's range, 0 to 1
    key: float  # key note in Hz
    slope: float  # added to the slope of each voice: below 0 is brighter
    decay: float  # factor on the decay of each voice
    drums: float  # factor on the pitch of the drums
    levels: dict[str, float]  # gain of each part
    colour: np.ndarray  # tone control in dB at each knob
    echo: float  # share of reverberation


def _artist(number: int) -> int:
    return _ARTIST_OF_TRACK[number % len(_ARTIST_OF_TRACK)]


def _habits(genre: str, number: int, seed: int) -> Habits:
    """Draw the artist's habits, and how this track departs from them."""
    position = GENRES.index(genre)
    artist = np.random.default_rng([seed, position, 0, _artist(number)])
    track = np.random.default_rng([seed, position, 1, number])
    others = [other for other in GENRES if other != genre]

    def vary(spread: float, size: int | None = None) -> np.ndarray:
        return spread * (artist.normal(size=size) + 0.7 * track.normal(size=size))

    return Habits(
        second_genre=others[artist.integers(len(others))],
        tempo=float(np.clip(0.5 + vary(0.1), 0, 1)),
        key=130.8 * 2 ** ((track.integers(-5, 6) + vary(0.08)) / 12),
        slope=vary(0.06),
        decay=2 ** vary(0.12),
        drums=2 ** vary(0.1),
        levels=dict(zip(_PARTS, 10 ** (vary(1.2, len(_PARTS)) / 20), strict=True)),
        colour=vary(0.8, len(_KNOBS)),
        echo=abs(vary(0.06)),
    )


def _strokes(pattern: str, bar: int, rng: np.random.Generator) -> Iterator[tuple[int, int, float]]:
    """Give each stroke of a bar: start, samples until the next one, loudness."""
    step = bar / len(pattern) if pattern else 0
    starts = [i for i, mark in enumerate(pattern) if mark != "."]
    for start, following in pairwise([*starts, len(pattern)]):
        loudness = (1.0 if pattern[start] == "X" else 0.6) * rng.uniform(0.7, 1.1)
        yield int(start * step), int((following - start) * step), loudness


def _note(frequency: float, n: int, voice: Voice, habits: Habits) -> np.ndarray:
    """One note of `n` samples: a cycle of the wave, read over and over, under an envelope."""
    # No harmonic above 0.45 of the sample rate, where it would fold back as a false tone.
    harmonics = np.arange(1, max(2, min(40, int(0.45 * SAMPLE_RATE / frequency))))
    amplitudes = harmonics ** -(voice.slope + habits.slope)
    amplitudes[1::2] *= voice.even
    cycle = np.fft.irfft(-1j * np.concatenate([[0], amplitudes]), 4096)
    cycle = (cycle / np.abs(cycle).max()).astype(np.float32)
    t = np.arange(n, dtype=np.float32) / SAMPLE_RATE
    # Reading one cycle costs a tenth of adding up the sines.
    y = cycle[(t * (4096 * frequency)).astype(np.int32) % 4096]
    if voice.clang:
        y = y + voice.clang * np.sin(2 * np.pi * 2.76 * frequency * t)
    y *= np.exp(-t / (voice.decay * habits.decay))
    attack, release = min(n, int(voice.attack * SAMPLE_RATE)), min(n, 200)
    y[:attack] *= np.linspace(0, 1, attack)
    y[n - release :] *= np.linspace(1, 0, release)
    return y


def _drum(kind: str, habits: Habits, rng: np.random.Generator) -> np.ndarray:
    """One stroke: a falling sine for the kick, noise for the hat, noise and a tone between."""
    seconds = {"kick": 0.25, "snare": 0.18, "hat": 0.05}[kind]
    t = np.arange(int(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    hiss = rng.standard_normal(len(t), dtype=np.float32)
    y = {
        "kick": lambda: np.sin(2 * np.pi * habits.drums * (50 * t - 4 * np.exp(-30 * t))),
        "snare": lambda: 0.4 * hiss + 0.5 * np.sin(2 * np.pi * 190 * habits.drums * t),
        "hat": lambda: 0.4 * np.diff(hiss, append=0),  # A difference takes away what is low.
    }[kind]()
    return y * np.exp(-5 * t / seconds)


def _sounds(
    part: str, recipe: Recipe, i: int, bar: int, habits: Habits, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """Give the sounds of one part in bar `i`, each with its start in the bar."""
    if part == "drums":
        for kind in ("kick", "snare", "hat"):
            for start, _, loudness in _strokes(getattr(recipe, kind), bar, rng):
                yield start, loudness * _drum(kind, habits, rng)
        return
    pattern, voice, octave = {
        "chords": (recipe.comping, recipe.harmony, 1),
        "melody": (recipe.melody, recipe.lead, 2),
        "bass": (recipe.bass, SUB, 0.5),
    }[part]
    chord = recipe.chords[i % len(recipe.chords)]
    for start, n, loudness in _strokes(pattern, bar, rng):
        tones = {"chords": chord, "melody": rng.choice(chord, 1), "bass": chord[:1]}[part]
        for tone in tones:
            y = _note(octave * habits.key * 2 ** (tone / 12), n, voice, habits)
            yield start, 0.5 * loudness / len(tones) ** 0.5 * y


def _section(
    played: dict[str, Recipe], bar: int, habits: Habits, rng: np.random.Generator
) -> np.ndarray:
    """Play some bars in which each part follows a recipe of its own."""
    bars = max(1, round(_SECTION_SECONDS * SAMPLE_RATE / bar))
    layers = {part: np.zeros(bars * bar, dtype=np.float32) for part in played}
    for part, recipe in played.items():
        for i in range(bars):
            for start, y in _sounds(part, recipe, i, bar, habits, rng):
                there = layers[part][i * bar + start :][: len(y)]
                there += y[: len(there)]
    if drive := played["chords"].drive:
        layers["chords"] = 0.5 * np.tanh(drive * layers["chords"])
    hiss = max(0.005, played["chords"].noise) * rng.standard_normal(bars * bar, dtype=np.float32)
    return hiss + sum(habits.levels[part] * layer for part, layer in layers.items())


def _master(y: np.ndarray, habits: Habits, rng: np.random.Generator) -> np.ndarray:
    """Put the track in a room, set the tone, and make it as loud as records are."""
    tail = rng.standard_normal(SAMPLE_RATE) * np.exp(-7 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    room = 1 + habits.echo * np.fft.rfft(tail / np.linalg.norm(tail), len(y))
    frequencies = np.fft.rfftfreq(len(y), 1 / SAMPLE_RATE)
    tone = np.interp(np.log(frequencies + 1), np.log(_KNOBS), habits.colour)
    # Brighter by 1.5 dB an octave; with the loudness below this brings the MFCCs near those of
    # music, and to a size at which the CNN trains without trouble.
    tone += 1.5 * np.log2((frequencies + 50) / 500)
    y = np.fft.irfft(np.fft.rfft(y) * room * 10 ** (tone / 20), len(y))
    return np.tanh(0.35 * y / y.std()).astype(np.float32)


def make_track(genre: str, number: int, *, seed: int = 0, seconds: float = 30.0) -> np.ndarray:
    """Make one track of the toy corpus.

    Parameters
    ----------
    genre : str
        One of `GENRES`.
    number : int
        Number of the track in its genre, from 0. Every genre has five artists; who plays
        the track depends on its number alone.
    seed : int
        Seed of the corpus. The same genre, number and seed give the same track.
    seconds : float
        Length of the track.

    Returns
    -------
    y : np.ndarray [shape=(n,), dtype=float32]
        The signal at 22,050 Hz; full scale is -1 to 1.

    Raises
    ------
    ValueError
        If there is no such genre, or number or length make no sense.

    See Also
    --------
    gtzan_mfcc.dataset.load_tracks : Makes and uses this corpus where no GTZAN is found.

    Examples
    --------
    >>> make_track("waltz", 0, seconds=3).shape
    (66150,)
    """
    n = int(seconds * SAMPLE_RATE)
    if genre not in GENRES:
        raise ValueError(f"{genre!r} is no genre of the toy corpus; take one of {list(GENRES)}.")
    if number < 0 or n < 1:
        raise ValueError(
            f"number {number} and {seconds} seconds; a track needs a number from 0 and a length."
        )
    habits = _habits(genre, number, seed)
    rng = np.random.default_rng([seed, GENRES.index(genre), 2, number])
    own, other = RECIPES[genre], RECIPES[habits.second_genre]
    tempo = own.tempo[0] + habits.tempo * (own.tempo[1] - own.tempo[0])
    bar = int(own.beats * 60 / tempo * SAMPLE_RATE)
    sections = []
    while len(sections) < _SECTIONS and sum(map(len, sections)) < n:
        played = {part: other if rng.random() < _BORROWED else own for part in _PARTS}
        sections.append(_section(played, bar, habits, rng))
    return _master(np.resize(np.concatenate(sections), n), habits, rng)


def make_corpus(
    folder: str | Path | None = None,
    *,
    tracks_per_genre: int = 8,
    seed: int = 0,
    seconds: float = 30.0,
) -> Path:
    """Make the toy corpus in GTZAN's layout, unless it is there already.

    Writes ``<folder>/<genre>/<genre>.00000.wav`` and so on (mono, 22,050 Hz, 16 bits),
    ``tracks.csv`` (``track``, ``genre``, ``artist``, ``fault_filtered``; no artist stands in
    two parts) and ``toy.json``, the settings. The folder appears when all of it is written;
    a toy corpus of other settings is replaced.

    Parameters
    ----------
    folder : str or Path, optional
        Where to; by default ``data/toy`` of the project.
    tracks_per_genre : int
        How many tracks each of the ten genres has.
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
    DatasetError
        If the folder holds something that was not made here.
    ValueError
        If there are to be no tracks, or tracks without length.

    See Also
    --------
    gtzan_mfcc.dataset.load_tracks : Makes and uses this corpus where no GTZAN is found.
    """
    if tracks_per_genre < 1 or seconds <= 0:
        raise ValueError(f"{tracks_per_genre} tracks a genre of {seconds} seconds; take more.")
    folder = Path(folder) if folder is not None else dataset.project_dir() / "data" / "toy"
    settings = {
        "version": _VERSION,
        "tracks_per_genre": tracks_per_genre,
        "seed": seed,
        "seconds": float(seconds),
    }
    if _made_with(folder) == settings:
        return folder
    if _made_with(folder) is None and folder.is_dir() and any(folder.iterdir()):
        raise dataset.DatasetError(
            f"{folder} holds files that were not made by toy.make_corpus; name another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        made = Path(unfinished) / "toy"
        _write_tracks(made, tracks_per_genre, seed, seconds)
        (made / "toy.json").write_text(json.dumps(settings))
        # Another process may have made the same in the meantime.
        if _made_with(folder) != settings:
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    return folder


def _made_with(folder: Path) -> dict | None:
    """Read the settings of the toy corpus in a folder, None where there is none."""
    marker = folder / "toy.json"
    return json.loads(marker.read_text()) if marker.is_file() else None


def _write_tracks(folder: Path, tracks_per_genre: int, seed: int, seconds: float) -> None:
    rows = []
    for genre in GENRES:
        (folder / genre).mkdir(parents=True)
        for number in range(tracks_per_genre):
            track, artist = f"{genre}.{number:05d}", _artist(number)
            y = make_track(genre, number, seed=seed, seconds=seconds)
            soundfile.write(folder / genre / f"{track}.wav", y, SAMPLE_RATE, subtype="PCM_16")
            rows.append((track, genre, f"{genre}-artist-{artist}", _PARTITION_OF_ARTIST[artist]))
    table = pd.DataFrame(rows, columns=["track", "genre", "artist", "fault_filtered"])
    table.to_csv(folder / "tracks.csv", index=False)
