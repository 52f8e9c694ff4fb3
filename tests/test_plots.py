import itertools
import json
from importlib.metadata import version

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.display import Audio, Markdown
from matplotlib.axes import Axes
from PIL import Image

from gtzan_mfcc import dataset, evaluation, plots, predict, snapshots

GENRES = ["rock", "jazz", "blues"]  # Not in alphabetical order, so that sorting shows.
LABELS = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
PREDICTED = np.array([0, 1, 1, 1, 1, 2, 0, 2, 2])
CORPUS = "GTZAN, 421 of its 1,000 tracks"
TOY = "toy corpus (synthetic, not music), 100 tracks"
SCORES = [
    ("CNN", "track", 0.75, 0.7, 0.875),
    ("CNN", "fault_filtered", 0.5, 0.25, 0.625),
    ("SVM", "fault_filtered", 0.625, 0.5, 0.75),
    ("SVM", "track", 0.875, 0.75, 1.0),
]


@pytest.fixture(autouse=True)
def _figures():
    """Draw on no screen, and close what was drawn."""
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def model():
    from gtzan_mfcc import models

    return models.cnn()


# The most probable are jazz, blues, jazz and rock.
HEARD = np.array([[0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.0, 0.9, 0.1], [0.6, 0.3, 0.1]])


def heard(starts, seconds, probabilities=HEARD, genres=GENRES):
    """Make a prediction of segments of 3 s that start there."""
    ends = np.minimum(np.array(starts) + 3, seconds)
    table = pd.DataFrame(probabilities[: len(starts)], columns=genres)
    table.insert(0, "start", np.array(starts, float))
    table.insert(1, "end", ends)
    return predict.Prediction(table, seconds, padded=seconds < 2.995)


@pytest.fixture(scope="module")
def drawings(model):
    """Give each plot with data to draw, waiting for an ax; by name."""
    rng = np.random.default_rng(0)
    y = rng.standard_normal(22_050).astype(np.float32)
    history = pd.DataFrame(
        {
            "loss": [2.0, 1, 0.5, 0.4],
            "val_loss": [2.0, 1, 0.9, 1],
            "accuracy": [0.2, 0.5, 0.8, 0.9],
            "val_accuracy": [0.2, 0.5, 0.6, 0.5],
        },
        index=pd.RangeIndex(1, 5, name="epoch"),
    )
    confusion = evaluation.genre_confusion(LABELS, PREDICTED, GENRES)
    report = evaluation.genre_report(LABELS, PREDICTED, GENRES)
    levels = rng.standard_normal((128, 44))
    table = pd.DataFrame(SCORES, columns=["model", "split", "accuracy", "low", "high"])
    song = heard([0, 3, 6, 9], 13.5)
    return {
        "waveform": lambda **kwargs: plots.waveform(y, **kwargs),
        "spectrum": lambda **kwargs: plots.spectrum(y, **kwargs),
        "spectrogram": lambda **kwargs: plots.spectrogram(levels, **kwargs),
        "mfcc": lambda **kwargs: plots.mfcc(levels.T[:, :13], **kwargs),
        "loss": lambda **kwargs: plots.learning_curve(history, "loss", **kwargs),
        "accuracy": lambda **kwargs: plots.learning_curve(history, "accuracy", **kwargs),
        "learning_curves": lambda **kwargs: plots.learning_curves(history, "The run", **kwargs),
        "confusion_matrix": lambda **kwargs: plots.confusion_matrix(confusion, **kwargs),
        "genre_report": lambda **kwargs: plots.genre_report(report, **kwargs),
        "split_scores": lambda **kwargs: plots.split_scores(table, **kwargs),
        "architecture": lambda **kwargs: plots.architecture(model, **kwargs),
        "genre_probabilities": lambda **kwargs: plots.genre_probabilities(song, **kwargs),
        "genre_over_time": lambda **kwargs: plots.genre_over_time(song, **kwargs),
        "genre_over_time with y": lambda **kwargs: plots.genre_over_time(song, y, **kwargs),
    }


