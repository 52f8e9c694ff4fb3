"""Read sound files with libsndfile, or with FFmpeg if libsndfile cannot read all."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, groupby, pairwise
from typing import BinaryIO

import av
import numpy as np
import soundfile

# The formats that FFmpeg may open: sound and videos, but not playlists, which refer to
# other files.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,ogg,rm,tak,tta,voc,w64,wav,wv"
)

# How a file begins, if the decoders read only the first of several such files in a row.
# (Of MP3, AAC, AC-3, MPEG and Matroska files, FFmpeg reads all.)
_BEGINNINGS = (
    rb"(?s)RIFF.{4}WAVE",
    rb"(?s)RF64.{4}WAVE",
    rb"riff\x2e\x91\xcf\x11",
    rb"(?s)FORM.{4}AIF[FC]",
    rb"\.snd\0\0\0",
    rb"caff\0\x01\0\0desc",
    rb"fLaC\0\0\0\x22",
    rb"(?s)OggS\0\x02.{20}\x01.(?:\x01vorbis|OpusHead|\x7fFLAC|Speex)",
    rb"(?s)\0\0\0.ftyp",
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    rb"FLV\x01[\x01\x04\x05]\0\0\0\x09",
    rb"TTA1[\x01\x03]\0",
)
_LONGEST_BEGINNING = 64

# The formats of broadcasts, which may begin and end anywhere.
_BROADCASTS = ("aac", "ac3", "dts", "eac3", "mp3", "mpeg", "mpegts")

Pieces = Iterator[tuple[int, np.ndarray]]
"""Sample rates with samples of shape (n, channels)."""


class DecodingError(Exception):
    """Raised if a file cannot be read, or not in full; the message says why."""


def decode(file: BinaryIO) -> Pieces:
    """Yield all sound of a file; its sample rate and channels may change on the way."""
    for start, end in _parts(file):
        part = _Part(file, start, end)
        try:
            sound = soundfile.SoundFile(part)
        except soundfile.LibsndfileError:
            yield from _by_ffmpeg(part)
            continue
        with sound:
            if sound.format == "MP3":
                # libsndfile stops at the length in the first header, or at an estimate.
                yield from _by_ffmpeg(part, is_mp3=True)
            elif 0 < sound.frames < 2**35:
                yield from _by_libsndfile(sound)
            else:
                # The header does not know the length.
                yield from _by_ffmpeg(part)


def _parts(file):
    """Find the start and end of each of several files in a row; mostly there is one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_LONGEST_BEGINNING)
    starts = {0}
    for beginning in _BEGINNINGS:
        if re.match(beginning, head):
            starts.update(_positions(file, beginning, size))
    return pairwise([*sorted(starts), size])


def _positions(file, pattern, size):
    at_once = 2**22
    for start in range(0, size, at_once):
        file.seek(start)
        for match in re.finditer(pattern, file.read(at_once + _LONGEST_BEGINNING)):
            yield start + match.start()


class _Part:
    """A part of a file, as a file without a name, so that the content decides."""

    def __init__(self, file, start, end):
        self.file = file
        self.start = start
        self.size = end - start
        self.position = 0
        # The size that FFmpeg is told; see `_opened`.
        self.size_shown = self.size

    def read(self, size):
        self.file.seek(self.start + self.position)
        data = self.file.read(min(size, self.size - self.position))
        self.position += len(data)
        return data

    def seek(self, offset, whence=os.SEEK_SET):
        if whence == os.SEEK_END and self.size_shown != self.size:
            return self.size_shown
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}
        self.position = min(max(origins[whence] + offset, 0), self.size)
        return self.position

    def tell(self):
        return self.position


def _by_libsndfile(sound):
    at_once = _at_once(sound.samplerate, sound.channels)
    n_read = 0
    # What cannot be decoded is missing in the end.
    with suppress(soundfile.LibsndfileError):
        while len(y := sound.read(at_once, "float32", always_2d=True)):
            n_read += len(y)
            yield sound.samplerate, y
            del y  # so that there is never more than one in memory
    stated = _frames_stated(sound)
    if n_read < stated:
        raise DecodingError(
            f"cut short or damaged, with {n_read:,} of the {stated:,} samples that its "
            "header states; copy or download it again."
        )


