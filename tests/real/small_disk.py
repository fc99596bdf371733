"""A file system of a few megabytes that a test may fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PIECE_BYTES = 64 * 1024


@contextlib.contextmanager
def small_disk(path: Path, size_mib: int, files: int = 0) -> Iterator[Path]:
    """It is mounted at `path` meanwhile, with room for so many files; skips where that is not allowed."""
    path.mkdir(parents=True)
    options = f"size={size_mib}m" + (f",nr_inodes={files}" if files else "")
    command = ("mount", "-t", "tmpfs", "-o", options, "tepui-test", str(path))
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"a file system can't be mounted: {found.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(("umount", "--lazy", str(path)), check=True)


def fill(path: Path) -> None:
    """The file at `path` takes all the space that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * PIECE_BYTES)
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")
    assert os.statvfs(path).f_bavail == 0
