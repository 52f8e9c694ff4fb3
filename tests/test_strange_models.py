"""Model files from strangers: each loads and can hear, or is refused with a reason."""

import bz2
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from functools import cache
from pathlib import Path

import fuzzing
import h5py
import numpy as np
import pytest

from gtzan_mfcc import models, predict
from gtzan_mfcc._keras import keras

layers = keras.layers


def small_network(*inner, takes=(130, 13), n_genres=3):
    return keras.Sequential(
        [
            keras.Input(takes),
            *inner,
            layers.Flatten(),
            layers.Dense(n_genres, activation="softmax"),
        ]
    )


def small_classifier(network=None, genres="abc", **settings):
    return predict.Classifier(network or small_network(), list(genres), **settings)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "good.keras"
    small_classifier().save(path)
    return path


# --- To write strange files


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(content, **settings):
    """Bytes of an archive, from the members' names to their bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **settings) as archive:
        for name, b in content.items():
            archive.writestr(name, b)
    return file.getvalue()


def with_members(path, **changed):
    """The bytes of a model with other members; those that are None are left away."""
    content = members(path) | {name.replace("__", "."): b for name, b in changed.items()}
    return zipped({name: b for name, b in content.items() if b is not None})


def with_config(path, change):
    config = json.loads(members(path)["config.json"])
    return with_members(path, config__json=json.dumps(change(config) or config).encode())


def with_settings(**settings):
    return lambda path: with_config(path, lambda config: config["config"].update(settings))


def layer(kind, module="keras.layers", registered=None, **config):
    return {
        "module": module,
        "class_name": kind,
        "config": config,
        "registered_name": registered,
    }


def function(name, module):
    return layer("function", module) | {"config": name, "registered_name": name}


def with_layers(*inner, takes=(130, 13)):
    """A model with these layers (their configs) in it, between its input and its output."""

    def change(config):
        ends = layer("Flatten"), layer("Dense", units=3, activation="softmax")
        first = layer("InputLayer", batch_shape=[None, *takes], dtype="float32")
        network = layer("Sequential", "keras", name="strange", layers=[first, *inner, *ends])
        config["config"]["network"] = network
        config.pop("build_config")

    return lambda path: with_config(path, change)


def with_last_layer(**settings):
    """A model whose layers have the right weights, and the last one these settings."""

    def change(config):
        config["config"]["network"]["config"]["layers"][-1]["config"].update(settings)

    return lambda path: with_config(path, change)


def saved(make):
    """A model that Keras itself saves; one may refuse to make it as well as to load it."""

    def build(path):
        path = path.with_name("saved.keras")
        make().save(path)
        return path.read_bytes()

    return build


def with_weights(change):
    """A model with other weights: `change` takes the open file and the name of the kernel."""

    def build(path):
        file = io.BytesIO(members(path)["model.weights.h5"])
        with h5py.File(file, "r+") as weights:
            names = []
            weights.visit(names.append)
            kernels = [name for name in names if getattr(weights[name], "shape", ()) == (1690, 3)]
            change(weights, kernels[0])
        return with_members(path, model__weights__h5=file.getvalue())

    return build


def other_kernel(**settings):
    def change(weights, kernel):
        del weights[kernel]
        weights.create_dataset(kernel, **settings)

    return with_weights(change)


def linked_kernel(link):
    def change(weights, kernel):
        del weights[kernel]
        weights[kernel] = link

    return with_weights(change)


DEFLATED, BZIPPED = zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2


@cache
def packed_zeros(method):
    """Half a GB."""
    pack = {DEFLATED: zlib.compressobj(6, zlib.DEFLATED, -15), BZIPPED: bz2.BZ2Compressor()}[method]
    return b"".join([pack.compress(bytes(2**24)) for _ in range(32)]) + pack.flush()


def groups_twice(weights, kernel):
    inner = weights.create_group("group 0")
    for k in range(40):
        outer = weights.create_group(f"group {k + 1}")
        outer["a"] = outer["b"] = inner
        inner = outer


def bomb(name, method):
    """A model one of whose members is zeros, and claims in its headers to be small."""

    def build(path):
        packed, claimed = packed_zeros(method), 4_000
        # Of the size that it claims, the checksum is right.
        facts = struct.pack(
            "<HHHIII", method, 0, 33, zlib.crc32(bytes(claimed)), len(packed), claimed
        )
        facts += struct.pack("<HH", len(name), 0)
        archive = zipped({other: b for other, b in members(path).items() if other != name})
        start = zipfile.ZipFile(io.BytesIO(archive)).start_dir
        local = b"PK\3\4" + struct.pack("<HH", 20, 0) + facts + name.encode() + packed
        central = archive[start:-22] + b"PK\1\2" + struct.pack("<HHH", 20, 20, 0) + facts
        central += struct.pack("<HHHII", 0, 0, 0, 0, start) + name.encode()
        n = archive[-14] + 1
        end = struct.pack("<HHHHIIH", 0, 0, n, n, len(central), start + len(local), 0)
        return archive[:start] + local + central + b"PK\5\6" + end

    return build


def honest_bomb(name):
    def build(path):
        content = members(path) | {name: bytes(2**28)}
        return zipped(content, compression=zipfile.ZIP_DEFLATED)

    return build


def overlapping_bomb(path):
    """A thousand members that are all the same megabyte."""
    archive = zipped(members(path) | {"more": bytes(2**20)})
    start = zipfile.ZipFile(io.BytesIO(archive)).start_dir
    last = archive.rindex(b"PK\1\2")
    central = archive[start:last] + 1_000 * archive[last:-22]
    n = 1_000 + len(members(path))
    end = struct.pack("<HHHHIIH", 0, 0, n, n, len(central), start, 0)
    return archive[:start] + central + b"PK\5\6" + end


def nested_bomb(path):
    inner = zipped({"zeros": bytes(2**28)}, compression=zipfile.ZIP_DEFLATED)
    content = members(path) | {"assets/inner.zip": zipped({"inner": inner * 100}, compression=8)}
    return zipped(content, compression=zipfile.ZIP_DEFLATED)


def called_again(depth, times):
    """A model in a model in a model ..., each of which calls the one in it so many times."""

    def change(config):
        x = keras.Input((130, 13))
        inner = keras.Model(x, layers.ReLU()(x), name="inner")
        y = x
        for _ in range(times):
            y = inner(y)
        outer = keras.saving.serialize_keras_object(keras.Model(x, y, name="inner"))
        (k,) = (k for k, part in enumerate(outer["config"]["layers"]) if part["name"] == "inner")
        calls = outer["config"]["layers"][k]["inbound_nodes"]
        # Shapes that are not known in advance are found anew at each call.
        text = json.dumps(outer).replace("[null, 130, 13]", "[null, null, 13]")
        nested = json.loads(text)["config"]["layers"][k]
        for _ in range(depth):
            around = json.loads(text)
            around["config"]["layers"][k] = nested
            nested = around | {"name": "inner", "inbound_nodes": calls}
        nested.pop("inbound_nodes")
        first = layer("InputLayer", batch_shape=[None, 130, 13], dtype="float32")
        ends = layer("Flatten"), layer("Dense", units=3, activation="softmax")
        config["config"]["network"] = layer(
            "Sequential", "keras", name="strange", layers=[first, nested, *ends]
        )
        config.pop("build_config")

    return lambda path: with_config(path, change)


def legacy_behind_a_good_one(path):
    """A file in Keras's older format, whose end is an archive with a small model."""
    old = path.with_name("old.h5")
    small_classifier().save(old)
    network = {
        "class_name": "Sequential",
        "config": {
            "name": "strange",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_shape": [None, 130, 13]}},
                {"class_name": "Flatten", "config": {}},
                {"class_name": "Dense", "config": {"units": 130_000}},
            ],
        },
    }
    with h5py.File(old, "r+") as file:
        file.attrs["model_config"] = json.dumps(network)
    return old.read_bytes() + path.read_bytes()


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def pickled_weights(path):
    weights = io.BytesIO()
    objects = np.array([Payload(path.with_name("ran"))] + [0] * 50_000, dtype=object)
    np.savez(weights, __root__=objects)
    return with_members(path, model__weights__h5=None, model__weights__npz=weights.getvalue())