@pytest.fixture
def draw(drawings):
    return lambda name, **kwargs: drawings[name](**kwargs)


LABELLED = {
    "waveform": ("time (s)", "amplitude"),
    "spectrum": ("frequency (Hz)", "magnitude"),
    "spectrogram": ("time (s)", "frequency (Hz)"),
    "mfcc": ("time (s)", "MFCC number"),
    "loss": ("epoch", "loss"),
    "accuracy": ("epoch", "accuracy"),
    "confusion_matrix": ("predicted genre", "true genre"),
    "genre_report": ("", "genre  (number of segments)"),
    "split_scores": ("what the split keeps together", "accuracy by track"),
    "architecture": ("", ""),
    "genre_probabilities": ("mean probability over the song", "genre"),
    "genre_over_time": ("time (s)", "genre"),
    "genre_over_time with y": ("time (s)", "genre"),
}


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("name", LABELLED)
def test_a_plot_draws_on_the_axes_given_and_returns_them(draw, name):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(name, ax=right) is right
    assert not left.has_data()
    assert right.has_data() or right.texts
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", [*LABELLED, "learning_curves"])
def test_a_plot_without_axes_makes_a_figure_of_its_own(draw, name):
    _, other = plt.subplots()
    ax = draw(name)
    assert isinstance(ax, Axes)
    assert ax.figure is not other.figure
    assert len(plt.get_fignums()) == 2
    ax.figure.canvas.draw()


@pytest.mark.parametrize(("name", "labels"), LABELLED.items(), ids=LABELLED)
def test_axes_have_names_and_units(draw, name, labels):
    ax = draw(name)
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("spectrogram", "level (dB)"),
        ("mfcc", "value"),
        ("confusion_matrix", "share of the true genre"),
        ("genre_report", "score"),
        ("genre_over_time", "probability"),
        ("genre_over_time with y", "probability"),
    ],
)
def test_colours_have_a_name(draw, name, label):
    assert label in [ax.get_ylabel() for ax in draw(name).figure.axes[1:]]


@pytest.mark.parametrize(
    ("frequency", "label"),
    [("log", "frequency (Hz, logarithmic)"), ("mel", "frequency (Hz, mel scale)")],
)
def test_a_spectrogram_names_its_scale(frequency, label):
    assert plots.spectrogram(np.eye(128, 44), frequency=frequency).get_ylabel() == label


def test_a_waveform_is_drawn_over_seconds():
    ax = plots.waveform(np.ones(11_025), color="red")
    assert ax.get_xlim() == (0, 0.5)
    assert ax.lines[0].get_color() == "red"


def test_a_spectrum_has_its_peak_at_the_frequency_of_the_tone():
    y = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)
    ax = plots.spectrum(y)
    frequencies, magnitude = ax.lines[0].get_data()
    assert frequencies[magnitude.argmax()] == pytest.approx(440)
    assert ax.get_xlim() == (0, 11_025)


def test_mfccs_are_drawn_by_number_over_seconds_in_the_limits_given():
    ax = plots.mfcc(np.arange(130 * 13).reshape(130, 13), limits=(-5, 5))
    (image,) = ax.images
    assert image.get_extent() == pytest.approx([0, 130 * 512 / 22_050, 0.5, 13.5])
    assert image.get_clim() == (-5, 5)
    np.testing.assert_array_equal(image.get_array()[1], np.arange(130) * 13 + 1)
    assert ax.get_yticks().tolist() == [1, 3, 5, 7, 9, 11, 13]


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_a_learning_curve_tells_both_parts_and_the_best_epoch(draw, name):
    ax = draw(name)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["training", "validation", "least validation loss (3)"]
    training, validation, best = ax.lines
    assert training.get_ydata()[-1] == {"loss": 0.4, "accuracy": 0.9}[name]
    assert validation.get_ydata()[-1] == {"loss": 1, "accuracy": 0.5}[name]
    assert training.get_xdata().tolist() == [1, 2, 3, 4]
    assert training.get_linestyle() != validation.get_linestyle()
    assert list(best.get_xdata()) == [3, 3]
    ax.figure.canvas.draw()
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_learning_curves_stand_side_by_side_under_a_title(draw):
    ax = draw("learning_curves")
    assert [axes.get_ylabel() for axes in ax.figure.axes] == ["loss", "accuracy"]
    assert ax.get_ylabel() == "accuracy"
    assert ax.figure.get_suptitle() == "The run"


