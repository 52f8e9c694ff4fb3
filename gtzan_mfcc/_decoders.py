"""Read sound files with libsndfile, or with FFmpeg if libsndfile does not support the format."""

import io
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import soundfile

# The formats that FFmpeg may open: sound files, but not playlists, which refer to other files.
_FORMATS = "aac,ape,asf,avi,flv,matroska,mov,mpc,mpc8,mpegts,tta,wv"


class DecodingError(Exception):
    """Raised if no decoder can read a file; the message says why."""


def decode(path: Path) -> Iterator[tuple[int, int] | np.ndarray]:
    """Yield the sample rate and the length that the header states, then arrays (n, channels)."""
    pieces = _by_libsndfile(path)
    try:
        yield next(pieces)
    except soundfile.LibsndfileError as error:
        # libsndfile comes first, so that results are the same without FFmpeg.
        pieces = _by_ffmpeg(path, error.error_string)
    try:
        yield from pieces
    except soundfile.LibsndfileError as error:
        raise DecodingError(f"damaged sound ({error.error_string}); download it again.") from error


def _by_libsndfile(path: Path) -> Iterator[tuple[int, int] | np.ndarray]:
    with ExitStack() as stack:
        opened = stack.enter_context(path.open("rb"))
        file = stack.enter_context(_sound_file(opened.fileno(), path))
        promised, endless = _frames_promised(file), None
        at_once = _at_once(file.samplerate, file.channels)
        if re.search(r"bitrate mode\s*: constant", file.extra_info):
            # An MP3 file without a Xing header. If it ends within a frame, the last read fails
            # and its samples are lost. So read little at once.
            promised, at_once = 0, file.samplerate
            endless = stack.enter_context(_EndlessFile(path))
            with suppress(soundfile.LibsndfileError):
                file = stack.enter_context(soundfile.SoundFile(endless))
        yield file.samplerate, promised
        try:
            while len(y := file.read(at_once, "float32", always_2d=True)):
                yield y
                del y  # so that there is never more than one in memory
        except soundfile.LibsndfileError:
            if endless is None or endless.read(1):
                raise


class _EndlessFile(io.FileIO):
    """A file that reports a very large size.

    If the header of an MP3 file has no length, libsndfile estimates it from the size of the file,
    and does not read beyond this estimate.
    """

    end = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.end = 2**40 if whence == os.SEEK_END else 0
        return self.end + offset if self.end else super().seek(offset, whence)

    def tell(self) -> int:
        return self.end or super().tell()


def _sound_file(number: int, path: Path) -> soundfile.SoundFile:
    try:
        # By file descriptor: by name, libsndfile accepts any file that ends in .snd or .gsm.
        return soundfile.SoundFile(number, closefd=False)
    except soundfile.LibsndfileError:
        # An MP3 file may begin with other bytes; then libsndfile recognises it by its name only.
        # If this fails, too, raise the first error: the second says that there is no such file.
        if path.suffix.lower() == ".mp3":
            with suppress(soundfile.LibsndfileError):
                return soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))
        raise


def _frames_promised(file: soundfile.SoundFile) -> int:
    """Read the samples per channel from the header; libsndfile corrects this number silently."""
    # For a WAV file that is cut short, libsndfile logs "data : 1323588 (should be 500000)".
    # For an AU file it says "Data Size", for an AIFF file "SSND".
    claim = re.search(r"(?:data|Data Size|SSND)\s*:\s*(\d+) \(should be (\d+)\)", file.extra_info)
    claimed, present = map(int, claim.groups()) if claim else (0, 0)
    # A program that writes to a pipe does not know the length, and writes 0 or the maximum.
    is_known = present > 0 and claimed not in (0, 0x7FFFFFFF, 0xFFFFFFFF)
    return file.frames * claimed // present if is_known else file.frames


def _by_ffmpeg(path: Path, reason: str) -> Iterator[tuple[int, int] | np.ndarray]:
    try:
        import av
    except ImportError:
        old, new = (shlex.quote(str(name)) for name in (path, path.with_suffix(".wav")))
        wrong = f"not a sound file that libsndfile can read ({reason}); download it again"
        needed = f"M4A, WMA and videos need PyAV: pip install av, or: ffmpeg -i {old} {new}"
        raise DecodingError(f"{wrong}. {needed}") from None
    try:
        settings = {"options": {"format_whitelist": _FORMATS}, "metadata_errors": "ignore"}
        with path.open("rb") as file, av.open(file, **settings) as opened:
            if not opened.streams.audio:
                raise DecodingError("holds no sound, only pictures or text.")
            stream = opened.streams.audio[0]
            # A raw stream has no header: its length is an estimate, its last frame may be cut.
            raw = opened.format.flags & av.format.Flags.generic_index.value
            # The length in other headers is rounded, so allow for a second.
            seconds = 0 if raw or not opened.duration else opened.duration / 1e6 - 1
            yield stream.rate, int(seconds * stream.rate)
            size = _at_once(stream.rate, stream.channels)
            planes = av.AudioResampler("fltp", rate=stream.rate, frame_size=size)
            for packet in opened.demux(stream):
                with suppress(av.InvalidDataError if raw else ()):
                    for frame in packet.decode():
                        yield from (piece.to_ndarray().T for piece in planes.resample(frame))
            yield from (piece.to_ndarray().T for piece in planes.resample(None))
    except (av.FFmpegError, AttributeError, ValueError) as error:
        # (AttributeError: the stream of an unknown codec has no attribute rate.)
        wrong = f"not a sound file ({reason} FFmpeg: {getattr(error, 'strerror', error)}.)"
        raise DecodingError(f"{wrong}; download it again.") from error


def _at_once(sample_rate: int, channels: int) -> int:
    # 30 s, or less if there are so many channels that 30 s would need too much memory.
    return min(30 * sample_rate, 2**24 // channels)
