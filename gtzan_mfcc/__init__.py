"""Classify music by genre from MFCCs with a convolutional network.

The modules follow the way of the data: `dataset` (and `toy`), `audio`, `features`,
`augmentation`, `extraction`, `splits`, `models`, `training`, `predict`, `evaluation`, `plots`,
`notebook`. Each is imported when it is first used, so that nobody waits for TensorFlow
who does not train.
"""

import lazy_loader

_MODULES = "audio augmentation dataset evaluation extraction features models notebook plots"
_MODULES += " predict splits toy training"
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=_MODULES.split())