def lambda_layer(finish):
    def build(path):
        marker = path.with_name("ran")
        harmful = layers.Lambda(
            lambda x, marker=str(marker): (os.makedirs(marker, exist_ok=True), x)[1]
        )
        finish(small_network(harmful)).save(path)
        marker.rmdir()  # Keras calls a layer as it makes the model.
        return path.read_bytes()

    return build


def lambda_as(setting):
    def build(path):
        marker = str(path.with_name("ran"))
        code, *_ = keras.src.utils.python_utils.func_dump(
            lambda x: (__import__("os").makedirs(marker, exist_ok=True), x)[1]
        )
        harmful = layer("__lambda__", None) | {"config": {"value": [code, None, [marker]]}}
        return with_last_layer(**{setting: harmful})(path)

    return build


def reads(kind, *vocabulary):
    """A model with a layer that is given the name of a file of the user's."""

    def build(path):
        secret = path.with_name("secret.txt")
        secret.write_text("a\nb\n")
        made = getattr(layers, kind)(vocabulary=list(vocabulary))
        config_of_layer = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
        config_of_layer["config"]["vocabulary"] = str(secret)
        return with_layers(config_of_layer)(path)

    return build


def runs(kind, module, **arguments):
    """A model one of whose layers is anything but a layer, such as a command."""

    def build(path):
        marker = str(path.with_name("ran"))
        config = {name: value.replace("MARKER", marker) for name, value in arguments.items()}
        return with_layers(layer(kind, module, registered=kind, **config))(path)

    return build


