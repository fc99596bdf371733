"""Images made by hand: layers as tar streams, and all the forms in which an image may be had."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tepui.agent.containers.images import manifest
from tepui.agent.containers.images.manifest import this_machine

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"content", **attributes: object) -> Member:
    member = tarfile.TarInfo(name)
    member.mode = 0o644
    return _with(member, attributes), content


def directory(name: str, mode: int = 0o755, **attributes: object) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    return _with(member, attributes), b""


def symlink(name: str, target: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    return member, b""


def hard_link(name: str, target: str) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = tarfile.LNKTYPE, target, 0o644
    return member, b""


def device(name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE) -> Member:
    member = tarfile.TarInfo(name)
    member.type, member.devmajor, member.devminor, member.mode = kind, major, minor, 0o666
    return member, b""


def _with(member: tarfile.TarInfo, attributes: Mapping[str, object]) -> tarfile.TarInfo:
    for key, value in attributes.items():
        setattr(member, key, value)
    return member


def tar_of(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def zstd(content: bytes) -> bytes:
    done = subprocess.run(
        ["zstd", "--stdout", "-q"], input=content, capture_output=True, check=True
    )
    return done.stdout


class Made:
    """An image in memory."""

    def __init__(
        self,
        *layers: bytes,
        compression: str = "gzip",
        config: Mapping[str, object] | None = None,
        oci: bool = True,
        architecture: str = "",
        diff_ids: Sequence[str] | None = None,
    ) -> None:
        pack = {"gzip": lambda c: gzip.compress(c, mtime=0), "zstd": zstd, "": bytes}[compression]
        self.tars = layers
        self.layers = [pack(layer) for layer in layers]
        self.config = json.dumps(
            {
                "os": "linux",
                "architecture": architecture or this_machine()[0].architecture,
                "config": config or {},
                "rootfs": {
                    "type": "layers",
                    "diff_ids": diff_ids
                    if diff_ids is not None
                    else [digest(layer) for layer in layers],
                },
            }
        ).encode()
        suffix = {"gzip": "tar+gzip", "zstd": "tar+zstd", "": "tar"}[compression]
        layer_type = (
            f"application/vnd.oci.image.layer.v1.{suffix}" if oci else manifest.DOCKER_LAYER
        )
        self.media_type = manifest.OCI_MANIFEST if oci else manifest.DOCKER_MANIFEST
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": self.media_type,
                "config": descriptor(
                    self.config, manifest.OCI_CONFIG if oci else manifest.DOCKER_CONFIG
                ),
                "layers": [descriptor(layer, layer_type) for layer in self.layers],
            }
        ).encode()

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def blobs(self) -> dict[str, bytes]:
        return {digest(content): content for content in (self.config, *self.layers)}


def descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest(content), "size": len(content)}


def index_of(entries: Mapping[str, Made]) -> bytes:
    """Return an index of images by platform: `os/architecture[/variant]`."""
    manifests = []
    for name, image in entries.items():
        system, architecture, *variant = name.split("/")
        platform = {"os": system, "architecture": architecture}
        if variant:
            platform["variant"] = variant[0]
        manifests.append({**descriptor(image.manifest, image.media_type), "platform": platform})
    content = {"schemaVersion": 2, "mediaType": manifest.OCI_INDEX, "manifests": manifests}
    return json.dumps(content).encode()


def layout_files(images: Mapping[str, Made]) -> dict[str, bytes]:
    """Return the files of an OCI layout with these images by name."""
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    entries = []
    for name, image in images.items():
        for content in (image.manifest, *image.blobs.values()):
            files["blobs/" + digest(content).replace(":", "/")] = content
        named = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        entries.append({**descriptor(image.manifest, image.media_type), **named})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return files


def saved_files(images: Mapping[str, Made]) -> dict[str, bytes]:
    """Return what Docker of before 25 saves: a directory a layer; '->' before a link's target."""
    files: dict[str, bytes] = {}
    entries = []
    for name, image in images.items():
        config = digest(image.config).partition(":")[2] + ".json"
        files[config] = image.config
        paths = []
        for at, layer in enumerate(image.tars):
            path = f"{config[:12]}-{at}/layer.tar"
            same = [other for other, content in files.items() if content == layer]
            files[path] = f"->../{same[0]}".encode() if same else layer
            paths.append(path)
        entries.append({"Config": config, "RepoTags": [name] if name else None, "Layers": paths})
    files["manifest.json"] = json.dumps(entries).encode()
    return files


def write_files(files: Mapping[str, bytes], root: Path) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_archive(files: Mapping[str, bytes], path: Path, *, compressed: bool = False) -> Path:
    members = [
        symlink(name, content[2:].decode()) if content.startswith(b"->") else file(name, content)
        for name, content in files.items()
    ]
    content = tar_of(*members)
    path.write_bytes(gzip.compress(content) if compressed else content)
    return path
