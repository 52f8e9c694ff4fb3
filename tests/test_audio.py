import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import audio, features
from gtzan_mfcc._librosa import librosa

RATE, WHOLE = audio.SAMPLE_RATE, audio.SEGMENT_LENGTH
SHORTEST, BLOCK = 66_048, 30 * RATE


@pytest.fixture
def noise(tmp_path):
    """Write noise with this number of samples, and return the path."""

    def noise(samples, rate=RATE, channels=1, name="noise.wav", subtype=None):
        y = np.random.default_rng(0).uniform(-0.5, 0.5, (samples, channels))
        soundfile.write(tmp_path / name, y, rate, subtype)
        return tmp_path / name

    return noise


# --- Files


@pytest.mark.parametrize(
    ("name", "settings", "tolerance"),
    [
        ("a.wav", {"subtype": "FLOAT"}, 0),
        ("a.wav", {"subtype": "PCM_U8"}, 1e-2),
        ("A.WAV", {"subtype": "PCM_24"}, 1e-6),
        ("a.flac", {}, 1e-4),
        ("a.au", {"subtype": "PCM_16"}, 1e-4),
        ("a.aiff", {"subtype": "PCM_16"}, 1e-4),
        ("a.ogg", {}, 0.2),
        ("a.mp3", {}, 0.2),
        # The content decides, not the name. libsndfile would decide by some of these names.
        *((f"a{end}", {"format": "WAV"}, 1e-4) for end in ("", ".mp3", ".raw", ".snd", ".gsm")),
        *((f"a{end}", {"format": "MP3"}, 0.2) for end in ("", ".wav", ".sd2", ".vox")),
    ],
    ids=str,
)
def test_every_format_gives_the_signal_as_float32(tmp_path, tone, name, settings, tolerance):
    soundfile.write(tmp_path / name, tone, RATE, **settings)
    y = audio.load(tmp_path / name)
    assert y.dtype == np.float32
    assert y.shape == tone.shape
    assert np.abs(y - tone).max() <= tolerance


def test_channels_are_averaged(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", np.stack([tone, -0.5 * tone], axis=1), RATE, "FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav"), 0.25 * tone, atol=1e-6)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [
        (1_000, 1, 31),
        (8_000, 1, 4),
        (16_000, 2, 30),
        (22_050, 1, 30),
        (22_050, 2, 70.3),
        (32_000, 1, 60),
        (44_100, 2, 60),
        (48_000, 2, 70.3),
        (1_000_000, 1, 1),
    ],
)
def test_a_file_is_what_librosa_loads_as_a_whole_and_in_blocks(noise, rate, channels, seconds):
    for samples in (int(seconds * rate) + k for k in (-1, 0, 1)):
        path = noise(samples, rate, channels)
        blocks = list(audio.blocks(path))
        assert max(map(len, blocks)) < 31 * RATE
        expected = librosa.load(path, sr=RATE)[0]
        np.testing.assert_array_equal(np.concatenate(blocks), expected, strict=True)
        np.testing.assert_array_equal(audio.load(path), expected, strict=True)


def test_the_sample_rate_of_the_result_can_be_chosen(noise):
    path = noise(31 * 16_000, 16_000)
    expected = librosa.load(path, sr=48_000)[0]
    np.testing.assert_array_equal(audio.load(path, sample_rate=48_000), expected)


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "most"),
    [
        (44_100, 2, 600, 60e6),  # The whole signal takes 212 MB.
        (1_000, 1_000, 40, 110e6),  # 30 s of it take 120 MB.
    ],
)
def test_a_long_or_wide_file_is_cut_in_little_memory(tmp_path, rate, channels, seconds, most):
    second = np.random.default_rng(0).integers(-9_999, 9_999, (rate, channels), np.int16)
    with soundfile.SoundFile(tmp_path / "a.wav", "w", rate, channels, "PCM_U8") as file:
        for _ in range(seconds):
            file.write(second)
    tracemalloc.start()
    try:
        assert sum(map(len, audio.segments(audio.blocks(tmp_path / "a.wav")))) == seconds // 3
        assert 5e6 < tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


# --- Segments


def cut(y, length=WHOLE, *, step=None, shortest=None):
    """Cut a signal as `audio.segments` should, and return all segments."""
    step, shortest = step or length, shortest or length
    n_whole = len(range(0, len(y) - length + 1, step))
    found = [y[k * step :][:length] for k in range(n_whole)]
    if len(rest := y[n_whole * step :]) >= shortest:
        found.append(np.append(rest, np.zeros(length - len(rest), y.dtype)))
    return np.stack(found or [y[np.arange(length) % len(y)]])


