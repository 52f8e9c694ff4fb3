import struct
import tracemalloc

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile

from gtzan_mfcc import audio, features


@pytest.fixture
def write(tmp_path, tone):
    """Write a sound file and give its path; the tone is what is in it unless told otherwise."""

    def write(name, y=tone, rate=22_050, **settings):
        soundfile.write(tmp_path / name, y, rate, **settings)
        return tmp_path / name

    return write


def rewrite(path, change):
    """Pass the bytes of a file through a function."""
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "FLOAT", 0),
        ("a.flac", None, 1e-4),
        ("a.au", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4),
        ("A.WAV", "PCM_24", 1e-6),
        ("a.ogg", None, 0.2),
        ("a.mp3", None, 0.2),
    ],
)
def test_every_format_gives_the_signal_as_float32(write, tone, name, subtype, tolerance):
    y = audio.load(write(name, subtype=subtype))
    assert y.dtype == np.float32
    assert y.shape == tone.shape
    assert np.abs(y - tone).max() <= tolerance


def test_channels_are_averaged(write, tone):
    stereo = np.stack([tone, -0.5 * tone], axis=1)
    y = audio.load(write("stereo.wav", stereo, subtype="FLOAT"))
    np.testing.assert_allclose(y, 0.25 * tone, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_other_sample_rates_are_resampled_as_librosa_does(write, tone, rate):
    path = write("fast.wav", np.stack([tone, tone / 2], axis=1), rate)
    y = audio.load(path)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, librosa.load(path, sr=22_050)[0])


@pytest.fixture
def noise(write):
    """Write noise of so many samples, and give the file's path."""

    def noise(samples, rate=22_050, channels=1, name="noise.wav", **settings):
        shape = (samples, channels) if channels > 1 else samples
        return write(name, np.random.default_rng(0).uniform(-0.5, 0.5, shape), rate, **settings)

    return noise


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 22_050, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [4, 30, 60, 70.3])
def test_blocks_joined_are_the_whole_signal(noise, seconds, rate, channels):
    for samples in (int(seconds * rate) + k for k in (-1, 0, 1)):
        path = noise(samples, rate, channels)
        blocks = list(audio.blocks(path))
        assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
        assert max(map(len, blocks)) < 31 * 22_050
        np.testing.assert_array_equal(np.concatenate(blocks), audio.load(path))
        np.testing.assert_array_equal(np.concatenate(blocks), librosa.load(path, sr=22_050)[0])


def test_blocks_have_the_sample_rate_asked_for(noise):
    path = noise(70 * 16_000, 16_000)
    blocks = np.concatenate(list(audio.blocks(path, sample_rate=48_000)))
    np.testing.assert_array_equal(blocks, librosa.load(path, sr=48_000)[0])


def test_a_fault_after_30_s_is_told_with_its_place(write):
    y = np.zeros(70 * 22_050, np.float32)
    y[45 * 22_050] = np.nan
    path = write("late.wav", y, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="1 of the 661,500 samples from 30 s on are NaN"):
        audio.load(path)


def test_sample_rate_of_the_result_can_be_chosen(write, tone):
    assert len(audio.load(write("a.wav"), sample_rate=11_025)) == (len(tone) + 1) // 2


def test_lossless_track_equals_librosas(reference):
    path = reference / "lossless" / "jazz.00000.flac"
    np.testing.assert_array_equal(audio.load(path), librosa.load(path, sr=None)[0])


@pytest.mark.parametrize("rate", [1, 999, 1_000_001, 2**31 - 1])
@pytest.mark.parametrize("ending", ["wav", "au"])
def test_a_sample_rate_that_no_sound_has_is_refused_by_name(noise, rate, ending):
    path = noise(5_000, rate, name=f"strange.{ending}")
    with pytest.raises(audio.AudioError) as caught:
        audio.load(path)
    assert str(caught.value) == (
        f"{path}: {rate:,} samples a second, and sound has 1,000 to 1,000,000; export the file "
        "again."
    )


