"""What containers use, as the agent shows it; and what happens to those that hold too much on disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from tepui.agent.containers.spec import Exited, Usage
from tepui.agent.core.actions import NO_LIMITS, LaunchContainer, Limits
from tepui.agent.core.events import ContainerStarted, DiskExceeded, Event
from tepui.agent.daemon.container_options import ContainerOptions
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.disk_usage import DiskUsage, bytes_text
from tepui.agent.daemon.main import AgentDaemon
from tepui.agent.daemon.usage import lineage_of
from tepui.resources import parse_resources
from tepui.wire import mesos
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.daemon.bound import bind
from tests.agent.daemon.client import DEADLINE_S, call, get
from tests.agent.daemon.fake_master import FakeMaster, command_task, run_task, running_agent

MIB = 1 << 20
QUICK = ContainerOptions(disk_interval_ms=100)
WRITES = "dd if=/dev/zero of=file bs=1M count=3 2>/dev/null; echo; exec sleep 1000"


def with_disk(task: mesos.TaskInfo, disk_mib: int) -> mesos.TaskInfo:
    resources = parse_resources(f"cpus:0.1;mem:64;disk:{disk_mib}")
    return structs.replace(task, resources=resources.to_wire(role="*", refinement=True))


async def counted(daemon: AgentDaemon, at_least: int) -> str:
    """The container of task `t`, when so much of it was counted."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            name = daemon.state.frameworks["F"].executors["t"].container_id
            if (daemon.containers.disk.held_bytes(name) or 0) >= at_least:
                return name
            await asyncio.sleep(0.02)


@pytest.mark.real
def test_statistics_have_what_the_cgroups_and_the_disk_say() -> None:
    async def scenario() -> None:
        async with running_agent(containers=QUICK) as (master, daemon):
            if "memory" not in daemon.enforced or not os.path.isdir("/sys/fs/cgroup"):
                pytest.skip("this machine has no cgroups that the agent may write")
            master.send(run_task(with_disk(command_task("t", WRITES), 100)))
            await master.updates("t", 2)
            name = await counted(daemon, 3 * MIB)
            answer = await get(daemon.port, "/monitor/statistics")
            (entry,) = cast("list[dict[str, Any]]", answer.json())  # the shape is asserted below
            found = entry["statistics"]
            assert found["mem_total_bytes"] > 0
            assert found["mem_limit_bytes"] == 64 * MIB
            assert found["cpus_user_time_secs"] + found["cpus_system_time_secs"] > 0
            assert found["processes"] == found["threads"] == 1
            assert found["disk_limit_bytes"] == 100 * MIB
            assert 3 * MIB <= found["disk_used_bytes"] < 4 * MIB
            assert "net_rx_bytes" not in found  # it has the host's network
            listed = await call(daemon.port, {"type": "GET_CONTAINERS"})
            (one,) = cast("dict[str, Any]", listed.json())["get_containers"]["containers"]
            assert one["container_id"] == {"value": name}
            assert one["resource_statistics"]["disk_limit_bytes"] == 100 * MIB
            metrics = cast("dict[str, float]", (await get(daemon.port, "/metrics/snapshot")).json())
            assert metrics["containers/running"] == 1
            assert metrics["containers/processes"] == 1
            assert metrics["containers/disk_used_bytes"] >= 3 * MIB
            assert metrics["containers/mem_used_bytes"] > 0

    asyncio.run(scenario())


@pytest.mark.real
def test_without_cgroups_the_launcher_is_asked() -> None:
    async def scenario() -> None:
        async with running_agent(cgroups=False) as (master, daemon):
            master.send(run_task(command_task("t", "exec sleep 1000")))
            await master.updates("t", 2)
            statistics: dict[str, Any] = {}
            async with asyncio.timeout(DEADLINE_S):
                while not statistics.get("mem_rss_bytes"):  # the kernel counts a page late
                    answer = await get(daemon.port, "/monitor/statistics")
                    (entry,) = cast("list[dict[str, Any]]", answer.json())
                    statistics = entry["statistics"]
            assert statistics["processes"] == 1
            await gather_many(daemon)

    async def gather_many(daemon: AgentDaemon) -> None:
        """All who ask at once are answered."""
        answers = await asyncio.gather(*(get(daemon.port, "/containers") for _ in range(20)))
        assert {one.status for one in answers} == {200}

    asyncio.run(scenario())


