import struct

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
    np.testing.assert_allclose(y, librosa.load(path, sr=22_050)[0], atol=1e-4)


def test_sample_rate_of_the_result_can_be_chosen(write, tone):
    assert len(audio.load(write("a.wav"), sample_rate=11_025)) == (len(tone) + 1) // 2


def test_lossless_track_equals_librosas(reference):
    path = reference / "lossless" / "jazz.00000.flac"
    np.testing.assert_array_equal(audio.load(path), librosa.load(path, sr=None)[0])


def missing(path):
    path.unlink()


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "finding", "remedy"),
    [
        (missing, "no such file", "check the name"),
        (folder, "a folder, not a sound file", "rename it"),
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
            "2 of 4 samples are NaN, infinite",
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
    with pytest.raises(audio.AudioError, match=r"loud.wav: 70,000 of 70,000 .* above 1e\+10"):
        audio.load(path)


def test_cut_takes_one_channel():
    with pytest.raises(ValueError, match=r"shape \(2, 66150\)"):
        audio.cut(np.zeros((2, 66_150), np.float32))
