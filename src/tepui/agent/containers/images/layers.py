"""Unpacks layers: each into a directory of its own, in the form that overlay file systems take.

Two steps. `unpack` needs nothing but the layer, so several go on at once. `settle` follows when the
layers below are there: a directory that the layer only passes through has to look as it does below.

Source: OCI image specification, layer.md; kernel, filesystems/overlayfs.rst.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from tepui.agent.containers.images import merged
from tepui.agent.containers.images.digests import hasher
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.filtering import STEP, Contents, Filter
from tepui.agent.containers.images.streams import Slice, is_compressed, unpacked

PIPE_BYTES: Final = 1 << 20
# So much is unpacked before it is looked again how much the disk has left.
LOOK_BYTES: Final = 4 << 20
LOOK_FILES: Final = 1_000
COMPLAINT_BYTES_MAX: Final = 2_000  # of what tar says
_END: Final = bytes(1024)  # two empty blocks end an archive

# Attributes that would mean something to the overlay, or to the host's own security, are left out.
_TAR: Final = (
    "tar", "--extract", "--file=-", "--numeric-owner", "--preserve-permissions",
    "--delay-directory-restore", "--xattrs", "--xattrs-include=*", "--xattrs-exclude=trusted.*",
    "--xattrs-exclude=security.selinux", "--xattrs-exclude=security.ima",
    "--xattrs-exclude=security.evm", "--xattrs-exclude=user.overlay.*", "--warning=no-timestamp",
    "--warning=no-unknown-keyword",
)  # fmt: skip


class Budget:
    """How much one image may still unpack; its layers draw on it together, from several threads."""

    def __init__(
        self, bytes_max: int, files_max: int, check_room: Callable[[], None] = lambda: None
    ) -> None:
        """`check_room` raises Fault where the disk has too little left; it is called now and then."""
        self._check_room = check_room
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._bytes = 0
        self._files = 0
        self._looks = 0
        self._lock = threading.Lock()

    def take(self, size_bytes: int, files: int) -> None:
        """Raises Fault when it is used up."""
        with self._lock:
            self._bytes += size_bytes
            self._files += files
            looks = self._bytes // LOOK_BYTES + self._files // LOOK_FILES
            is_due, self._looks = looks != self._looks, looks
        if self._bytes > self._bytes_max:
            raise Fault(STEP, f"it unpacks to more than {self._bytes_max} bytes")
        if self._files > self._files_max:
            raise Fault(STEP, f"it holds more than {self._files_max} files")
        if is_due:
            self._check_room()


class Unpacked(Struct, frozen=True):
    """What came of a layer."""

    contents: Contents
    size_bytes: int
    files: int


class Stopped(Exception):
    """Nobody wants the layer any more."""


def unpack(
    blob: Slice,
    directory: Path,
    *,
    digest: str,
    diff_id: str,
    budget: Budget,
    is_stopped: threading.Event,
) -> Unpacked:
    """The layer is in the empty directory, and was what its digests say ('': not known).

    Runs in a thread. Raises Fault, Stopped and OSError; then the directory holds a part.
    """
    hashes_blob = bool(digest) and (digest != diff_id or is_compressed(blob))
    blob_hash, layer_hash = hasher(digest or "sha256:"), hasher(diff_id or "sha256:")
    size_bytes = 0

    def count(more_bytes: int, files: int) -> None:
        nonlocal size_bytes
        size_bytes += more_bytes
        budget.take(more_bytes, files)

    def seen(chunk: bytes) -> None:
        layer_hash.update(chunk)
        count(len(chunk), 0)

    filtering = Filter(count)
    stream = unpacked(blob, blob_hash.update if hashes_blob else None)
    with tempfile.TemporaryFile() as complaints:
        tar = _start_tar(directory, complaints)
        try:
            _feed(tar, stream, filtering, seen, is_stopped)
            filtering.end()
            code = tar.wait()
        except BrokenPipeError:
            code = tar.wait() or 1
        finally:
            stream.close()
            if tar.stdin is not None:
                tar.stdin.close()
            tar.kill()
            tar.wait()
        if code != 0:
            raise Fault(STEP, _complaint(complaints) or f"tar ended with {code}")
    if hashes_blob:
        _verify(digest, blob_hash.hexdigest(), "the layer as it was sent")
    if diff_id:
        _verify(diff_id, layer_hash.hexdigest(), "the layer when unpacked")
    return Unpacked(filtering.contents, size_bytes, filtering.contents.files)


def _start_tar(directory: Path, complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    # Without root all files are this user's, and none gives a program capabilities.
    is_root = os.geteuid() == 0
    owner = ("--same-owner",) if is_root else ("--no-same-owner", "--xattrs-exclude=security.*")
    try:
        # No preexec_fn: only then is the child made without copying this process.
        tar = subprocess.Popen(
            [*_TAR, *owner, f"--directory={directory}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            bufsize=0,
            umask=0o022,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        )
    except OSError as error:
        raise Fault(STEP, f"tar cannot be run: {error}") from None
    return tar


def _feed(
    tar: subprocess.Popen[bytes],
    stream: Iterator[bytes],
    filtering: Filter,
    count: Callable[[bytes], None],
    is_stopped: threading.Event,
) -> None:
    """All of the stream is counted, and what may be of it written. Raises BrokenPipeError, too."""
    assert tar.stdin is not None
    descriptor = tar.stdin.fileno()
    with contextlib.suppress(OSError):  # beyond what this user may have
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    for chunk in stream:
        if is_stopped.is_set():
            raise Stopped
        count(chunk)
        if not filtering.is_done:
            _write_all(descriptor, filtering.feed(chunk))
    _write_all(descriptor, _END)
    tar.stdin.close()


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _complaint(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = complaints.read(COMPLAINT_BYTES_MAX).decode(errors="replace").splitlines()
    told = [line.removeprefix("tar: ") for line in lines if "Exiting with failure" not in line]
    return "; ".join(told[:3])


def _verify(expected: str, found: str, what: str) -> None:
    if expected.partition(":")[2] != found:
        raise Fault("verifying", f"{what} is not '{expected}': its digest is '{found}'")


def settle(directory: Path, contents: Contents, below: Sequence[Path]) -> None:
    """The unpacked layer is ready to lie upon those below (the base first).

    Runs in a thread. Raises Fault and OSError.
    """
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in contents.missing:
            _look_as_below(root, path, below)
        if "" not in contents.directories:
            os.fchmod(root, 0o755)
            _look_as_below(root, "", below)
        if below:  # else there is nothing to hide
            for path in contents.whiteouts:
                _hide(root, path)
            for path in contents.opaque:
                _hide_all_below(root, path)
    except PermissionError as error:
        raise Fault(STEP, f"whiteouts and owners of files need root: {error}") from None
    finally:
        os.close(root)


def _look_as_below(root: int, path: str, below: Sequence[Path]) -> None:
    """A directory without a header has the mode, owner and attributes of the one below it, if any."""
    try:
        descriptor = merged.open_directory(root, path)
    except (NotADirectoryError, FileNotFoundError):
        return  # it became something else later in the archive
    try:
        found = merged.find(below, path)
        if found is None or not stat.S_ISDIR(found.status.st_mode):
            if path:
                os.fchmod(descriptor, 0o755)
            return
        if os.geteuid() == 0:
            os.fchown(descriptor, found.status.st_uid, found.status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(found.status.st_mode))
        merged.copy_attributes(found.path, descriptor)
        os.utime(descriptor, ns=(found.status.st_atime_ns, found.status.st_mtime_ns))
    finally:
        os.close(descriptor)


def _hide(root: int, path: str) -> None:
    """What is below at that path is gone: a device 0/0 says so, or an opaque directory."""
    parent, _, name = path.rpartition("/")
    descriptor = merged.open_directory(root, parent, make=True)
    try:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=descriptor)
    except FileExistsError:
        # The layer has something new there, which hides what is below; of a directory, all of it.
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _hide_all_below(root, path)
    except NotADirectoryError:
        pass  # its parent has become a file
    finally:
        os.close(descriptor)


def _hide_all_below(root: int, path: str) -> None:
    descriptor = merged.open_directory(root, path, make=True)
    try:
        os.setxattr(descriptor, merged.OPAQUE, b"y")
    finally:
        os.close(descriptor)
