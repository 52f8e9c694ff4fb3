"""Files that are never met half-written, whatever stops the program that writes them.

The rows that many items give, one after the other, stand in a folder: ``rows.npy`` grows,
and ``items.jsonl`` gets a line an item *after* its rows, with its key, the number of its
rows, their checksum, and why there are none. Rows without a line do not count.
"""

import json
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np


class CacheError(OSError):
    """A folder that cannot be written to; the message says why and what to do."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say which folder it is that is full or cannot be written to."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"{folder} cannot be written to ({error.strerror or error}); make room, or name "
            "another folder. What was finished is kept, and the next call goes on from there."
        ) from error


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give another name to write to, and rename the file when it is complete."""
    # With its own ending, by which Keras and NumPy choose the format.
    unfinished = path.with_name(f"{path.stem}.unfinished-{os.getpid()}{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class Item(NamedTuple):
    """What is written down of an item: its rows, or the reason why there are none."""

    key: str
    start: int
    n_rows: int
    checksum: int
    reason: str | None


class Rows:
    """The folder with the rows of many items, to be read or to be gone on with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: list[Item] = []
        self._lines, self._rows = folder / "items.jsonl", folder / "rows.npy"
        with suppress(OSError, TypeError, ValueError):
            # What follows the last line break was being written when the program was stopped.
            for line in self._lines.read_bytes().split(b"\n")[:-1]:
                self.items.append(Item(*json.loads(line)))

    def __len__(self) -> int:
        """Count the rows."""
        return self.items[-1].start + self.items[-1].n_rows if self.items else 0

    def array(self) -> np.ndarray:
        """Map all rows into memory, read-only."""
        return np.load(self._rows, mmap_mode="r")

    def is_complete(self, n_items: int) -> bool:
        """Tell whether there are so many items, and all their rows."""
        try:
            return len(self.items) == n_items and len(self.array()) == len(self)
        except Exception:  # NumPy raises all sorts of errors for a damaged header.
            return False

    def of(self, item: Item) -> np.ndarray | None:
        """Read the rows of one item; None if they are not what was once written."""
        # Not from the memory map: reading it would be fatal if another process cut the file short.
        try:
            with self._rows.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                file.seek(item.start * dtype.itemsize * math.prod(shape[1:]), os.SEEK_CUR)
                rows = np.empty((item.n_rows, *shape[1:]), dtype)
                whole = file.readinto(rows) == rows.nbytes and zlib.crc32(rows) == item.checksum
        except Exception:  # As above; or the file has just been renamed.
            return None
        return rows if whole else None

    def go_on(self) -> None:
        """Make ready for `append`: drop what is not whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        damaged = (k for k, item in enumerate(self.items) if item.n_rows and self.of(item) is None)
        self.items = self.items[: next(damaged, None)]
        with self._lines.open("ab") as file:
            file.truncate(sum(len(_line(item)) for item in self.items))
        if len(self):
            self._write(self.of(next(item for item in self.items if item.n_rows))[:0])

    def append(self, key: str, rows: np.ndarray | None, reason: str | None = None) -> None:
        """Write the rows of one more item, then its line."""
        start = len(self)
        item = Item(key, start, 0, 0, reason)
        if rows is not None:
            rows = np.ascontiguousarray(rows)
            item = Item(key, start, len(rows), zlib.crc32(rows), None)
            self._write(rows)
        with self._lines.open("ab") as file:
            file.write(_line(item))
        self.items.append(item)

    def _write(self, rows: np.ndarray) -> None:
        """Put rows behind those that count; whatever stood there goes."""
        header = {"descr": rows.dtype.str, "fortran_order": False}
        header["shape"] = (len(self) + len(rows), *rows.shape[1:])
        with self._rows.open("r+b" if len(self) else "wb") as file:
            # NumPy leaves room in a header, so that it keeps its length as the array grows.
            np.lib.format.write_array_header_1_0(file, header)
            file.seek(len(self) * rows.dtype.itemsize * math.prod(rows.shape[1:]), os.SEEK_CUR)
            file.write(rows)
            file.truncate()

    def finish(self, folder: Path) -> None:
        """Give the folder its final name, once all of it is on the disk."""
        for path in (self._rows, self._lines):
            with path.open("r+b") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)  # Someone took away a part of it.
        self.folder.rename(folder)


def _line(item: Item) -> bytes:
    return json.dumps(item).encode() + b"\n"
