"""Extracts archives into a sandbox; nothing of them lands outside.

What counts as an archive is decided by the name, as in Mesos (launcher/fetcher.cpp).
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import threading
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, Final

TAR_SUFFIXES: Final = (
    ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz",
)  # fmt: skip
MEMBERS_MAX: Final = 1_000_000
CHUNK_BYTES: Final = 256 * 1024


class ArchiveRefused(Exception):
    """The archive is broken, too large, or would write outside of the sandbox."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is extracted."""
    return name.endswith((*TAR_SUFFIXES, ".zip", ".gz"))


def extract(
    archive: Path, target: Path, directory: Path, bytes_max: int, is_stopped: threading.Event
) -> None:
    """What the archive holds is in the directory. Raises ArchiveRefused and OSError.

    `target`, where it is or would be in the sandbox, has the name that says what kind it is. It
    stops early, with a part extracted, when `is_stopped` is set.
    """
    budget = _Budget(bytes_max, is_stopped)
    try:
        if target.name.endswith(TAR_SUFFIXES):
            _extract_tar(archive, directory, budget)
        elif target.name.endswith(".zip"):
            _extract_zip(archive, directory, budget)
        else:
            with gzip.open(archive, "rb") as reading:
                _write(reading, target.with_name(target.name.removesuffix(".gz")), budget)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        gzip.BadGzipFile,
        RuntimeError,
    ) as error:
        # RuntimeError is zipfile's, for a password or a compression it does not know.
        raise ArchiveRefused(f"the archive cannot be read: {error}") from None


class _Budget:
    """How much may still be written."""

    def __init__(self, bytes_max: int, is_stopped: threading.Event) -> None:
        self._bytes_max = bytes_max
        self._left = bytes_max
        self._members = 0
        self._is_stopped = is_stopped

    def member(self) -> None:
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise ArchiveRefused(f"the archive has more than {MEMBERS_MAX} members")

    def take(self, size: int) -> None:
        if self._is_stopped.is_set():
            raise ArchiveRefused("extracting was stopped")
        self._left -= size
        if self._left < 0:
            raise ArchiveRefused(f"the archive holds more than {self._bytes_max} bytes")


def _extract_tar(archive: Path, directory: Path, budget: _Budget) -> None:
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            budget.member()
            budget.take(member.size if member.isreg() else 0)
            try:
                tar.extract(member, directory, set_attrs=True, filter=_keep_modes)
            except tarfile.FilterError as error:
                raise ArchiveRefused(f"'{member.name}' may not be extracted: {error}") from None


def _keep_modes(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """The filter `data` of tarfile, which keeps everything inside, with executable bits."""
    kept = tarfile.data_filter(member, path)
    return kept.replace(mode=member.mode & 0o777, deep=False)


def _extract_zip(archive: Path, directory: Path, budget: _Budget) -> None:
    root = directory.resolve()
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            budget.member()
            target = _inside(root, member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise ArchiveRefused(f"'{member.filename}' is a link in a zip archive")
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(member) as reading:
                _write(reading, target, budget)
            if mode & 0o777:
                target.chmod(mode & 0o777 | stat.S_IRUSR | stat.S_IWUSR)


def _inside(root: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        raise ArchiveRefused(f"'{name}' leads out of the sandbox")
    target = root.joinpath(*parts)
    if not target.resolve().is_relative_to(root):
        raise ArchiveRefused(f"'{name}' leads out of the sandbox")
    return target


def _write(reading: IO[bytes] | gzip.GzipFile, target: Path, budget: _Budget) -> None:
    if target.is_symlink():
        os.unlink(target)
    with target.open("wb") as writing:
        while chunk := reading.read(CHUNK_BYTES):
            budget.take(len(chunk))
            writing.write(chunk)
