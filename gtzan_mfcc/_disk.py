"""Write files so that an interrupted program leaves no incomplete file."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

# The packages on which results depend.
_PACKAGES = "audiomentations keras librosa numpy scikit-learn scipy soundfile soxr tensorflow"


class OneLineError(Exception):
    """An error whose message says all: a notebook shows it without the traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class CacheError(OneLineError, OSError):
    """Raised if a folder cannot be written to; the message says why and what to do."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder; raise a CacheError with its name if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        found = f"{folder} cannot be written to ({error.strerror or error})"
        wanted = "make room, or name another folder. The next call continues from here."
        raise CacheError(f"{found}; {wanted}") from error


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; rename the file when it is complete."""
    # Keep the suffix: Keras and NumPy choose the format by it.
    unfinished = path.with_name(f"{path.stem}.unfinished-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which results depend."""
    return {package: version(package) for package in _PACKAGES.split()}
