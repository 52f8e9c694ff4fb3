"""Plots show the right data with the right labels; helpers of the notebooks."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.display import Audio, Markdown

from gtzan_mfcc import dataset, evaluation, models, notebook, plots, predict
from gtzan_mfcc._disk import package_versions

GENRES = ["rock", "jazz", "blues"]  # Not in alphabetical order, to detect sorting.
ALL = [*GENRES, "pop"]  # There are no segments of pop.
TRUE = ["rock"] * 3_000 + ["jazz"] * 2 + ["blues"] * 4
SAID = ["rock"] * 1_000 + ["jazz"] * 2_002 + ["blues", "rock", "blues", "blues"]
CONFUSION = evaluation.genre_confusion(TRUE, SAID, ALL)
REPORT = evaluation.genre_report(TRUE, SAID, ALL)
# The most probable genres are jazz, blues, jazz and rock.
HEARD = np.array([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.0, 0.9, 0.1], [0.6, 0.3, 0.1]])
NOISE = np.random.default_rng(0).standard_normal((128, 44))
HISTORY = pd.DataFrame({"loss": [2.0, 1, 0.5, 0.4], "val_loss": [2.0, 1, 0.9, 1]}, range(1, 5))
HISTORY[["accuracy", "val_accuracy"]] = 1 - HISTORY / 4
CORPUS = "GTZAN, 421 of its 1,000 tracks"
TOY = "toy corpus (synthetic, not music), 100 tracks"


@pytest.fixture(autouse=True)
def _figures():
    """Draw without a screen, and close all figures."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


def heard(starts, seconds, genres=GENRES):
    """Make a prediction of segments of 3 s with these starts."""
    ends = np.minimum(np.array(starts) + 3, seconds)
    table = pd.DataFrame({"start": starts, "end": ends}, dtype=float)
    table[genres] = HEARD[: len(starts)]
    return predict.Prediction(table, seconds, padded=seconds < 3, silent=False)


def ticks(axis):
    axis.figure.canvas.draw()
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


SONG = heard([0, 3, 6, 9], 13.5)
# Arguments; labels of the x axis, the y axis and the colour bar.
LABELS = {
    "waveform": ([NOISE[0]], "time (s)", "amplitude", None),
    "spectrogram": ([NOISE], "time (s)", "frequency (Hz)", "level (dB)"),
    "mfcc": ([NOISE.T[:, :13]], "time (s)", "MFCC number", "value"),
    "confusion_matrix": ([CONFUSION], "predicted genre", "true genre", "share of the true genre"),
    "genre_report": ([REPORT], "", "genre  (number of segments)", "score"),
    "genre_over_time": ([SONG, NOISE[0]], "time (s)", "genre", "probability"),
}


@pytest.mark.parametrize(("name", "labels"), LABELS.items(), ids=LABELS)
def test_a_plot_names_its_axes_and_colours_and_draws_where_it_is_told(name, labels):
    data, x, y, colours = labels
    figure, (left, right) = plt.subplots(1, 2)
    for given in (right, None):
        ax = getattr(plots, name)(*data, ax=given)
        assert (ax.get_xlabel(), ax.get_ylabel()) == (x, y)
        assert colours in [None, *(each.get_ylabel() for each in ax.figure.axes)]
        assert ax is given or ax.figure is not figure
        assert ax.has_data()
    assert not left.has_data()


@pytest.mark.parametrize(("frequency", "scale"), [("log", "logarithmic"), ("mel", "mel scale")])
def test_a_spectrogram_names_its_scale_and_unit(frequency, scale):
    ax = plots.spectrogram(NOISE, frequency=frequency, unit="power")
    assert [each.get_ylabel() for each in ax.figure.axes] == [f"frequency (Hz, {scale})", "power"]