@pytest.mark.parametrize(
    ("settings", "lengths"),
    [
        ({}, [WHOLE, WHOLE + 1, 2 * WHOLE - 1, 2 * WHOLE, BLOCK, BLOCK + 1, 2 * BLOCK - 1]),
        ({}, [WHOLE // 6, WHOLE // 6 + 1, WHOLE // 2, SHORTEST, WHOLE - 1]),  # Repeated.
        (
            {"shortest": SHORTEST},
            [n + k for n in (0, WHOLE, BLOCK - WHOLE, BLOCK) for k in (SHORTEST, WHOLE - 1, WHOLE)],
        ),
        (
            {"shortest": SHORTEST},
            [WHOLE // 6, SHORTEST - 1, WHOLE + SHORTEST - 1, BLOCK + SHORTEST - 1],
        ),
        ({"shortest": WHOLE + 1}, [WHOLE, 2 * WHOLE - 1]),
        ({"length": 50_001, "shortest": 7}, [7, 50_000, 50_007, 50_008, 3 * BLOCK]),
        ({"length": 800_000, "shortest": 1}, [1, BLOCK, 800_000, 800_001, 3 * BLOCK + 12_345]),
        ({"step": WHOLE // 3, "shortest": SHORTEST}, [WHOLE, WHOLE + 30, 4 * WHOLE, BLOCK + 999]),
        ({"step": WHOLE - 1}, [2 * WHOLE - 2, 2 * WHOLE - 1, BLOCK]),
        ({"length": 1_000, "step": 1}, [1_000, 1_001, 3_000]),
        ({"length": 1_000, "step": 999, "shortest": 10}, [10, 1_008, 1_009, 29_000]),
        ({"length": 1_000, "step": 300, "shortest": 690}, [690, 989, 990, 1_000, 29_000]),
    ],
    ids=str,
)
def test_a_signal_is_cut_into_the_same_segments_in_pieces_of_any_size(settings, lengths):
    for n in lengths:
        y = np.random.default_rng(0).uniform(0.1, 1, n).astype(np.float32)
        at_random = sorted(np.random.default_rng(1).integers(0, n, 9))
        for signal in (y, np.split(y, range(BLOCK, n, BLOCK)), iter(np.split(y, at_random))):
            batches = list(audio.segments(signal, **settings))
            np.testing.assert_array_equal(np.concatenate(batches), cut(y, **settings), strict=True)
            assert max(map(len, batches)) <= 10


@pytest.mark.parametrize(
    ("samples", "segments"),
    [(66_047, 1), (66_048, 1), (132_197, 1), (132_198, 2), (661_500, 10), (661_794, 10)],
)
def test_a_last_piece_that_gives_all_frames_is_kept(samples, segments):
    assert audio.shortest_segment() == SHORTEST
    found = np.concatenate(list(audio.segments(np.ones(samples), shortest=SHORTEST)))
    assert found.shape == (segments, WHOLE)
    assert np.count_nonzero(found) == (
        WHOLE if samples < SHORTEST else min(samples, segments * WHOLE)
    )


@pytest.mark.parametrize("hop_length", [1, 256, 512, 1_000, 2_048])
def test_zeros_after_the_shortest_piece_do_not_change_the_number_of_frames(hop_length):
    shortest = audio.shortest_segment(hop_length)
    assert 1 + shortest // hop_length == 1 + WHOLE // hop_length > 1 + (shortest - 1) // hop_length


def test_zeros_after_the_shortest_piece_do_not_change_its_mfccs(tone):
    short = tone[:SHORTEST]
    (padded,) = audio.segments(short, shortest=SHORTEST)
    np.testing.assert_array_equal(features.mfcc(padded[0]), features.mfcc(short), strict=True)


def test_the_corpus_gives_the_studys_number_of_segments(reference):
    tracks = pd.read_csv(reference / "reference" / "kaggle_features_30_sec.csv")
    lengths = tracks.loc[tracks["filename"] != "jazz.00054.wav", "length"]
    segments = (audio.segments(np.empty(n, np.int8), shortest=SHORTEST) for n in lengths)
    assert sum(len(batch) for track in segments for batch in track) == 39_944 // 4


def test_segments_come_before_the_signal_has_ended():
    signal = iter([np.zeros(100 * RATE), np.zeros(WHOLE)])
    batches = audio.segments(signal)
    assert [len(next(batches)) for _ in range(4)] == [10, 10, 10, 3]
    assert len(next(signal)) == WHOLE


@pytest.mark.parametrize("samples", [0, 1, WHOLE // 6 - 1])
def test_less_than_half_a_second_is_refused(samples):
    with pytest.raises(audio.AudioError, match=f"{samples:,} samples of sound.* 11,025"):
        list(audio.segments(np.zeros(samples, np.float32)))


@pytest.mark.parametrize("step", [0, -1, WHOLE + 1])
def test_a_step_beyond_a_segment_is_refused(step):
    with pytest.raises(ValueError, match="take 1 to 66,150"):
        list(audio.segments(np.zeros(WHOLE), step=step))


def test_a_file_cut_short_raises_after_its_last_whole_segment(noise):
    path = noise(70 * RATE)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 40 * RATE])
    segments = audio.segments(audio.blocks(path))
    assert [len(next(segments)), len(next(segments))] == [10, 3]
    with pytest.raises(audio.AudioError, match=r"cut short, with 882,000 of the 1,543,500"):
        next(segments)


# --- Signals


@pytest.mark.parametrize(
    ("dtype", "low", "middle", "high"),
    [
        ("int8", -(2**7), 0, 2**7 - 1),
        ("int16", -(2**15), 0, 2**15 - 1),
        (">i2", -(2**15), 0, 2**15 - 1),
        ("int32", -(2**31), 0, 2**31 - 1),
        ("uint8", 0, 2**7, 2**8 - 1),
        ("uint16", 0, 2**15, 2**16 - 1),
        ("float16", -1, 0, 1),
        ("float32", -1, 0, 1),
        ("float64", -1, 0, 1),
    ],
)
def test_a_signal_of_any_type_has_a_full_scale_of_1(dtype, low, middle, high):
    y = np.array([low, middle, high], dtype)
    converted = audio.convert(y, RATE)
    assert converted.dtype == np.float32
    assert converted[:2].tolist() == [-1, 0]
    step = 1 / (high - middle) if y.dtype.kind in "iu" else 0
    np.testing.assert_allclose(converted[2], 1, atol=step)
    assert y.tolist() == [low, middle, high]


@pytest.mark.parametrize(
    ("subtype", "dtype", "rate"),
    [
        ("PCM_16", "int16", 22_050),
        ("PCM_16", "int16", 44_100.0),
        ("PCM_32", "int32", 8_000),
        ("FLOAT", "float32", 96_000),
        ("DOUBLE", "float64", np.int64(1_000_000)),
    ],
)
def test_a_converted_signal_is_what_its_file_gives(noise, subtype, dtype, rate):
    path = noise(int(3.1 * rate), int(rate), subtype=subtype)
    y, _ = soundfile.read(path, dtype=dtype)
    converted = audio.convert(y, rate)
    np.testing.assert_array_equal(converted, audio.load(path), strict=True)
    assert not np.shares_memory(converted, y)


@pytest.mark.parametrize(
    ("y", "native", "finding"),
    [
        (np.zeros((2, 99)), RATE, r"shape \(2, 99\) and type float64; one channel .*Average"),
        (np.float64(1), RATE, r"shape \(\)"),
        (np.zeros(99, bool), RATE, "type bool"),
        (np.zeros(99, complex), RATE, "type complex128"),
        (np.array(["loud", "quiet"]), RATE, "type <U5"),
        (np.array([None, 1]), RATE, "type object"),
        (np.zeros(0), RATE, "without samples"),
        (np.array([0, np.nan, np.inf, -np.inf]), RATE, "3 of the 4 samples from 0 s on are NaN"),
        (np.array([0, 1e11, -1e300, 1]), RATE, r"2 of the 4 .* above 1e\+10"),
        (np.zeros(99), 999, "the signal: 999 samples a second"),
        (np.zeros(99), 1_000_001, "the signal: 1,000,001 samples a second"),
        (np.zeros(99), -44_100, "the signal: -44,100 samples a second"),
        (np.zeros(99), np.nan, "the signal: nan samples a second"),
    ],
    ids=str,
)
def test_a_signal_that_cannot_be_used_is_refused(y, native, finding):
    with pytest.raises(audio.AudioError, match=finding):
        audio.convert(y, native)