def test_a_confusion_matrix_names_the_genres_in_order_and_counts_in_whole_numbers(draw):
    ax = draw("confusion_matrix")
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == GENRES
    assert texts(ax) == ["1", "2", "0", "0", "2", "0", "1", "0", "3"]
    share = ax.collections[0].get_array().reshape(3, 3)
    np.testing.assert_allclose(share, [[1 / 3, 2 / 3, 0], [0, 1, 0], [1 / 4, 0, 3 / 4]])


def test_counts_in_thousands_stay_whole_numbers():
    confusion = evaluation.genre_confusion(np.zeros(12_345, int), np.zeros(12_345, int), GENRES)
    assert texts(plots.confusion_matrix(confusion)) == ["12345"] + ["0"] * 8


def test_a_report_names_the_genres_in_order_with_their_segments(draw):
    ax = draw("genre_report")
    assert ticks(ax.xaxis) == ["precision", "recall", "f1-score"]
    assert ticks(ax.yaxis) == [
        "rock  (3)", "jazz  (2)", "blues  (4)", "macro avg  (9)", "weighted avg  (9)",
    ]  # fmt: skip
    assert texts(ax)[:3] == ["0.50", "0.33", "0.40"]


def test_scores_stand_over_their_split_with_marks_and_intervals_by_model(draw):
    ax = draw("split_scores")
    ax.figure.canvas.draw()
    assert ticks(ax.xaxis) == ["track", "fault\nfiltered"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["CNN", "SVM"]
    marks = [container[0] for container in ax.containers]
    drawn = [xy for line in marks for xy in zip(line.get_xdata(), line.get_ydata())]
    assert [(round(x), y) for x, y in drawn] == [
        (["track", "fault_filtered"].index(split), accuracy) for _, split, accuracy, *_ in SCORES
    ]
    assert len({line.get_marker() for line in marks}) == 2
    assert not set(marks[0].get_xdata()) & set(marks[1].get_xdata())
    spans = [bar for each in ax.containers for bar in each[2][0].get_segments()]
    np.testing.assert_allclose([bar[:, 1] for bar in spans], [row[3:] for row in SCORES])


def test_scores_are_in_percent_of_everything(draw):
    ax = draw("split_scores")
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    assert low == 0
    assert 1 <= high < 1.1  # The interval up to 100 % is seen whole.
    assert {"0%", "100%"} <= set(ticks(ax.yaxis))


@pytest.mark.parametrize("n_models", [1, 5])
def test_each_of_up_to_five_models_has_a_mark_of_its_own(n_models):
    table = pd.DataFrame({"model": [f"model {k}" for k in range(n_models)], "split": "artist"})
    ax = plots.split_scores(table.assign(accuracy=0.5, low=0.4, high=0.6))
    assert len({container[0].get_marker() for container in ax.containers}) == n_models
    positions = [container[0].get_xdata()[0] for container in ax.containers]
    assert len(set(positions)) == n_models
    assert np.mean(positions) == pytest.approx(0)


def test_an_architecture_tells_layers_shapes_and_parameters(draw, model):
    shown = texts(draw("architecture"))
    assert {"input", "Conv2D 32 5×5 relu", "Dense 10 softmax", "Dropout 0.5"} <= set(shown)
    assert {"130 × 13 × 1", "126 × 9 × 32", "832", "1,137,162"} <= set(shown)
    names = [text.split()[0] for text in shown]
    positions = [names.index(type(layer).__name__) for layer in model.layers[:3]]
    assert positions == sorted(positions)


def test_genres_stand_below_one_another_with_the_most_probable_on_top():
    ax = plots.genre_probabilities(heard([0, 3, 6, 9], 13.5))
    ax.figure.canvas.draw()
    assert ticks(ax.yaxis) == ["jazz", "rock", "blues"]
    (bars,) = ax.containers
    np.testing.assert_allclose([bar.get_width() for bar in bars], [0.55, 0.225, 0.225])
    heights = [ax.transData.transform((0, bar.get_y()))[1] for bar in bars]
    assert heights == sorted(heights, reverse=True)
    assert texts(ax) == ["55%", "22%", "22%"]
    assert {"0%", "100%"} <= set(ticks(ax.xaxis))
    low, high = ax.get_xlim()
    assert low == 0
    assert high > 1


@pytest.mark.parametrize("n_genres", [2, 12])
def test_any_number_of_long_names_has_room(n_genres):
    genres = [f"{number} {'long ' * 4}name" for number in range(n_genres)]
    shares = np.linspace(1, 2, n_genres)[np.newaxis]
    prediction = heard([0], 3.0, shares / shares.sum(), genres)
    for ax in (plots.genre_probabilities(prediction), plots.genre_over_time(prediction)):
        ax.figure.canvas.draw()
        assert sorted(ticks(ax.yaxis)) == sorted(genres)
        boxes = sorted(
            (label.get_window_extent() for label in ax.get_yticklabels()), key=lambda box: box.y0
        )
        assert all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))
        assert min(box.x0 for box in boxes) >= 0


