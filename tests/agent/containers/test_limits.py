"""Limits of containers, from the specification to the processes that they hold."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.spec import NO_LIMIT
from tests.agent.containers.host import Host, digest_of, host, line_from

pytestmark = pytest.mark.real
MIB = 1 << 20
EATER = "kept = [bytearray(1 << 20) for _ in range(300)]"


def needs(one: Host, name: str) -> None:
    told = one.runtime.capabilities()
    if name not in told.enforced:
        pytest.skip(f"'{name}' does not hold: {told.unenforced}")


def test_fork_bomb_stays_within_the_limit_of_the_runtime(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "pids")
            bomb = "import os\ntry:\n  while True:\n    if not os.fork(): os.read(0, 1); os._exit(0)\nexcept OSError as error: print(error.errno)"
            spec = one.spec("a", sys.executable, "-I", "-S", "-c", bomb)
            exited = await one.ran(replace(spec, pids_max=30))
            assert exited.wait_status == 0
            assert one.output("a") == "11\n"  # EAGAIN

    asyncio.run(run())


def test_container_that_names_no_limit_of_processes_has_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "pids")
            if not Path("/sys/fs/cgroup/pids").is_dir():
                pytest.skip("its cgroup is looked for in the hierarchy of cgroup v1")
            await one.shell("a", "sleep 600")
            place = Path("/sys/fs/cgroup/pids/tepui", digest_of(one.runtime_directory), "c-a")
            pid_max = int(Path("/proc/sys/kernel/pid_max").read_text())
            assert (place / "pids.max").read_text() == f"{min(16_384, pid_max // 2)}\n"

    asyncio.run(run())


def test_memory_limit_of_a_container_in_another_ends_that_one_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "memory")
            gate = one.fifo("a", "gate")
            spec = one.spec("a", "/bin/sh", "-c", "cat <gate >/dev/null", mem_bytes=512 * MIB)
            await one.runtime.launch(spec)
            inner = one.spec("a.b", sys.executable, "-c", EATER, mem_bytes=40 * MIB, parent="a")
            exited = await one.ran(replace(inner, has_own_limits=True))
            assert (exited.wait_status, exited.oom) == (9, True)
            assert exited.mem_limit_bytes == 40 * MIB
            os.write(gate, b"go\n")
            os.close(gate)
            outer = await one.exits.of("a")
            assert (outer.wait_status, outer.oom) == (0, False)

    asyncio.run(run())


def test_container_out_of_memory_ends_with_the_containers_in_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "memory")
            outer = one.spec("a", "/bin/sh", "-c", "sleep 600", mem_bytes=40 * MIB)
            await one.runtime.launch(outer)
            idle = one.spec("a.idle", "sleep", "600", mem_bytes=100 * MIB, parent="a")
            await one.runtime.launch(replace(idle, has_own_limits=True))
            eater = one.spec(
                "a.eater", sys.executable, "-c", EATER, mem_bytes=900 * MIB, parent="a"
            )
            await one.runtime.launch(replace(eater, has_own_limits=True))
            assert (await one.exits.of("a")).oom
            for name in ("a.idle", "a.eater"):
                exited = await one.exits.of(name)
                assert (exited.wait_status, exited.oom) == (9, False)

    asyncio.run(run())


def test_limits_are_lifted_and_set_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "memory")
            needs(one, "cpu-quota")
            spec = one.spec("a", "sleep", "600", cpus_milli=500, mem_bytes=64 * MIB)
            await one.runtime.launch(replace(spec, cpus_limit_milli=1000, mem_soft_bytes=32 * MIB))
            lifted = await one.runtime.update("a", 700, NO_LIMIT, cpus_limit_milli=NO_LIMIT)
            assert lifted == ()
            assert (await one.runtime.usage("a")).mem_limit_bytes == 0
            assert await one.runtime.update("a", 0, 96 * MIB, cpus_limit_milli=2000) == ()
            assert (await one.runtime.usage("a")).mem_limit_bytes == 96 * MIB

    asyncio.run(run())


def test_process_that_names_its_devices_can_open_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            needs(one, "devices")
            out = one.fifo("a", "out")
            opens = "cat /dev/null && echo null >out; cat /dev/kmsg || echo refused >out"
            spec = one.spec("a", "/bin/sh", "-c", opens)
            await one.runtime.launch(replace(spec, devices=()))
            exited = await one.exits.of("a")
            assert (exited.wait_status, await line_from(out)) == (0, "null\nrefused\n")
            os.close(out)

    asyncio.run(run())
