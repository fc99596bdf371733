"""Decides for `tepui run`: which task goes on which offer, what an update means, the exit code.

A job is a list of commands, each to be run once. A command is waiting, then placed, then ended.
"""

from __future__ import annotations

import re
import signal
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field, structs

from tepui.base.errors import Refused
from tepui.resources import Ranges, Resources
from tepui.resources.scalars import from_milli
from tepui.resources.text import format_value
from tepui.sdk.tasks import Room, command, command_task, is_terminal, resources
from tepui.wire import mesos
from tepui.wire.mesos import TaskState

EXIT_NOT_RUN = 125  # the task could not be started, or nobody knows how it ended
EXIT_NOT_EXECUTABLE = 126  # these two as shells have them
EXIT_NOT_FOUND = 127
EXIT_SIGNALLED = 128  # and the number of the signal, as shells have it
LAUNCHED_PER_CALL_MAX = 1_000
INSTANCE_VARIABLE = "TEPUI_INSTANCE"  # tells a task which of the job's it is, from 1

_EXITED = re.compile(r"[Cc]ommand exited with status (\d+)")
_SIGNALLED = re.compile(r"[Cc]ommand terminated with signal (.+?)(?: \(core dumped\))?")
# In brackets as the launcher says it; or in the words of crun, of runc, and for a foreign format.
_NOT_STARTED = re.compile(
    r"Failed to launch container: start .*"
    r"(?:\((E[A-Z]+)\)|(executable file .*not found|open executable|kernel does not execute it))"
)
_NOT_STARTED_CODES = {
    "ENOENT": EXIT_NOT_FOUND,
    "EACCES": EXIT_NOT_EXECUTABLE,
    "ENOEXEC": EXIT_NOT_EXECUTABLE,
    "open executable": EXIT_NOT_EXECUTABLE,
    "kernel does not execute it": EXIT_NOT_EXECUTABLE,
}
_SIGNALS = {signal.strsignal(number): number for number in signal.valid_signals()}

Line = str | tuple[str, ...]  # for the shell, or a program and its arguments; (): the image's own


class Shape(Struct, frozen=True, kw_only=True):
    """What every task of the job is like."""

    cpus: float = 0.1
    mem_mib: float = 32
    disk_mib: float = 0
    gpus: float = 0
    env: Mapping[str, str] = field(default_factory=dict)
    uris: tuple[str, ...] = ()
    user: str | None = None
    constraints: tuple[tuple[str, str], ...] = ()  # attribute (or `hostname`) and its value
    container: mesos.ContainerInfo | None = None
    entrypoint: bool = False  # the words follow the entrypoint of the image
    ports: tuple[int, ...] = ()  # of the machine, that are mapped into the container


class Placed(Struct, frozen=True):
    """Tasks for one offer; without tasks it is declined."""

    offer: mesos.Offer
    tasks: tuple[mesos.TaskInfo, ...]


class Piece(Struct):
    """One command of the job."""

    index: int
    task_id: str
    line: Line
    state: TaskState | None = None  # None: it waits for an offer
    agent_id: str | None = None
    exit_code: int | None = None  # None: it has not ended
    why: str = ""  # in one line, when the exit code does not say all

    @property
    def is_running(self) -> bool:
        """Whether its command has begun and not ended."""
        return self.exit_code is None and self.state in RUNNING


RUNNING = (TaskState.TASK_RUNNING, TaskState.TASK_KILLING, TaskState.TASK_UNREACHABLE)


