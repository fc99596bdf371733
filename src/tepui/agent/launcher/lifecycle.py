"""What happens to a container from its request until its exit is forgotten.

    starting ──program reached──▶ running ──main process ended──▶ ending ──tree gone──▶ exited ──▶ forgotten
        └──failed: the request is answered with the fault, and nothing is left

When the main process ends, what is left of its tree is killed, as Mesos does. Only when the tree is gone (or
CLEANUP_S is over) is the pipe drained, the exit written to disk, and the agent told: one exit, and final.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial

from . import spawn, tree
from .cgroups import Cgroup, Cgroups
from .frames import Message
from .loop import Loop
from .output import Stream
from .records import Records
from .request import Fault, Launch

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    Reply = Callable[[Message | Fault], None]

CONTAINERS_MAX = 10_000  # running at one time on one machine
CLEANUP_S = 15.0  # for a killed tree to be gone; longer only in uninterruptible sleep
RETRY_S = 0.003  # between two looks at a killed tree
LINGERING_RETRY_S = 1.0
LINGERING_MAX = 10_000

STARTING, RUNNING, ENDING, EXITED = "starting", "running", "ending", "exited"


class Container:
    """One container; the fields are set as its life goes on."""

    def __init__(self, container_id: str, parent: str) -> None:
        self.container_id = container_id
        self.parent = parent
        self.state = STARTING
        self.cgroup: Cgroup | None = None
        self.streams: list[Stream] = []
        self.subject = ""
        self.reply: Reply = _nobody
        self.pid = 0
        self.start_time = 0
        self.error_fd = -1
        self.cpus_milli = 0
        self.mem_bytes = 0
        self.notes: list[str] = []
        self.wait_status = 0
        self.oom = False
        self.mem_peak_bytes = 0
        self.gone_by = 0.0
        self.exit: Message = {}


class Lifecycle:
    """All containers of one agent. `tell` gets each exit, after it was written to disk."""

    def __init__(
        self,
        loop: Loop,
        cgroups: Cgroups | None,
        processes: tree.Tree,
        records: Records,
        tell: Callable[[Message], None],
    ) -> None:
        self.loop = loop
        self.cgroups = cgroups
        self.processes = processes
        self.records = records
        self.tell = tell
        self.containers: dict[str, Container] = {}
        self.ending: dict[str, Container] = {}
        self.lingering: list[Cgroup] = []
        self._by_pid: dict[int, Container] = {}
        self._lingering_at = 0.0
        self._null_fd = os.open("/dev/null", os.O_RDWR)
        self._oom_score_adj = ""
        self._may_raise_limits = _has_capability(24)  # CAP_SYS_RESOURCE
        for container_id, record in records.load().items():
            container = Container(container_id, "")
            container.state = EXITED
            container.exit = record
            self.containers[container_id] = container
        loop.on_signal(signal.SIGCHLD, self.reap)

    def children_get_oom_score(self, value: str) -> None:
        """Give `value` back to each child where the launcher itself is spared by the OOM killer."""
        self._oom_score_adj = value

    @property
    def alive(self) -> int:
        """How many containers have not exited."""
        return len(self._by_pid) + len(self.ending)

    # Starting

    def launch(self, asked: Launch, reply: Reply) -> None:
        """Start a container; `reply` is called when its program was reached. Raises Fault."""
        known = self.containers.get(asked.container_id)
        if known is not None and asked.again:
            self._answer_again(known, reply)
            return
        if known is not None:
            raise Fault("launch", f"'{asked.container_id}'", "there is a container of this id")
        if self.alive >= CONTAINERS_MAX:
            raise Fault("launch", f"'{asked.container_id}'", f"{CONTAINERS_MAX} containers run")
        container = Container(asked.container_id, asked.parent)
        container.reply = reply
        try:
            self._prepare(container, asked)
        except BaseException:
            self._release(container)
            raise
        self.containers[asked.container_id] = container
        self._by_pid[container.pid] = container
        self.loop.watch(container.error_fd, partial(self._started, container))
        for stream in container.streams:
            stream.handed_over()
            self.loop.watch(stream.read_fd, partial(self._pump, stream))
        if container.cgroup is not None and container.cgroup.oom_fd >= 0:
            self.loop.watch(container.cgroup.oom_fd, partial(self._out_of_memory, container))

    def _answer_again(self, container: Container, reply: Reply) -> None:
        """The connection broke before the agent had its answer; the launch itself happened once."""
        if container.state == STARTING:
            container.reply = reply
        else:
            reply(self._row(container) | {"notes": container.notes})

    def _prepare(self, container: Container, asked: Launch) -> None:
        parent = self._living(asked.parent) if asked.parent else None
        plan = spawn.Plan()
        plan.rlimits, container.notes = spawn.affordable_rlimits(
            asked.rlimits, may_raise=self._may_raise_limits
        )
        plan.program, plan.argv = asked.program, asked.argv
        plan.environment = asked.environment
        plan.environment[tree.MARK] = self.processes.mark(asked.container_id)
        plan.uid, plan.gid, plan.groups = asked.uid, asked.gid, asked.groups
        plan.umask = asked.umask
        plan.oom_score_adj = self._oom_score_adj
        plan.tasks_files = []
        plan.cgroup_fd = -1
        plan.stdin_fd = plan.stdout_fd = plan.stderr_fd = self._null_fd
        container.subject = asked.program
        container.cpus_milli, container.mem_bytes = asked.cpus_milli, asked.mem_bytes
        try:
            plan.directory_fd = os.open(
                asked.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            )
        except OSError as error:
            cause = spawn.describe(error)
            raise Fault("enter the working directory", f"'{asked.directory}'", cause) from None
        try:
            for name in (asked.stdout, asked.stderr):
                if name:
                    stream = Stream(
                        os.dup(plan.directory_fd),
                        name,
                        asked.output_bytes_max,
                        asked.uid,
                        asked.gid,
                    )
                    container.streams.append(stream)
            streams = iter(container.streams)
            plan.stdout_fd = next(streams).write_fd if asked.stdout else self._null_fd
            plan.stderr_fd = next(streams).write_fd if asked.stderr else self._null_fd
            if self.cgroups is not None:
                cgroup = self.cgroups.create(
                    asked.container_id, parent.cgroup if parent is not None else None
                )
                container.cgroup = cgroup
                container.notes += cgroup.limit(asked.cpus_milli, asked.mem_bytes)
                cgroup.watch_oom()
                plan.tasks_files = cgroup.tasks_files()
                if cgroup.unified:
                    plan.cgroup_fd = os.open(cgroup.unified, os.O_RDONLY | os.O_CLOEXEC)
            container.pid, container.error_fd = spawn.spawn(plan)
            container.start_time = tree.start_time_of(container.pid)
        finally:
            os.close(plan.directory_fd)
            if plan.cgroup_fd >= 0:
                os.close(plan.cgroup_fd)

    def _started(self, container: Container) -> None:
        fault = spawn.launch_error(container.error_fd, container.subject)
        self.loop.unwatch(container.error_fd)
        os.close(container.error_fd)
        container.error_fd = -1
        if fault is None:
            container.state = RUNNING
            container.reply(self._row(container) | {"notes": container.notes})
        else:
            os.waitpid(container.pid, 0)  # it is in its last instructions
            self._drop(container)
            container.reply(fault)
        container.reply = _nobody

    def _drop(self, container: Container) -> None:
        self._by_pid.pop(container.pid, None)
        self.containers.pop(container.container_id, None)
        self._release(container)

    def _release(self, container: Container) -> None:
        for stream in container.streams:
            self._close_stream(stream)
        container.streams.clear()
        if container.cgroup is not None:
            if container.cgroup.oom_fd >= 0:
                self.loop.unwatch(container.cgroup.oom_fd)
            if not container.cgroup.remove() and len(self.lingering) < LINGERING_MAX:
                self.lingering.append(container.cgroup)
            container.cgroup = None

    # Running

    def _pump(self, stream: Stream) -> None:
        if stream.pump() == 0:
            self._close_stream(stream)

    def _close_stream(self, stream: Stream) -> None:
        if stream.read_fd >= 0:
            self.loop.unwatch(stream.read_fd)
        stream.close()

    def _out_of_memory(self, container: Container) -> None:
        if container.cgroup is None:
            return
        os.read(container.cgroup.oom_fd, 8)
        if container.state in (STARTING, RUNNING):
            container.oom = (
                True  # Mesos ends the whole container, whichever process the kernel chose
            )
            self._kill(container)

    def signal(self, container_id: str, number: int) -> None:
        """Send signal `number` to every process of the container."""
        container = self._known(container_id)
        if container.state == EXITED:
            return
        if number == signal.SIGKILL:
            self.destroy(container_id)
            return
        try:
            if container.cgroup is not None:
                for pid in container.cgroup.pids():
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        continue
            else:
                tree.send(self._members(container), number)
        except (OSError, ValueError) as error:
            raise Fault(f"send signal {number} to", f"'{container_id}'", str(error)) from None

    def destroy(self, container_id: str) -> None:
        """Kill every process of the container and of the containers in it; their exits follow."""
        container = self._known(container_id)
        if container.state in (STARTING, RUNNING):
            self._kill(container)

    def _kill(self, container: Container) -> bool:
        for other in list(self._by_pid.values()):
            if other.parent == container.container_id:
                self._kill(other)
        if container.cgroup is not None:
            container.cgroup.kill()
            return False
        return tree.kill_all(lambda: self._members(container))

    def _members(self, container: Container) -> list[tree.Process]:
        root = tree.Root(container.container_id, container.pid, container.start_time)
        others = {
            one.pid
            for one in [*self._by_pid.values(), *self.ending.values()]
            if one is not container
        }
        return self.processes.members(root, others, adopt=not others)

    def update(self, container_id: str, cpus_milli: int, mem_bytes: int) -> Message:
        """Set new limits; the answer's notes tell which stayed as they were."""
        container = self._living(container_id)
        container.cpus_milli = cpus_milli or container.cpus_milli
        container.mem_bytes = mem_bytes or container.mem_bytes
        notes = (
            container.cgroup.limit(cpus_milli, mem_bytes) if container.cgroup is not None else []
        )
        return {"notes": notes}

    def usage(self, container_id: str) -> Message:
        """Return what the container uses now."""
        container = self._living(container_id)
        cgroup = container.cgroup
        cpu = cgroup.cpu_seconds() if cgroup is not None else None
        rss = cgroup.rss_bytes() if cgroup is not None else None
        if cgroup is not None and cpu is not None and rss is not None:
            processes, threads = len(cgroup.pids()), cgroup.threads()
        else:
            members = self._members(container)
            processes, threads = len(members), sum(one.threads for one in members)
            if cpu is None:
                user = sum(one.user_ticks for one in members)
                system = sum(one.system_ticks for one in members)
                cpu = user / tree.CLOCK_TICKS, system / tree.CLOCK_TICKS
            if rss is None:
                rss = sum(one.rss_bytes for one in members)
        limit = cgroup.mem_limit_bytes if cgroup is not None else 0
        return {
            "cpu_user_ms": round(cpu[0] * 1000),
            "cpu_system_ms": round(cpu[1] * 1000),
            "mem_rss_bytes": rss,
            "processes": processes,
            "threads": threads,
            "cpus_limit_milli": container.cpus_milli,
            "mem_limit_bytes": limit or container.mem_bytes,
        }

    # Ending

    def reap(self) -> None:
        """Take note of all processes that have ended: main processes, and orphans of any container."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            container = self._by_pid.get(pid)
            if container is not None:
                self.loop.call(partial(self._main_ended, container, status))

    def _main_ended(self, container: Container, wait_status: int) -> None:
        del self._by_pid[container.pid]
        if container.state == STARTING:
            fault = spawn.launch_error(container.error_fd, container.subject)
            self.loop.unwatch(container.error_fd)
            os.close(container.error_fd)
            container.error_fd = -1
            if fault is not None:
                self._drop(container)
                container.reply(fault)
                return
            container.reply(self._row(container) | {"notes": container.notes})
            container.reply = _nobody
        container.wait_status = wait_status
        container.state = ENDING
        container.gone_by = time.monotonic() + CLEANUP_S
        self.ending[container.container_id] = container
        self._end(container)

    def _end(self, container: Container) -> None:
        cgroup = container.cgroup
        late = time.monotonic() >= container.gone_by
        if cgroup is None:
            if not self._kill(container) and not late:
                return
        else:
            container.oom = container.oom or cgroup.oom_kills() > 0  # in v2 gone with the directory
            container.mem_peak_bytes = max(container.mem_peak_bytes, cgroup.mem_peak_bytes())
            if not cgroup.empty():
                self._kill(container)
                if not late:
                    return
        self._exit(container, late=late)

    def _exit(self, container: Container, *, late: bool) -> None:
        del self.ending[container.container_id]
        for stream in container.streams:
            stream.drain()
        lost_bytes = sum(stream.lost_bytes for stream in container.streams)
        texts = [f"{lost_bytes} bytes of output could not be written"] if lost_bytes else []
        if late:
            texts.append(f"processes were left {CLEANUP_S:.0f} s after they were killed")
        container.exit = {
            "container_id": container.container_id,
            "pid": container.pid,
            "start_time": container.start_time,
            "wait_status": container.wait_status,
            "oom": container.oom,
            "mem_limit_bytes": container.cgroup.mem_limit_bytes
            if container.cgroup is not None
            else 0,
            "mem_peak_bytes": container.mem_peak_bytes,
            "text": "; ".join(texts),
        }
        container.state = EXITED
        self._release(container)
        try:
            self.records.save(container.container_id, container.exit)
        except OSError as error:  # a full disk: the exit is kept in memory, and told all the same
            print(
                f"exit_not_written container={container.container_id} cause={error}",
                file=sys.stderr,
            )
        self.tell({"event": "exited"} | container.exit)

    def forget(self, container_id: str) -> None:
        """The agent has taken note of the exit: nothing of the container is left, here or on disk."""
        container = self.containers.get(container_id)
        if container is None:
            return
        if container.state != EXITED:
            raise Fault("forget", f"'{container_id}'", "it has not exited")
        self.records.forget(container_id)
        del self.containers[container_id]

    def destroy_all(self) -> None:
        """Kill every container."""
        for container in list(self._by_pid.values()):
            self._kill(container)

    def look_again(self) -> float:
        """See to what has not gone yet; return in how many seconds to do so again."""
        for container in list(self.ending.values()):
            self.loop.call(partial(self._end, container))
        now = time.monotonic()
        if self.lingering and now >= self._lingering_at:
            self._lingering_at = now + LINGERING_RETRY_S
            for cgroup in list(self.lingering):
                cgroup.kill()
                if cgroup.remove():
                    self.lingering.remove(cgroup)
        if self.ending:
            return RETRY_S
        return LINGERING_RETRY_S

    def rows(self) -> list[Message]:
        """Return every container that has started, running or exited."""
        return [self._row(one) for one in self.containers.values() if one.state != STARTING]

    def _row(self, container: Container) -> Message:
        if container.state == EXITED:
            return container.exit | {"exited": True}
        return {
            "container_id": container.container_id,
            "pid": container.pid,
            "start_time": container.start_time,
            "exited": False,
        }

    def _known(self, container_id: str) -> Container:
        container = self.containers.get(container_id)
        if container is None:
            raise Fault("find", f"'{container_id}'", "there is no such container")
        return container

    def _living(self, container_id: str) -> Container:
        container = self._known(container_id)
        if container.state == EXITED:
            raise Fault("find", f"'{container_id}'", "the container has exited")
        return container


def _nobody(_: Message | Fault) -> None:
    """The reply of a container whose request was answered."""


def _has_capability(number: int) -> bool:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False
