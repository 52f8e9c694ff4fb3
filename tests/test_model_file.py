"""Model files: a saved model loads again; a file from a stranger runs no code."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from conftest import quick_network
from gtzan_mfcc import models, predict
from gtzan_mfcc._keras import keras

layers = keras.layers
GENRES = ["a", "b", "c"]


def classifier(inner=lambda x: x):
    """Make a classifier of a functional network that contains `inner`."""
    x = keras.Input((130, 13))
    flat = layers.Flatten()(inner(x))
    network = keras.Model(x, layers.Dense(3, activation="softmax")(flat))
    return predict.Classifier(network, GENRES)


@pytest.fixture
def path(tmp_path):
    """Save a valid model, and return the path."""
    classifier().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Change the members of the archive or its config, and write it again."""
    content = members(path)
    config = json.loads(content["config.json"])
    change(content, config["config"])
    content["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, text in content.items():
            archive.writestr(name, text)


def refusal(path):
    """Load a file that must be refused, and return the reason."""
    with pytest.raises(predict.ModelError) as caught:
        predict.load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))
    return message


# --- Valid models


def statistics():
    mean, variance = np.linspace(-9, 9, 20), np.linspace(1, 99, 20)
    before = models.statistics(mean=mean, variance=variance)
    members = [models.mlp(before.output_shape[1], seed=k) for k in range(2)]
    return models.average(before, members)


GOOD = {
    "sequential": lambda: predict.Classifier(quick_network(), GENRES),
    "operator": lambda: classifier(lambda x: x + layers.ReLU()(x)),
    "slice": lambda: classifier(lambda x: x[:, ::2]),
    "operation": lambda: classifier(lambda x: keras.ops.mean(x, axis=1)),
    "settings": lambda: predict.Classifier(
        quick_network(151, n_genres=2), ["Rock 'n' Roll", "ロック 🎷"], n_fft=1_024, hop_length=441
    ),
    "cnn": lambda: predict.Classifier(models.cnn(), list("abcdefghij")),
    "ann": lambda: predict.Classifier(
        models.ann(n_genres=3, mean=np.arange(57.0), variance=np.arange(1.0, 58)), GENRES
    ),
    "statistics": lambda: predict.Classifier(statistics(), list("jihgfedcba")),
}


@pytest.fixture(scope="module")
def loaded_elsewhere(tmp_path_factory):
    """Save every valid model, load it in another process, and return both predictions."""
    folder = tmp_path_factory.mktemp("good")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 70_000)
    np.save(folder / "noise.npy", noise)
    expected = {}
    for name, make in GOOD.items():
        model = make()
        model.save(folder / f"{name}.keras")
        expected[name] = model, predict.predict(noise, model)
    code = (
        "import json, sys, numpy as np; from gtzan_mfcc import predict\n"
        "for name in sys.argv[1:]:\n"
        "    model = predict.load_model(f'{name}.keras')\n"
        "    heard = predict.predict(np.load('noise.npy'), model).over_time.to_numpy().tolist()\n"
        "    print(json.dumps([heard, [model.genres, model.n_fft, model.hop_length]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *GOOD], cwd=folder, capture_output=True, text=True, check=True
    )
    return dict(zip(GOOD, zip(expected.values(), map(json.loads, done.stdout.splitlines()))))


@pytest.mark.parametrize("name", GOOD)
def test_a_model_is_the_same_in_another_process(loaded_elsewhere, name):
    (model, prediction), (heard, settings) = loaded_elsewhere[name]
    np.testing.assert_allclose(heard, prediction.over_time, atol=1e-6)
    assert settings == [model.genres, model.n_fft, model.hop_length]


def loss_of_ones_own(truth, given):
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(truth, given))


def test_a_model_is_saved_without_its_training(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 130, 13)).astype("float32")
    network = quick_network()
    network.compile("adam", loss_of_ones_own)
    network.fit(x, np.arange(8) % 3, verbose=0)
    model = predict.Classifier(network, GENRES)
    model.compile("adam", loss_of_ones_own)  # A classifier can be trained, too.
    model.fit(x, np.arange(8) % 3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = predict.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(x), model.predict_on_batch(x), atol=1e-6)
    predict.Classifier(network, GENRES).save(tmp_path / "small.keras")
    network.save(tmp_path / "large.keras")
    small, large = ((tmp_path / f"{name}.keras").stat().st_size for name in ("small", "large"))
    assert large > 1.5 * small