async def failed_for_disk(master: FakeMaster) -> mesos.TaskStatus:
    master.send(run_task(with_disk(command_task("t", WRITES), 1)))
    return (await master.updates("t", 3))[2]


@pytest.mark.real
def test_task_that_holds_too_much_on_disk_fails_where_that_is_enforced() -> None:
    async def scenario() -> None:
        enforced = structs.replace(QUICK, is_disk_quota_enforced=True)
        async with running_agent(containers=enforced) as (master, _):
            failed = await failed_for_disk(master)
            assert failed.state is mesos.TaskState.TASK_FAILED
            assert failed.reason is mesos.TaskStatus.Reason.REASON_CONTAINER_LIMITATION_DISK
            assert failed.message is not None
            assert failed.message.startswith("Disk usage (")
            assert failed.message.endswith(") exceeds quota (1MB)")

    asyncio.run(scenario())


def test_quota_is_told_only_where_it_is_enforced_and_exceeded(tmp_path: Path) -> None:
    def told(limit_bytes: int, *, enforced: bool) -> list[Event]:
        """What a container leads to that holds 2 MiB."""
        sandbox = tmp_path / f"{limit_bytes}-{enforced}"
        sandbox.mkdir()
        (sandbox / "file").write_bytes(b"x" * 2 * MIB)
        events: list[Event] = []

        async def play() -> None:
            containers = Containers(events.append)
            bind(
                containers,
                FakeRuntime(Machine(), containers.exited),
                tmp_path,
                is_quota_enforced=enforced,
            )
            await containers.recover()
            containers.recovered()
            limits = Limits(100, None, MIB, None, limit_bytes)
            run = mesos.CommandInfo(value="x")
            containers.launch(LaunchContainer("c", str(sandbox), run, None, {}, None, limits))
            await containers.disk.measure("c")
            await containers.close()

        asyncio.run(play())
        return [one for one in events if not isinstance(one, ContainerStarted)]

    held = bytes_text(os.stat(tmp_path).st_blocks * 512 + 2 * MIB)
    text = f"Disk usage ({held}) exceeds quota (1MB)"
    assert told(MIB, enforced=True) == [DiskExceeded("c", text)]
    assert told(MIB, enforced=False) == []
    assert told(3 * MIB, enforced=True) == []
    assert told(0, enforced=True) == []


