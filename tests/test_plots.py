"""Plots show the right data in the right place, with the right labels."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from gtzan_mfcc import plots
from gtzan_mfcc.features import Settings

GENRES = ["rock", "jazz", "blues"]  # Not in alphabetical order, to detect sorting.
SHARES = np.array([[0.25, 0.75, 0], [0, 1, 0], [0, 0, 0]])
REPORT = pd.DataFrame(
    {
        "precision": [1.0, 0.87, 0.9],
        "recall": [0.33, 1.0, 0.7],
        "f1-score": [0.5, 0.93, 0.7],
        "support": [3000, 2, 1],
    },
    index=["rock", "macro avg", "weighted avg"],
)
CARD = pd.DataFrame(
    {
        "track_accuracy": [0.8, 0.6, 0.2],
        "track_low": [0.7, 0.5, 0.1],
        "track_high": [0.9, 0.65, 0.3],
        "majority": [0.1, 0.2, np.nan],
    },
    index=["fault_filtered", "artist", "leak"],
)
# Four frames per second.
QUARTERS = Settings(sample_rate=1000, n_fft=8, hop_length=250, n_mels=3, n_mfcc=3)


@pytest.fixture(autouse=True)
def _figures():
    """Draw without a screen, and close all figures."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


def song(genres=GENRES):
    """Make a prediction of two segments: the first is jazz, and the second blues."""
    over_time = pd.DataFrame(
        [[0.2, 0.7, 0.1], [0.1, 0.3, 0.6]],
        index=pd.MultiIndex.from_tuples([(0, 3), (1, 4)], names=["start", "end"]),
        columns=genres,
    )
    return SimpleNamespace(over_time=over_time, seconds=10.0)


def texts(labels):
    return [label.get_text() for label in labels]


@pytest.mark.parametrize(
    ("plot", "data", "label"),
    [
        (plots.waveform, np.ones(9), "amplitude"),
        (plots.spectrogram, np.ones((1025, 9)), "frequency (Hz)"),
        (plots.mfcc, np.ones((9, 13)), "MFCC number"),
        (plots.confusion_matrix, SHARES, "true genre"),
        (plots.genre_report, REPORT, "genre  (number tested)"),
        (plots.report_card, CARD, "accuracy by track"),
        (plots.genre_over_time, song(), "genre"),
    ],
)
def test_a_plot_draws_where_it_is_told_and_names_its_axis(plot, data, label):
    _, (left, right) = plt.subplots(1, 2)
    assert plot(data, ax=right) is right
    assert right.get_ylabel() == label
    assert right.has_data()
    assert not left.has_data()


