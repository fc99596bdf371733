"""What the machine, and what tasks bring, refuses becomes an event: it never ends the agent."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from pathlib import Path

import pytest

from tepui.agent.containers.spec import ContainerSpec, Started, Stdio
from tepui.agent.core.actions import LaunchContainer, Limits, PrepareSandbox, RunCheck, TcpProbe
from tepui.agent.core.events import (
    CheckFailed,
    CheckFinished,
    Event,
    LaunchFailed,
    SandboxFailed,
    SandboxPrepared,
    SandboxStage,
)
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.probing import _ANY_SERVER, Probing
from tepui.agent.daemon.sandboxes import Sandboxes, _remove
from tepui.agent.fetcher.fetch import Fetcher
from tepui.web.files import Files
from tepui.wire import mesos
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.daemon.bound import bind

URI = mesos.CommandInfo.URI


class Events:
    """What is put, and a way to wait for the next."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def next(self) -> Event:
        async with asyncio.timeout(20):
            return await self._events.get()


def prepared(directory: str, user: str | None = None, *uris: URI) -> Event:
    """What preparing such a sandbox comes to."""

    async def scenario() -> Event:
        heard = Events()
        sandboxes = Sandboxes(heard.put, Fetcher(timeout_ms=9_000, bytes_max=1 << 20), Files())
        sandboxes.prepare(PrepareSandbox("c", directory, user, uris, "/virtual"))
        event = await heard.next()
        await sandboxes.close()
        return event

    return asyncio.run(scenario())


@pytest.mark.parametrize("user", ["no\0body", "no-such-user"])
def test_a_user_whom_nobody_knows_fails_the_sandbox(tmp_path: Path, user: str) -> None:
    directory = str(tmp_path / "run")
    text = (
        f"Failed to create executor directory '{directory}': Failed to chown directory to "
        f"'{user}': No such user '{user}'"
    )
    assert prepared(directory, user) == SandboxFailed("c", SandboxStage.DIRECTORY, text)


def test_a_directory_that_cannot_be_named_fails_the_sandbox(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 5_000):
        event = prepared(str(tmp_path / name))
        assert isinstance(event, SandboxFailed)
        assert event.stage is SandboxStage.DIRECTORY
    assert prepared(str(tmp_path / "x")) == SandboxPrepared("c")


def test_a_broken_archive_fails_the_sandbox(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(bytes(range(256)) * 64))
    packed[10:60] = b"\xff" * 50  # after the head: no such block
    (tmp_path / "broken.gz").write_bytes(packed)
    event = prepared(str(tmp_path / "run"), None, URI(value=str(tmp_path / "broken.gz")))
    assert isinstance(event, SandboxFailed)
    assert event.stage is SandboxStage.FETCH


def test_a_sandbox_that_cannot_be_removed_stays(tmp_path: Path) -> None:
    _remove(str(tmp_path / "a\0b"))
    _remove(str(tmp_path / "none"))
    assert tmp_path.exists()


class Unstartable(FakeRuntime):
    """Its launcher cannot be started anew."""

    async def launch(self, spec: ContainerSpec, stdio: Stdio | None = None) -> Started:
        raise PermissionError(13, "Permission denied")


def test_a_launcher_without_a_directory_fails_the_launch(tmp_path: Path) -> None:
    async def scenario() -> None:
        heard = Events()
        containers = Containers(heard.put)
        bind(containers, Unstartable(Machine(), containers.exited), tmp_path)
        command = mesos.CommandInfo(value="true")
        limits = Limits(100, None, 1 << 20, None, 0)
        containers.launch(LaunchContainer("c", "/d", command, None, {}, None, limits))
        assert await heard.next() == LaunchFailed("c", "[Errno 13] Permission denied")
        await containers.close()

    asyncio.run(scenario())


def test_a_port_that_cannot_be_fails_the_check() -> None:
    async def scenario() -> None:
        heard = Events()
        probing = Probing(heard.put, Containers(heard.put))
        probing.run(RunCheck(1, TcpProbe("127.0.0.1", 65_536), 9_000))
        event = await heard.next()
        assert isinstance(event, CheckFinished)
        assert isinstance(event.outcome, CheckFailed)

    asyncio.run(scenario())


def test_a_task_may_have_any_certificate() -> None:
    assert not _ANY_SERVER.check_hostname
    assert _ANY_SERVER.verify_mode is ssl.CERT_NONE
