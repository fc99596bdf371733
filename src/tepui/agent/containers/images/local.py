"""Images that are on this machine already: OCI layouts, and what `docker save` writes.

A layout is a directory or a tar archive; what Docker saves is an archive, of the old form (a directory
a layer) or the new one (a layout with `manifest.json` beside). Nothing is unpacked to read them: what
an archive holds is read where it is.

Source: OCI image specification, image-layout.md; moby image/spec.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from tepui.agent.containers.images import manifest, reference
from tepui.agent.containers.images.digests import digest_of, is_digest
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.layers import Stopped
from tepui.agent.containers.images.streams import Slice, is_compressed, read_all, unpacked, whole

MEMBERS_MAX: Final = 20_000  # of an archive
STEP: Final = "reading the archive"
NAME_ANNOTATIONS: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class LocalLayer(Struct, frozen=True):
    """One layer, where it is."""

    blob: Slice
    digest: str  # '' in archives that do not say
    media_type: str


class LocalImage(Struct, frozen=True):
    """One image that a layout or an archive holds."""

    digest: str
    config: bytes
    layers: tuple[LocalLayer, ...]
    manifest: bytes  # b'' in archives that have none
    media_type: str  # the manifest's


class Files(Protocol):
    """Named content, in a directory or an archive."""

    def get(self, name: str) -> Slice | None:
        """Return where the content is, None if there is none. Raises OSError and Fault."""
        ...


class DirectoryFiles:
    """Files of a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, name: str) -> Slice | None:
        if name.startswith("/") or ".." in name.split("/"):
            raise Fault(STEP, f"'{name}' leads out of it")
        try:
            return whole(str(self._directory / name))
        except FileNotFoundError:
            return None


class ArchiveFiles:
    """Members of a tar archive that is not compressed."""

    def __init__(self, path: Path) -> None:
        self._members: dict[str, Slice] = {}
        self._links: dict[str, str] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for count, member in enumerate(tar):
                    if count >= MEMBERS_MAX:
                        raise Fault(STEP, f"it has more than {MEMBERS_MAX} members")
                    self._add(str(path), member)
        except tarfile.TarError as error:
            raise Fault(STEP, f"'{path}' is not a tar archive: {error}") from None

    def _add(self, path: str, member: tarfile.TarInfo) -> None:
        name = posixpath.normpath(member.name)
        if member.isreg() and not member.issparse():
            self._members[name] = Slice(path, member.offset_data, member.size)
        elif member.issym():
            # Docker saved a layer that several images have once, and linked to it.
            self._links[name] = posixpath.normpath(
                posixpath.join(posixpath.dirname(name), member.linkname)
            )
        elif member.islnk():
            self._links[name] = posixpath.normpath(member.linkname)

    def get(self, name: str) -> Slice | None:
        name = posixpath.normpath(name)
        target = self._links.get(name, name)
        return self._members.get(target)


class _Saved(Struct, frozen=True, rename="pascal"):
    config: str
    layers: tuple[str, ...] = ()
    repo_tags: tuple[str, ...] | None = None


class _Layout(Struct, frozen=True, rename="camel"):
    manifests: tuple[manifest.Descriptor, ...]


class Place(Struct, frozen=True):
    """A layout or archive, and which of its images is meant ('': the only one)."""

    path: Path
    name: str


def place_of(text: str) -> Place:
    """Return what a path with or without a name behind it is: `/images/all.tar:app:1`. Raises Fault."""
    if os.path.exists(text):
        return Place(Path(text), "")
    at = text.find(":")
    while at >= 0:
        if os.path.exists(text[:at]):
            return Place(Path(text[:at]), text[at + 1 :])
        at = text.find(":", at + 1)
    raise Fault("opening", f"there is no '{text}'")


def stamp_of(place: Place) -> str:
    """Return what changes when the layout or archive does. Raises OSError."""
    path = place.path / "index.json" if place.path.is_dir() else place.path
    status = path.stat()
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def read(place: Place, temporary: Path, bytes_max: int, is_stopped: threading.Event) -> LocalImage:
    """Return the image. A compressed archive is unpacked into the file `temporary` first.

    Runs in a thread. Raises Fault, Stopped and OSError.
    """
    path = place.path
    if path.is_dir():
        return _read(DirectoryFiles(path), place.name)
    if is_compressed(whole(str(path))):
        _decompress(whole(str(path)), temporary, bytes_max, is_stopped)
        path = temporary
    return _read(ArchiveFiles(path), place.name)


def _decompress(
    archive: Slice, temporary: Path, bytes_max: int, is_stopped: threading.Event
) -> None:
    size = 0
    with temporary.open("xb") as file:
        for chunk in unpacked(archive):
            size += len(chunk)
            if is_stopped.is_set():
                raise Stopped
            if size > bytes_max:
                raise Fault(STEP, f"it unpacks to more than {bytes_max} bytes")
            file.write(chunk)


