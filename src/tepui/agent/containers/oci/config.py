"""The parts of an OCI runtime configuration that are used here, under the names that its specification gives.

Source: OCI runtime specification 1.0.2, config.md and config-linux.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

VERSION = "1.0.2"


class User(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who the program runs as, in the container."""

    uid: int = -1  # never left out
    gid: int = -1
    umask: int = -1
    additional_gids: tuple[int, ...] = ()


class ConsoleSize(Struct, frozen=True):
    """Of a terminal, in characters."""

    height: int
    width: int


class CapabilitySets(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Without inheritable and ambient ones a program gains nothing by being executed."""

    bounding: tuple[str, ...]
    effective: tuple[str, ...]
    permitted: tuple[str, ...]
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Process(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The program; the launcher adds its rlimits."""

    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    capabilities: CapabilitySets | None = None
    no_new_privileges: bool = False


class Root(Struct, frozen=True, rename="camel"):
    """The root file system; the path is relative to the bundle."""

    path: str
    readonly: bool


class ConfigMount(Struct, frozen=True, rename="camel"):
    """One mount, in order."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...]


class Namespace(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A new namespace, or the one at `path`."""

    type: str
    path: str = ""


class ConfigDevice(Struct, frozen=True, rename="camel"):
    """A node that is made in the container's /dev."""

    path: str
    type: str  # 'b' or 'c'
    major: int
    minor: int
    file_mode: int
    uid: int
    gid: int


class IdMapping(Struct, frozen=True):
    """Ids in the container, and whose they are outside."""

    container_id: int = field(name="containerID")
    host_id: int = field(name="hostID")
    size: int


class Linux(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What is particular to Linux."""

    namespaces: tuple[Namespace, ...]
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[ConfigDevice, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    rootfs_propagation: str = ""
    seccomp: Mapping[str, object] = {}


class Config(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The whole of config.json."""

    oci_version: str
    process: Process
    root: Root
    hostname: str = ""
    mounts: tuple[ConfigMount, ...]
    linux: Linux
    annotations: Mapping[str, str] = {}