@pytest.mark.parametrize("samples", [1, 100, 8_001, 22_050 * 60 * 20])
def test_a_waveform_shows_the_peaks_of_a_signal_of_any_length_over_seconds(samples):
    y = np.full(samples, 0.1, np.float32)
    y[samples // 3], y[-1] = 1, -0.75
    ax = plots.waveform(y, color="red")
    seconds, drawn = ax.lines[0].get_data()
    assert min(samples, 4_000) <= len(drawn) <= 16_000
    assert (drawn.max(), drawn[-2:].min()) == (y.max(), -0.75)
    assert seconds[drawn.argmax()] == pytest.approx(y.argmax() / 22_050, abs=samples / 22_050 / 4e3)
    assert ax.get_xlim() == pytest.approx((0, samples / 22_050))
    assert ax.lines[0].get_color() == "red"


def test_mfccs_are_drawn_by_number_over_seconds_in_the_limits_given():
    coefficients = np.arange(130 * 13.0).reshape(130, 13)
    coefficients[:, 0] = np.nan  # As in notebook 2, so that one coefficient is not shown.
    ax = plots.mfcc(coefficients, limits=(-5, 5))
    edges = ax.collections[0].get_coordinates()
    np.testing.assert_allclose(edges[0, :, 0], np.arange(131) * 512 / 22_050)
    np.testing.assert_allclose(edges[:, 0, 1], np.arange(14) + 0.5)
    np.testing.assert_array_equal(ax.collections[0].get_array().filled(np.nan), coefficients.T)
    assert ax.collections[0].get_clim() == (-5, 5)
    assert plots.mfcc(coefficients).collections[0].get_clim() == (1, 1689)
    assert ax.get_yticks().tolist() == [1, 3, 5, 7, 9, 11, 13]


def test_learning_curves_show_both_parts_and_the_best_epoch():
    last = plots.learning_curves(HISTORY, "The run")
    assert last.figure.get_suptitle() == "The run"
    for ax, metric in zip(last.figure.axes, ("loss", "accuracy")):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", metric)
        training, validation, best = ax.lines
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend == ["training", "validation", "least validation loss (3)"]
        np.testing.assert_array_equal(training.get_xydata(), HISTORY[metric].reset_index())
        np.testing.assert_array_equal(validation.get_ydata(), HISTORY[f"val_{metric}"])
        assert training.get_linestyle() != validation.get_linestyle()
        assert list(best.get_xdata()) == [3, 3]
        assert all(tick == int(tick) for tick in ax.get_xticks())
    assert ax is last


def test_learning_curves_need_no_validation_part():
    ax = plots.learning_curves(HISTORY[["loss", "accuracy"]], "The run")
    assert [line.get_label() for line in ax.lines] == ["training"]


def test_a_confusion_matrix_counts_in_whole_numbers_with_shares_of_the_true_genre_as_shades():
    ax = plots.confusion_matrix(CONFUSION)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ALL
    assert " ".join(texts(ax)) == "1000 2000 0 0 0 2 0 0 1 0 3 0 0 0 0 0"
    share = [[1 / 3, 2 / 3, 0, 0], [0, 1, 0, 0], [1 / 4, 0, 3 / 4, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(ax.collections[0].get_array(), share)
    assert ax.collections[0].get_clim() == (0, 1)


def test_a_report_names_the_genres_in_order_with_their_segments():
    ax = plots.genre_report(REPORT)
    assert ticks(ax.xaxis) == ["precision", "recall", "f1-score"]
    assert ticks(ax.yaxis)[:4] == ["rock  (3,000)", "jazz  (2)", "blues  (4)", "pop  (0)"]
    assert ticks(ax.yaxis)[4:] == ["macro avg  (3,006)", "weighted avg  (3,006)"]
    assert texts(ax)[:3] == ["1.00", "0.33", "0.50"]
    assert ax.collections[0].get_clim() == (0, 1)
    assert plots.genre_report(REPORT.clip(lower=0.87)).collections[0].get_clim() == (0.8, 1)


@pytest.mark.parametrize("name", ["a\\b", "$\\foo$", "$5 & 10$", "%"])
def test_a_genre_is_shown_as_it_is_written(name):
    genres, named = [name, "jazz", "blues"], [name, "jazz", "blues", name]
    confusion = plots.confusion_matrix(evaluation.genre_confusion(named, named, genres))
    report = plots.genre_report(evaluation.genre_report(named, named, genres))
    song = heard([0, 3], 6.0, genres)
    rest = [report, plots.genre_over_time(song)]
    for axis in (confusion.xaxis, confusion.yaxis, *(ax.yaxis for ax in rest)):
        axis.figure.canvas.draw()
        (label,) = (each for each in axis.get_ticklabels() if name in each.get_text())
        assert "$" not in name or not label.get_parse_math()


def test_a_report_card_shows_each_model_and_split_with_its_interval_but_not_the_leak():
    tested = [("segment", "original"), ("fault_filtered", "original"), ("artist", "8 kHz")]
    index = pd.MultiIndex.from_tuples([*tested, ("leak", "original")], names=["split", "tested_on"])
    card = pd.DataFrame({"track_accuracy": [0.2, 0.4, None, 0.9]}, index)
    card = card.assign(track_low=0.1, track_high=0.9, majority=0.2)
    ax = plots.report_card({"CNN": card, "SVM": card / 2})
    assert ticks(ax.xaxis) == ["segment", "fault\nfiltered", "8 kHz"]
    assert [text.get_text() for text in ax.get_legend().get_texts()][1:] == ["CNN", "SVM"]
    for shift, bars in zip((1, 0.5), ax.containers):
        np.testing.assert_allclose(
            bars[0].get_ydata().astype(float), [0.2 * shift, 0.4 * shift, np.nan]
        )
        assert bars[2][0].get_segments()[0][:, 1] == pytest.approx([0.1 * shift, 0.9 * shift])
    assert plots.report_card(card, ax=plt.figure().subplots()).get_ylabel() == "accuracy by track"


def test_an_architecture_lists_layers_shapes_and_parameters_on_the_axes_given():
    _, (_, ax) = plt.subplots(1, 2)
    assert plots.architecture(models.cnn(), ax=ax) is ax
    cells = {place: cell.get_text().get_text() for place, cell in ax.tables[0].get_celld().items()}
    assert (cells[0, 0], cells[0, 1]) == ("output shape", "parameters")
    rows = [f"{cells[k, -1]} | {cells[k, 0]} | {cells[k, 1]}" for k in range(1, 15)]
    assert rows[:2] == ["input | 130 × 13 × 1 | 0", "Conv2D 32 (5, 5) relu | 126 × 9 × 32 | 832"]
    assert rows[-2:] == ["Dense 10 softmax | 10 | 2,570", "in all |  | 1,137,162"]


@pytest.mark.parametrize(
    ("starts", "seconds", "edges"),
    [
        ([0, 3, 6, 9], 13.5, [0, 3, 6, 9, 12]),  # All segments are complete,
        ([0, 3, 6, 9], 11.996, [0, 3, 6, 8.999, 11.996]),  # or the last is padded,
        ([0, 1, 2, 3], 6.5, [0, 2, 3, 4, 6]),  # or they overlap,
        ([0], 0.5, [0, 0.5]),  # or the song is too short for one.
    ],
)
def test_shades_and_dots_tell_the_genre_of_each_segment(starts, seconds, edges):
    ax = plots.genre_over_time(heard(starts, seconds))
    np.testing.assert_allclose(ax.collections[0].get_coordinates()[0, :, 0], edges, atol=1e-9)
    np.testing.assert_array_equal(ax.collections[0].get_array(), HEARD[: len(starts)].T)
    assert ax.collections[0].get_clim() == (0, 1)
    assert ax.get_xlim() == (0, seconds)
    x, rows = ax.lines[0].get_data()
    np.testing.assert_allclose(x, [(t + min(t + 3, seconds)) / 2 for t in starts])
    assert ticks(ax.yaxis) == GENRES
    assert [GENRES[row] for row in rows] == ["jazz", "blues", "jazz", "rock"][: len(starts)]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize("layout", ["constrained", None])
def test_waveforms_stand_above_the_genres_on_the_same_time_axis(layout):
    _, axes = plt.subplots(1, 2, figsize=(12, 4), layout=layout)
    for ax, seconds in zip(axes, (6.0, 12.0)):
        plots.genre_over_time(heard([0, 3], seconds), np.ones(int(seconds * 22_050)), ax=ax)
        ax.figure.canvas.draw()
        (above,) = set(ax.get_shared_x_axes().get_siblings(ax)) - {ax}
        assert (above.get_xlabel(), above.get_ylabel()) == ("", "amplitude")
        here, there = ax.get_position(), above.get_position()
        assert there.y0 >= here.y1
        np.testing.assert_allclose([there.x0, there.x1], [here.x0, here.x1], atol=1e-3)
        assert above.get_xlim() == ax.get_xlim() == (0, seconds)
        assert above.lines[0].get_xdata()[-1] == pytest.approx(seconds, abs=0.01)
        assert len(ax.get_xticklabels()) > len(above.get_xticklabels()) == 0


@pytest.mark.parametrize(("corpus", "weight"), [(CORPUS, "normal"), (TOY, "bold")])
def test_figures_carry_the_name_of_the_corpus_and_that_of_the_toy_corpus_in_bold(corpus, weight):
    ax = plots.waveform(np.ones(100))
    assert plots.sign(ax, corpus) is ax
    (text,) = (text for text in ax.figure.texts if text.get_text())
    assert (text.get_text(), text.get_weight()) == (corpus, weight)


def test_a_figure_is_saved_signed_in_the_snapshots(tmp_path, monkeypatch):
    ax = plots.waveform(np.ones(100))
    monkeypatch.setenv("SNAPSHOTS_DIR", str(tmp_path / "not" / "there"))
    notebook.save_figure(ax, "wave", CORPUS)
    assert (tmp_path / "not" / "there" / "wave.png").read_bytes().startswith(b"\x89PNG")
    assert ax.figure.get_supxlabel() == CORPUS


def test_results_are_recorded_with_what_they_were_made_with():
    settings = {"corpus": CORPUS, "split": "track", "seed": 3}
    notebook.record("cnn", **settings, accuracy=0.1)
    other = notebook.record("ann", **settings, accuracy=0.2)
    results = {"accuracy": np.float32(0.1234567), "interval": (0.1, 0.23456), "n": np.int64(9_986)}
    entry = notebook.record("cnn", **settings, **results)
    rounded = {"accuracy": 0.123457, "interval": [0.1, 0.23456], "n": 9_986}
    assert entry == {**settings, "results": rounded, "versions": package_versions()}
    (path,) = (dataset.build_dir() / "snapshots").iterdir()
    assert path.name == "results.json"
    assert json.loads(path.read_text()) == {"ann": other, "cnn": entry}


def test_a_player_plays_unless_the_notebook_is_to_be_committed(tone, monkeypatch, tmp_path):
    assert isinstance(notebook.player(tone), Audio)
    monkeypatch.setenv("SNAPSHOTS_DIR", str(tmp_path))
    assert isinstance(notebook.player(tone), Markdown)


def test_the_banner_is_loud_for_the_toy_corpus_only():
    assert "TOY CORPUS, NOT MUSIC" in notebook.banner(TOY).data
    assert "make data" in notebook.banner(TOY).data
    assert notebook.banner(CORPUS).data == f"**Corpus: {CORPUS}.**"


def test_models_are_kept_by_corpus_and_seed():
    folders = [notebook.run_dir(corpus, seed) for corpus in (CORPUS, TOY) for seed in (0, 1)]
    assert len(set(folders)) == 4
    assert folders[0] == dataset.build_dir() / "models" / "gtzan-421-of-its-1-000-tracks-seed-0"