def test_changes_of_containers_within_count_and_what_is_gone_does_not(tmp_path: Path) -> None:
    async def play() -> None:
        told: list[tuple[str, int]] = []
        disk = DiskUsage(1_000_000, str(tmp_path / "changes"))
        for name in ("sandbox", "changes/pod.a/upper"):
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "file").write_bytes(b"x" * MIB)
        within: list[str] = []
        disk.watch("pod", str(tmp_path / "sandbox"), lambda: within)
        disk.start(lambda name, held_bytes: told.append((name, held_bytes // MIB)))
        await disk.measure("pod")
        within.append("pod.a")
        await disk.measure("pod")
        assert disk.held_bytes("pod") is not None
        disk.unwatch("pod")
        assert disk.held_bytes("pod") is None
        await disk.stop()
        assert told[-2:] == [("pod", 1), ("pod", 2)]

    asyncio.run(play())


def test_changes_that_are_kept_elsewhere_count_from_when_that_is_known(tmp_path: Path) -> None:
    async def play() -> None:
        elsewhere: dict[str, tuple[str, ...]] = {}
        disk = DiskUsage(1_000_000, str(tmp_path / "changes"), lambda name: elsewhere.get(name, ()))
        for name in ("sandbox", "upper", "volume"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_bytes(b"x" * MIB)
        disk.watch("c", str(tmp_path / "sandbox"), tuple)
        await disk.measure("c")
        before = disk.held_bytes("c")
        elsewhere["c"] = tuple(str(tmp_path / name) for name in ("upper", "volume", "none"))
        await disk.measure("c")
        after = disk.held_bytes("c")
        await disk.stop()
        assert before is not None
        assert after is not None
        assert (before // MIB, after // MIB) == (1, 3)

    asyncio.run(play())


def test_container_that_goes_while_it_is_counted_is_not_told(tmp_path: Path) -> None:
    async def play() -> None:
        told: list[str] = []
        disk = DiskUsage(1_000_000, str(tmp_path))
        disk.watch("c", str(tmp_path), tuple)
        counting = asyncio.ensure_future(disk.measure("c"))
        await asyncio.sleep(0)
        disk.unwatch("c")
        await counting
        assert told == []
        assert disk.held_bytes("c") is None
        await disk.stop()

    asyncio.run(play())


def test_exit_frees_what_was_held_of_a_container(tmp_path: Path) -> None:
    async def play() -> None:
        containers = Containers(lambda event: None)
        bind(containers, FakeRuntime(Machine(), containers.exited), tmp_path)
        await containers.recover()
        containers.recovered()
        limits = Limits(100, None, MIB, None, 0)
        run = mesos.CommandInfo(value="x")
        containers.launch(LaunchContainer("c", str(tmp_path), run, None, {}, None, limits))
        await containers.disk.measure("c")
        assert containers.disk.held_bytes("c") is not None
        containers.exited(Exited("c", 0))
        assert containers.disk.held_bytes("c") is None
        await containers.close()

    asyncio.run(play())


class Busy(FakeRuntime):
    """Each container that has a program uses the same."""

    async def usage(self, container_id: str) -> Usage:
        runs = bool(self.machine.specs[container_id].program)
        return Usage(1000, 500, 1 << 20, 1, 3, 0, 0) if runs else Usage(0, 0, 0, 0, 0, 0, 0)


def test_without_cgroups_a_pod_uses_what_the_containers_in_it_use(tmp_path: Path) -> None:
    async def play() -> None:
        containers = Containers(lambda event: None)
        bind(containers, Busy(Machine(), containers.exited), tmp_path)
        await containers.recover()
        containers.recovered()
        run = mesos.CommandInfo(value="x")
        limits = Limits(100, None, MIB, None, 0)
        for name, command in (("pod", None), ("pod.a", run), ("pod.b", run), ("c", run)):
            parent = "pod" if "." in name else None
            own = limits if parent is None else NO_LIMITS
            action = LaunchContainer(name, str(tmp_path), command, None, {}, None, own, parent)
            containers.launch(action)
            await asyncio.sleep(0)
        used = await containers.usage()
        shown = {
            name: (one.processes, one.threads, one.mem_rss_bytes, one.cpus_user_time_secs)
            for name, one in used.items()
        }
        assert shown == {
            "pod": (2, 6, 2 * MIB, 2.0),
            "pod.a": (1, 3, MIB, 1.0),
            "pod.b": (1, 3, MIB, 1.0),
            "c": (1, 3, MIB, 1.0),
        }
        assert used["pod"].cpus_soft_limit == 0.1
        assert used["pod.a"].cpus_soft_limit is None, "it shares those of the pod"
        metrics = await containers.metrics()
        assert metrics["containers/mem_used_bytes"] == 3 * MIB
        assert metrics["containers/processes"] == 3
        await containers.close()

    asyncio.run(play())


def test_what_cannot_be_destroyed_is_counted(tmp_path: Path) -> None:
    async def play() -> None:
        containers = Containers(lambda event: None)
        bind(containers, FakeRuntime(Machine(), containers.exited), tmp_path)
        await containers.recover()
        containers.recovered()
        errors = "containerizer/mesos/container_destroy_errors"
        assert (await containers.metrics())[errors] == 0
        containers.destroy("nope")
        await containers.close()
        assert (await containers.metrics())[errors] == 1

    asyncio.run(play())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KB"),
        (3 << 20, "3MB"),
        (5 << 30, "5GB"),
        (1 << 40, "1TB"),
    ],
)
def test_bytes_are_told_in_the_largest_unit_that_fits(number: int, text: str) -> None:
    assert bytes_text(number) == text


def test_lineage_is_every_container_around_it_and_itself() -> None:
    assert lineage_of("a") == ("a",)
    assert lineage_of("a.b.c") == ("a", "a.b", "a.b.c")
