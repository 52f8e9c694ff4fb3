import io
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import audio, features
from gtzan_mfcc._librosa import librosa

RATE = audio.SAMPLE_RATE
WHOLE = audio.SEGMENT_LENGTH
SHORTEST = features.STUDY.shortest_segment


def sound(y, rate=RATE, kind="WAV", subtype=None):
    """Return the content of a sound file."""
    file = io.BytesIO()
    soundfile.write(file, y, rate, format=kind, subtype=subtype)
    return file.getvalue()


def noise(*shape):
    return np.random.default_rng(0).uniform(-0.5, 0.5, shape).astype(np.float32)


# --- Files


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AU", "AIFF", "OGG", "MP3"])
def test_every_format_gives_the_signal_as_float32(tone, kind):
    y = audio.load(sound(tone, kind=kind))
    assert y.dtype == np.float32
    assert y.shape == tone.shape
    assert np.abs(y - tone).max() <= (0.2 if kind in ("OGG", "MP3") else 1e-4)


@pytest.mark.parametrize("name", ["a", "a.mp3", "a.raw"])
def test_the_content_decides_and_not_the_name(tmp_path, tone, name):
    for kind in ("WAV", "MP3"):
        content = sound(tone, kind=kind)
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(audio.load(tmp_path / name), audio.load(content))


def test_a_file_is_a_path_or_open_or_bytes(tmp_path, tone):
    path = tmp_path / "a.wav"
    path.write_bytes(sound(tone, subtype="FLOAT"))
    with path.open("rb") as file:
        file.seek(99)
        for each in (path, str(path), path.read_bytes(), file, file):
            np.testing.assert_array_equal(audio.load(each), tone)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "wanted"),
    [
        (22_050, 2, 70.3, RATE),
        (44_100, 2, 60, RATE),
        (16_000, 1, 31, 48_000),
    ],
)
def test_a_file_is_what_librosa_loads(rate, channels, seconds, wanted):
    content = sound(noise(int(seconds * rate), channels), rate)
    blocks = list(audio.blocks(content, sample_rate=wanted))
    expected = librosa.load(io.BytesIO(content), sr=wanted)[0]
    assert max(map(len, blocks)) < 31 * wanted
    np.testing.assert_array_equal(np.concatenate(blocks), expected, strict=True)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "most"),
    [
        (44_100, 2, 600, 60e6),  # The whole signal takes 212 MB.
        (1_000, 1_000, 40, 110e6),  # 30 s of it take 120 MB.
    ],
)
def test_a_long_or_wide_file_needs_little_memory(
    tmp_path, rate, channels, seconds, most
):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_U8") as file:
        for _ in range(seconds):
            file.write(noise(rate, channels))
    tracemalloc.start()
    try:
        batches = audio.segments(audio.blocks(path))
        assert sum(len(batch) for batch in batches) == seconds // 3
        assert 5e6 < tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


# --- Segments


@pytest.mark.parametrize(
    ("length", "settings", "expected"),
    [
        (10, {"shortest": 2}, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]),
        (10, {"shortest": 3}, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (9, {"step": 3, "shortest": 3}, [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 0]]),
        (3, {}, [[0, 1, 2, 0]]),  # Repeated.
    ],
)
def test_a_signal_is_cut_in_pieces_of_any_size(length, settings, expected):
    y = np.arange(length, dtype=np.float32)
    for signal in (y, np.split(y, range(length))):
        batches = list(audio.segments(signal, 4, **settings))
        assert np.concatenate(batches).tolist() == expected


@pytest.mark.parametrize(
    ("samples", "segments", "sound"),
    [
        (66_047, 1, 66_150),  # Too short, so it is repeated.
        (66_048, 1, 66_048),
        (661_794, 10, 661_500),
    ],
)
def test_a_last_piece_that_gives_all_frames_is_kept(samples, segments, sound):
    batches = audio.segments(np.ones(samples), shortest=SHORTEST)
    found = np.concatenate(list(batches))
    assert found.shape == (segments, WHOLE)
    assert np.count_nonzero(found) == sound


def test_the_corpus_gives_the_studys_number_of_segments(reference):
    tracks = pd.read_csv(reference / "reference" / "kaggle_features_30_sec.csv")
    n_segments = 0
    for length in tracks.loc[tracks["filename"] != "jazz.00054.wav", "length"]:
        signal = np.zeros(length, np.int8)
        n_segments += sum(map(len, audio.segments(signal, shortest=SHORTEST)))
    assert n_segments == 39_944 // 4


def test_segments_come_before_the_signal_has_ended():
    signal = iter([np.zeros(100 * RATE), np.zeros(WHOLE)])
    batches = audio.segments(signal)
    assert [len(next(batches)) for _ in range(4)] == [10, 10, 10, 3]
    assert len(next(signal)) == WHOLE


def test_less_than_half_a_second_is_refused():
    with pytest.raises(audio.AudioError, match=r"11,024 samples of sound; .* 11,025"):
        list(audio.segments(np.zeros(11_024)))


@pytest.mark.parametrize("step", [0, WHOLE + 1])
def test_a_step_beyond_a_segment_is_refused(step):
    with pytest.raises(ValueError, match="take 1 to 66,150"):
        list(audio.segments(np.zeros(WHOLE), step=step))


def test_a_file_cut_short_raises_after_its_last_whole_segment():
    content = sound(noise(70 * RATE))[: 44 + 2 * 40 * RATE]
    segments = audio.segments(audio.blocks(content))
    assert [len(next(segments)), len(next(segments))] == [10, 3]
    with pytest.raises(audio.AudioError, match=r"with 882,000 of the 1,543,500"):
        next(segments)


# --- Signals


def test_a_converted_signal_is_float32_and_a_copy():
    y = np.array([-1, 0, 0.5], np.float32)
    converted = audio.convert(y, RATE)
    np.testing.assert_array_equal(converted, y, strict=True)
    assert not np.shares_memory(converted, y)


@pytest.mark.parametrize(("rate", "wanted"), [(44_100, RATE), (8_000, 16_000)])
def test_a_converted_signal_is_what_its_file_gives(rate, wanted):
    y = noise(3 * rate).astype(float)
    expected = audio.load(sound(y, rate, subtype="FLOAT"), sample_rate=wanted)
    np.testing.assert_array_equal(audio.convert(y, rate, wanted), expected, strict=True)


@pytest.mark.parametrize(
    ("y", "native", "finding"),
    [
        (np.zeros((2, 99)), RATE, r"shape \(2, 99\) .*; average the channels"),
        (np.zeros(99, np.int16), RATE, "type int16, .* divide int16 by 32768"),
        (np.array([0, np.nan]), RATE, "are NaN"),
        (np.zeros(99), 999, "999 samples per second, not 1,000 to"),
    ],
)
def test_a_signal_that_cannot_be_used_is_refused(y, native, finding):
    with pytest.raises(audio.AudioError, match=finding):
        audio.convert(y, native)
