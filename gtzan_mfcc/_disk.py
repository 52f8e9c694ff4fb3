"""Files that are never met half-written, whatever stops the program that writes them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

# Those on which results depend.
_PACKAGES = "audiomentations keras librosa numpy scikit-learn scipy soundfile soxr tensorflow"


class CacheError(OSError):
    """A folder that cannot be written to; the message says why and what to do."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder, and say its name if it is full or cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        found = f"{folder} cannot be written to ({error.strerror or error})"
        wanted = "make room, or name another folder. The next call goes on from where this one was."
        raise CacheError(f"{found}; {wanted}") from error


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give another name to write to, and rename the file when it is complete."""
    # With its own ending, by which Keras and NumPy choose the format.
    unfinished = path.with_name(f"{path.stem}.unfinished-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def package_versions() -> dict[str, str]:
    """Give the versions of the packages on which results depend."""
    return {package: version(package) for package in _PACKAGES.split()}