@pytest.mark.parametrize("name", ["a\\b", "$\\foo$", "$5 & 10$", "%"])
def test_a_genre_is_shown_as_it_is_written(name):
    prediction = heard([0, 3], 6.0, genres=[name, "jazz", "blues"])
    for ax in (plots.genre_probabilities(prediction), plots.genre_over_time(prediction)):
        ax.figure.canvas.draw()
        (label,) = (label for label in ax.get_yticklabels() if label.get_text() == name)
        assert not label.get_parse_math() or "$" not in name


def mesh(ax):
    """Give the shades: borders of the columns, and values as an array of genres by segments."""
    (mesh,) = ax.collections
    return mesh.get_coordinates()[0, :, 0], mesh.get_array().reshape(3, -1)


@pytest.mark.parametrize(
    ("starts", "seconds", "edges"),
    [
        ([0, 3, 6, 9], 13.5, [0, 3, 6, 9, 12]),
        ([0, 3, 6, 9], 11.996, [0, 3, 6, 8.999, 11.996]),
        ([0, 1, 2, 3], 6.5, [0, 2, 3, 4, 6]),
        ([0, 2.5], 5.5, [0, 2.75, 5.5]),
        ([0], 3.0, [0, 3]),
        ([0], 0.5, [0, 0.5]),
    ],
    ids=["whole", "last filled up", "overlapping", "two", "one", "padded"],
)
@pytest.mark.parametrize("with_y", [False, True])
def test_shades_and_dots_tell_the_genre_of_each_segment(starts, seconds, edges, with_y):
    y = np.zeros(int(seconds * 8_000)) if with_y else None
    ax = plots.genre_over_time(heard(starts, seconds), y, sample_rate=8_000)
    borders, shades = mesh(ax)
    np.testing.assert_allclose(borders, edges, atol=1e-9)
    np.testing.assert_array_equal(shades, HEARD[: len(starts)].T)
    assert ax.collections[0].get_clim() == (0, 1)
    assert ax.get_xlim() == (0, seconds)
    (dots,) = ax.lines
    x, y = dots.get_data()
    np.testing.assert_allclose(x, [(t + min(t + 3, seconds)) / 2 for t in starts])
    assert [ticks(ax.yaxis)[row] for row in y] == ["jazz", "blues", "jazz", "rock"][: len(starts)]
    assert ((borders[:-1] <= x) & (x <= borders[1:])).all()
    ax.figure.canvas.draw()


