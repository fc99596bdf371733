"""Groups that hold namespaces, containers in others, and sessions in running containers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tepui.agent.containers.spec import ContainerSpec
from tepui.base.errors import HostError
from tests.agent.containers.host import ended, host, line_from, wait_gone
from tests.agent.containers.oci_host import NAMESPACES, OciHost, needs_oci, oci_host

pytestmark = [pytest.mark.real, needs_oci]
WAYS = pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "proc"])
KINDS = {"network": "net", "ipc": "ipc", "uts": "uts"}
NEW = dict.fromkeys(KINDS, "")
ASK_NAMESPACES = "for kind in net ipc uts; do readlink /proc/self/ns/$kind; done"


# Groups


@WAYS
def test_containers_of_a_group_share_its_namespaces_and_end_with_it(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            group = await one.oci.launch(one.group("g", NEW))
            assert group.pid == 0
            assert group.namespaces.keys() == NEW.keys()
            held = [os.readlink(group.namespaces[kind]) for kind in KINDS]
            own = [os.readlink(f"/proc/self/ns/{name}") for name in KINDS.values()]
            assert not set(held) & set(own)
            reports = {name: one.fifo(name, "report") for name in ("g.a", "g.b")}
            pids = []
            for name in reports:
                asked = f"({ASK_NAMESPACES}; hostname; ifconfig lo) >told"
                script = f"{asked}; echo up >report; sleep 1000"
                spec = one.contained(
                    name,
                    "/bin/sh",
                    "-c",
                    script,
                    namespaces={"pid": "", **group.namespaces},
                    parent="g",
                )
                pids.append((await one.oci.launch(spec)).pid)
                assert await line_from(reports[name]) == "up\n"
                told = one.output(name, "told")
                assert told.split()[:3] == held
                assert "group\n" in told
                assert "UP LOOPBACK RUNNING" in told
            assert (await one.oci.usage("g")).processes <= 2
            await one.oci.destroy("g")
            assert (await one.exits.of("g")).wait_status == 0
            for name in reports:
                assert os.WTERMSIG((await one.exits.of(name)).wait_status) == signal.SIGKILL
            assert [told.container_id for told in one.exits.told][-1] == "g", "it ends last"
            assert all(ended(pid) for pid in pids)
            assert not os.path.exists(group.namespaces["network"])
            for fd in reports.values():
                os.close(fd)

    asyncio.run(run())


def test_group_without_containers_ends_when_destroyed_and_is_found_by_the_next_agent(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            group = await one.oci.launch(one.group("g", {"network": ""}))
            await one.oci.launch(one.group("none", {}))
            await one.runtime.close()
            one.next_agent()
            found = {each.container_id: each for each in await one.oci.recover()}
            assert found["g"].namespaces == group.namespaces
            assert found["none"].namespaces == {}
            await one.oci.signal("g", signal.SIGTERM)
            for name in ("g", "none"):
                await one.oci.destroy(name)
                assert (await one.exits.of(name)).wait_status == 0
                await one.oci.forget(name)

    asyncio.run(run())


def test_memory_of_a_group_is_shared_by_its_containers(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            if "memory" not in one.oci.capabilities().enforced:
                pytest.skip(one.oci.capabilities().unenforced)
            await one.oci.launch(one.group("g", {}, mem_bytes=32 << 20))
            await one.oci.launch(one.contained("g.a", "sleep", "1000", parent="g"))
            script = "head -c 200000000 /dev/zero | tail >/dev/null; sleep 1000"
            await one.oci.launch(one.contained("g.b", "/bin/sh", "-c", script, parent="g"))
            exited = await one.exits.of("g")
            assert (exited.oom, exited.wait_status) == (True, 0)
            assert os.WTERMSIG((await one.exits.of("g.a")).wait_status) == signal.SIGKILL

    asyncio.run(run())


def test_group_refuses_namespaces_that_no_descriptor_holds(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            with pytest.raises(HostError, match="make a namespace 'pid': a group has only network"):
                await one.oci.launch(one.group("g", {"pid": ""}))
            with pytest.raises(HostError, match="there is no such container"):
                await one.oci.launch(one.contained("g.a", "true", parent="g"))
            await one.oci.launch(one.group("g", {}))

    asyncio.run(run())


# Containers in others


@WAYS
@pytest.mark.parametrize("outer", ["plain", "contained"])
@pytest.mark.parametrize("inner", ["plain", "contained"])
def test_container_in_another_of_any_kind_ends_with_it(
    tmp_path: Path, outer: str, inner: str, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:

            def make(kind: str, name: str, *argv: str, parent: str | None = None) -> ContainerSpec:
                if kind == "plain":
                    return one.spec(name, *argv, parent=parent)
                return one.contained(name, *argv, parent=parent)

            go = one.fifo("o", "go")
            await one.oci.launch(make(outer, "o", "/bin/sh", "-c", "read code <go; exit $code"))
            started = await one.oci.launch(make(inner, "o.i", "sleep", "1000", parent="o"))
            deeper = await one.oci.launch(make(inner, "o.i.d", "sleep", "1000", parent="o.i"))
            os.write(go, b"3\n")
            assert (await one.exits.of("o")).wait_status == 3 << 8
            for name in ("o.i", "o.i.d"):
                assert os.WTERMSIG((await one.exits.of(name)).wait_status) == signal.SIGKILL
            assert ended(started.pid)
            assert ended(deeper.pid)
            os.close(go)

    asyncio.run(run())


# Sessions


@WAYS
def test_session_is_in_the_containers_namespaces_and_has_its_own_status(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            null = os.stat("/dev/null")
            report = one.fifo("a", "report")
            script = "echo written >/written; echo up >report; sleep 1000"
            outer = await one.oci.launch(one.contained("a", "/bin/sh", "-c", script))
            assert await line_from(report) == "up\n"
            asked = "cat /written; for kind in pid ipc mnt; do readlink /proc/self/ns/$kind; done; id -u; exit 6"
            spec = one.session("a.s", "a", "/bin/sh", "-c", asked, uid=1234)
            await one.oci.launch(spec)
            assert (await one.exits.of("a.s")).wait_status == 6 << 8
            text, *found, uid = one.output("a.s").split()
            theirs = [os.readlink(f"/proc/{outer.pid}/ns/{kind}") for kind in ("pid", "ipc", "mnt")]
            assert (text, found, uid) == ("written", theirs, "1234")
            assert (null.st_uid, null.st_gid) == (
                os.stat("/dev/null").st_uid,
                os.stat("/dev/null").st_gid,
            )
            assert not ended(outer.pid)
            os.close(report)

    asyncio.run(run())


@WAYS
def test_session_ends_with_its_container_and_can_be_ended_alone(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            outer = await one.oci.launch(one.contained("a", "sleep", "1000"))
            first = await one.oci.launch(one.session("a.1", "a", "sleep", "1000"))
            second = await one.oci.launch(one.session("a.2", "a", "sleep", "1000"))
            assert (await one.oci.usage("a.1")).processes == 1
            await one.oci.destroy("a.1")
            assert os.WTERMSIG((await one.exits.of("a.1")).wait_status) == signal.SIGKILL
            assert ended(first.pid)
            assert not ended(outer.pid)
            await one.oci.destroy("a")
            assert os.WTERMSIG((await one.exits.of("a.2")).wait_status) == signal.SIGKILL
            await one.exits.of("a")
            wait_gone(second.pid)

    asyncio.run(run())


def test_what_keeps_a_session_from_starting_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            await one.oci.launch(one.contained("a", "sleep", "1000"))
            for argv, text in (
                (("/no/such",), "executable file `/no/such` not found"),
                (("/noexec",), "[Pp]ermission denied"),
            ):
                with pytest.raises(HostError, match=text):
                    await one.oci.launch(one.session("a.s", "a", *argv))
                assert os.listdir(one.runtime_directory / "bundles") == ["a"]
            with pytest.raises(HostError, match="there is no such container"):
                await one.oci.launch(one.session("b.s", "b", "true"))
            await one.oci.launch(one.session("a.s", "a", "true"))
            assert (await one.exits.of("a.s")).wait_status == 0

    asyncio.run(run())


def test_session_in_a_plain_container_is_a_process_in_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            await one.oci.launch(one.spec("a", "sleep", "1000"))
            await one.oci.launch(
                one.session("a.s", "a", "/bin/sh", "-c", "readlink /proc/self/ns/mnt")
            )
            assert (await one.exits.of("a.s")).wait_status == 0
            assert one.output("a.s").strip() == os.readlink("/proc/self/ns/mnt")

    asyncio.run(run())


def test_many_sessions_each_exit_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            await one.oci.launch(one.contained("a", "sleep", "1000", namespaces=NAMESPACES))
            numbers = range(20)
            await asyncio.gather(
                *(
                    one.oci.launch(
                        one.session(f"a.{number}", "a", "/bin/sh", "-c", f"exit {number}")
                    )
                    for number in numbers
                )
            )
            for number in numbers:
                assert (await one.exits.of(f"a.{number}")).wait_status == number << 8
            assert len(one.exits.told) == len(numbers)

    asyncio.run(run())


def test_groups_need_no_oci_runtime(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            directory = tmp_path / "other"
            directory.mkdir()
            spec = OciHost(directory).group("g", {})
            started = await one.runtime.launch(spec)
            assert started.pid == 0
            await one.runtime.launch(one.spec("g.a", "sleep", "1000", parent="g"))
            await one.runtime.destroy("g")
            assert (await one.exits.of("g")).wait_status == 0
            assert os.WTERMSIG((await one.exits.of("g.a")).wait_status) == signal.SIGKILL

    asyncio.run(run())
