"""What several modules need, such as errors, locks, and parts of docstrings."""

import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from filelock import FileLock
from tqdm.auto import tqdm


class UserError(Exception):
    """The base of all errors of this package; the message says what to do."""


class CacheError(UserError, OSError):
    """Raised if a folder cannot be written to; the message says why and what to do."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make the folder; raise a CacheError with its name if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CacheError(
            f"{folder} cannot be written to ({error.strerror or error}); make room, or "
            "name another folder. The next call continues from here."
        ) from error


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Write a file as a whole: yield a temporary name, and rename it at the end."""
    # Short, because `path` may have the longest name that is allowed. Keep the suffix:
    # Keras and NumPy choose the format by it.
    unfinished = path.with_name(f"unfinished-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, timeout: float = -1) -> Iterator[None]:
    """Let one process at a time pass, by a lock on the file `path`.

    After `timeout` seconds, a process passes without the lock. So does each process on
    a file system without locks. Files are renamed when they are complete, so the worst
    that can happen is that work is done twice.
    """
    lock = FileLock(path, timeout=timeout, mode=0o666)
    with suppress(OSError, NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def package_versions(packages: str) -> dict[str, str | None]:
    """Return the version of each package by name; None if it is not installed."""
    versions = dict.fromkeys(packages.split())
    for package in versions:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def bar(
    steps: Iterable, unit: str, show: bool, *, total: int | None = None
) -> Iterable:
    """Iterate over the steps, with a progress bar if `show` is true."""
    # tqdm itself applies TQDM_DISABLE in a terminal, but not in Jupyter.
    # A program without a console, such as pythonw, has no stderr.
    quiet = not show or bool(os.environ.get("TQDM_DISABLE")) or sys.stderr is None
    return tqdm(steps, unit=unit, disable=quiet, leave=False, total=total)


def fill_in(**parts: str) -> Callable:
    """Fill texts that several docstrings share into the docstring of a function."""

    def filled(function):
        if function.__doc__:  # None with python -OO
            for name, text in parts.items():
                filled_in = function.__doc__.replace("{" + name + "}", text)
                function.__doc__ = filled_in
        return function

    return filled