def test_genres_over_time_are_in_the_models_order_downwards():
    ax = plots.genre_over_time(heard([0, 3], 6.0))
    assert ticks(ax.yaxis) == GENRES
    heights = [ax.transData.transform((0, row))[1] for row in range(3)]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("layout", ["constrained", None])
@pytest.mark.parametrize("given", [False, True])
def test_the_waveform_stands_above_the_genres_on_the_same_time_axis(given, layout):
    y = np.sin(np.arange(6 * 8_000))
    other = None
    if given:
        figure, (other, mine) = plt.subplots(1, 2, figsize=(12, 4), layout=layout)
        ax = plots.genre_over_time(heard([0, 3], 6.0), y, sample_rate=8_000, ax=mine)
        assert ax is mine
        assert ax.figure is figure
        assert not other.has_data()
    else:
        ax = plots.genre_over_time(heard([0, 3], 6.0), y, sample_rate=8_000)
        assert ax.figure.axes[0] is ax
    above = ax.figure.axes[2 if given else 1]
    assert above.get_ylabel() == "amplitude"
    assert (above.get_xlabel(), ax.get_xlabel()) == ("", "time (s)")
    ax.figure.canvas.draw()
    here, there = ax.get_position(), above.get_position()
    assert there.y0 >= here.y1
    np.testing.assert_allclose([there.x0, there.x1], [here.x0, here.x1], atol=1e-3)
    assert here.height > there.height
    if given:
        assert here.x0 > other.get_position().x1
    assert above.get_xlim() == ax.get_xlim() == (0, 6)
    ax.set_xlim(1, 2)
    assert above.get_xlim() == (1, 2)
    assert not any(label.get_visible() for label in above.get_xticklabels())
    assert any(label.get_visible() for label in ax.get_xticklabels())


def test_two_songs_may_stand_side_by_side():
    _, axes = plt.subplots(1, 2, layout="constrained")
    for ax, seconds in zip(axes, (6.0, 12.0)):
        plots.genre_over_time(heard([0, 3], seconds), np.zeros(int(seconds * 8_000)), ax=ax)
    assert [ax.get_xlim() for ax in axes] == [(0, 6), (0, 12)]
    axes[0].figure.canvas.draw()