@pytest.mark.parametrize("rate", [1_000, 1_000_000])
def test_a_sample_rate_at_the_limit_is_heard(noise, rate):
    assert len(audio.load(noise(rate // 2, rate))) == 11_025


def missing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "finding", "remedy"),
    [
        (missing, "no such file", "check the name"),
        (folder, "a folder, not a sound file", "name a file in it"),
        (lambda path: path.write_bytes(b""), "is empty", "copy or download it again"),
        (lambda path: path.write_text("not a song\n" * 99), "not a sound file", "download it"),
        (
            lambda path: path.write_bytes(np.random.default_rng(0).bytes(50_000)),
            "not a sound file",
            "download it again",
        ),
        (lambda path: rewrite(path, lambda b: b[:20]), "not a sound file", "download it again"),
        (
            lambda path: soundfile.write(path, np.zeros(0), 22_050),
            "holds no samples",
            "copy or download it again",
        ),
        (
            lambda path: soundfile.write(path, [0, np.nan, np.inf, 0.1], 22_050, subtype="FLOAT"),
            "2 of the 4 samples from 0 s on are NaN, infinite",
            "export the file again",
        ),
    ],
    ids=["missing", "folder", "empty", "text", "noise", "header", "no-samples", "nan"],
)
def test_a_bad_file_is_named_with_its_fault_and_the_remedy(write, spoil, finding, remedy):
    path = write("bad.wav")
    spoil(path)
    with pytest.raises(audio.AudioError) as caught:
        audio.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert finding in message
    assert remedy in message


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.au", "a.aiff"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_refused(write, name, share):
    path = rewrite(write(name), lambda b: b[: int(share * len(b))])
    with pytest.raises(audio.AudioError, match=f"{name}: .*; .*download it again"):
        audio.load(path)


def test_a_wav_cut_short_tells_how_many_samples_are_there(write, tone):
    path = rewrite(write("short.wav", subtype="PCM_16"), lambda b: b[: 44 + 2 * 1_000])
    with pytest.raises(audio.AudioError, match=f"1,000 of the {len(tone):,} samples"):
        audio.load(path)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95])
def test_a_stream_cut_short_is_refused_or_shorter(write, tone, name, share):
    # An Ogg file does not say how long it is, and an MP3 file need not.
    path = rewrite(write(name), lambda b: b[: int(share * len(b))])
    try:
        y = audio.load(path)
    except audio.AudioError as error:
        assert str(path) in str(error)
    else:
        assert 0 < len(y) < len(tone)


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_loads_in_full(write, tone, size):
    def unknown_length(b):
        at = b.index(b"data") + 4
        return b[:4] + struct.pack("<I", size) + b[8:at] + struct.pack("<I", size) + b[at + 4 :]

    path = rewrite(write("pipe.wav", subtype="PCM_16"), unknown_length)
    assert len(audio.load(path)) == len(tone)


def test_an_au_written_to_a_pipe_loads_in_full(write, tone):
    path = rewrite(
        write("pipe.au", subtype="PCM_16"), lambda b: b[:8] + b"\xff\xff\xff\xff" + b[12:]
    )
    assert len(audio.load(path)) == len(tone)


@pytest.mark.parametrize(
    ("samples", "segments"),
    [(66_048, 1), (66_150, 1), (132_197, 1), (132_198, 2), (661_500, 10), (661_794, 10)],
)
def test_cut_keeps_a_last_piece_that_gives_all_frames(samples, segments):
    y = np.arange(samples, dtype=np.float32)
    cut = audio.cut(y)
    assert cut.shape == (segments, 66_150)
    kept = min(samples, cut.size)
    np.testing.assert_array_equal(cut.ravel()[:kept], y[:kept])
    assert not cut.ravel()[kept:].any()


def test_zeros_at_the_end_of_the_shortest_piece_do_not_change_its_mfccs(tone):
    short = tone[: audio.SHORTEST_SEGMENT]
    padded = features.mfcc(audio.cut(short))[0]
    assert padded.shape == (130, 13)
    np.testing.assert_array_equal(padded, features.mfcc(short))


@pytest.mark.parametrize(
    ("samples", "shortest", "segments"),
    [(132_299, None, 1), (132_300, None, 2), (67_150, 1_000, 2), (67_149, 1_000, 1)],
)
def test_cut_heeds_the_shortest_piece_asked_for(samples, shortest, segments):
    assert len(audio.cut(np.ones(samples), shortest=shortest)) == segments


@pytest.mark.parametrize(
    ("samples", "shortest"), [(0, audio.SHORTEST_SEGMENT), (66_047, 66_048), (66_149, None)]
)
def test_cut_refuses_a_signal_too_short_for_a_segment(samples, shortest):
    with pytest.raises(audio.AudioError, match=r"s of sound.*use a longer recording"):
        audio.cut(np.zeros(samples), shortest=shortest)


def test_cut_gives_the_studys_number_of_segments(reference):
    tracks = pd.read_csv(reference / "reference" / "kaggle_features_30_sec.csv")
    lengths = tracks.loc[tracks["filename"] != "jazz.00054.wav", "length"]
    assert sum(len(audio.cut(np.empty(n, dtype=np.int8))) for n in lengths) == 39_944 // 4


def test_absurdly_loud_file_is_refused(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(70_000, 1e30, np.float32), 22_050, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match=r"loud.wav: 70,000 of the 70,000 .* above 1e\+10"):
        audio.load(path)


def test_cut_takes_one_channel():
    with pytest.raises(ValueError, match=r"shape \(2, 66150\)"):
        audio.cut(np.zeros((2, 66_150), np.float32))


