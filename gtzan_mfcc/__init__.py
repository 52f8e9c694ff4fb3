"""Classify music by genre from MFCCs with a convolutional network.

The modules, in the order of the data flow: `dataset` (and `toy`), `audio`, `features`,
`augmentation`, `extraction`, `splits`, `models`, `training`, `metrics`, `validation`,
`plots`, `predict`, `notebook`. Each is imported when it is first used, so TensorFlow is
loaded only if needed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "audio",
        "augmentation",
        "dataset",
        "extraction",
        "features",
        "metrics",
        "models",
        "notebook",
        "plots",
        "predict",
        "splits",
        "toy",
        "training",
        "validation",
    ],
)