@pytest.mark.parametrize("samples", [100, 4_000, 4_001, 22_050 * 6 + 1, 22_050 * 60 * 20])
def test_a_long_signal_is_drawn_by_its_peaks(samples):
    y = np.full(samples, 0.1, np.float32)
    y[0], y[samples // 3], y[samples // 2] = 0.9, 1, -0.75
    y[-1] = 0.5  # In the last of the pieces that are drawn, which is seldom whole.
    seconds = samples / 22_050
    ax = plots.genre_over_time(heard([0], seconds), y)
    (line,) = ax.figure.axes[1].lines
    x, drawn = line.get_data()
    assert min(samples, 4_000) <= len(drawn) <= 8_000
    assert (drawn.max(), drawn.min()) == (1, -0.75)
    wide = seconds / 2_000 + 1 / 22_050
    assert x[drawn.argmax()] == pytest.approx(seconds / 3, abs=wide)
    assert x[drawn.argmin()] == pytest.approx(seconds / 2, abs=wide)
    assert x[drawn == 0.5].max() == pytest.approx(seconds, abs=wide)
    assert drawn[-2:].min() >= np.float32(0.1)
    assert x.min() == 0
    assert ax.get_xlim() == (0, seconds)


def test_figures_carry_the_name_of_the_corpus():
    ax = plots.waveform(np.ones(100))
    assert plots.sign(ax, CORPUS) is ax
    assert ax.figure.get_supxlabel() == CORPUS


def test_figures_of_the_toy_corpus_say_so_in_bold_capitals():
    ax = plots.sign(plots.waveform(np.ones(100)), TOY)
    (text,) = (text for text in ax.figure.texts if "TOY" in text.get_text())
    assert text.get_text() == "TOY CORPUS (SYNTHETIC, NOT MUSIC), 100 TRACKS"
    assert text.get_weight() == "bold"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Set SNAPSHOTS_DIR to a folder that is not there yet."""
    monkeypatch.setenv("SNAPSHOTS_DIR", str(tmp_path / "snap" / "shots"))
    return tmp_path / "snap" / "shots"


def test_a_figure_is_saved_signed_in_the_snapshots(folder):
    ax = plots.waveform(np.ones(100))
    snapshots.save_figure(ax, "wave", CORPUS)
    with Image.open(folder / "wave.png") as image:
        assert image.format == "PNG"
        assert image.width > 800
    assert ax.figure.get_supxlabel() == CORPUS


def test_without_a_setting_snapshots_are_in_the_build_folder():
    snapshots.save_figure(plots.waveform(np.ones(100)), "wave", CORPUS)
    assert (dataset.build_dir() / "snapshots" / "wave.png").is_file()


def test_results_are_recorded_with_what_they_were_made_with(folder):
    entry = snapshots.record(
        "cnn",
        corpus=CORPUS,
        split="track",
        seed=3,
        accuracy=np.float32(0.123456),
        interval=(0.1, 0.23456),
        segments=np.int64(9_986),
    )
    assert json.loads((folder / "results.json").read_text()) == {"cnn": entry}
    packages = entry.pop("versions")
    assert packages["numpy"] == version("numpy")
    assert packages["keras"] == version("keras")
    assert entry == {
        "corpus": CORPUS,
        "split": "track",
        "seed": 3,
        "results": {"accuracy": 0.1235, "interval": [0.1, 0.2346], "segments": 9_986},
    }


def test_recording_replaces_the_entry_of_that_name_and_keeps_the_others(folder):
    settings = {"corpus": CORPUS, "split": "track", "seed": 0}
    for name, value in (("b", 0.1), ("a", 0.2), ("b", 0.3)):
        snapshots.record(name, **settings, accuracy=value)
    entries = json.loads((folder / "results.json").read_text())
    assert {name: entry["results"]["accuracy"] for name, entry in entries.items()} == {
        "a": 0.2,
        "b": 0.3,
    }
    assert [path.name for path in folder.iterdir()] == ["results.json"]


def test_a_text_is_filled_in_with_recorded_results():
    results = {"cnn": {"results": {"accuracy": 0.9612, "between": [0.949, 0.9711], "n": 9_986}}}
    text = "At <!--cnn.accuracy-->?<!--/--> (<!--cnn.between--><!--/-->) of <!--cnn.n-->1<!--/-->."
    filled = snapshots.fill_in(text, results)
    assert filled == (
        "At <!--cnn.accuracy-->96.1 %<!--/--> (<!--cnn.between-->94.9 to 97.1 %<!--/-->) "
        "of <!--cnn.n-->9,986<!--/-->."
    )
    assert snapshots.fill_in(filled, results) == filled
    with pytest.raises(KeyError):
        snapshots.fill_in("<!--ann.accuracy-->?<!--/-->", results)


def test_a_player_plays_unless_the_notebook_is_to_be_committed(tone, monkeypatch, tmp_path):
    assert isinstance(snapshots.player(tone), Audio)
    monkeypatch.setenv("SNAPSHOTS_DIR", str(tmp_path))
    line = snapshots.player(tone)
    assert isinstance(line, Markdown)
    assert len(line.data) < 200


def test_the_banner_is_loud_for_the_toy_corpus_only():
    assert "TOY CORPUS, NOT MUSIC" in snapshots.banner(TOY).data
    assert "make data" in snapshots.banner(TOY).data
    assert snapshots.banner(CORPUS).data == f"**Corpus: {CORPUS}.**"


def test_models_are_kept_by_corpus_and_seed():
    folders = [snapshots.run_dir(corpus, seed) for corpus in (CORPUS, TOY) for seed in (0, 1)]
    assert len(set(folders)) == 4
    assert folders[0] == dataset.build_dir() / "models" / "gtzan-421-of-its-1-000-tracks-seed-0"