WHOLE, SHORTEST, BLOCK = audio.SEGMENT_LENGTH, audio.SHORTEST_SEGMENT, 30 * audio.SAMPLE_RATE


@pytest.mark.parametrize(
    "samples",
    [
        *(SHORTEST + k for k in (0, 1)),
        *(WHOLE + k for k in (-1, 0, 1)),
        *(WHOLE + SHORTEST + k for k in (-1, 0, 1)),
        *(BLOCK - WHOLE + SHORTEST + k for k in (-1, 0, 1)),
        *(BLOCK + k for k in (-1, 0, 1)),
        *(BLOCK + SHORTEST + k for k in (-1, 0, 1)),
        *(2 * BLOCK + k for k in (-1, 0, 1, SHORTEST)),
        3 * BLOCK + 12_345,
    ],
)
@pytest.mark.parametrize(
    "settings",
    [{}, {"shortest": None}, {"length": 50_001, "shortest": 7}, {"length": 800_000, "shortest": 1}],
    ids=str,
)
def test_segments_joined_are_what_cut_gives(noise, samples, settings):
    path = noise(samples)
    y = audio.load(path)
    if settings.get("shortest", 0) is None and samples < WHOLE:
        expected = np.tile(y, 2)[np.newaxis, :WHOLE]  # Too short to be cut, so it is repeated.
    else:
        expected = audio.cut(y, **settings)
    segments = list(audio.segments(audio.blocks(path), **settings))
    np.testing.assert_array_equal(np.concatenate(segments), expected, strict=True)


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("seconds", [29.995, 30, 63, 92.99])
def test_segments_of_a_resampled_file_are_what_cut_gives(noise, seconds, rate):
    path = noise(int(seconds * rate), rate, channels=2)
    segments = np.concatenate(list(audio.segments(audio.blocks(path))))
    np.testing.assert_array_equal(segments, audio.cut(audio.load(path)))


def test_segments_come_a_few_at_a_time(noise):
    counts = [len(batch) for batch in audio.segments(audio.blocks(noise(100 * 22_050)))]
    assert counts == [10, 10, 10, 3]


