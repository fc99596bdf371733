"""What of images is on disk: unpacked layers, the images that are made of them, and who uses which.

Below the store's directory, which only its owner may enter (files in images may be set-user-ID):

    layers/<id>/         a layer's files, in the overlay's form; the id is 16 characters of its chain id
    records/<id>.json    says that the layer is whole and on disk; one without is removed at the start
    images/<key>.json    an image: its name, layers and configuration
    holds/<container>    the layers a container lives on; they stay
    blobs/               downloads, complete or not
    tmp/                 what is being unpacked, and what is being removed

Files are written by rename. One that cannot be read is as good as none: the image is pulled again.
Nothing waits for the disk: what was unpacked may be lost when the machine, not only the agent, crashes,
so a layer's record names the boot in which it was made, until all has been synced in the background.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.image import Image, ImageConfig
from tepui.base import trees

R = TypeVar("R")

ID_LENGTH: Final = (
    16  # hexadecimal digits: short, for 127 of them must fit in one page when mounted
)
USED_S: Final = 1  # when an image was used is written so exactly


class LayerRecord(Struct, frozen=True, kw_only=True):
    """A layer that is whole."""

    chain_id: str
    size_bytes: int
    files: int
    boot_id: str = ""  # it is whole as long as this boot lasts; '': for ever


class ImageRecord(Struct, frozen=True, kw_only=True):
    """An image all whose layers are whole."""

    name: str
    digest: str
    chain: tuple[str, ...]  # chain ids of the layers, the base first
    config: ImageConfig
    passwd: str
    group: str
    size_bytes: int
    stamp: str = ""  # of a local archive: what it looked like when it was read


class Held(Struct, frozen=True):
    """An image that a container lives on, and the layers of it, which stay."""

    name: str
    digest: str
    chain: tuple[str, ...]


class _Hold(Struct, frozen=True):
    container_id: str
    images: tuple[Held, ...]  # its own and those of its volumes


class Store:
    """The store in one directory, of which there is one user. Its methods are for the event loop.

    Those that may take long say so, and are called in threads.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images: dict[str, ImageRecord] = {}  # by name
        self.layers: dict[str, LayerRecord] = {}  # by chain id
        self.holds: dict[str, tuple[Held, ...]] = {}  # by container
        self.used_at_s: dict[str, float] = {}  # by image
        self.boot_id = boot_id()
        self._made = itertools.count()

    def load(self, partial_keep_s: int) -> None:
        """What is whole is known, all else is gone. Takes long. Raises OSError."""
        for name in ("", "layers", "records", "images", "holds", "blobs", "tmp"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory.chmod(0o700)
        for entry in os.scandir(self.directory / "tmp"):
            remove_tree(Path(entry.path))
        self._load_layers()
        self._load_images()
        self._load_holds()
        oldest = time.time() - partial_keep_s
        for entry in os.scandir(self.directory / "blobs"):
            if entry.stat(follow_symlinks=False).st_mtime < oldest:
                os.unlink(entry.path)

    def _load_layers(self) -> None:
        records = self.directory / "records"
        for path in list(records.iterdir()):
            record = _read(path, LayerRecord)
            if record is not None and self._is_whole(record, path.stem):
                self.layers[record.chain_id] = record
            else:
                path.unlink()
        known = {layer_id(chain_id) for chain_id in self.layers}
        for entry in os.scandir(self.directory / "layers"):
            if entry.name not in known:
                remove_tree(Path(entry.path))

    def _is_whole(self, record: LayerRecord, stem: str) -> bool:
        is_safe = record.boot_id in ("", self.boot_id)
        is_its = layer_id(record.chain_id) == stem
        return is_safe and is_its and self.layer_directory(record.chain_id).is_dir()

    def _load_images(self) -> None:
        for path in list((self.directory / "images").iterdir()):
            record = _read(path, ImageRecord)
            if record is not None and all(chain_id in self.layers for chain_id in record.chain):
                self.images[record.name] = record
                self.used_at_s[record.name] = path.stat().st_mtime
            else:
                path.unlink()

    def _load_holds(self) -> None:
        for path in list((self.directory / "holds").iterdir()):
            hold = _read(path, _Hold)
            if hold is not None:
                self.holds[hold.container_id] = hold.images
            else:
                path.unlink()

    # Paths

    def layer_directory(self, chain_id: str) -> Path:
        return self.directory / "layers" / layer_id(chain_id)

    def blob_path(self, digest: str) -> Path:
        return self.directory / "blobs" / digest.replace(":", "-")

    def new_path(self) -> Path:
        """Return a path for something temporary."""
        return self.directory / "tmp" / f"{os.getpid()}-{time.time_ns()}-{next(self._made)}"

    # Layers

    def write_layer(self, made: Path, record: LayerRecord) -> None:
        """The layer that is in `made` is kept. In a thread; `layers` follows. Raises OSError."""
        directory = self.layer_directory(record.chain_id)
        if directory.exists():  # of a record that was lost
            directory.rename(self.new_path())
        made.rename(directory)
        self._write(self._record_path(record.chain_id), msgspec.json.encode(record))

    def unsynced(self) -> list[LayerRecord]:
        """Return the layers that a crash of the machine would spoil."""
        return [record for record in self.layers.values() if record.boot_id]

    def sync(self) -> None:
        """All that was written before is safe from crashes of the machine. In a thread. Raises OSError."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync_file_system(descriptor)
        finally:
            os.close(descriptor)

    def know_synced(self, records: Iterable[LayerRecord]) -> None:
        """These layers are safe, but for those that are gone or were made anew meanwhile. Raises OSError."""
        for record in records:
            if self.layers.get(record.chain_id) is record:
                safe = msgspec.structs.replace(record, boot_id="")
                self._write(self._record_path(record.chain_id), msgspec.json.encode(safe))
                self.layers[record.chain_id] = safe

    def check_layer(self, chain_id: str) -> bool:
        """Whether the layer is there. Raises Fault where another one has taken its short name."""
        if chain_id in self.layers:
            return True
        if any(layer_id(other) == layer_id(chain_id) for other in self.layers):
            raise Fault("unpacking", f"another layer is called '{layer_id(chain_id)}', too")
        return False

    def drop_layers(self, kept: Iterable[str]) -> list[Path]:
        """Layers that no image, no container and not `kept` needs are unknown.

        Return their directories, which the caller removes.
        """
        needed = {*kept}
        for record in self.images.values():
            needed.update(record.chain)
        needed |= self.held_layers()
        dropped: list[Path] = []
        for chain_id in [chain_id for chain_id in self.layers if chain_id not in needed]:
            del self.layers[chain_id]
            # First the record: a directory without one is removed at the next start.
            self._record_path(chain_id).unlink(missing_ok=True)
            trash = self.new_path()
            with contextlib.suppress(FileNotFoundError):
                self.layer_directory(chain_id).rename(trash)
                dropped.append(trash)
        return dropped

    # Images

    def write_image(self, record: ImageRecord) -> None:
        """The image will be known after a restart. In a thread; `know_image` follows. Raises OSError."""
        self._write(self._image_path(record.name), msgspec.json.encode(record))

    def know_image(self, record: ImageRecord) -> None:
        """The image is known from now on."""
        self.images[record.name] = record
        self.used_at_s[record.name] = time.time()

    def drop_image(self, name: str) -> None:
        """The name is unknown; its layers stay until `drop_layers`."""
        del self.images[name]
        self.used_at_s.pop(name, None)
        self._image_path(name).unlink(missing_ok=True)

    def use(self, name: str) -> None:
        """The image was used just now: it is not the next one to be collected."""
        now_s = time.time()
        if now_s - self.used_at_s.get(name, 0) > USED_S:
            with contextlib.suppress(OSError):
                os.utime(self._image_path(name))
        self.used_at_s[name] = now_s

    def image(self, record: ImageRecord) -> Image:
        """Return the image as containers use it."""
        return Image(
            name=record.name,
            digest=record.digest,
            layers=tuple(str(self.layer_directory(chain_id)) for chain_id in record.chain),
            config=record.config,
            passwd=record.passwd,
            group=record.group,
            size_bytes=record.size_bytes,
        )

    def holders(self, record: ImageRecord) -> tuple[str, ...]:
        """Return the containers that live on this image, not those of another name of the same layers."""
        return tuple(
            container_id
            for container_id, images in self.holds.items()
            if any((one.name, one.digest) == (record.name, record.digest) for one in images)
        )

    # Holds

    def hold(self, container_id: str, record: ImageRecord) -> None:
        """The layers of this image too stay, also after a restart, until `release`. Raises OSError."""
        held = Held(record.name, record.digest, record.chain)
        before = self.holds.get(container_id, ())
        if held in before:
            return
        images = (*before, held)
        content = msgspec.json.encode(_Hold(container_id, images))
        self._write(self._hold_path(container_id), content)
        self.holds[container_id] = images

    def held_layers(self) -> set[str]:
        """Return the chain ids of all layers that containers live on."""
        return {
            chain_id for images in self.holds.values() for one in images for chain_id in one.chain
        }

    def release(self, container_id: str) -> None:
        """The container holds nothing, if it ever did."""
        if self.holds.pop(container_id, None) is not None:
            self._hold_path(container_id).unlink(missing_ok=True)

    def _record_path(self, chain_id: str) -> Path:
        return self.directory / "records" / f"{layer_id(chain_id)}.json"

    def _image_path(self, name: str) -> Path:
        return self.directory / "images" / f"{_key(name)}.json"

    def _hold_path(self, container_id: str) -> Path:
        # Ids of nested containers may be longer than a file's name.
        return self.directory / "holds" / f"{_key(container_id)}.json"

    def _write(self, path: Path, content: bytes) -> None:
        new = self.new_path()
        new.write_bytes(content)
        new.rename(path)


def layer_id(chain_id: str) -> str:
    """Return the name of a layer's directory."""
    return chain_id.partition(":")[2][:ID_LENGTH]


def remove_tree(path: Path) -> None:
    """The path is gone, or as much of it as can be removed. Takes long."""
    if path.is_dir() and not path.is_symlink():
        with contextlib.suppress(OSError):
            trees.remove_tree(str(path))  # an image's directories may be of any depth
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _read(path: Path, form: type[R]) -> R | None:
    """Return what the file holds; None if it is torn or something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (OSError, ValueError):  # a DecodeError is a ValueError
        return None


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def boot_id() -> str:
    """Return what no other boot of this or another machine has."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"unknown-{time.time_ns()}"  # then nothing but what was synced is kept


def _sync_file_system(descriptor: int) -> None:
    """All of the file system that holds the descriptor is on disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
