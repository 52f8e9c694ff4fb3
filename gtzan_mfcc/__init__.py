"""Classify music by genre from MFCCs with a convolutional network.

The modules, in the order of the data flow: `dataset` (and `toy`), `audio`, `features`,
`augmentation`, `extraction`, `splits`, `models`, `training`, `predict`, `evaluation`, `plots`,
`notebook`. Each is imported when it is first used, so TensorFlow is loaded only if needed.
"""

import lazy_loader

_MODULES = "audio augmentation dataset evaluation extraction features models notebook plots"
_MODULES += " predict splits toy training"
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=_MODULES.split())
