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
def small_disk(path: Path, size_mib: int) -> Iterator[Path]:
    """It is mounted at `path` meanwhile; the test is skipped where that is not allowed."""
    path.mkdir(parents=True)
    command = ("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tepui-test", str(path))
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
