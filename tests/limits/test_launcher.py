"""The launcher and the agent's side of it: frames, waiting requests and exits, up to their limits."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tepui.agent.containers import messages, process
from tepui.agent.containers.process import Pending, ProcessRuntime
from tepui.agent.containers.starting import LauncherConfig
from tepui.agent.launcher import client, ending, frames, lifecycle, loop, records
from tepui.agent.launcher.client import Client
from tepui.agent.launcher.container import Container
from tepui.agent.launcher.lifecycle import Lifecycle
from tepui.agent.launcher.loop import Loop
from tepui.agent.launcher.records import Records
from tepui.agent.launcher.request import Fault, Launch
from tepui.agent.launcher.tree import Tree
from tepui.base.errors import HostError
from tests.agent.launcher.test_frames_and_requests import launch


def test_a_request_that_no_frame_can_hold_is_refused_by_the_agent() -> None:
    request = messages.Request(1, "signal", "")
    room_bytes = frames.FRAME_BYTES_MAX - len(messages.encode(messages.Request(1, "signal", "x")))
    fits = messages.Request(1, "signal", "x" * (room_bytes + 1))
    assert len(messages.encode(fits)) == frames.FRAME_BYTES_MAX
    with pytest.raises(HostError, match="are over the limit of 8388608"):
        messages.encode(messages.Request(1, "signal", fits.container_id + "x"))
    assert len(messages.encode(request)) < frames.FRAME_BYTES_MAX


def test_requests_that_wait_for_the_launcher_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "PENDING_MAX", 2)

    async def scenario() -> None:
        runtime = ProcessRuntime(LauncherConfig(runtime_directory=str(tmp_path)), lambda _: None)
        runtime._pending[0] = Pending(messages.Request(0, "list"))
        with pytest.raises(TimeoutError):  # it waits, as the second
            await runtime._ask(messages.Request(1, "signal", "a"), 0)
        runtime._pending[1] = Pending(messages.Request(1, "list"))
        with pytest.raises(HostError, match="2 requests wait for it"):
            await runtime._ask(messages.Request(2, "signal", "a"), 0)
        assert list(runtime._pending) == [0, 1]

    asyncio.run(scenario())


def test_an_agent_that_does_not_read_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = socket.socketpair()
    lost: list[Client] = []
    with theirs:
        one = Client(Loop(), ours, lambda *_: None, lost.append)
        while one._waiting == b"":  # until the socket's own buffer is full
            one.send({"event": "exited"})
        more = frames.encode({"event": "exited"})
        monkeypatch.setattr(client, "WAITING_BYTES_MAX", len(one._waiting) + len(more))
        one.send({"event": "exited"})
        assert lost == []
        one.send({"event": "exited"})
        assert lost == [one]


def test_exits_that_were_kept_are_read_up_to_a_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(records, "RECORDS_MAX", 2)
    kept = Records(str(tmp_path / "exits"))
    for name in ("a", "b"):
        kept.save(name, {"wait_status": 0})
    assert list(kept.load()) == ["a", "b"]
    kept.save("c", {"wait_status": 0})
    assert list(kept.load()) == ["a", "b"]


@pytest.mark.parametrize(
    ("alive", "cause"),
    [
        (lifecycle.CONTAINERS_MAX - 1, "no such file or directory"),
        (lifecycle.CONTAINERS_MAX, "10000 containers run"),
    ],
)
def test_containers_that_run_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alive: int, cause: str
) -> None:
    monkeypatch.setattr(Lifecycle, "alive", property(lambda _: alive))
    monkeypatch.setattr(Loop, "on_signal", lambda *_: None)
    living = Lifecycle(Loop(), None, Tree("t"), Records(str(tmp_path)), lambda _: None)
    try:
        with pytest.raises(Fault, match=cause):
            living.launch(Launch(launch(directory=str(tmp_path / "nowhere"))), lambda _: None)
        assert living.population.all == {}
    finally:
        os.close(living.starter.null_fd)


def test_faults_are_logged_up_to_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FAULTS_LOGGED_MAX", 2)
    logged: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda *fault: logged.append(fault))

    def fail() -> None:
        raise RuntimeError

    one = Loop()
    for _ in range(3):
        one.call(fail)
    assert len(logged) == 2


def test_records_are_whole_json(tmp_path: Path) -> None:
    kept = Records(str(tmp_path))
    (tmp_path / "broken.json").write_text("{")
    kept.save("good", {"wait_status": 9})
    assert kept.load() == {"good": {"wait_status": 9}}
    assert json.loads((tmp_path / "good.json").read_text()) == {"wait_status": 9}
    assert not (tmp_path / "broken.json").exists()


class Stuck:
    """A cgroup that cannot be removed."""

    oom_fd = -1

    def remove(self) -> bool:
        return False


def test_cgroups_that_cannot_be_removed_are_tried_again_up_to_a_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ending, "LINGERING_MAX", 2)
    monkeypatch.setattr(Loop, "on_signal", lambda *_: None)
    living = Lifecycle(Loop(), None, Tree("t"), Records(str(tmp_path)), lambda _: None)
    try:
        for number in range(3):
            container = Container(f"c{number}", "")
            container.cgroup = Stuck()  # type: ignore[assignment]  # all that is asked of it here
            living.ending.release(container)
        assert len(living.ending.lingering) == 2
    finally:
        os.close(living.starter.null_fd)
