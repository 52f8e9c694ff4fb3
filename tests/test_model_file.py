"""Model files: a saved model loads again; a file from others runs no code."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import quick_network
from gtzan_mfcc import features, models, predict
from gtzan_mfcc._keras import keras

layers = keras.layers
GENRES = ["a", "b", "c"]


def classifier():
    return predict.Classifier(quick_network(), GENRES, features.STUDY)


@pytest.fixture
def path(tmp_path):
    """Save a model, and return the path."""
    classifier().save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewrite(path, name, change):
    """Change a member of the archive, which is JSON."""
    with zipfile.ZipFile(path) as archive:
        content = {each: archive.read(each) for each in archive.namelist()}
    member = json.loads(content[name])
    change(member)
    content[name] = json.dumps(member)
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in content.items():
            archive.writestr(each, text)


def refusal(path):
    """Load a file that must be refused, and return the message."""
    with pytest.raises(predict.ModelError) as caught:
        predict.load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_model_is_the_same_in_another_process(tmp_path):
    # A layer with weights of its own, settings that are not the usual ones, any names.
    settings = features.Settings(sample_rate=16_000, seconds=2, n_mfcc=20)
    first = models.statistics(settings.frames, mean=range(20), variance=range(1, 21))
    mlp = models.mlp(first.output_shape[1], n_genres=2)
    network = models.average(first, [mlp])
    model = predict.Classifier(network, ["Rock 'n' Roll", "ロック 🎷"], settings)
    path = tmp_path / "a 大 \udcff.keras"  # The last letter is not valid text.
    model.save(path)
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 70_000)
    np.save(tmp_path / "noise.npy", noise)
    code = """
import json, sys
import numpy as np
from gtzan_mfcc import predict
model = predict.load_model(sys.argv[1])
likely = predict.predict(np.load("noise.npy"), model).over_time
print(json.dumps([likely.to_numpy().tolist(), model.genres, str(model.settings)]))
"""
    printed = subprocess.check_output([sys.executable, "-c", code, path], cwd=tmp_path)
    likely, genres, printed_settings = json.loads(printed)
    expected = predict.predict(noise, model).over_time
    np.testing.assert_allclose(likely, expected, atol=1e-6)
    assert genres == model.genres
    assert printed_settings == str(settings)


def test_a_model_is_saved_without_its_training(tmp_path):
    network = quick_network()
    network.compile("adam", "mse")
    network.fit(np.zeros((1, 130, 13)), np.zeros((1, 3)), verbose=0)
    predict.Classifier(network, GENRES, features.STUDY).save(tmp_path / "small.keras")
    network.save(tmp_path / "large.keras")
    small = (tmp_path / "small.keras").stat().st_size
    large = (tmp_path / "large.keras").stat().st_size
    assert large > 1.5 * small


@pytest.mark.parametrize("name", ["model.h5", "model"])
def test_a_name_that_load_model_would_refuse_is_refused_by_save(tmp_path, name):
    with pytest.raises(predict.ModelError, match=r"name a file NAME\.keras"):
        classifier().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_code_in_a_file_is_refused_and_does_not_run(tmp_path):
    ran = tmp_path / "ran"
    name = str(ran)
    network = keras.Sequential(
        [
            keras.Input((130, 13)),
            layers.Lambda(lambda x: os.makedirs(name, exist_ok=True) or x),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    path = tmp_path / "model.keras"
    predict.Classifier(network, GENRES, features.STUDY).save(path)
    ran.rmdir()  # Keras calls the layer when it builds the model.
    assert "lambda" in refusal(path).lower()
    assert not ran.exists()
    # The file is not harmless: without the safe mode, its code runs.
    keras.saving.load_model(path, safe_mode=False)
    assert ran.exists()


def test_other_objects_than_layers_are_refused(path):
    system = {"module": "os", "class_name": "system", "config": {"command": "ls"}}
    rewrite(path, "config.json", lambda top: top["config"].update(network=system))
    refusal(path)


def test_a_damaged_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:1_000])
    assert "not a model that Keras" in refusal(path)


def test_a_path_that_leads_to_no_model_is_refused(path):
    assert "no such file" in refusal(path.with_name("missing.keras"))
    assert "does not end in .keras" in refusal(path.rename(path.with_name("old.h5")))


def test_a_model_of_keras_is_refused_since_it_names_no_genres(path):
    quick_network().save(path)
    assert "a Sequential, which has no names of genres" in refusal(path)


def test_a_file_that_only_a_newer_keras_can_read_is_refused_with_the_remedy(path):
    def future(top):
        top["config"]["network"]["config"]["layers"][1]["config"]["renorm_2"] = 1

    rewrite(path, "config.json", future)
    message = refusal(path)
    assert f"Keras {keras.__version__}" in message
    assert "update Keras" in message
    assert "renorm_2" in message


def test_the_pretrained_model_can_be_read_by_each_keras_that_is_allowed():
    # A newer Keras writes settings that older ones refuse; see Makefile.
    requirements = Path(predict.PRETRAINED).parent.with_name("requirements.txt")
    lines = requirements.read_text().splitlines()
    (lowest,) = [line[7:] for line in lines if line.startswith("keras>=")]
    with zipfile.ZipFile(predict.PRETRAINED) as archive:
        assert json.loads(archive.read("metadata.json"))["keras_version"] == lowest