@pytest.mark.parametrize("samples", [1, 100, 8_001, 1_000_000])
def test_a_waveform_shows_the_peaks_of_a_signal_of_any_length(samples):
    y = np.full(samples, 0.1)
    y[samples // 2] = 1
    ax = plots.waveform(y, sample_rate=1000)
    seconds, drawn = ax.lines[0].get_data()
    assert len(drawn) <= 16_000
    assert drawn.max() == 1
    peak = seconds[drawn.argmax()]
    assert peak == pytest.approx(samples // 2 / 1000, rel=0.001)
    assert ax.get_xlim() == pytest.approx((0, samples / 1000))


def test_mfccs_are_drawn_over_the_time_of_their_settings_in_the_limits_given():
    coefficients = np.arange(12.0).reshape(4, 3)
    coefficients[:, 0] = np.nan  # as in notebook 2, to leave one out
    mesh = plots.mfcc(coefficients, QUARTERS, limits=(-5, 5)).collections[0]
    seconds = mesh.get_coordinates()[0, :, 0]
    assert seconds.tolist() == [0, 0.25, 0.5, 0.75, 1]
    numbers = mesh.get_coordinates()[:, 0, 1]
    assert numbers.tolist() == [0.5, 1.5, 2.5, 3.5]
    np.testing.assert_array_equal(mesh.get_array().filled(np.nan), coefficients.T)
    assert mesh.get_clim() == (-5, 5)


def test_the_colours_of_mfccs_are_as_far_on_both_sides_of_zero():
    mesh = plots.mfcc(np.array([[1.0, -7.0], [np.nan, 3.0]])).collections[0]
    assert mesh.get_clim() == (-7, 7)


@pytest.mark.parametrize(
    ("frequency", "label", "bins"),
    [
        ("log", "frequency (Hz, logarithmic)", [0, 125, 250, 375, 500]),
        # Up to 1,000 Hz, the mel scale is linear.
        ("mel", "frequency (Hz, mel scale)", [0, 250, 500]),
    ],
)
def test_a_spectrogram_has_the_axes_of_its_settings(frequency, label, bins):
    data = np.ones((len(bins), 9))
    ax = plots.spectrogram(data, QUARTERS, frequency=frequency, unit="power")
    assert ax.get_xlim() == (-0.125, 2.125)  # each frame around its middle
    corners = ax.collections[0].get_coordinates()[:, 0, 1]
    middles = (corners[1:] + corners[:-1]) / 2
    np.testing.assert_allclose(middles[1:-1], bins[1:-1])
    assert ax.get_ylabel() == label
    colour_bar = ax.figure.axes[1]
    assert colour_bar.get_ylabel() == "power"


def test_a_spectrogram_of_other_settings_is_refused():
    with pytest.raises(ValueError, match="the data have 64 rows, and the settings 128"):
        plots.spectrogram(np.ones((64, 9)), frequency="mel")


def test_learning_curves_show_both_sets_and_the_best_epoch_on_axes_given():
    history = pd.DataFrame(
        {
            "loss": [3.0, 2.0, 1.0],
            "accuracy": [0.2, 0.4, 0.5],
            "val_loss": [2, 1, 1.5],
            "val_accuracy": [0.1, 0.2, 0.3],
        }
    )
    _, axes = plt.subplots(2)
    ax = plots.learning_curves(history, "The run", axes=axes)
    assert ax is axes[1]
    assert ax.figure.get_suptitle() == "The run"
    training, validation, best = ax.lines
    assert training.get_ydata().tolist() == [0.2, 0.4, 0.5]
    assert validation.get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert best.get_xdata() == [1, 1]
    assert best.get_label() == "lowest validation loss (1)"
    assert ax.get_ylim() == (0, 1)


@pytest.mark.parametrize(
    ("confusion", "numbers"),
    [
        ([[10, 30, 0], [0, 2, 0], [0, 0, 0]], "10 30 0 0 2 0 0 0 0"),
        ([[0.1, 0.3, 0], [0, 0.6, 0], [0, 0, 0]], "0.10 0.30 0.00 0.00 0.60"),
    ],
)
def test_a_confusion_matrix_shows_its_numbers_and_shares_as_colours(confusion, numbers):
    ax = plots.confusion_matrix(np.array(confusion))
    assert " ".join(texts(ax.texts)).startswith(numbers)
    np.testing.assert_allclose(ax.collections[0].get_array(), SHARES)
    assert ax.collections[0].get_clim() == (0, 1)


def test_a_report_has_the_number_of_each_genre_and_a_line_before_the_means():
    ax = plots.genre_report(REPORT)
    names = ["rock  (3,000)", "macro avg  (2)", "weighted avg  (1)"]
    assert texts(ax.get_yticklabels()) == names
    assert texts(ax.texts)[:3] == ["1.00", "0.33", "0.50"]
    assert ax.lines[0].get_ydata() == [1, 1]
    assert ax.collections[0].get_clim() == (0, 1)


@pytest.mark.parametrize("name", ["$5 \\& 10$", 7])
def test_a_class_is_shown_as_it_is_written(name):
    genres = [name, "jazz", "blues"]
    confusion = plots.confusion_matrix(pd.DataFrame(SHARES, genres, genres))
    report = plots.genre_report(REPORT.set_axis(genres))
    over_time = plots.genre_over_time(song(genres))
    for axis in (confusion.xaxis, confusion.yaxis, report.yaxis, over_time.yaxis):
        label = axis.get_ticklabels()[0]
        assert label.get_text().startswith(str(name))
        assert not label.get_parse_math()


def test_a_report_card_shows_accuracies_with_intervals_and_the_most_frequent_genre():
    ax = plots.report_card(CARD)
    assert texts(ax.get_xticklabels()) == ["fault\nfiltered", "artist"]
    points, _, (intervals,) = ax.containers[0]
    assert points.get_xydata().tolist() == [[0, 0.8], [1, 0.6]]
    interval = intervals.get_segments()[1]
    np.testing.assert_allclose(interval, [[1, 0.5], [1, 0.65]])
    line = ax.collections[0].get_segments()[1]
    np.testing.assert_allclose(line, [[0.7, 0.2], [1.3, 0.2]])


def test_cards_of_different_splits_have_each_point_at_its_own_split():
    other = CARD.set_axis(["genre", "artist", "leak"])
    ax = plots.report_card({"CNN": CARD, "SVM": other})
    assert texts(ax.get_xticklabels()) == ["fault\nfiltered", "artist", "genre"]
    cnn, svm = ax.containers
    assert cnn[0].get_xdata(orig=False) == pytest.approx([-0.06, 0.94])
    assert svm[0].get_xdata(orig=False) == pytest.approx([2.06, 1.06])
    legend = texts(ax.get_legend().get_texts())
    assert legend == ["most frequent genre", "CNN", "SVM"]


def test_the_points_of_many_models_stay_at_their_split():
    ax = plots.report_card({f"model {k}": CARD for k in range(20)})
    for points, _, _ in ax.containers:
        assert points.get_xdata(orig=False).round().tolist() == [0, 1]


def test_colours_and_dots_tell_the_genre_of_each_segment():
    prediction = song()
    ax = plots.genre_over_time(prediction)
    mesh = ax.collections[0]
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(mesh.get_array(), prediction.over_time.T)
    assert mesh.get_clim() == (0, 1)
    assert ax.lines[0].get_xdata().tolist() == [1.5, 2.5]
    assert ax.lines[0].get_ydata().tolist() == [1, 2]  # jazz and blues
    assert texts(ax.get_yticklabels()) == GENRES
    assert ax.yaxis_inverted()


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_waveform_is_above_the_genres_in_any_axes(layout):
    figure, (other, ax) = plt.subplots(2, layout=layout)
    plots.genre_over_time(song(), np.ones(80), sample_rate=8, ax=ax)
    figure.canvas.draw()
    waveform = ax.child_axes[0]
    assert waveform.get_xlim() == ax.get_xlim() == (0, 10)
    assert waveform.lines[0].get_xdata()[-1] == 79 / 8
    lower = ax.get_window_extent()
    upper = waveform.get_window_extent()
    assert lower.y1 < upper.y0 < upper.y1 < other.get_window_extent().y0
    assert [upper.x0, upper.x1] == pytest.approx([lower.x0, lower.x1])


def test_the_name_of_the_toy_corpus_is_bold():
    ax = plots.annotate_corpus(plots.waveform(np.ones(100)), "toy corpus")
    assert ax.figure.get_supxlabel() == "toy corpus"
    assert ax.figure.texts[-1].get_weight() == "bold"


def test_two_models_of_a_card_never_have_one_colour():
    card = pd.DataFrame(0.5, ["artist"], ["track_accuracy", "track_low", "track_high"])
    card["majority"] = 0.1
    ax = plots.report_card({name: card for name in ("SVM", "forest", "CNN", "knn")})
    colours = {container.lines[0].get_color() for container in ax.containers}
    assert len(colours) == 4
