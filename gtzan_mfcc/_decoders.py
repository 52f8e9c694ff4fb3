"""Read sound files with libsndfile, or with FFmpeg if libsndfile cannot read all."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
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
    rb"RIFF.{4}WAVE",
    rb"RF64.{4}WAVE",
    rb"riff\x2e\x91\xcf\x11",
    rb"FORM.{4}AIF[FC]",
    rb"\.snd\0\0\0",
    rb"caff\0\x01\0\0desc",
    rb"fLaC\0\0\0\x22",
    rb"OggS\0\x02.{20}\x01.(?:\x01vorbis|OpusHead|\x7fFLAC|Speex)",
    rb"\0\0\0.ftyp",
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    rb"FLV\x01[\x01\x04\x05]\0\0\0\x09",
    rb"TTA1[\x01\x03]\0",
)
_LONGEST_BEGINNING = 64

Pieces = Iterator[tuple[int, np.ndarray]]
"""Sample rates with samples of shape (n, channels)."""


class DecodingError(Exception):
    """Raised if a file cannot be read, or not in full; the message says why."""


def decode(file: BinaryIO) -> Pieces:
    """Yield all sound of a file; its sample rate and channels may change on the way."""
    for start, end in _parts(file):
        part = _Part(file, start, end)
        try:
            sound = _sound_file(part)
        except soundfile.LibsndfileError as error:
            yield from _by_ffmpeg(part, error.error_string)
            continue
        with sound:
            if sound.format == "MP3":
                # libsndfile stops at the length in the first header, or at an estimate.
                yield from _by_ffmpeg(part, "damaged.", is_mp3=True)
            elif 0 < sound.frames < 2**35:
                yield from _by_libsndfile(sound)
            else:
                yield from _by_ffmpeg(part, "no length.", has_length=False)


def _parts(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Find the start and end of each of several files in a row; mostly there is one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(_LONGEST_BEGINNING)
    starts = [0]
    for beginning in _BEGINNINGS:
        pattern = re.compile(beginning, re.DOTALL)
        if pattern.match(head):
            starts = _positions(file, pattern, size)
    return pairwise([*starts, size])


def _positions(file: BinaryIO, pattern: re.Pattern[bytes], size: int) -> Iterator[int]:
    at_once = 2**22
    for start in range(0, size, at_once):
        file.seek(start)
        for match in pattern.finditer(file.read(at_once + _LONGEST_BEGINNING)):
            if match.start() < at_once:
                yield start + match.start()


class _Part:
    """A part of a file, as a file without a name, so that the content decides."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self.file = file
        self.start = start
        self.size = end - start
        self.position = 0
        # What is read in place of the first bytes, and the size that is shown.
        self.head = b""
        self.size_shown = self.size

    def read(self, size: int = -1) -> bytes:
        left = self.size - self.position
        self.file.seek(self.start + self.position)
        data = self.file.read(left if size < 0 else min(size, left))
        head = self.head[self.position :][: len(data)]
        self.position += len(data)
        return head + data[len(head) :]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END and self.size_shown != self.size:
            return self.size_shown
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}
        self.position = min(max(starts[whence] + offset, 0), self.size)
        return self.position

    def tell(self) -> int:
        return self.position


def _sound_file(part: _Part) -> soundfile.SoundFile:
    sound = soundfile.SoundFile(part)
    if sound.frames == 0:
        # A recording that was not finished states a length of 0. Of an AU, AIFF or RF64
        # file, libsndfile reads all if the length is the maximum.
        part.seek(0)
        head = part.read(2**16).replace(b"RF64", b"RIFF", 1)
        part.head = re.sub(
            rb"(^\.snd.{4}|SSND).{4}",
            rb"\1" + b"\xff" * 4,
            head,
            count=1,
            flags=re.DOTALL,
        )
        part.seek(0)
        sound = soundfile.SoundFile(part)
    return sound


def _by_libsndfile(sound: soundfile.SoundFile) -> Pieces:
    at_once = _at_once(sound.samplerate, sound.channels)
    stated = _frames_stated(sound)
    n_read = 0
    try:
        while len(y := sound.read(at_once, "float32", always_2d=True)):
            n_read += len(y)
            yield sound.samplerate, y
            del y  # so that there is never more than one in memory
    except soundfile.LibsndfileError as error:
        raise DecodingError(
            f"damaged sound: not all of the {stated:,} samples that its header states "
            f"can be read ({error.error_string}); copy or download it again."
        ) from error
    _check_length(n_read, stated)


def _check_length(n_read: int, stated: int) -> None:
    if n_read < stated:
        raise DecodingError(
            f"cut short, with {n_read:,} of the {stated:,} samples that its header "
            "states; copy or download it again."
        )


