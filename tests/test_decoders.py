"""Files as people have them: from pipes, joined, videos, damaged."""

import io
import re

import av
import numpy as np
import pytest
import soundfile
from scipy import signal

from gtzan_mfcc import audio, toy

TONE = toy.make_track("waltz", 0, seconds=6)
CONTAINERS = {
    "flac": "flac",
    "mp3": "libmp3lame",
    "mp4": "aac",
    "mov": "aac",
    "adts": "aac",
    "ipod": "alac",
    "asf": "wmav2",
    "matroska": "aac",
    "webm": "libopus",
    "mpegts": "aac",
    "avi": "libmp3lame",
    "flv": "aac",
    "tta": "tta",
}


def sound(kind="WAV", y=TONE, rate=audio.SAMPLE_RATE):
    """Make a file with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, y, rate, format=kind)
    return file.getvalue()


def add_pictures(file, seconds):
    """Write black pictures to a video, five a second."""
    video = file.add_stream("mpeg4", 5, width=32, height=32)
    for number in range(5 * seconds):
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        picture.pts = number
        file.mux(video.encode(picture))
    file.mux(video.encode(None))


def encode(container, picture=0, layout="mono", rate=48_000, **options):
    """Make a file with FFmpeg: 6 s of sound, and so many seconds of picture."""
    content = io.BytesIO()
    with av.open(content, "w", format=container, options=options) as file:
        stream = file.add_stream(CONTAINERS[container], rate)
        stream.layout = layout
        stream.bit_rate = 128_000
        if picture:
            add_pictures(file, picture)
        tone = av.AudioFrame.from_ndarray(TONE[np.newaxis], "fltp", "mono")
        tone.sample_rate = audio.SAMPLE_RATE
        file.mux(stream.encode(tone))
        file.mux(stream.encode(None))
    return content.getvalue()


def put(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def assert_heard(content, times=1):
    """Compare the length and the sound with the tone; encoders may shift it."""
    y = audio.load(content)
    n = len(TONE)
    assert abs(len(y) - times * n) < 0.15 * times * audio.SAMPLE_RATE
    for part in (y[:n], y[-n:]):
        likeness = signal.correlate(part, TONE).max()
        assert likeness > 0.9 * np.linalg.norm(part) * np.linalg.norm(TONE)


def refusal(content):
    with pytest.raises(audio.AudioError) as caught:
        audio.load(content)
    return str(caught.value)


# --- Whole files


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_ffmpeg_writes_is_heard_whole(container):
    assert_heard(encode(container))


@pytest.mark.parametrize("seconds", [3, 12])
@pytest.mark.parametrize(
    "container", ["mp4", "mov", "matroska", "asf", "avi", "mpegts"]
)
def test_sound_and_picture_may_differ_in_length(container, seconds):
    assert_heard(encode(container, picture=seconds))


@pytest.mark.parametrize("header", ["0", "1"])
@pytest.mark.parametrize(
    "before", [b"", b"ID3\4\0\0\0\0\7h" + bytes(1000), b"junk" * 500]
)
def test_an_mp3_file_needs_no_header_and_may_begin_with_other_bytes(header, before):
    assert_heard(before + encode("mp3", write_xing=header))


@pytest.mark.parametrize("container", ["mp3", "adts", "mpegts"])
def test_a_recording_of_the_radio_ends_within_a_frame(container):
    whole = encode(container, write_xing="0")  # Only MP3 files have such a header.
    for size in range(len(whole) // 2, len(whole) // 2 + 900, 97):
        seconds = len(audio.load(whole[:size])) / audio.SAMPLE_RATE
        assert seconds == pytest.approx(6 * size / len(whole), abs=0.2)


def test_a_lossless_file_gives_what_its_wav_gives():
    content = encode("ipod", rate=22_050)
    assert np.abs(audio.load(content) - TONE).max() < 1e-4


# --- Lengths that nobody knows


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_a_placeholder_for_a_length_refuses_no_wav_file(size):
    assert_heard(put(sound("WAV"), 40, size.to_bytes(4, "little")))


def test_a_placeholder_for_a_length_refuses_no_other_file():
    au = sound("AU")
    assert_heard(put(au, 8, b"\xff" * 4))
    aiff = sound("AIFF")
    assert_heard(put(aiff, aiff.index(b"SSND") + 4, b"\x7f\0\0\0"))
    caf = sound("CAF")
    assert_heard(put(caf, caf.index(b"data") + 4, b"\xff" * 8))


def unfinished(kind):
    """Make a file as it is while it is recorded."""
    file = io.BytesIO()
    recording = soundfile.SoundFile(file, "w", 22_050, 1, format=kind)
    recording.write(TONE)
    recording.flush()
    content = file.getvalue()
    recording.close()
    return content


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "CAF", "W64", "FLAC", "MP3"])
def test_a_recording_that_was_not_finished_is_heard(kind):
    assert_heard(unfinished(kind))


@pytest.mark.parametrize("kind", ["AIFF", "AU", "RF64"])
def test_a_recording_that_was_not_finished_is_refused(kind):
    assert "finished" in refusal(unfinished(kind))


def test_a_flac_file_from_a_pipe_is_heard():
    flac = sound("FLAC")
    # The last 4 of these bits, and 32 more, are the number of samples.
    four_bits = bytes([flac[21] & 0xF0])
    assert_heard(put(flac, 21, four_bits + bytes(4)))


# --- Several files in a row


@pytest.mark.parametrize(
    "kind", ["WAV", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "MP3"]
)
def test_all_files_in_a_row_are_heard(kind):
    stereo = np.repeat(np.stack([TONE, TONE], axis=1), 2, axis=0)
    other = sound(kind, stereo, 44_100)
    assert_heard(sound(kind) + sound(kind), times=2)
    assert_heard(other + sound(kind) + other, times=3)


@pytest.mark.parametrize("container", ["mp4", "adts", "asf", "webm", "mpegts", "tta"])
def test_all_that_only_ffmpeg_reads_in_a_row_is_heard(container):
    assert_heard(encode(container) + encode(container, layout="stereo"), times=2)


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "FLAC"])
def test_a_file_in_a_row_that_is_cut_short_is_refused(kind):
    whole = sound(kind)
    assert "of the 132," in refusal(whole[: len(whole) // 2] + whole)


# --- Files in which something is missing


@pytest.mark.parametrize(
    "kind", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC", "MP3"]
)
def test_a_file_cut_short_says_how_much_is_missing(kind):
    whole = sound(kind)
    for share in (0.1, 0.95):
        message = refusal(whole[: int(share * len(whole))])
        assert message.startswith("the given sound: cut short or damaged, with ")
        assert re.search("of the (13[12],... samples|6.0 s) that its header", message)


@pytest.mark.parametrize("picture", [0, 12])
@pytest.mark.parametrize("container", ["mp4", "mov", "asf", "matroska", "avi"])
def test_what_only_ffmpeg_reads_is_refused_when_cut_short(container, picture):
    # (An MP4 file of which the table of contents is missing is no sound file.)
    options = {"moov_size": "20000"} if container in ("mp4", "mov") else {}
    whole = encode(container, picture=picture, **options)
    assert "cut short" in refusal(whole[: len(whole) // 2])


def test_a_hole_is_reported():
    whole = encode("mp4")
    assert "damaged" in refusal(put(whole, len(whole) // 2, bytes(3_000)))


def test_a_video_without_sound_is_refused():
    content = io.BytesIO()
    with av.open(content, "w", format="mp4") as file:
        add_pictures(file, 1)
    assert "holds no sound, only pictures" in refusal(content.getvalue())


def test_a_playlist_opens_no_other_file(tmp_path):
    song = tmp_path / "a.m4a"
    song.write_bytes(encode("ipod"))
    playlist = f"#EXTM3U\n#EXTINF:6,\n{song}\n#EXT-X-ENDLIST\n"
    assert "not a sound file" in refusal(playlist.encode())


@pytest.mark.parametrize("container", CONTAINERS)
def test_damage_is_heard_or_refused_and_nothing_else(container):
    whole = encode(container)
    rng = np.random.default_rng(0)
    # Often in the header, which has sizes, rates and codecs.
    for end in [600, len(whole)] * 10:
        damaged = bytearray(whole)
        for position in rng.integers(end, size=20):
            damaged[position] = rng.integers(256)
        try:
            assert len(audio.load(bytes(damaged))) < 100 * audio.SAMPLE_RATE
        except audio.AudioError as error:
            assert str(error).startswith("the given sound: ")
