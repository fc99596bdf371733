"""Whole daemons behind HTTP: any bytes in any pieces are answered, in order, or cut off.

An input is: one byte of flags, one that cuts it into pieces, and the requests. `@F`, `@S`, `@A` and
`@O` in them stand for the ids of a framework, its stream, its agent and its offer. Requests between
SEPARATORs get their length from us, so that a mutation of a body is still a request.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from tepui.agent.containers.specs.privileges import PrivilegeRules
from tepui.agent.core.invariants import check as check_agent
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.main import AgentDaemon
from tepui.agent.daemon.options import AgentOptions
from tepui.base import loop as base_loop
from tepui.base import tasks as base_tasks
from tepui.master.core.invariants import check as check_master
from tepui.master.daemon.main import MasterDaemon
from tepui.master.daemon.options import MasterOptions
from tepui.wire import json, link, mesos, scheduler
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.core.cluster import executor_info, run_tasks, task_info
from tests.agent.daemon.bound import bind
from tests.fuzz.answers import Answered, Asked, answers_in
from tests.fuzz.drawing import pieces
from tests.fuzz.fuzzing import memory
from tests.fuzz.loop import QuietLoop, Wire
from tests.master.world import wire_resources

SEPARATOR: Final = b"\xff\x00\xff"
SECRET: Final = b"what no client may ever see"
LONG_S: Final = 70.0  # longer than any client may take
LINGER_S: Final = 5.0  # longer than a connection stays open for a refusal to be read
UPGRADES: Final = frozenset({"tepui-link"})
LINK: Final = b"GET /link HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
SWITCHED: Final = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"

PASSES = 1  # flags: time passes before the client leaves
ENDS = 2  # the client ends its half
APART = 4  # each request on a connection of its own
UNZIPPED: Final = b"failed to decode body"  # the one 500 there is, as in Mesos

Ids = dict[bytes, bytes]


class Daemon(Protocol):
    """What a target needs of a daemon that runs in a QuietLoop."""

    ids: Ids
    upgrades: frozenset[str]

    def check(self) -> None:
        """Its invariants hold."""

    async def stop(self) -> None:
        """It ends."""


@cache
def directories() -> tuple[Path, Path]:
    """What may be seen, with traps in it, and a place for agents; both are removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="tepui-fuzz-", dir=memory()))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    (root / "outside.txt").write_bytes(SECRET)
    shown = root / "shown"
    shown.mkdir()
    (shown / "a.txt").write_bytes(b"hello\n")
    (shown / "sub").mkdir()
    (shown / "out.txt").symlink_to(root / "outside.txt")
    (shown / "up").symlink_to(root)
    (root / "agent").mkdir()
    return shown, root / "agent"


class RunningMaster:
    """A master with a framework that is offered an agent."""

    upgrades = UPGRADES

    def __init__(self, loop: QuietLoop) -> None:
        shown, _ = directories()
        self._daemon = MasterDaemon(MasterOptions(port=0, log_file=str(shown)))
        self.ids: Ids = {}
        loop.do(self._daemon.start())
        self._connect_agent(loop)
        self._subscribe(loop)

    def check(self) -> None:
        """Its invariants hold."""
        check_master(self._daemon.state)

    async def stop(self) -> None:
        """It ends."""
        await self._daemon.stop()

    def _connect_agent(self, loop: QuietLoop) -> None:
        wire = Wire(loop, loop.protocols[0]())
        resources = wire_resources("cpus:4;mem:4096;disk:1000;ports:[31000-32000]")
        info = mesos.AgentInfo(hostname="h", resources=resources)
        wire.send(LINK)
        wire.send(link.frame(link.Hello(link.PROTOCOL, "1")))
        wire.send(link.frame(link.Register(info, "1", "127.0.0.1:5051")))
        loop.settle()
        self.ids[b"@A"] = next(iter(self._daemon.state.agents)).encode()

    def _subscribe(self, loop: QuietLoop) -> None:
        wire = Wire(loop, loop.protocols[0]())
        info = mesos.FrameworkInfo(user="root", name="f", role="*", failover_timeout=60.0)
        call = scheduler.Call(
            type=scheduler.Call.Type.SUBSCRIBE,
            subscribe=scheduler.Call.Subscribe(framework_info=info),
        )
        wire.send(request("POST", "/api/v1/scheduler", json.encode(call)))
        loop.settle()
        (answer,), _ = answers_in(bytes(wire.written), ["POST"])
        self.ids[b"@S"] = answer.headers["mesos-stream-id"].encode()
        self.ids[b"@F"] = next(iter(self._daemon.state.frameworks)).encode()
        loop.advance(1)
        self.ids[b"@O"] = next(iter(self._daemon.state.offers), "").encode()


class _Runtime(FakeRuntime):
    """One that is its own launcher, and has nothing to end."""

    async def end(self) -> None:
        """Nothing runs."""


@cache
def _privileges() -> PrivilegeRules:
    """Those of all agents: what they compile takes longer than all else that an agent does here."""
    return PrivilegeRules(ContainerOptions().capabilities)


class _InPlace(ThreadPoolExecutor):
    """It has done what it is given before it returns."""

    def submit(  # type: ignore[override]  # no need to say of which types
        self, job: Callable[..., object], *given: object
    ) -> Future[object]:
        done: Future[object] = Future()
        try:
            done.set_result(job(*given))
        except BaseException as error:
            done.set_exception(error)
        return done