@pytest.mark.parametrize("name", ["Größe 大 🎵 'x'.keras", os.fsdecode(b"\xff.keras"), " .keras"])
def test_a_model_may_have_any_name(path, name):
    assert predict.load_model(path.rename(path.with_name(name))).genres == GENRES


# --- Files with code


@pytest.fixture
def harmful(tmp_path):
    """Save a model whose Lambda layer makes the folder `ran`; return the path and the folder."""
    ran = tmp_path / "ran"
    name = str(ran)
    harm = layers.Lambda(lambda x: (os.makedirs(name, exist_ok=True), x)[1])
    classifier(harm).save(tmp_path / "model.keras")
    ran.rmdir()  # Keras calls the layer when it builds the model.
    return tmp_path / "model.keras", ran


def test_code_in_a_file_is_refused_and_does_not_run(harmful):
    path, ran = harmful
    assert "lambda" in refusal(path).lower()
    with pytest.raises(ValueError, match="lambda"):
        keras.saving.load_model(path)
    with pytest.raises(ValueError, match="lambda"):
        predict.Classifier.from_config(json.loads(members(path)["config.json"])["config"])
    assert not ran.exists()
    # The file is not harmless: without the safe mode, its code runs.
    keras.saving.load_model(path, safe_mode=False)
    assert ran.exists()


@pytest.mark.parametrize(
    ("kind", "module", "config"),
    [
        ("system", "os", {"command": "mkdir RAN"}),
        ("run", "subprocess", {"args": ["mkdir", "RAN"]}),
        ("Path.mkdir", "pathlib", {"self": "RAN"}),
        ("TFSMLayer", "keras.layers", {"filepath": "RAN"}),
        ("function", "os", "system"),
    ],
)
def test_other_objects_than_layers_are_refused(path, tmp_path, kind, module, config):
    strange = {"module": module, "class_name": kind, "registered_name": kind, "config": config}
    strange = json.loads(json.dumps(strange).replace("RAN", str(tmp_path / "ran")))
    rewrite(path, lambda _, config: config.update(network=strange))
    refusal(path)
    assert not (tmp_path / "ran").exists()


# --- Other files


@pytest.mark.parametrize(
    "spoil", [lambda whole: b"", lambda whole: b"not a model\n" * 99, lambda whole: whole[:-99]]
)
def test_a_file_that_is_no_archive_or_cut_short_is_refused(path, spoil):
    path.write_bytes(spoil(path.read_bytes()))
    assert "not a zip" in refusal(path)


def test_a_model_of_keras_is_refused_since_it_names_no_genres(path):
    quick_network().save(path)
    assert "a Sequential, which has no names of genres" in refusal(path)


@pytest.mark.parametrize("name", ["missing.keras", "", "a\0.keras", "x" * 300 + ".keras", "old.h5"])
def test_a_path_that_leads_to_no_model_is_refused(path, monkeypatch, name):
    monkeypatch.chdir(path.parent)
    path.rename("old.h5")
    refusal(pathlib.Path(name))


def test_a_folder_is_refused(path):
    content = members(path)
    path.unlink()
    path.mkdir()
    for name, b in content.items():  # Keras would load a model from a folder.
        (path / name).write_bytes(b)
    assert "no file of that name" in refusal(path)


@pytest.mark.parametrize(
    ("setting", "value", "finding"),
    [
        ("sample_rate", 22_050, "sample_rate"),  # From an earlier version of this package.
        ("strange", 1, "strange"),
        ("genres", ["a", "b"], "(None, 2)"),
        ("genres", None, "NoneType"),
        ("network", None, "from None"),
    ],
)
def test_settings_that_make_no_sense_are_refused(path, setting, value, finding):
    rewrite(path, lambda _, config: config.update({setting: value}))
    assert finding in refusal(path)


# --- Compressed files


def test_compressed_zeros_are_refused_without_unpacking_them(path):
    rewrite(path, lambda content, _: content.update(zeros=bytes(2**27)), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    assert "unpack" in refusal(path)