@pytest.mark.parametrize(
    ("samples", "shortest"), [(WHOLE // 6, SHORTEST), (SHORTEST - 1, SHORTEST), (WHOLE - 1, None)]
)
def test_half_a_second_is_repeated_until_it_fills_a_segment(noise, samples, shortest):
    path = noise(samples)
    y = audio.load(path)
    (segments,) = audio.segments(audio.blocks(path), shortest=shortest)
    np.testing.assert_array_equal(segments, np.tile(y, 7)[np.newaxis, :WHOLE], strict=True)


@pytest.mark.parametrize("samples", [1, WHOLE // 6 - 1])
def test_less_than_half_a_second_is_refused(noise, samples):
    with pytest.raises(audio.AudioError, match=f"{samples:,} samples of sound.* 11,025"):
        list(audio.segments(audio.blocks(noise(samples))))


@pytest.mark.parametrize("hop", [1, WHOLE // 3, WHOLE - 1, WHOLE])
@pytest.mark.parametrize("samples", [WHOLE, WHOLE + 30, 3 * WHOLE + 20_000, 4 * WHOLE])
def test_segments_overlap_at_will(hop, samples):
    y = np.random.default_rng(0).standard_normal(min(samples, WHOLE + 3_000 * hop), np.float32)
    pieces = np.split(y, [1_000, 90_000]) if len(y) > 90_000 else [y]
    whole = (len(y) - WHOLE) // hop + 1
    with_a_last_piece = len(y) - whole * hop >= SHORTEST
    heard = 0
    for batch in audio.segments(pieces, hop=hop):
        assert len(batch) <= 10
        for segment in batch:
            there = y[heard * hop :][:WHOLE]
            np.testing.assert_array_equal(segment[: len(there)], there)
            assert not segment[len(there) :].any()
            heard += 1
    assert heard == whole + with_a_last_piece


@pytest.mark.parametrize("hop", [0, -1, WHOLE + 1])
def test_a_hop_beyond_a_segment_is_refused(hop):
    with pytest.raises(ValueError, match="take 1 to 66,150"):
        list(audio.segments([np.zeros(WHOLE, np.float32)], hop=hop))


def test_a_file_cut_short_raises_after_its_last_whole_segment(noise):
    path = rewrite(noise(70 * 22_050), lambda b: b[: 44 + 2 * 40 * 22_050])
    segments = audio.segments(audio.blocks(path))
    assert len(next(segments)) == 10
    assert len(next(segments)) == 3
    with pytest.raises(audio.AudioError, match=r"cut short, with 882,000 of the 1,543,500"):
        next(segments)


def test_a_long_file_takes_no_more_memory_than_a_short_one(tmp_path):
    def peak(minutes):
        minute = np.random.default_rng(0).integers(-9_999, 9_999, (60 * 44_100, 2), np.int16)
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 44_100, 2, "PCM_16") as file:
            for _ in range(minutes):
                file.write(minute)
        del minute
        tracemalloc.start()
        try:
            assert (
                sum(map(len, audio.segments(audio.blocks(tmp_path / "long.wav")))) == 20 * minutes
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # The 20 minutes as a whole would take 420 MB.
    assert 10e6 < peak(1) < 60e6
    assert peak(20) < peak(1) + 1e6


@pytest.mark.parametrize(
    ("dtype", "low", "middle", "high"),
    [
        ("int8", -(2**7), 0, 2**7 - 1),
        ("int16", -(2**15), 0, 2**15 - 1),
        ("int32", -(2**31), 0, 2**31 - 1),
        ("uint8", 0, 2**7, 2**8 - 1),
        ("uint16", 0, 2**15, 2**16 - 1),
        ("float16", -1, 0, 1),
        ("float32", -1, 0, 1),
        ("float64", -1, 0, 1),
        (">i2", -(2**15), 0, 2**15 - 1),
    ],
)
def test_a_signal_of_any_type_has_a_full_scale_of_1(dtype, low, middle, high):
    y = np.array([low, middle, high], dtype)
    converted = audio.convert(y, 22_050)
    assert converted.dtype == np.float32
    step = 1 / (high - middle) if y.dtype.kind in "iu" else 0
    np.testing.assert_allclose(converted, [-1, 0, 1], atol=step)
    assert converted[:2].tolist() == [-1, 0]
    assert y.tolist() == [low, middle, high]


@pytest.mark.parametrize(
    ("subtype", "dtype"), [("PCM_16", "int16"), ("PCM_32", "int32"), ("FLOAT", "float32")]
)
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
def test_a_converted_signal_is_what_the_file_with_it_gives(noise, subtype, dtype, rate):
    path = noise(3 * rate + 7, rate, subtype=subtype)
    y, _ = soundfile.read(path, dtype=dtype)
    np.testing.assert_array_equal(audio.convert(y, rate), audio.load(path), strict=True)


def test_a_signal_of_8_bits_is_what_the_file_with_it_gives(noise):
    path = noise(22_050, subtype="PCM_U8")
    y = np.frombuffer(path.read_bytes()[-22_050:], np.uint8)
    np.testing.assert_array_equal(audio.convert(y, 22_050), audio.load(path), strict=True)


@pytest.mark.parametrize("native", [1_000, 44_100, np.int64(44_100), 44_100.0, 1_000_000])
@pytest.mark.parametrize("wanted", [8_000, 22_050, 44_100])
def test_a_signal_is_resampled_as_librosa_does(tone, native, wanted):
    converted = audio.convert(tone, native, sample_rate=wanted)
    expected = librosa.resample(tone, orig_sr=native, target_sr=wanted, res_type="soxr_hq")
    np.testing.assert_array_equal(converted, expected, strict=True)


def test_a_converted_signal_is_a_copy(tone):
    converted = audio.convert(tone, 22_050)
    np.testing.assert_array_equal(converted, tone)
    assert not np.shares_memory(converted, tone)


@pytest.mark.parametrize(
    ("y", "native", "finding"),
    [
        (np.zeros((2, 99)), 22_050, r"shape \(2, 99\) and type float64; one channel .*Average"),
        (np.zeros((99, 1)), 22_050, r"shape \(99, 1\)"),
        (np.float64(1), 22_050, r"shape \(\)"),
        (np.zeros(99, bool), 22_050, "type bool"),
        (np.zeros(99, complex), 22_050, "type complex128"),
        (np.array(["loud", "quiet"]), 22_050, "type <U5"),
        (np.array([None, 1]), 22_050, "type object"),
        (np.zeros(0), 22_050, "without samples"),
        (np.array([0, np.nan, np.inf, -np.inf]), 22_050, "3 of the 4 samples from 0 s on are NaN"),
        (np.array([0, 1e11, -1e300, 1]), 22_050, r"2 of the 4 .* above 1e\+10"),
        (np.zeros(99), 999, "the signal: 999 samples a second"),
        (np.zeros(99), 1_000_001, "the signal: 1,000,001 samples a second"),
        (np.zeros(99), 0, "the signal: 0 samples a second"),
        (np.zeros(99), -44_100, "the signal: -44,100 samples a second"),
        (np.zeros(99), np.nan, "the signal: nan samples a second"),
    ],
    ids=str,
)
def test_a_signal_that_is_none_is_refused(y, native, finding):
    with pytest.raises(audio.AudioError, match=finding):
        audio.convert(y, native)