class RunningAgent:
    """A registered agent with an executor that runs and has not subscribed yet."""

    upgrades: frozenset[str] = frozenset()

    def __init__(self, loop: QuietLoop) -> None:
        shown, place = directories()
        options = AgentOptions(
            master="127.0.0.1:5050",
            work_dir=str(place / "work"),
            runtime_dir=str(place / "run"),
            port=0,
            resources="cpus:4;mem:1024;disk:1000",
            switch_user=False,
            log_file=str(shown),
        )
        self._daemon = AgentDaemon(options)
        self._place = place
        runtime = _Runtime(Machine(), self._daemon.containers.exited)
        images = self._daemon._parts.images
        images._executor = _InPlace(1)
        runtimes = bind(self._daemon.containers, runtime, place, images=images)
        self._daemon._parts = replace(
            self._daemon._parts,
            launcher=runtime,
            runtimes=runtimes,
            docker=None,
            privileges=_privileges(),
        )
        self.ids: Ids = {b"@A": b"A", b"@F": b"F", b"@S": b"s", b"@O": b"ex"}
        loop.do(self._daemon.start())
        (wire,) = loop.outgoing
        wire.send(SWITCHED + link.frame(link.Hello(link.PROTOCOL, "1")))
        loop.settle()
        wire.send(link.frame(link.Registered("A", 1_000_000_000)))
        wire.send(link.frame(run_tasks(task_info("t", executor_info=executor_info()))))
        loop.settle()
        assert self._daemon.state.containers

    def check(self) -> None:
        """Its invariants hold."""
        check_agent(self._daemon.state)

    async def stop(self) -> None:
        """It ends, and its sandboxes with it."""
        try:
            await self._daemon.stop()
        finally:
            shutil.rmtree(self._place / "work", ignore_errors=True)


def request(method: str, path: str, body: bytes) -> bytes:
    """A request in JSON that wants JSON."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def http_master_target(data: bytes) -> None:
    """The master's whole HTTP."""
    _play(RunningMaster, data)


def http_agent_target(data: bytes) -> None:
    """The agent's whole HTTP."""
    _play(RunningAgent, data)


def _play(start: Callable[[QuietLoop], Daemon], data: bytes) -> None:
    if len(data) < 3:
        return
    flags, sizes, rest = data[0], data[1], data[2:]
    with contextlib.closing(QuietLoop()) as loop, _faults_kept(loop):
        daemon = start(loop)
        for mark, value in daemon.ids.items():
            rest = rest.replace(mark, value)
        sent = list(_requests(rest))
        for stream in sent if flags & APART else [b"".join(sent)]:
            _converse(loop, stream, Asked(stream, daemon.upgrades), flags, sizes)
        daemon.check()
        loop.do(daemon.stop())
        _raise(loop.faults)


def _converse(loop: QuietLoop, stream: bytes, asked: Asked, flags: int, sizes: int) -> None:
    """One client says all of it, and the answers are right."""
    wire = Wire(loop, loop.protocols[0]())
    for piece in pieces(stream, sizes):
        wire.send(piece)
    loop.settle()
    if flags & PASSES:
        loop.advance(LONG_S)
    elif asked.is_broken:
        loop.advance(LINGER_S)
    _raise(loop.faults)  # before what they lead to
    _look_at(asked, wire)
    if flags & ENDS:
        wire.end()
        loop.settle()
    wire.cut()
    loop.settle()


def _raise(faults: list[BaseException]) -> None:
    for fault in faults:
        raise fault


def _look_at(asked: Asked, wire: Wire) -> None:
    written = bytes(wire.written)
    assert SECRET not in written
    assert b"root:x:0:0" not in written
    found, _ = answers_in(written, asked.methods)
    for one in found:
        _look_at_one(one)
    final = [one for one in found if one.status != 101]
    if wire.is_closing():
        assert len(final) <= asked.whole + 1, found  # the last may say why it is closed
        return
    is_streaming = any(not one.is_whole for one in found)
    assert is_streaming or not asked.is_broken, "what is not HTTP is cut off"
    wanted = asked.whole - asked.is_upgraded
    assert len(final) <= wanted if is_streaming else len(final) == wanted, (wanted, found)


def _look_at_one(answer: Answered) -> None:
    assert 200 <= answer.status < 600 or answer.status == 101, answer
    if answer.status == 500:
        assert answer.body == UNZIPPED, answer
    if "content-length" in answer.headers and answer.body:
        is_json = answer.headers.get("content-type") == "application/json"
        assert not is_json or answer.body[:1] in (b"{", b"["), answer


def _requests(rest: bytes) -> Iterator[bytes]:
    """The requests; those between SEPARATORs with their length put in."""
    if SEPARATOR not in rest:
        yield rest
        return
    for part in rest.split(SEPARATOR):
        head, found, body = part.partition(b"\r\n\r\n")
        if not found:
            yield part
            continue
        head = re.sub(rb"(?i)\r\n(content-length|transfer-encoding):[^\r\n]*", b"", head)
        yield head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class _Errors(logging.Handler):
    """Adds what is logged as an error to the faults."""

    def __init__(self, faults: list[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._faults.append(error or AssertionError(record.getMessage()))


@contextlib.contextmanager
def _faults_kept(loop: QuietLoop) -> Iterator[None]:
    """What would end the process, or is logged as an error, becomes a fault of the loop."""

    def keep_it() -> None:
        error = sys.exc_info()[1]
        assert error is not None
        loop.faults.append(error)
        raise error

    errors = _Errors(loop.faults)
    root = logging.getLogger()
    level = root.level
    modules = (base_loop, base_tasks)
    ends = [vars(module)["end_process"] for module in modules]
    root.addHandler(errors)
    root.setLevel(logging.ERROR)
    for module in modules:
        vars(module)["end_process"] = keep_it
    try:
        yield
    finally:
        for module, end in zip(modules, ends, strict=True):
            vars(module)["end_process"] = end
        root.removeHandler(errors)
        root.setLevel(level)