class Job:
    """The commands, and how far each is."""

    def __init__(self, name: str, shape: Shape, lines: Sequence[Line]) -> None:
        """`name` begins the tasks' ids; raises Refused for amounts that cannot be."""
        resources(cpus=shape.cpus, mem_mib=shape.mem_mib, disk_mib=shape.disk_mib, gpus=shape.gpus)
        if shape.cpus <= 0 and shape.mem_mib <= 0:
            raise Refused("a task needs some cpus or mem")
        self.shape = shape
        digits = len(str(len(lines)))
        self.pieces = [
            Piece(index, name if len(lines) == 1 else f"{name}-{index:0{digits}}", line)
            for index, line in enumerate(lines, start=1)
        ]
        self._by_id = {piece.task_id: piece for piece in self.pieces}
        self._waiting = deque(self.pieces)
        self._ended = 0

    @property
    def waiting(self) -> int:
        """Commands that have not been placed."""
        return len(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether every command has ended."""
        return self._ended == len(self.pieces)

    @property
    def ended(self) -> int:
        """Commands that have ended."""
        return self._ended

    @property
    def failed(self) -> int:
        """Commands that have ended with something else than 0."""
        return sum(1 for piece in self.pieces if piece.exit_code)

    @property
    def running(self) -> int:
        """Commands that run now."""
        return sum(1 for piece in self.pieces if piece.is_running)

    def live(self) -> list[Piece]:
        """The commands that were placed and have not ended."""
        return [p for p in self.pieces if p.state is not None and p.exit_code is None]

    def exit_code(self) -> int:
        """0 if every command ended with 0, else the largest exit code."""
        return max((piece.exit_code or 0 for piece in self.pieces), default=0)

    def place(self, offers: Iterable[mesos.Offer]) -> list[Placed]:
        """What to do with each offer: as many tasks as fit on it."""
        return [Placed(offer, self._fill(offer)) for offer in offers]

    def give_up(self) -> None:
        """What waits will not be placed any more."""
        while self._waiting:
            self._end(self._waiting.popleft(), EXIT_NOT_RUN, "was not started")

    def updated(self, status: mesos.TaskStatus) -> Piece | None:
        """Take note of an update; the piece it is about, unless it is not ours or has ended."""
        piece = self._by_id.get(status.task_id.value)
        if piece is None or piece.exit_code is not None or piece.state is None:
            return None
        piece.state = status.state
        if is_terminal(status.state):
            self._end(piece, *how_it_ended(status))
        return piece

    def _end(self, piece: Piece, exit_code: int, why: str) -> None:
        piece.exit_code = exit_code
        piece.why = why
        self._ended += 1

    def _fill(self, offer: mesos.Offer) -> tuple[mesos.TaskInfo, ...]:
        shape = self.shape
        tasks: list[mesos.TaskInfo] = []
        if not self._waiting or not meets(offer, shape.constraints):
            return ()
        room = Room(offer)
        while self._waiting and len(tasks) < LAUNCHED_PER_CALL_MAX:
            using = room.take(
                cpus=shape.cpus,
                mem_mib=shape.mem_mib,
                disk_mib=shape.disk_mib,
                gpus=shape.gpus,
                ports=shape.ports,
            )
            if using is None:
                break
            piece = self._waiting.popleft()
            piece.state = TaskState.TASK_STAGING
            piece.agent_id = offer.agent_id.value
            tasks.append(self._task(piece, offer.agent_id, using))
        return tuple(tasks)

    def _task(
        self, piece: Piece, agent_id: mesos.AgentID, using: tuple[mesos.Resource, ...]
    ) -> mesos.TaskInfo:
        shape = self.shape
        env = {INSTANCE_VARIABLE: str(piece.index), **shape.env}
        words = ("image",) if piece.line == () else piece.line
        info = command(words, env=env, uris=shape.uris, user=shape.user)
        if piece.line == () or (shape.entrypoint and not isinstance(piece.line, str)):
            info = structs.replace(info, value=None, arguments=tuple(piece.line))
        elif _is_docker(shape.container):  # there the arguments do not begin with the program
            info = structs.replace(info, arguments=info.arguments[1:])
        task = command_task(piece.task_id, agent_id, words, using=using, container=shape.container)
        return structs.replace(task, command=info)

    def launch_failed(self, tasks: Iterable[mesos.TaskInfo]) -> None:
        """The offer was void: these tasks wait again."""
        for task in tasks:
            piece = self._by_id[task.task_id.value]
            if piece.exit_code is None:
                piece.state = piece.agent_id = None
                self._waiting.append(piece)


def _is_docker(container: mesos.ContainerInfo | None) -> bool:
    return container is not None and container.type is mesos.ContainerInfo.Type.DOCKER


def how_it_ended(status: mesos.TaskStatus) -> tuple[int, str]:
    """The exit code of a terminal update, and what else there is to say in one line."""
    message = " ".join((status.message or "").split())
    if status.state is TaskState.TASK_FINISHED:
        return 0, ""
    if match := _EXITED.fullmatch(message):
        return int(match[1]) or EXIT_NOT_RUN, ""
    if match := _SIGNALLED.fullmatch(message):
        number = _SIGNALS.get(match[1])
        if number is not None:
            return EXIT_SIGNALLED + number, message
    if status.state is TaskState.TASK_KILLED:
        return EXIT_SIGNALLED + signal.SIGTERM, message or "was killed"
    reason = status.reason.value.removeprefix("REASON_").lower() if status.reason else "no reason"
    state = status.state.value.removeprefix("TASK_")
    code = EXIT_NOT_RUN
    if match := _NOT_STARTED.search(message):
        word = match[1] or match[2]
        is_absent = word.startswith("executable file")
        code = EXIT_NOT_FOUND if is_absent else _NOT_STARTED_CODES.get(word, EXIT_NOT_RUN)
    return code, f"{state}: {message or reason}"


def meets(offer: mesos.Offer, constraints: Iterable[tuple[str, str]]) -> bool:
    """Whether the machine has every attribute with the value asked for."""
    return all(value in _values(offer, name) for name, value in constraints)


def _values(offer: mesos.Offer, name: str) -> set[str]:
    values = {
        one.text.value if one.text else format_value(one)
        for one in offer.attributes
        if one.name == name
    }
    if name == "hostname":
        values.add(offer.hostname)
    return values


def too_large(
    shape: Shape, machines: Sequence[Sequence[mesos.Resource]]
) -> list[tuple[str, float, float]]:
    """What no machine has enough of even when it is empty: name, wanted, the most of any."""
    wanted = {"cpus": shape.cpus, "mem": shape.mem_mib, "disk": shape.disk_mib, "gpus": shape.gpus}
    found: list[tuple[str, float, float]] = []
    for name, amount in wanted.items():
        most = max((_amount(machine, name) for machine in machines), default=0.0)
        if amount > most:
            found.append((name, amount, most))
    return found


def ports_elsewhere(
    shape: Shape, machines: Sequence[Sequence[mesos.Resource]]
) -> tuple[Ranges, Ranges] | None:
    """The ports wanted and all that there are, when no machine has all of those wanted."""
    wanted = Ranges.of((port, port) for port in shape.ports)
    offered = [Resources.of(machine).ports() for machine in machines]
    if any(ports.contains(wanted) for ports in offered):
        return None
    return wanted, Ranges.of(pair for ports in offered for pair in ports.pairs)


def _amount(machine: Iterable[mesos.Resource], name: str) -> float:
    return from_milli(Resources.of(machine).scalar(name))
