"""Reads what containers use from their cgroups, cheaply enough for hundreds of them each second.

Files are opened once and read again by pread: 1-2 µs each, where opening costs ten more.
Source of a network's counters: proc_pid_net(5).
"""

from __future__ import annotations

import os
import resource
from typing import Final

from msgspec.structs import replace

from tepui.agent.containers.usage.control_files import (
    ControlFile,
    Found,
    content_of,
    files_of,
    is_there,
)
from tepui.agent.containers.usage.used import Network, Places, Reading
from tepui.agent.launcher.cgroups import Layout, places_of

DESCRIPTORS_SHARE: Final = 2  # of those that this process may have, one in so many


def places_in(layout: Layout, root: str, lineage: tuple[str, ...]) -> Places:
    """Return the places of a container, whose `lineage` ends with its own id; see `places_of`."""
    unified, v1 = places_of(layout, root, lineage)
    return Places(unified, v1)


class ContainerFiles:
    """The control files of one container. With `keep_open` they stay open until `close`."""

    def __init__(self, places: Places, *, keep_open: bool = True) -> None:
        self._keep_open = keep_open
        self._files = [one for one in files_of(places) if is_there(one.path)]
        self._home = os.path.dirname(self._files[0].path) if self._files else ""

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return sum(one.fd >= 0 for one in self._files)

    def read(self, network_pid: int = 0) -> Reading | None:
        """Return what the container uses now; None when it is gone.

        `network_pid` is a process in its network, where that is not the host's.
        """
        found = Found()
        for file in self._files:
            try:
                file.parse(self._content(file), found)
            except OSError:
                if not os.path.isdir(self._home):
                    return None
                # A file that this kernel has and does not let be read says nothing; the others do.
        if not self._files:
            return None
        reading = found.reading()
        return replace(reading, network=network_of(network_pid)) if network_pid else reading

    def _content(self, file: ControlFile) -> bytes:
        if file.fd >= 0:
            return content_of(file.fd)
        fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        if self._keep_open:
            file.fd = fd
            return content_of(fd)
        try:
            return content_of(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Let go of the descriptors."""
        for file in self._files:
            if file.fd >= 0:
                os.close(file.fd)
                file.fd = -1


class Sampler:
    """Many containers, each with its files open, as far as this process may have descriptors.

    The containers beyond `descriptors_max` are read all the same, at the price of opening the files.
    """

    def __init__(self, descriptors_max: int | None = None) -> None:
        if descriptors_max is None:
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            descriptors_max = soft // DESCRIPTORS_SHARE
        self._left = descriptors_max
        self._watched: dict[str, tuple[ContainerFiles, int]] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, container_id: str, places: Places) -> None:
        """Its use is sampled from now on."""
        self.unwatch(container_id)
        files = files_of(places)
        wanted = len(files) if len(files) <= self._left else 0
        self._left -= wanted
        self._watched[container_id] = (ContainerFiles(places, keep_open=wanted > 0), wanted)

    def unwatch(self, container_id: str) -> None:
        """Nothing is held of it; unknown ids are no error."""
        files, held = self._watched.pop(container_id, (None, 0))
        if files is not None:
            files.close()
            self._left += held

    def read(self, container_id: str, network_pid: int = 0) -> Reading | None:
        """Return what one container uses now; None when it is gone, not watched, or has no cgroup."""
        files, _ = self._watched.get(container_id, (None, 0))
        return None if files is None else files.read(network_pid)

    def sample(self) -> dict[str, Reading]:
        """Return what each container uses now; those that are gone are left out."""
        found: dict[str, Reading] = {}
        for name, (files, _) in self._watched.items():
            reading = files.read()
            if reading is not None:
                found[name] = reading
        return found

    def close(self) -> None:
        """Nothing is watched any more."""
        for name in list(self._watched):
            self.unwatch(name)


def network_of(pid: int) -> Network | None:
    """Return what went through the interfaces that the process `pid` sees; None when it is gone.

    The file is not kept open: a descriptor of it would keep the network itself.
    """
    try:
        fd = os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = content_of(fd)
    except OSError:
        return None
    finally:
        os.close(fd)
    return network_in(data)


def network_in(data: bytes) -> Network:
    """Return the sums over the interfaces in `/proc/<pid>/net/dev`."""
    sums = [0] * 8
    for line in data.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        words = rest.split()
        if name.strip() == b"lo" or len(words) < 12:
            continue
        for at, column in enumerate((0, 1, 2, 3, 8, 9, 10, 11)):
            sums[at] += int(words[column])
    return Network(*sums)
