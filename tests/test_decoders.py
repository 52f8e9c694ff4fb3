"""Files that libsndfile does not read, or does not read completely."""

import sys

import av
import numpy as np
import pytest
import soundfile

from gtzan_mfcc import audio, toy

RATE = 44_100
TONE = toy.make_track("waltz", 0, seconds=12)

# Codec, container, and options of the encoder.
FORMATS = {
    "a.m4a": ("aac", None, {}),
    "a.mp4": ("aac", None, {}),
    "a.aac": ("aac", "adts", {}),
    "lossless.m4a": ("alac", None, {}),
    "a.wma": ("wmav2", "asf", {"b": "128000"}),
    "a.webm": ("libopus", None, {}),
    "a.mkv": ("aac", None, {}),
}
# LAME with a constant or a variable bit rate.
CONSTANT = ("libmp3lame", "mp3", {"b": "128000"})
VARIABLE = ("libmp3lame", "mp3", {"global_quality": "236", "flags": "+qscale"})


def encode(path, codec, container, settings, **options):
    """Write the tone with FFmpeg: 12 s, mono, at 44.1 kHz (Opus: 48 kHz)."""
    rate = 48_000 if codec == "libopus" else RATE
    with av.open(str(path), "w", format=container, options=options) as file:
        stream = file.add_stream(codec, rate=rate, options=settings)
        stream.layout = "mono"
        stream.codec_context.open()
        size, form = stream.codec_context.frame_size or 1024, stream.codec_context.format.name
        frames = av.AudioResampler(form, "mono", rate, frame_size=size)
        tone = av.AudioFrame.from_ndarray(TONE[np.newaxis], format="fltp", layout="mono")
        tone.sample_rate = audio.SAMPLE_RATE
        for frame in [*frames.resample(tone), *frames.resample(None), None]:
            file.mux(stream.encode(frame))
    return path


def is_the_tone(y, tolerance=0.15):
    """Compare length and sound with the tone; the encoder may shift its start."""
    n = min(len(y), len(TONE))
    spectrum = np.fft.rfft(y[:n], 2 * n) * np.conj(np.fft.rfft(TONE[:n], 2 * n))
    correlation = np.fft.irfft(spectrum).max() / np.linalg.norm(y) / np.linalg.norm(TONE)
    return abs(len(y) - len(TONE)) < tolerance * audio.SAMPLE_RATE and correlation > 0.9


@pytest.mark.parametrize("name", FORMATS)
def test_what_only_ffmpeg_reads_is_heard_whole(tmp_path, name):
    assert is_the_tone(audio.load(encode(tmp_path / name, *FORMATS[name])))


def test_a_lossless_file_gives_what_its_wav_gives(tmp_path):
    path = encode(tmp_path / "a.m4a", *FORMATS["lossless.m4a"])
    with av.open(str(path)) as file:
        samples = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="PCM_32")
    np.testing.assert_array_equal(audio.load(path), audio.load(tmp_path / "a.wav"))


@pytest.mark.parametrize("encoder", [CONSTANT, VARIABLE])
@pytest.mark.parametrize("header", ["0", "1"])
def test_an_mp3_file_is_heard_whole_with_and_without_a_header(tmp_path, encoder, header):
    assert is_the_tone(audio.load(encode(tmp_path / "a.mp3", *encoder, write_xing=header)))


@pytest.mark.parametrize("encoder", [CONSTANT, VARIABLE])
def test_a_recording_of_the_radio_ends_within_a_frame_and_is_heard(tmp_path, encoder):
    whole = encode(tmp_path / "whole.mp3", *encoder, write_xing="0").read_bytes()
    for size in range(len(whole) // 2, len(whole) // 2 + 900, 97):
        (tmp_path / "cut.mp3").write_bytes(whole[:size])
        seconds = len(audio.load(tmp_path / "cut.mp3")) / audio.SAMPLE_RATE
        assert abs(seconds - 12 * size / len(whole)) < 1.6
    (tmp_path / "cut.aac").write_bytes(
        encode(tmp_path / "whole.aac", *FORMATS["a.aac"]).read_bytes()[:30_000]
    )
    assert len(audio.load(tmp_path / "cut.aac")) > audio.SAMPLE_RATE


@pytest.mark.parametrize("name", ["a.m4a", "a.wma", "a.webm", "lossless.m4a"])
def test_a_file_that_is_cut_short_is_refused(tmp_path, name):
    whole = encode(tmp_path / name, *FORMATS[name])
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(audio.AudioError, match=r"not a sound file|cut short"):
        audio.load(whole)


def test_the_name_does_not_matter_and_sound_is_found_in_a_video(tmp_path):
    path = encode(tmp_path / "a.mp4", *FORMATS["a.mp4"]).rename(tmp_path / "song.mp3")
    assert is_the_tone(audio.load(path))
    with av.open(str(tmp_path / "silent.mp4"), "w") as file:
        video = file.add_stream("mpeg4", rate=5)
        video.width = video.height = 32
        picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        for frame in [picture, None]:
            file.mux(video.encode(frame))
    with pytest.raises(audio.AudioError, match="holds no sound, only pictures"):
        audio.load(tmp_path / "silent.mp4")


def test_without_pyav_the_message_says_what_to_install_or_to_type(tmp_path, monkeypatch):
    path = encode(tmp_path / "my song.m4a", *FORMATS["a.m4a"])
    mp3 = encode(tmp_path / "a.mp3", *VARIABLE, write_xing="0")
    heard = audio.load(mp3)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(audio.AudioError, match=r"pip install av, or: ffmpeg -i '.*m4a' '.*wav'$"):
        audio.load(path)
    # Files that libsndfile reads are the same without PyAV.
    np.testing.assert_array_equal(audio.load(mp3), heard)


def test_a_playlist_opens_no_other_file(tmp_path):
    song = encode(tmp_path / "a.m4a", *FORMATS["a.m4a"])
    for text in ("#EXTM3U\n#EXTINF:12,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{}'\n"):
        (tmp_path / "list.m4a").write_text(text.format(song))
        with pytest.raises(audio.AudioError, match="not a sound file"):
            audio.load(tmp_path / "list.m4a")


def test_a_codec_that_nobody_knows_is_refused(tmp_path):
    path = encode(tmp_path / "a.wma", *FORMATS["a.wma"])
    # The codec and the number of channels in the header.
    path.write_bytes(path.read_bytes().replace(b"\x61\x01\x01\x00", b"\x99\x99\x01\x00"))
    with pytest.raises(audio.AudioError, match="not a sound file"):
        audio.load(path)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_heard_or_refused_and_nothing_else(tmp_path, name):
    whole = np.frombuffer(encode(tmp_path / name, *FORMATS[name]).read_bytes(), np.uint8)
    rng, path = np.random.default_rng(0), tmp_path / f"damaged-{name}"
    for number in range(30):
        damaged = whole.copy()
        # Often in the header, which has sizes and rates.
        where = rng.integers(len(whole) if number % 2 else 600, size=rng.integers(1, 40))
        damaged[where] = rng.integers(256, size=len(where))
        path.write_bytes(damaged.tobytes())
        try:
            heard = sum(len(piece) for piece in audio.blocks(path))
        except audio.AudioError as error:
            assert str(error).startswith(str(path))
        else:
            assert heard < 100 * audio.SAMPLE_RATE
