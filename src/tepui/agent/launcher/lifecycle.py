"""What happens to a container from its request until its exit is forgotten.

    starting ──program reached──▶ running ──main process ended──▶ ending ──tree gone──▶ exited ──▶ forgotten
        └──failed: the request is answered with the fault, and nothing is left

A container of an OCI runtime starts in two steps (`oci.py`): the runtime ends when the container is created,
and then its first process, which becomes the program. A group has no process: it runs until it is destroyed.

When the main process ends, what is left of its tree is killed, as Mesos does. Only when the tree is gone (or
CLEANUP_S is over) is the pipe drained, the exit written to disk, and the agent told: one exit, and final.

Here is the order of all that. What is done on the way is in rooms of its own: `starting.py` makes what a container
needs and its first process, `running.py` does what is asked of one that runs, `reaping.py` learns which processes
have ended, `ending.py` clears away what is left, and `population.py` knows which containers there are.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from . import running, spawn, tree
from .container import ENDING, EXITED, RUNNING, STARTING, Container, nobody
from .ending import LINGERING_RETRY_S, Ending
from .population import Population, row_of
from .reaping import Reaper
from .request import Fault
from .starting import Starter

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroups import Cgroups
    from .container import Reply
    from .frames import Message
    from .limits import Limits
    from .loop import Loop
    from .oci import Oci
    from .output import Stream
    from .records import Records
    from .request import Launch
    from .rooms import Rooms

CONTAINERS_MAX = 10_000  # running at one time on one machine
RETRY_S = 0.003  # between two looks at a killed tree
IDLE_RETRY_S = 60.0

DOOMED_TEXT = "it was killed before it began"
NO_MEMORY_TEXT = "its memory limit is too small for it to begin"
NOT_EXECUTED_TEXT = (
    "the kernel does not execute it: it is no program of this machine, or its interpreter is not there;"
    " the runtime's words are in the container's error output"
)


class Lifecycle:
    """All containers of one agent. `tell` gets each exit, after it was written to disk."""

    def __init__(
        self,
        loop: Loop,
        cgroups: Cgroups | None,
        processes: tree.Tree,
        records: Records,
        tell: Callable[[Message], None],
        directory: str = "",
        rooms: Rooms | None = None,
    ) -> None:
        self.loop = loop
        self.population = Population(processes)
        self.starter = Starter(cgroups, processes, directory, rooms)
        self.ending = Ending(loop, self.population, records, tell)
        self._records = records
        self._reaper = Reaper()
        for container_id, record in records.load().items():
            container = Container(container_id, "")
            container.state = EXITED
            container.exit = record
            self.population.all[container_id] = container
        loop.on_signal(signal.SIGCHLD, self.reap)

    def children_get_oom_score(self, value: str) -> None:
        """Give `value` back to each child where the launcher itself is spared by the OOM killer."""
        self.starter.oom_score_adj = value

    @property
    def alive(self) -> int:
        """How many containers have not exited."""
        return self.population.count

    # Starting

    def launch(self, asked: Launch, reply: Reply) -> None:
        """Start a container; `reply` is called when its program was reached. Raises Fault.

        The descriptors in `asked.stdio` are the caller's to close.
        """
        known = self.population.all.get(asked.container_id)
        if known is not None and asked.again:
            self._answer_again(known, reply)
            return
        if known is not None:
            raise Fault("launch", f"'{asked.container_id}'", "there is a container of this id")
        if self.alive >= CONTAINERS_MAX:
            raise Fault("launch", f"'{asked.container_id}'", f"{CONTAINERS_MAX} containers run")
        container = Container(asked.container_id, asked.parent)
        container.reply = reply
        container.is_bound = asked.is_bound
        start = self.starter.start if asked.program else self.starter.start_group
        try:
            parent = self.population.living(asked.parent) if asked.parent else None
            start(container, asked, parent)
        except BaseException:
            self.ending.release(container)
            raise
        self.population.all[asked.container_id] = container
        if container.cgroup is not None and container.cgroup.oom_fd >= 0:
            self.loop.watch(container.cgroup.oom_fd, partial(self._out_of_memory, container))
        if container.is_group:
            self._await_namespaces(container)
        else:
            self._await_program(container)

    def _answer_again(self, container: Container, reply: Reply) -> None:
        """The connection broke before the agent had its answer; the launch itself happened once."""
        if container.state == STARTING:
            container.reply = reply
            container.is_unwanted = False
        else:
            reply(row_of(container) | {"notes": container.notes})

    def _await_namespaces(self, container: Container) -> None:
        self.population.groups[container.container_id] = container
        if container.maker is not None:
            self.loop.watch(container.maker.socket.fileno(), partial(self._made, container))
        else:
            self._reached(container)

    def _made(self, container: Container) -> None:
        """The namespaces of a group are there, or are not."""
        maker = container.maker
        assert maker is not None, "watched only as long as it is there"
        self.ending.close_maker(container)
        try:
            container.namespaces = maker.result()
        except Fault as fault:
            self._fail(container, fault)
        else:
            self._reached(container)
        finally:
            maker.close()

    def _await_program(self, container: Container) -> None:
        self.population.by_pid[container.pid] = container
        if container.oci is not None:
            self.population.unreached[container.container_id] = container
        self.loop.watch(container.error_fd, partial(self._started, container))
        for stream in container.streams:
            stream.handed_over()
            self.loop.watch(stream.read_fd, partial(self._pump, stream))

    def _started(self, container: Container) -> None:
        fault = spawn.launch_error(container.error_fd, container.subject)
        self.ending.close_error_pipe(container)
        if fault is not None:
            os.waitpid(container.pid, 0)  # it is in its last instructions
            self.ending.drop(container)
            container.reply(fault)
            container.reply = nobody
        elif container.oci is None:
            self._reached(container)
        else:
            self._look_for_program(container)

    def _reached(self, container: Container) -> None:
        if container.is_unwanted:
            self._fail(container, Fault("launch", f"'{container.container_id}'", "nobody wants it"))
            return
        container.state = RUNNING
        self.population.unreached.pop(container.container_id, None)
        container.reply(row_of(container) | {"notes": container.notes})
        container.reply = nobody
        if container.is_doomed:  # the kill may have come between two of its processes
            self.ending.kill(container)

    def _look_for_program(self, container: Container) -> None:
        """The error pipe of a runtime closed: the program was reached, or something has ended, or will soon."""
        if container.is_created and container.error_fd < 0:
            process = tree.read_process(container.pid)
            if process is not None and process.executed and not process.ended:
                self._reached(container)

    def _created(self, container: Container, wait_status: int) -> None:
        """The runtime has ended: the container is there and waits, or the runtime's log says why not."""
        oci = container.oci
        assert oci is not None, "only what a runtime starts is created"
        del self.population.by_pid[container.pid]
        if wait_status != 0:
            self._fail(container, _not_created(container, oci, wait_status))
            return
        try:
            container.pid = oci.pid()
            container.is_created = True
            container.start_time = tree.start_time_of(container.pid)
            self.population.by_pid[container.pid] = container
            if container.is_doomed:
                raise Fault("start", f"'{container.subject}'", DOOMED_TEXT)
            self._take_terminal(container)
            if container.cgroup is not None and container.late_limits is not None:
                container.notes += container.cgroup.limit(container.late_limits)
            fd = -1 if oci.is_session else oci.start()
            if fd >= 0:
                self.loop.watch(fd, partial(self._let_go, fd))
        except Fault as fault:
            self.population.by_pid.pop(container.pid, None)
            self._fail(container, fault)
            return
        ended = self._reaper.taken(container.pid)
        if ended is not None:
            self._main_ended(container, *ended)
        elif container.error_fd < 0:
            self._look_for_program(container)

    def _let_go(self, fd: int) -> None:
        """runc's container has written to its FIFO."""
        os.read(fd, 1)
        self.loop.unwatch(fd)
        os.close(fd)

    def _take_terminal(self, container: Container) -> None:
        if container.console is None:
            return
        container.terminal, container.streams = container.console.take()
        container.console.close()
        container.console = None
        for stream in container.streams:
            self.loop.watch(stream.read_fd, partial(self._pump, stream))

    def _fail(self, container: Container, fault: Fault) -> None:
        """What there is of the container is ended, and then the request is answered with `fault`."""
        container.fault = fault
        self.ending.begin(container, 0)

    def disown(self) -> None:
        """Another agent connected, which knows nothing of what is just starting: that ends at once."""
        for container in self.population.all.values():
            container.is_unwanted = container.is_unwanted or container.state == STARTING

    # Running

    def _pump(self, stream: Stream) -> None:
        if stream.pump() == 0:
            self.ending.close_stream(stream)

    def _out_of_memory(self, container: Container) -> None:
        if container.cgroup is None:
            return
        os.read(container.cgroup.oom_fd, 8)
        if container.parent and not container.cgroup.reached_mem_limit():
            return  # the memory of the container around it is used up: that one ends, and all in it
        if container.state in (STARTING, RUNNING):
            container.oom = True  # Mesos ends it whole, whichever process the kernel chose
            self.ending.kill(container)

    def signal(self, container_id: str, number: int) -> None:
        """Send signal `number` to every process of the container. Raises Fault."""
        container = self.population.known(container_id)
        if number == signal.SIGKILL:
            self.destroy(container_id)
        elif container.state != EXITED:
            running.send(self.population, container, number)

    def terminal(self, container_id: str) -> int:
        """Return the descriptor of the side on which one types; it stays the container's. Raises Fault."""
        return running.terminal_of(self.population.living(container_id))

    def bound_terminal(self, container_id: str) -> int:
        """Return the same where only the agent reads it; -1 where there is no such."""
        container = self.population.all.get(container_id)
        if container is None or not container.is_bound or container.terminal is None:
            return -1
        return container.terminal.master_fd

    def update(self, container_id: str, asked: Limits) -> Message:
        """Set new limits; the answer's notes tell which stayed as they were. Raises Fault."""
        return running.update(self.population.living(container_id), asked)

    def usage(self, container_id: str) -> Message:
        """Return what the container uses now. Raises Fault."""
        return running.usage(self.population, self.population.living(container_id))

    def rows(self) -> list[Message]:
        """Return every container that has started, running or exited."""
        return self.population.rows()

    # Ending

    def destroy(self, container_id: str) -> None:
        """Kill every process of the container and of the containers in it; their exits follow."""
        container = self.population.known(container_id)
        if container.state in (STARTING, RUNNING):
            container.is_doomed = True
            self.ending.kill(container)

    def destroy_all(self) -> None:
        """Kill every container."""
        for container in self.population.alive():
            self.ending.kill(container)

    def agent_left(self) -> None:
        """Whose streams the agent alone has, ends with it."""
        for container in self.population.alive():
            if container.is_bound and container.state in (STARTING, RUNNING):
                self.ending.kill(container)

    def reap(self) -> None:
        """Take note of all processes that have ended: main processes, and orphans of any container."""
        unreached = self.population.unreached
        while True:
            ended = self._reaper.next_ended(looks=bool(unreached))
            if ended is None:
                break
            pid, status, executed = ended
            container = self.population.by_pid.get(pid)
            if container is not None and container.oci is not None and not container.is_created:
                self.loop.call(partial(self._created, container, status))
            elif container is not None:
                self.loop.call(partial(self._main_ended, container, status, executed))
            elif unreached:
                self._reaper.keep(pid, status, executed=executed)
            else:
                self._reaper.forget()

    def _main_ended(self, container: Container, wait_status: int, executed: bool = True) -> None:
        self.population.by_pid.pop(container.pid, None)
        if container.state == ENDING:  # it failed, and this was its last process
            self.ending.go_on(container)
            return
        if container.state == STARTING and container.oci is not None:
            if not executed:
                self._fail(container, _not_executed(container, wait_status))
                return
            self._reached(container)
            if container.state == ENDING:  # nobody wants it any more
                return
        elif container.state == STARTING:
            fault = spawn.launch_error(container.error_fd, container.subject)
            self.ending.close_error_pipe(container)
            reply, container.reply = container.reply, nobody
            if fault is not None:
                self.ending.drop(container)
                reply(fault)
                return
            reply(row_of(container) | {"notes": container.notes})
        self.ending.begin(container, wait_status)

    def forget(self, container_id: str) -> None:
        """The agent has taken note of the exit: nothing of the container is left, here or on disk."""
        container = self.population.all.get(container_id)
        if container is None:
            return
        if container.state != EXITED:
            raise Fault("forget", f"'{container_id}'", "it has not exited")
        self._records.forget(container_id)
        del self.population.all[container_id]

    def look_again(self) -> float:
        """See to what has not gone yet; return in how many seconds to do so again."""
        population = self.population
        for container in list(population.ending.values()):
            self.loop.call(partial(self.ending.go_on, container))
        self.ending.remove_lingering()
        for container in list(population.unreached.values()):
            self._look_for_program(container)
        if population.ending or any(one.is_created for one in population.unreached.values()):
            return RETRY_S
        return LINGERING_RETRY_S if self.ending.lingering else IDLE_RETRY_S


def _not_created(container: Container, oci: Oci, wait_status: int) -> Fault:
    """Return why the runtime made no container, or why there was no runtime at all.

    The end of the child that was to become it may be heard of before what it has written.
    """
    if container.is_doomed:
        return Fault("start", f"'{container.subject}'", DOOMED_TEXT)
    try:
        fault = spawn.launch_error(container.error_fd, container.subject)
    except OSError:  # nothing was written, or all of it is read
        fault = None
    cause = NO_MEMORY_TEXT if container.oom else oci.error(wait_status)
    return fault or Fault("start", f"'{container.subject}'", cause)


def _not_executed(container: Container, wait_status: int) -> Fault:
    """Return why a container's first process never became the program."""
    cause = NOT_EXECUTED_TEXT
    if os.WIFSIGNALED(wait_status):
        cause = f"it was killed by signal {os.WTERMSIG(wait_status)} before it began"
    if container.oom:
        cause = NO_MEMORY_TEXT
    if container.is_doomed:
        cause = DOOMED_TEXT
    return Fault("start", f"'{container.subject}'", cause)
