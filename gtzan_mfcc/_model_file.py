"""Look into a model file before Keras does: nothing but layers and numbers may be in it."""

import io
import json
import zipfile
from pathlib import Path

import h5py

from gtzan_mfcc._keras import keras

# What a model of layers is made of. Keras would import and call what is named elsewhere.
_MODULES = {"keras", "keras.layers", "keras.models", "keras.initializers", "keras.regularizers"}
_MODULES |= {"keras.constraints", "keras.src.models.functional", "keras.src.models.sequential"}
_MODULES |= {"gtzan_mfcc.models", "gtzan_mfcc.predict"}

# Layers that bring code, or read files when they are made.
_UNSAFE = {"function", "Lambda", "StringLookup", "IntegerLookup", "TextVectorization"}
_UNSAFE |= {"TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}

_MODELS, _DEEPEST = {"Classifier", "Functional", "Model", "Sequential"}, 6

# Bytes of a description of layers, and numbers in one input; both are far beyond any of ours.
_LONGEST_CONFIG = _LARGEST_INPUT = 2**24


def check(path: Path) -> None:
    """Raise an error that says why a file is not a model, or not one that is safe to load."""
    if path.suffix != ".keras":  # Keras would take it for one of its older, unsafe formats.
        raise ValueError("its name does not end in .keras")
    if not path.is_file():
        raise ValueError("no such file")
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a packed archive, and Keras packs nothing")
        if (claimed := sum(member.file_size for member in members)) > size:
            raise ValueError(f"{size:,} bytes that claim to hold {claimed:,}")
        config, weights = (archive.read(name) for name in ("config.json", "model.weights.h5"))
    if len(config) > _LONGEST_CONFIG:
        raise ValueError(f"a description of {len(config):,} bytes")
    config = json.loads(config)
    config.pop("compile_config", None)  # It may name a loss of its own, and is not read.
    _check_config(config)
    with h5py.File(io.BytesIO(weights)) as file:
        _check_weights(file, set())
    # Builds the layers without their weights.
    with keras.StatelessScope(initialize_variables=False):
        promised = keras.saving.deserialize_keras_object(config, safe_mode=True).count_params()
    if promised > size:
        raise ValueError(f"{promised:,} parameters, and {size:,} bytes for all of them")


def _check_config(part: object, depth: int = 0) -> None:
    if isinstance(part, list):
        for each in part:
            _check_config(each, depth)
    elif isinstance(part, dict):
        kind, module = part.get("class_name"), part.get("module")
        # A model that calls another twice, which calls another twice, ... takes for ever.
        depth += kind in _MODELS
        if depth > _DEEPEST:
            raise ValueError("models in models in models")
        if kind in _UNSAFE or (module is not None and module not in _MODULES):
            name = part.get("config") if kind == "function" else kind
            raise ValueError(f"it names {module}.{name}, which no model of layers needs")
        if kind is not None and module is None and kind != "__keras_tensor__":
            raise ValueError(f"it names {kind}, which no model of layers needs")
        n = 1
        for length in part.get("batch_shape") or ():
            n *= length or 1
        if n > _LARGEST_INPUT:
            raise ValueError(f"an input of {n:,} numbers")
        for each in part.values():
            _check_config(each, depth)


def _check_weights(group: h5py.Group, seen: set[int]) -> None:
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its weights are elsewhere ({group.name}/{name})")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise ValueError(f"its weights are in several places ({item.name})")
        seen.add(address)
        if isinstance(item, h5py.Group):
            _check_weights(item, seen)
        # Whoever reads what is not stored, or stored in less space, makes it up in memory.
        elif item.dtype.kind not in "biuf" or item.id.get_storage_size() < item.nbytes:
            raise ValueError(f"its weights are not all there, or no numbers ({item.name})")