def _frames_stated(sound):
    """Read the samples per channel from the header, which libsndfile corrects."""
    # For a WAV file that is cut short, libsndfile logs
    # "data : 1323588 (should be 500000)". Other words are of other formats.
    claim = re.search(
        r"(?:data|Data Size|SSND|BODY|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)",
        sound.extra_info,
    )
    if not claim:
        return sound.frames
    claimed, present = map(int, claim.groups())
    # A program that writes to a pipe does not know the size. It writes 0, the maximum
    # of a type, or somewhat less (sox: 0x7FFFF000, for AIFF 0x7F000000).
    if claimed > 2**48 or any(abs(claimed - 2**bits) <= 2**25 for bits in (31, 32)):
        return sound.frames
    return sound.frames * claimed // present


def _by_ffmpeg(part, is_mp3=False):
    try:
        with _opened(part, is_mp3) as container:
            if not container.streams.audio:
                raise DecodingError("holds no sound, only pictures or text.")
            yield from _joined(_frames(container))
    except (av.FFmpegError, IndexError, ValueError) as error:
        # (IndexError: damage looks like the first packet of another stream.)
        raise DecodingError(
            "not a sound file, or one that is unfinished, cut short or damaged "
            f"({getattr(error, 'strerror', error)}); copy or download it again."
        ) from error


def _opened(part, is_mp3):
    # FFmpeg estimates lengths from the size of the file, so hide it. The length in the
    # header of an MP3 file counts only beside a size, so show one that is too small.
    part.seek(0)
    if part.read(4) != b"wvpk":  # WavPack needs the size.
        part.size_shown = 1 if is_mp3 else -1
    part.seek(0)
    try:
        return av.open(
            part,
            format="mp3" if is_mp3 else None,
            options={"format_whitelist": _FORMATS},
            metadata_errors="ignore",
        )
    except av.FFmpegError:
        if is_mp3:
            raise
        # An MP3 file may begin with other bytes.
        return _opened(part, is_mp3=True)


def _frames(container):
    """Yield the frames of the sound; raise an error in the end if some are missing."""
    stream = container.streams.audio[0]
    packets = container.demux()
    n_frames = 0
    n_damaged = 0
    seconds = 0.0
    # The end of each stream, sound or picture, in its unit of time.
    ends = {}
    while True:
        try:
            packet = next(packets)
            frames = packet.decode() if packet.stream == stream else []
        except StopIteration:
            break
        except av.FFmpegError:
            n_damaged += 1
            continue
        if packet.pts is not None:
            ends[packet.stream] = packet.pts + packet.duration
        for frame in frames:
            n_frames += 1
            seconds += frame.samples / frame.sample_rate
            yield frame
    is_broadcast = container.format.name in _BROADCASTS
    if n_damaged > (n_frames if is_broadcast else 0):
        raise ValueError(f"{n_damaged:,} of its packets cannot be decoded")
    _check_length(container, seconds, ends)


def _check_length(container, seconds, ends):
    """Compare the length in the header with the sound and the ends of all streams."""
    if container.duration:
        stated = container.duration / av.time_base
    else:
        stream = container.streams.audio[0]
        stated = float(stream.frames * stream.time_base)
    reached = seconds
    tolerance = 0.05
    if container.format.name not in ("mp3", "caf"):
        # The length is rounded. It may count from before the sound, and is that of the
        # pictures if they are longer.
        tolerance = 1
        for stream, end in ends.items():
            reached = max(reached, float(end * stream.time_base))
    # More than a day is a placeholder.
    if reached + tolerance < stated < 86_400:
        raise DecodingError(
            f"cut short or damaged, with {reached:.1f} of the {stated:.1f} s that its "
            "header states; copy or download it again."
        )


def _joined(frames):
    """Join frames for as long as they have the same rate, channels and type."""

    def setup(frame):
        return frame.sample_rate, frame.layout.name, frame.format.name

    for (rate, _, _), group in groupby(frames, setup):
        first = next(group)
        channels = first.layout.nb_channels
        # Channels side by side, because PyAV crashes on eight channels one by one.
        together = av.AudioResampler("flt", frame_size=_at_once(rate, channels))
        # None flushes the resampler.
        for frame in chain([first], group, [None]):
            for piece in together.resample(frame):
                yield rate, piece.to_ndarray().reshape(-1, channels)


def _at_once(sample_rate, channels):
    # 30 s, or less if there are so many channels that 30 s would need too much memory.
    return min(30 * sample_rate, 2**24 // channels)
