"""Reads an operator's networks: CNI configuration files (CNI specification 0.1.0 to 1.0.0, SPEC.md section 1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Struct

Json = dict[str, object]

MESOS_ARGS = "org.apache.mesos"  # the key that plugins find the task's NetworkInfo under
FILE_BYTES_MAX = 1 << 20
FILES_MAX = 1_000
PLUGINS_MAX = 32  # in one chain
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0")
OLDEST = "0.1.0"  # what a configuration without a version is written in
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")


class Network(Struct, frozen=True):
    """A network that containers may join: its plugins are called in this order."""

    name: str
    version: str
    plugins: tuple[Json, ...]
    source: str  # a file
    is_bridge: bool = False  # the one of our own: its rules are ours, too

    def types(self) -> tuple[str, ...]:
        """The plugins' names."""
        return tuple(str(plugin["type"]) for plugin in self.plugins)

    def can(self, capability: str) -> bool:
        """Whether a plugin takes such a thing as `runtimeConfig`."""
        return any(capability in capabilities_of(plugin) for plugin in self.plugins)


class Unusable(Exception):
    """A configuration breaks a rule; the text is a sentence without its file."""


class Directory:
    """The networks of a directory, read again when a file of it has changed."""

    def __init__(self, path: str | None, plugins_directories: Sequence[str]) -> None:
        self._path = path
        self._plugins_directories = plugins_directories
        self._signature: tuple[tuple[str, int, int], ...] | None = None
        self._networks: dict[str, Network] = {}
        self.faults: tuple[str, ...] = ()  # a sentence for each file that cannot be used

    def read(self) -> dict[str, Network]:
        """The networks by name, as the files are now."""
        if self._path is None:
            return {}
        try:
            signature = tuple(_stats(self._path))
        except OSError as error:
            self._signature, self._networks = None, {}
            self.faults = (f"the directory '{self._path}' cannot be read: {error.strerror}",)
            return {}
        # What is missing may be there by now: files with faults are looked at each time.
        if signature != self._signature or self.faults:
            self._networks, self.faults = self._parsed([path for path, _, _ in signature])
            self._signature = signature
        return self._networks

    def _parsed(self, paths: Sequence[str]) -> tuple[dict[str, Network], tuple[str, ...]]:
        found: dict[str, Network] = {}
        faults: list[str] = []
        for path in paths:
            try:
                network = parse(_text(path), path)
                missing = missing_plugin(network, self._plugins_directories)
                if missing is not None:
                    raise Unusable(missing)
                if network.name in found:
                    raise Unusable(
                        f"network '{network.name}' is defined by '{found[network.name].source}' already"
                    )
            except Unusable as error:
                faults.append(f"'{path}' is not used: {error}")
            else:
                found[network.name] = network
        return found, tuple(faults)


def parse(text: bytes, source: str) -> Network:
    """The network that one file defines: a plugin, or a list of them. Raises Unusable."""
    try:
        whole: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unusable(f"it is no JSON: {error}") from None
    if not isinstance(whole, dict):
        raise Unusable("it is no JSON object")
    name = whole.get("name")
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise Unusable(
            "'name' must be letters, digits, '_', '.' and '-', and begin with one of the first two"
        )
    version = whole.get("cniVersion", OLDEST)
    if version not in VERSIONS:
        raise Unusable(f"'cniVersion' is {version!r}, and known are {', '.join(VERSIONS)}")
    listed = whole.get("plugins", [whole])
    if not isinstance(listed, list) or not 1 <= len(listed) <= PLUGINS_MAX:
        raise Unusable(f"'plugins' must be a list of 1 to {PLUGINS_MAX}")
    plugins = tuple(_plugin(at, one) for at, one in enumerate(listed))
    return Network(name, str(version), plugins, source)


def _plugin(at: int, given: object) -> Json:
    if not isinstance(given, dict):
        raise Unusable(f"'plugins[{at}]' is no object")
    kind = given.get("type")
    if not isinstance(kind, str) or not kind or "/" in kind:
        raise Unusable(f"'type' of plugin {at} must be the name of a program, without '/'")
    args = given.get("args", {})
    if not isinstance(args, dict):
        raise Unusable(f"'args' of plugin '{kind}' must be an object")
    if MESOS_ARGS in args:
        raise Unusable(f"'args' of plugin '{kind}' may not hold '{MESOS_ARGS}': it is reserved")
    return {str(key): value for key, value in given.items()}


def capabilities_of(plugin: Json) -> frozenset[str]:
    """What a plugin wants to be told as `runtimeConfig`."""
    given = plugin.get("capabilities")
    if not isinstance(given, dict):
        return frozenset()
    return frozenset(str(name) for name, wanted in given.items() if wanted is True)


def missing_plugin(network: Network, directories: Sequence[str]) -> str | None:
    """A sentence on the first program that this network needs and the directories lack."""
    for plugin in network.plugins:
        ipam = plugin.get("ipam")
        for one in (plugin, ipam if isinstance(ipam, dict) else {}):
            kind = one.get("type")
            if isinstance(kind, str) and kind and program(kind, directories) is None:
                where = ", ".join(f"'{path}'" for path in directories) or "no directory"
                return f"network '{network.name}' needs the plugin '{kind}', looked for in {where}"
    return None


def program(kind: str, directories: Sequence[str]) -> str | None:
    """The path of a plugin's program, or None. Only the directories named are searched."""
    if "/" in kind:
        return None
    for directory in directories:
        path = os.path.join(directory, kind)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _stats(directory: str) -> Iterator[tuple[str, int, int]]:
    """Path, time and size of what may be a network's file, by name."""
    for name in sorted(os.listdir(directory))[:FILES_MAX]:
        path = os.path.join(directory, name)
        # Mesos reads every file, whatever its name ends in.
        if not name.startswith(".") and os.path.isfile(path):
            stat = os.stat(path)
            yield path, stat.st_mtime_ns, stat.st_size


def _text(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror}") from None
    if len(text) > FILE_BYTES_MAX:
        raise Unusable(f"it has more than {FILE_BYTES_MAX} bytes")
    return text