def _frames_stated(sound: soundfile.SoundFile) -> int:
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
    return max(sound.frames, sound.frames * claimed // present)


def _by_ffmpeg(
    part: _Part, reason: str, *, is_mp3: bool = False, has_length: bool = True
) -> Pieces:
    try:
        try:
            opened = _opened(part, is_mp3)
        except av.FFmpegError:
            # An MP3 file may begin with other bytes.
            opened = _opened(part, True)
        with opened:
            if not opened.streams.audio:
                raise DecodingError("holds no sound, only pictures or text.")
            stream = opened.streams.audio[0]
            heard = Counter(seconds=0.0, end=0.0)
            yield from _joined(_frames(opened, stream, heard))
            flags = av.format.Flags
            # These formats have no header, and may begin and end within a frame.
            may_be_damaged = flags.generic_index | flags.ts_discont
            is_raw = opened.format.flags & may_be_damaged.value
            if has_length:
                stated = _seconds_stated(opened, stream)
                reached = heard["seconds"] + 0.05
                is_pcm = stream.codec_context.name.startswith("pcm")
                if not (is_raw or (opened.format.name == "caf" and is_pcm)):
                    # The length is rounded, and may count from before the sound.
                    reached = max(reached, heard["end"]) + 1
                if reached < stated:
                    n_read = round(heard["seconds"] * stream.rate)
                    _check_length(n_read, round(stated * stream.rate))
            if heard["damaged"] > heard["frames"]:
                raise ValueError("Almost nothing can be decoded")
            if heard["damaged"] and not is_raw:
                raise DecodingError("damaged or cut short; copy or download it again.")
    except (av.FFmpegError, AttributeError, ValueError) as error:
        # (AttributeError: the stream of an unknown codec has no attribute rate.)
        found = f"{reason} FFmpeg: {getattr(error, 'strerror', error)}."
        raise DecodingError(
            f"not a sound file ({found}), or one that is cut short; download it again."
        ) from error


def _opened(part: _Part, is_mp3: bool) -> av.container.InputContainer:
    # FFmpeg estimates lengths from the size of the file, so hide it. The length in the
    # header of an MP3 file counts only beside a size, so show one that is too small.
    part.seek(0)
    if part.read(4) != b"wvpk":  # WavPack needs the size.
        part.size_shown = 1 if is_mp3 else -1
    part.seek(0)
    return av.open(
        part,
        format="mp3" if is_mp3 else None,
        options={"format_whitelist": _FORMATS},
        metadata_errors="ignore",
    )


def _frames(
    opened: av.container.InputContainer, stream: av.AudioStream, heard: Counter
) -> Iterator[av.AudioFrame]:
    packets = opened.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except (av.FFmpegError, IndexError):
            # (IndexError: damage looks like the first packet of another stream.)
            heard["damaged"] += 1
            continue
        for frame in frames:
            seconds = frame.samples / frame.sample_rate
            heard["frames"] += 1
            heard["seconds"] += seconds
            heard["end"] = (frame.time or 0) + seconds
            yield frame


def _joined(frames: Iterable[av.AudioFrame]) -> Pieces:
    """Join frames for as long as they have the same rate, channels and type."""

    def setup(frame: av.AudioFrame) -> tuple[int, str, str]:
        return frame.sample_rate, frame.layout.name, frame.format.name

    for (rate, _, _), group in groupby(frames, setup):
        first = next(group)
        channels = first.layout.nb_channels
        # Channels side by side, because PyAV crashes on eight channels one by one.
        together = av.AudioResampler("flt", frame_size=_at_once(rate, channels))
        # None stands for the end.
        for frame in chain([first], group, [None]):
            for piece in together.resample(frame):
                yield rate, piece.to_ndarray().reshape(-1, channels)


def _seconds_stated(
    opened: av.container.InputContainer, stream: av.AudioStream
) -> float:
    """Return the length that the header states for the sound, or 0."""
    picture = av.stream.Disposition.attached_pic
    others = [s for s in opened.streams if s != stream and not s.disposition & picture]
    seconds = 0.0
    if opened.format.name == "caf":
        seconds = stream.frames / stream.rate
    elif others and not opened.format.name.startswith(("avi", "mov")):
        # The length of the file may be that of the pictures. Matroska files may have
        # that of the sound in a tag.
        hours, minutes, rest = stream.metadata.get("DURATION", "0:0:0").split(":")
        seconds = 3600 * int(hours) + 60 * int(minutes) + float(rest)
    elif stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif opened.duration and not others:
        seconds = opened.duration / av.time_base
    # More than a day is a placeholder.
    return seconds if seconds < 86_400 else 0.0


def _at_once(sample_rate: int, channels: int) -> int:
    # 30 s, or less if there are so many channels that 30 s would need too much memory.
    return min(30 * sample_rate, 2**24 // channels)
