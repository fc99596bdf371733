"""Ends containers: kills what is left of a tree until it is gone, then notes the exit and releases all it had."""

from __future__ import annotations

import os
import sys
import time

from . import tree
from .container import ENDING, EXITED, RUNNING, STARTING, Container, nobody

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroups import Cgroup
    from .frames import Message
    from .loop import Loop
    from .output import Stream
    from .population import Population
    from .records import Records

CLEANUP_S = 15.0  # for a killed tree to be gone; longer only in uninterruptible sleep
LINGERING_RETRY_S = 1.0
LINGERING_MAX = 10_000


class Ending:
    """What ends of a population. `tell` gets each exit, after it was written to disk."""

    def __init__(
        self,
        loop: Loop,
        population: Population,
        records: Records,
        tell: Callable[[Message], None],
    ) -> None:
        self._loop = loop
        self._population = population
        self._records = records
        self._tell = tell
        self.lingering: list[Cgroup] = []
        self._lingering_at = 0.0

    def kill(self, container: Container) -> bool:
        """Kill all processes of the container and of those in it; return whether none was left."""
        population = self._population
        children = [one for one in population.alive() if one.parent == container.container_id]
        for one in children:
            self.kill(one)
        if container.is_group and container.state in (STARTING, RUNNING):
            self.close_maker(container)
            self.begin(container, 0)
            return False
        if container.cgroup is not None:
            container.cgroup.kill()
            return False
        ending = any(one.parent == container.container_id for one in population.ending.values())
        return tree.kill_all(lambda: population.members(container)) and not children and not ending

    def begin(self, container: Container, wait_status: int) -> None:
        """The main process has ended so; the container follows."""
        population = self._population
        population.groups.pop(container.container_id, None)
        population.unreached.pop(container.container_id, None)
        self.close_error_pipe(container)
        container.wait_status = wait_status
        container.state = ENDING
        container.gone_by = time.monotonic() + CLEANUP_S
        population.ending[container.container_id] = container
        self.go_on(container)

    def go_on(self, container: Container) -> None:
        """Kill what is left, and let the container exit when nothing is, or when it takes too long."""
        cgroup = container.cgroup
        late = time.monotonic() >= container.gone_by
        if cgroup is None:
            if not self.kill(container) and not late:
                return
        else:
            container.oom = container.oom or cgroup.oom_kills() > 0  # in v2 gone with the directory
            container.mem_peak_bytes = max(container.mem_peak_bytes, cgroup.mem_peak_bytes())
            if not cgroup.empty():
                self.kill(container)
                if not late:
                    return
        self._exit(container, late=late)

    def _exit(self, container: Container, *, late: bool) -> None:
        del self._population.ending[container.container_id]
        if container.fault is not None:
            reply, container.reply = container.reply, nobody
            self.drop(container)
            reply(container.fault)
            return
        for stream in container.streams:
            stream.drain()
        container.exit = _exit_of(container, late=late)
        container.state = EXITED
        self.release(container)
        try:
            self._records.save(container.container_id, container.exit)
        except OSError as error:  # a full disk: the exit is kept in memory, and told all the same
            print(
                f"exit_not_written container={container.container_id} cause={error}",
                file=sys.stderr,
            )
        self._tell({"event": "exited"} | container.exit)

    def drop(self, container: Container) -> None:
        """Nothing is left of a container that failed to start."""
        self._population.drop(container)
        self.release(container)

    def release(self, container: Container) -> None:
        """Close and remove all that the container had."""
        for stream in container.streams:
            self.close_stream(stream)
        container.streams.clear()
        if container.terminal is not None:
            container.terminal.close()
            container.terminal = None
        if container.console is not None:
            container.console.close()
            container.console = None
        for fd in (container.namespaces or {}).values():
            os.close(fd)
        container.namespaces = None
        if container.oci is not None:
            container.oci.remove()
        if container.cgroup is not None:
            if container.cgroup.oom_fd >= 0:
                self._loop.unwatch(container.cgroup.oom_fd)
            if not container.cgroup.remove() and len(self.lingering) < LINGERING_MAX:
                self.lingering.append(container.cgroup)
            container.cgroup = None

    def remove_lingering(self) -> None:
        """Try again to remove the cgroups that could not be, now and then."""
        now = time.monotonic()
        if not self.lingering or now < self._lingering_at:
            return
        self._lingering_at = now + LINGERING_RETRY_S
        for cgroup in list(self.lingering):
            cgroup.kill()
            if cgroup.remove():
                self.lingering.remove(cgroup)

    # Descriptors

    def close_stream(self, stream: Stream) -> None:
        """Read nothing more of it."""
        if stream.read_fd >= 0:
            self._loop.unwatch(stream.read_fd)
        stream.close()

    def close_error_pipe(self, container: Container) -> None:
        """It has told what it can."""
        if container.error_fd >= 0:
            self._loop.unwatch(container.error_fd)
            os.close(container.error_fd)
            container.error_fd = -1

    def close_maker(self, container: Container) -> None:
        """Nobody waits for a group's namespaces any more."""
        if container.maker is not None:
            self._loop.unwatch(container.maker.socket.fileno())
            container.maker = None


def _exit_of(container: Container, *, late: bool) -> Message:
    lost_bytes = sum(stream.lost_bytes for stream in container.streams)
    texts = [f"{lost_bytes} bytes of output could not be written"] if lost_bytes else []
    if late:
        texts.append(f"processes were left {CLEANUP_S:.0f} s after they were killed")
    cgroup = container.cgroup
    return {
        "container_id": container.container_id,
        "pid": container.pid,
        "start_time": container.start_time,
        "wait_status": container.wait_status,
        "oom": container.oom,
        "mem_limit_bytes": cgroup.mem_limit_bytes if cgroup is not None else 0,
        "mem_peak_bytes": container.mem_peak_bytes,
        "text": "; ".join(texts),
    }
