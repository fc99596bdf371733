"""Which containers there are: found by id, by process, or as those that live in another."""

from __future__ import annotations

from . import groups, tree
from .container import EXITED, STARTING, Container
from .request import Fault

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .frames import Message


class Population:
    """All containers of one agent; each is in `all` from its start until it is forgotten."""

    __slots__ = ("_processes", "all", "by_pid", "ending", "groups", "unreached")

    def __init__(self, processes: tree.Tree) -> None:
        self._processes = processes
        self.all: dict[str, Container] = {}
        self.by_pid: dict[int, Container] = {}  # by main processes that have not ended
        self.groups: dict[str, Container] = {}  # that have not exited
        self.unreached: dict[
            str, Container
        ] = {}  # started by a runtime, and not yet their programs
        self.ending: dict[str, Container] = {}  # whose trees are not gone yet

    @property
    def count(self) -> int:
        """How many containers have not exited."""
        return len(self.by_pid) + len(self.groups) + len(self.ending)

    def alive(self) -> list[Container]:
        """Return those that are not about to exit."""
        return [*self.by_pid.values(), *self.groups.values()]

    def known(self, container_id: str) -> Container:
        """Return the container. Raises Fault."""
        container = self.all.get(container_id)
        if container is None:
            raise Fault("find", f"'{container_id}'", "there is no such container")
        return container

    def living(self, container_id: str) -> Container:
        """Return the container, which has not exited. Raises Fault."""
        container = self.known(container_id)
        if container.state == EXITED:
            raise Fault("find", f"'{container_id}'", "the container has exited")
        return container

    def drop(self, container: Container) -> None:
        """It never was."""
        self.by_pid.pop(container.pid, None)
        self.groups.pop(container.container_id, None)
        self.unreached.pop(container.container_id, None)
        self.all.pop(container.container_id, None)

    def members(self, container: Container) -> list[tree.Process]:
        """Return the processes of the container's tree, for where no cgroup knows them."""
        if container.is_group:
            return []
        root = tree.Root(container.container_id, container.pid, container.start_time)
        others = {
            one.pid
            for one in [*self.by_pid.values(), *self.ending.values()]
            if one is not container
        }
        return self._processes.members(root, others, adopt=not others)

    def rows(self) -> list[Message]:
        """Return what the agent is told of each that has started, running or exited."""
        return [row_of(one) for one in self.all.values() if one.state != STARTING]


def row_of(container: Container) -> Message:
    """Return what the agent is told of a container."""
    if container.state == EXITED:
        return (container.exit or {}) | {"exited": True}
    return {
        "container_id": container.container_id,
        "pid": container.pid,
        "start_time": container.start_time,
        "exited": False,
        "namespaces": {
            kind: groups.path_of(fd) for kind, fd in (container.namespaces or {}).items()
        },
    }