def _read(files: Files, name: str) -> LocalImage:
    if (index := files.get("index.json")) is not None and files.get("oci-layout") is not None:
        return _from_layout(files, read_all(index, manifest.MANIFEST_BYTES_MAX, "index.json"), name)
    if (saved := files.get("manifest.json")) is not None:
        content = read_all(saved, manifest.MANIFEST_BYTES_MAX, "manifest.json")
        return _from_saved(files, content, name)
    if files.get("repositories") is not None:
        raise Fault(STEP, "it was saved by a Docker of before 1.10; save it again with a newer one")
    raise Fault(STEP, "it has neither `index.json` with `oci-layout` nor `manifest.json`")


def _from_layout(files: Files, index: bytes, name: str) -> LocalImage:
    try:
        entries = msgspec.json.decode(index, type=_Layout).manifests
    except ValueError as error:
        raise Fault(STEP, f"index.json cannot be read: {error}") from None
    entry = _named(entries, name)
    for _ in range(manifest.INDEX_DEPTH_MAX):
        content = _blob(files, entry, manifest.MANIFEST_BYTES_MAX)
        parsed = manifest.parse(content)
        if isinstance(parsed, manifest.Manifest):
            return LocalImage(
                digest=entry.digest,
                config=_blob(files, parsed.config, manifest.CONFIG_BYTES_MAX),
                layers=tuple(_layer(files, layer) for layer in parsed.layers),
                manifest=content,
                media_type=entry.media_type or manifest.OCI_MANIFEST,
            )
        entry = manifest.choose(parsed.manifests, manifest.this_machine())
    raise Fault(STEP, f"it has more than {manifest.INDEX_DEPTH_MAX} indexes within each other")


def _named(entries: tuple[manifest.Descriptor, ...], name: str) -> manifest.Descriptor:
    """Return the entry of that name; without one, the only image there is. Raises Fault."""
    if name:
        meant = [entry for entry in entries if _has_name(entry.annotations or {}, name)]
        if not meant:
            raise Fault(STEP, f"it has no image '{name}', but {_listed(entries)}")
        return meant[0]
    digests = {entry.digest for entry in entries}
    if len(digests) == 1:
        return entries[0]
    if all(entry.platform is not None for entry in entries):
        return manifest.choose(entries, manifest.this_machine())
    raise Fault(STEP, f"it has several images, write one of them after ':': {_listed(entries)}")


def _has_name(annotations: Mapping[str, str], name: str) -> bool:
    known = {annotations[key] for key in NAME_ANNOTATIONS if key in annotations}
    return name in known or _full(name) in {_full(other) for other in known}


def _listed(entries: tuple[manifest.Descriptor, ...]) -> str:
    names = {
        (entry.annotations or {}).get(key, "") for entry in entries for key in NAME_ANNOTATIONS
    }
    return ", ".join(sorted(names - {""})) or "only some without names"


def _full(name: str) -> str:
    try:
        return str(reference.parse(name))
    except Fault:
        return name


def _find(files: Files, descriptor: manifest.Descriptor) -> Slice:
    if not is_digest(descriptor.digest):
        raise Fault(STEP, f"'{descriptor.digest}' is not a sha256 or sha512 digest")
    found = files.get("blobs/" + descriptor.digest.replace(":", "/"))
    if found is None:
        raise Fault(STEP, f"blob '{descriptor.digest}' is missing")
    if found.size != descriptor.size:
        rule = f"blob '{descriptor.digest}' has {found.size} bytes, not {descriptor.size}"
        raise Fault(STEP, rule)
    return found


def _blob(files: Files, descriptor: manifest.Descriptor, bytes_max: int) -> bytes:
    content = read_all(_find(files, descriptor), bytes_max, f"blob '{descriptor.digest}'")
    if (found := digest_of(content, descriptor.digest)) != descriptor.digest:
        raise Fault(STEP, f"blob '{descriptor.digest}' has the digest '{found}'")
    return content


def _layer(files: Files, descriptor: manifest.Descriptor) -> LocalLayer:
    return LocalLayer(_find(files, descriptor), descriptor.digest, descriptor.media_type)


def _from_saved(files: Files, content: bytes, name: str) -> LocalImage:
    try:
        images = msgspec.json.decode(content, type=tuple[_Saved, ...])
    except ValueError as error:
        raise Fault(STEP, f"manifest.json cannot be read: {error}") from None
    saved = _saved_as(images, name)
    config = files.get(saved.config)
    if config is None:
        raise Fault(STEP, f"'{saved.config}' is missing")
    text = read_all(config, manifest.CONFIG_BYTES_MAX, saved.config)
    layers: list[LocalLayer] = []
    for path in saved.layers:
        if (blob := files.get(path)) is None:
            raise Fault(STEP, f"'{path}' is missing")
        layers.append(LocalLayer(blob, "", ""))
    return LocalImage(digest_of(text), text, tuple(layers), b"", manifest.DOCKER_MANIFEST)


def _saved_as(images: tuple[_Saved, ...], name: str) -> _Saved:
    tags = sorted(tag for image in images for tag in image.repo_tags or ())
    for image in images:
        if name and _full(name) in {_full(tag) for tag in image.repo_tags or ()}:
            return image
    if name:
        raise Fault(STEP, f"it has no image '{name}', but {', '.join(tags) or 'only unnamed ones'}")
    if len(images) != 1:
        raise Fault(STEP, f"it has {len(images)} images, write one after ':': {', '.join(tags)}")
    return images[0]