def instead_of_config(text):
    return lambda path: with_members(path, config__json=text)


def nested_layers(path):
    text = b'{"module": "keras.layers", "class_name": "TimeDistributed", "config": {"layer": '
    return with_members(path, config__json=400 * text + b"{}" + 400 * b"}}")


def encrypted(path):
    b = bytearray(path.read_bytes())
    for at in (m.start() for m in re.finditer(b"PK\1\2", bytes(b))):
        b[at + 8] |= 1
    return bytes(b)


def unknown_compression(path):
    b = bytearray(path.read_bytes())
    for at in (m.start() for m in re.finditer(b"PK\1\2", bytes(b))):
        b[at + 10] = 99
    return bytes(b)


def without(setting):
    return lambda path: with_config(path, lambda config: config["config"].pop(setting) and None)


NAN, INFINITE = float("nan"), float("inf")

# Each with a pattern that the reason has to match.
REFUSED = {
    "lambda layer": (lambda_layer(small_classifier), "(?i)lambda"),
    "lambda layer in a plain model": (lambda_layer(lambda network: network), "(?i)lambda"),
    "lambda as activation": (lambda_as("activation"), "(?i)lambda"),
    "lambda as initializer": (lambda_as("kernel_initializer"), "(?i)lambda"),
    "lambda as regularizer": (lambda_as("kernel_regularizer"), "(?i)lambda"),
    "os.system as layer": (runs("system", "os", command="touch MARKER"), "system"),
    "subprocess.run as layer": (runs("run", "subprocess", args="touch MARKER"), "run"),
    "Popen as layer": (runs("Popen", "subprocess", args="touch MARKER"), "Popen"),
    "open as layer": (runs("open", "builtins", file="MARKER", mode="w"), "open"),
    "Path.touch as layer": (runs("Path.touch", "pathlib", self="MARKER"), "touch"),
    **{
        f"{module}.{name} as activation": (with_last_layer(activation=function(name, module)), name)
        for module, name in [
            ("os", "system"),
            ("posix", "system"),
            ("builtins", "eval"),
            ("builtins", "exec"),
            ("builtins", "print"),
            ("subprocess", "check_call"),
            ("pickle", "loads"),
            ("keras.saving", "load_model"),
            ("keras.utils", "get_file"),
            ("keras.config", "enable_unsafe_deserialization"),
            ("keras.config", "set_epsilon"),
            ("keras.config", "set_max_epochs"),
            ("keras.src.utils.python_utils", "func_load"),
            ("gtzan_mfcc.predict", "load_model"),
        ]
    },
    "StringLookup of a file": (reads("StringLookup", "a", "b"), "(?i)vocabulary|Lookup|TextVec"),
    "TextVectorization of a file": (
        reads("TextVectorization", "a", "b"),
        "(?i)vocabulary|Lookup|TextVec",
    ),
    "IntegerLookup of a file": (reads("IntegerLookup", 1, 2), "(?i)vocabulary|Lookup|TextVec"),
    "TFSMLayer": (with_layers(layer("TFSMLayer", filepath="/tmp")), "TFSMLayer"),
    "TorchModuleWrapper": (with_layers(layer("TorchModuleWrapper", module="a")), r"\w"),
    "external weights": (
        other_kernel(shape=(1690, 3), dtype="f4", external=[("/etc/passwd", 0, 20_280)]),
        r"\w",
    ),
    "linked weights": (linked_kernel(h5py.SoftLink("/layers")), r"\w"),
    "weights linked elsewhere": (linked_kernel(h5py.ExternalLink("/etc/passwd", "/a")), r"\w"),
    "pickled weights": (pickled_weights, r"\w"),
    "zeros as config": (honest_bomb("config.json"), "pack|hold"),
    "zeros as weights": (honest_bomb("model.weights.h5"), "pack|hold"),
    "zeros as more": (honest_bomb("assets/more"), "pack|hold"),
    "zeros a thousand times": (overlapping_bomb, "pack|hold"),
    **{
        f"zeros as {name} that claims less, by {method}": (bomb(name, method), r"\w")
        for name in ("config.json", "model.weights.h5")
        for method in (DEFLATED, BZIPPED)
    },
    "huge weights": (
        other_kernel(shape=(2**28,), dtype="f4", chunks=(2**20,), compression="gzip"),
        r"\w",
    ),
    "huge weights that are nowhere": (other_kernel(shape=(2**28,), dtype="f4"), r"\w"),
    "huge weights of bytes": (other_kernel(shape=(2**15, 2**15), dtype="u1"), r"\w"),
    "endless weights": (other_kernel(shape=(2**60,), dtype="f4", chunks=(2**20,)), r"\w"),
    "long words as weights": (other_kernel(shape=(1690, 3), dtype="S300000"), r"\w"),
    "huge Dense": (with_layers(layer("Dense", units=10**9)), "parameters"),
    "endless Dense": (with_layers(layer("Dense", units=10**30)), "parameters"),
    "huge input": (with_layers(takes=(130, 10**9)), r"\w"),
    "huge Embedding": (with_layers(layer("Embedding", input_dim=10**9, output_dim=99)), r"\w"),
    "huge LSTM": (with_layers(layer("LSTM", units=10**7)), "parameters"),
    "huge Normalization": (
        with_layers(layer("Normalization", mean=0.0, variance=1.0), takes=(130, 10**8)),
        r"\w",
    ),
    "many means": (
        with_layers(layer("Normalization", mean=[0.0] * 200_000, variance=[1.0] * 200_000)),
        r"\w",
    ),
    "huge MelSpectrogram": (
        with_layers(
            layer("Reshape", target_shape=[1690]),
            layer("MelSpectrogram", num_mel_bins=4_000, fft_length=2**16),
        ),
        r"\w",
    ),
    "huge Correlations": (
        with_layers(layer("Correlations", "gtzan_mfcc.models", "gtzan_mfcc>Correlations", n=10**4)),
        r"\w",
    ),
    "models each called twice": (called_again(40, 2), r"\w"),
    "huge words as numbers": (
        with_last_layer(
            kernel_initializer=layer("__numpy__", value=["a"], dtype=f"S{10**9}"),
        ),
        r"\w",
    ),
    "weights that hold themselves": (
        with_weights(lambda weights, kernel: weights["layers"].__setitem__("a", weights["layers"])),
        r"\w",
    ),
    "weights in groups that are each in another twice": (with_weights(groups_twice), r"\w"),
    "older format before an archive": (legacy_behind_a_good_one, r"\w"),
    "no config": (lambda path: with_members(path, config__json=None), "config.json"),
    "no weights": (lambda path: with_members(path, model__weights__h5=None), r"\w"),
    "empty weights": (lambda path: with_members(path, model__weights__h5=b""), r"\w"),
    "weights of text": (lambda path: with_members(path, model__weights__h5=b"a" * 30_000), "file"),
    "weights of another shape": (other_kernel(data=np.zeros((3, 1690), "f4")), r"\w"),
    "weights of words": (other_kernel(data=np.full((1690, 3), b"x")), r"\w"),
    "weights of lists": (other_kernel(shape=(1690, 3), dtype=h5py.vlen_dtype(np.int8)), r"\w"),
    "weights that lack": (with_weights(lambda weights, kernel: weights.pop(kernel)), r"\w"),
    "encrypted": (encrypted, "encrypted|password"),
    "unknown compression": (unknown_compression, "compress|pack"),
    "empty file": (lambda path: b"", "zip|empty"),
    "text": (lambda path: b"not a model\n" * 99, "zip"),
    "noise": (lambda path: np.random.default_rng(0).bytes(50_000), "zip"),
    "plain model": (saved(small_network), "does not say what its genres are"),
    "optimiser": (instead_of_config(json.dumps(layer("Adam", "keras.optimizers")).encode()), r"\w"),
    "function": (instead_of_config(json.dumps(function("relu", "builtins")).encode()), r"\w"),
    **{
        f"config is {text[:9]}": (instead_of_config(text), r"\w")
        for text in [
            b"",
            b"x",
            b"null",
            b"true",
            b"NaN",
            b"1",
            b'"a"',
            b"[]",
            b"{}",
            b"\0",
            b"\xff",
        ]
    },
    "number of 5,000 digits": (instead_of_config(b"1" * 5_000), "digits"),
    "endless list": (instead_of_config(b"[" * 10**5), "recursion"),
    "lists in lists": (instead_of_config(b"[" * 900 + b"]" * 900), r"\w"),
    "dicts in dicts": (instead_of_config(b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "recursion"),
    "layers in layers": (nested_layers, r"\w"),
    **{
        f"{name} {value!r}": (with_settings(**{name: value}), f"{name}|n_fft|must each be")
        for name, values in {
            "sample_rate": ["x", "22050", 0, -1, 0.5, 10**9, [], {}, [1], None, NAN, INFINITE],
            "segment_length": ["x", 0, -1, 1, 10**9, 10**30, None, NAN],
            "hop_length": ["512", 0, -1, 10**9, None, NAN, [512]],
            "n_fft": ["x", 0, -1, 10**9, 10**30, None, NAN],
            "genres": [
                "abc",
                None,
                5,
                [None, "a", "b"],
                [["a"], "b", "c"],
            ],
        }.items()
        for value in values
    },
    **{
        f"genres {genres}": (with_settings(genres=genres), reason)
        for genres, reason in [
            (["a", "a", "b"], "same name"),
            (["start", "a", "b"], "start"),
            (["end", "a", "b"], "end"),
            (["a", "b"], r"\(3,\).* 2 names"),
            (["a", "b", "c", "d"], r"\(3,\).* 4 names"),
            ([], r"\(3,\).* 0 names"),
        ]
    },
    "network None": (with_settings(network=None), "network"),
    "network 5": (with_settings(network=5), "network"),
    "network {}": (with_settings(network={}), "network"),
    "no network": (without("network"), r"\w"),
    "no genres": (without("genres"), "genres"),
    "unknown setting": (with_settings(strange=1), "strange"),
    "name 5": (with_settings(name=5), "name"),
    "dtype x": (with_settings(dtype="x"), "DTypePolicy|dtype"),
    "another length": (with_layers(takes=(131, 13)), r"\(131, 13\)"),
    "another number of features": (with_layers(takes=(58,)), r"\(58,\)"),
    "images": (with_layers(takes=(130, 13, 3)), r"\(130, 13, 3\)"),
    "any length": (with_layers(layer("GlobalAveragePooling1D"), takes=(None, 13)), r"\(None, 13\)"),
}


def pooled(*takes, **settings):
    """A small classifier of whatever has this shape."""
    inner = [layers.GlobalAveragePooling1D()] if len(takes) == 2 else []
    return saved(lambda: small_classifier(small_network(*inner, takes=takes), **settings))


def of_input(**settings):
    return saved(
        lambda: small_classifier(
            keras.Sequential(
                [keras.Input(**settings), layers.Flatten(), layers.Dense(3, activation="softmax")]
            )
        )
    )


# These can be refused, too, as they are made, saved or loaded; but what loads can hear.
ALLOWED = {
    "good": lambda path: path.read_bytes(),
    "repacked": lambda path: zipped(members(path), compression=DEFLATED),
    "with something before it": lambda path: b"#!/bin/sh\n" * 10 + path.read_bytes(),
    "with something in it": lambda path: with_members(path, notes__txt=b"Hello."),
    "with a path in it": lambda path: zipped(
        members(path) | {"../../ran": b"", "/ran": b"", "a": b""}
    ),
    "zeros in zeros": nested_bomb,
    **{
        f"zeros as an asset that claims less, by {method}": bomb("assets/more", method)
        for method in (DEFLATED, BZIPPED)
    },
    "weights of records": other_kernel(data=np.zeros((1690, 3), [("a", "f4")])),
    "weights of halves": other_kernel(data=np.zeros((1690, 3), "f2")),
    "weights of complex numbers": other_kernel(data=np.zeros((1690, 3), "c8")),
    "weights that are NaN": other_kernel(data=np.full((1690, 3), np.nan, "f4")),
    "weights that are infinite": other_kernel(data=np.full((1690, 3), np.inf, "f4")),
    "no softmax": with_last_layer(activation="linear"),
    **{
        f"{name} {value!r}": with_settings(**{name: value})
        for name, values in {
            "sample_rate": [22_050.0, 22_050.5, 10**6, 1_103, True],
            "hop_length": [512.0, 512.5, 511, 509],
            "n_fft": [2_048.0, 2_048.5, 2_047, 512, 100, 66_150],
            "segment_length": [66_150.0, 66_150.5, 66_048, 66_559],
            "genres": [{"a": 1, "b": 2, "c": 3}, [1, 2, 3], ["", "\n", "🎷"], ["\udcff", "a", "b"]],
            "dtype": ["float16", "mixed_float16", "float64", None],
            "name": ["", "🎷", None],
        }.items()
        for value in values
    },
    "frames of an odd length": pooled(130, 13, segment_length=66_048, n_fft=2_047),
    "segments of one sample": pooled(2, 13, segment_length=1, n_fft=1, hop_length=1),
    "segments of 129 samples": pooled(130, 13, segment_length=129, n_fft=128, hop_length=1),
    "one hop a segment": pooled(2, 13, hop_length=66_150, n_fft=66_150),
    "200 coefficients": pooled(130, 200),
    "129 coefficients": pooled(130, 129),
    "1 coefficient": pooled(130, 1),
    "no coefficients": saved(lambda: small_classifier(small_network(takes=(130, 0)))),
    "any number of coefficients": saved(
        lambda: small_classifier(
            small_network(
                layers.GlobalAveragePooling1D(data_format="channels_first"), takes=(130, None)
            )
        )
    ),
    "features": pooled(57),
    "features of one sample": pooled(57, segment_length=1, n_fft=1, hop_length=1),
    "features of 600 samples": pooled(57, segment_length=600, n_fft=1, hop_length=1),
    "features at 400 Hz": pooled(57, sample_rate=400, segment_length=4_000),
    "features at 8 kHz": pooled(57, sample_rate=8_000, segment_length=24_000),
    "features at 192 kHz": pooled(57, sample_rate=192_000, segment_length=384_000),
    "at 100 Hz": pooled(130, 13, sample_rate=100, segment_length=6_000, n_fft=64, hop_length=46),
    "66,151 frames": pooled(66_151, 13, hop_length=1),
    "transforms of two million": pooled(
        3, 13, sample_rate=10**6, segment_length=4 * 10**6, n_fft=2 * 10**6, hop_length=2 * 10**6
    ),
    "a minute at 1 MHz": pooled(
        115, 13, sample_rate=10**6, segment_length=6 * 10**7, n_fft=2**20, hop_length=2**19
    ),
    "one segment at a time": of_input(batch_shape=(1, 130, 13)),
    "whole numbers": of_input(shape=(130, 13), dtype="int32"),
    "words": of_input(shape=(130, 13), dtype="string"),
    "truths": of_input(shape=(130, 13), dtype="bool"),
    "sparse": of_input(shape=(130, 13), sparse=True),
}


@pytest.fixture(scope="module")
def tried(good, tmp_path_factory):
    """What each strange model ends in: a dict for each name, with the path."""
    paths, made = {}, {}
    strange = {name: build for name, (build, _) in REFUSED.items()} | ALLOWED
    for k, (name, build) in enumerate(strange.items()):
        folder = tmp_path_factory.mktemp("strange") / "Größe 大"
        folder.mkdir()
        shutil.copy(good, folder / "given.keras")
        ending = ".h5" if name.startswith("older format") else ".keras"
        paths[name] = folder / f"{k}{ending}"
        try:
            paths[name].write_bytes(build(folder / "given.keras"))
        except Exception as error:  # As it is made.
            made[name] = {"making": error}
            del paths[name]
    told = fuzzing.run_on_two("models", paths.values())
    return made | {name: told[str(path)] for name, path in paths.items()}


def check_refused(end):
    """A ModelError that names the file."""
    assert "ModelError" in end.get("load", {}), end
    assert end["load"]["ModelError"].startswith(f"{end['path']}: "), end


def check_reason(end, reason=r"\w"):
    message = end.get("load", {}).get("ModelError", "").removeprefix(f"{end['path']}: ")
    assert re.search(reason, message), end
    # What Keras says of anything inside of a model, and what says nothing to anybody.
    assert "could not be deserialized properly" not in message
    assert not re.search(r"objects could not be loaded\)|\(\W*\w*\W*\)\.$", message), message


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_model_is_refused_unrun_in_bounded_memory(tried, name):
    end = tried[name]
    assert not Path(end["path"]).with_name("ran").exists()
    assert end.get("took", 0) < 200e6, end
    check_refused(end)


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_model_is_refused_with_a_reason(tried, name):
    check_reason(tried[name], REFUSED[name][1])


@pytest.mark.parametrize("name", ALLOWED)
def test_what_loads_can_hear_or_says_why_not(tried, name):
    end = tried[name]
    if "making" in end:
        assert isinstance(end["making"], predict.ModelError), end
        return
    assert not Path(end["path"]).with_name("ran").exists()
    assert "took" in end, end
    assert end["took"] < 350e6, end
    if "result" not in end["load"]:
        check_refused(end)
        return
    if "ModelError" in end["predict"]:
        return  # Such as of weights that are NaN, which no look at the layers shows.
    assert "result" in end["predict"], end
    heard = np.array(end["predict"]["result"])
    assert np.isfinite(heard).all(), end
    assert heard.min() >= 0
    np.testing.assert_allclose(heard.sum(axis=1), 1, rtol=1e-3)


def test_ordinary_variants_are_not_refused(tried):
    for name in (
        "good",
        "features",
        "1 coefficient",
        "features at 8 kHz",
        "n_fft 512",
        "name '🎷'",
    ):
        assert "result" in tried[name]["load"], tried[name]


# --- Damage at random


def ends_of(what, folder, contents):
    paths = [folder / f"{k}.keras" for k in range(len(contents))]
    for path, content in zip(paths, contents):
        path.write_bytes(content)
    told = fuzzing.run_on_two(what, paths)
    return [told[str(path)] for path in paths]


def check_refused_or_loaded(ends):
    for end in ends:
        assert "took" in end, end
        assert end["took"] < 200e6, end
        if "result" not in end["load"]:
            check_refused(end)
            check_reason(end)


@pytest.fixture(scope="module")
def richer(tmp_path_factory):
    """A model with layers of many kinds."""
    network = models.mfcc_resnet(
        n_mfcc=4, n_genres=3, mean=np.zeros(4), variance=np.ones(4), blocks=1
    )
    path = tmp_path_factory.mktemp("richer") / "richer.keras"
    small_classifier(network).save(path)
    return path


def flips(b, rng):
    b = bytearray(b)
    for at in rng.integers(len(b), size=rng.integers(1, 5)):
        b[at] ^= 1 << rng.integers(8)
    return bytes(b)


def test_a_model_cut_short_is_refused(good, tmp_path):
    whole = good.read_bytes()
    sizes = {1, 2, 4, 22, 30, 100, len(whole) - 1, len(whole) - 22, len(whole) - 23}
    sizes |= set(np.linspace(10, len(whole) - 10, 100).astype(int).tolist())
    path = tmp_path / "short.keras"
    for size in sizes:
        path.write_bytes(whole[:size])
        with pytest.raises(predict.ModelError) as caught:
            predict.load_model(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_flipped_bits_leave_a_model_or_an_error(good, tmp_path):
    rng = np.random.default_rng(0)
    whole, weights = good.read_bytes(), members(good)["model.weights.h5"]
    contents = [flips(whole, rng) for _ in range(100)]
    # Whose checksum is right, so that the library for weights gets to see them.
    head = len(weights) - 4 * 1690 * 3
    for _ in range(100):
        spoilt = flips(weights[:head], rng) + weights[head:]
        contents.append(with_members(good, model__weights__h5=spoilt))
    contents += [
        with_members(good, model__weights__h5=weights[: rng.integers(len(weights))])
        for _ in range(20)
    ]
    ends = ends_of("models unheard", tmp_path, contents)
    check_refused_or_loaded(ends)
    refused = ["ModelError" in end["load"] for end in ends]
    assert 0.2 < np.mean(refused) < 1


STRANGE_VALUES = [0, -1, 1, 3.5, 2**40, 10**400, NAN, None, True, "x", "", [], {}, [[]], [2**40]]


def places(config):
    """Each dict or list in a config, with each of its keys."""
    for key, value in config.items() if isinstance(config, dict) else enumerate(config):
        yield config, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def test_any_value_in_the_config_may_be_strange(richer, tmp_path):
    contents, changes = [], []
    for number in range(100):
        rng = np.random.default_rng(number)

        def change(config, rng=rng):
            where, key = (found := list(places(config)))[rng.integers(len(found))]
            value = STRANGE_VALUES[rng.integers(len(STRANGE_VALUES))]
            changes.append((key, where[key], value))
            where[key] = value

        contents.append(with_config(richer, change))
    ends = ends_of("models", tmp_path, contents)
    for changed, end in zip(changes, ends):
        assert "took" in end, (changed, end)
        assert end["took"] < 350e6, (changed, end)
        assert end["load"].keys() in ({"ModelError"}, {"result"}), (changed, end)
        assert end.get("predict", {}).keys() <= {"ModelError", "result"}, (changed, end)
    assert 10 < sum("ModelError" in end["load"] for end in ends) < 90


# --- Odd paths


@pytest.mark.parametrize(
    "name",
    ["missing.keras", ".", "", "a\0.keras", "x" * 300 + ".keras", "good", "good.h5", "good.zip"],
)
def test_a_path_that_leads_to_no_model_is_refused(monkeypatch, good, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    for other in ("good", "good.h5", "good.zip"):
        shutil.copy(good, other)
    for path in (name, Path(name)):
        with pytest.raises(predict.ModelError) as caught:
            predict.load_model(path)
        assert str(caught.value).startswith(f"{Path(name)}: ")


@pytest.mark.parametrize("name", ["Größe 大 🎵 'x'.keras", os.fsdecode(b"\xff.keras"), " .keras"])
def test_a_good_model_may_have_any_name(good, tmp_path, name):
    shutil.copy(good, tmp_path / name)
    assert predict.load_model(tmp_path / name).genres == ["a", "b", "c"]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "odd.keras")
    code = (
        "import resource, sys; from gtzan_mfcc import predict\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, 6 * 2**30))\n"
        "try: predict.load_model(sys.argv[1])\n"
        "except predict.ModelError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, tmp_path / "odd.keras"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith(f"{tmp_path}/odd.keras: ")
    # As it says when it has read zeros until there was no more memory.
    assert "()" not in done.stdout


# --- Good models


def shaken(network):
    """The same network with weights, means and variances that no initialiser would give."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        if weight.dtype == "float32":
            weight.assign(
                0.3 * rng.uniform(0.1, 1, weight.shape) * rng.choice([1, 1], weight.shape)
            )
    return network


def resnets():
    rng = np.random.default_rng(0)
    mean, variance = rng.normal(size=20), rng.uniform(1, 9, 20)
    members = [
        models.mfcc_resnet(mean=mean, variance=variance, blocks=k, seed=k) for k in (0, 1, 0)
    ]
    return models.average([shaken(member) for member in members])


GOOD = {
    "cnn": lambda: small_classifier(shaken(models.cnn()), "abcdefghij"),
    "ann": lambda: small_classifier(
        shaken(models.ann(n_genres=4, mean=np.arange(57.0), variance=np.arange(1.0, 58))),
        ["Rock 'n' Roll", "大", "", "🎷\n"],
        sample_rate=16_000,
        segment_length=48_000,
    ),
    "average": lambda: small_classifier(
        resnets(), "jihgfedcba", n_fft=1_024, hop_length=510, sample_rate=21_000
    ),
}

SETTINGS = ("genres", "sample_rate", "segment_length", "n_fft", "hop_length", "shortest_segment")


def test_a_good_model_is_the_same_in_a_fresh_process(tmp_path):
    made = {name: make() for name, make in GOOD.items()}
    for name, model in made.items():
        model.save(tmp_path / f"{name}.keras")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 70_000)
    np.save(tmp_path / "noise.npy", noise)
    code = (
        "import json, sys, numpy as np; from gtzan_mfcc import predict\n"
        "noise = np.load('noise.npy')\n"
        "for path in sys.argv[1:]:\n"
        "    model = predict.load_model(path)\n"
        "    heard = predict.predict(noise, model).over_time.to_numpy().tolist()\n"
        f"    print(json.dumps([heard, [getattr(model, name) for name in {SETTINGS}]]))\n"
    )
    command = [sys.executable, "-c", code, *(f"{name}.keras" for name in made)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(made)
    for line, model in zip(lines, made.values()):
        heard, settings = json.loads(line)
        expected = predict.predict(noise, model).over_time
        np.testing.assert_allclose(heard, expected, atol=1e-6)
        # Were all of them alike, any weights would do.
        assert expected[model.genres].to_numpy().std() > 1e-3
        assert settings == [getattr(model, name) for name in SETTINGS]


def trained(model, takes):
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(8, *takes)).astype("float32")
    model.fit(x, np.arange(8) % 3, verbose=0)
    return model


def test_a_model_is_saved_without_the_optimiser_that_trained_its_network(tmp_path):
    network = small_network()
    small_classifier(network).save(tmp_path / "before.keras")
    trained(network, (130, 13))
    network.save(tmp_path / "network.keras")
    small_classifier(network).save(tmp_path / "after.keras")
    before, whole, after = (
        (tmp_path / f"{name}.keras").stat().st_size for name in ("before", "network", "after")
    )
    assert whole > 1.8 * after
    assert abs(after - before) < 500
    x = np.ones((2, 130, 13), "float32")
    loaded = predict.load_model(tmp_path / "after.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(x), network.predict_on_batch(x), atol=1e-6)


def loss_of_ones_own(truth, given):
    return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(truth, given))


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", loss_of_ones_own])
def test_a_classifier_that_was_trained_itself_loads_again(tmp_path, loss):
    model = small_classifier()
    model.compile("adam", loss)
    x = np.random.default_rng(0).normal(size=(8, 130, 13)).astype("float32")
    model.fit(x, np.arange(8) % 3, verbose=0)
    model.save(tmp_path / "trained.keras")
    loaded = predict.load_model(tmp_path / "trained.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(x), model.predict_on_batch(x), atol=1e-6)


@pytest.mark.parametrize("model", [small_network(), None, "pretrained.keras", predict.Classifier])
def test_only_a_classifier_can_hear(model):
    y = np.zeros(70_000, np.float32)
    with pytest.raises(predict.ModelError, match=r"take predict\.Classifier\(network, genres\)"):
        predict.predict(y, model)
    with pytest.raises(predict.ModelError, match=r"take predict\.Classifier\(network, genres\)"):
        list(predict.predict_files(["nothing.wav"], model))
