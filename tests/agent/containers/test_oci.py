"""Containers of a real OCI runtime: what they see, how they fail, what is left of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.isolation.seccomp import DEFAULT, Filters
from tepui.agent.containers.isolation.seccomp_rules import rules_of
from tepui.agent.containers.oci.finding import CGROUPS, SEARCHED, OciProgram
from tepui.agent.containers.oci.runtime import OciRuntime
from tepui.agent.containers.spec import Isolation, Mount, Propagation
from tepui.base.errors import HostError
from tests.agent.containers.host import ended, line_from, traces_of, wait_gone
from tests.agent.containers.oci_host import (
    CAPABILITIES,
    NAMESPACES,
    SANDBOX,
    OciHost,
    needs_oci,
    oci_host,
)

pytestmark = [pytest.mark.real, needs_oci]
WAYS = pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "proc"])


def left(one: OciHost) -> list[str]:
    """What is there of containers on disk."""
    found: list[str] = []
    for place in (
        one.containers_directory,
        one.runtime_directory / "bundles",
        one.runtime_directory / "oci",
    ):
        found += os.listdir(place) if place.exists() else []
    return found


# What a container sees


@WAYS
def test_container_sees_its_layers_merged_and_its_changes_go_with_it(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            script = "cat /file /gone; echo changed >/file; cat /file; exit 3"
            exited = await one.ran_contained(one.contained("a", "/bin/sh", "-c", script))
            assert exited.wait_status == 3 << 8
            assert one.output("a") == "topbasechanged\n"
            changed = one.containers_directory / "a/upper/file"
            assert changed.read_text() == "changed\n"
            assert [Path(layer, "file").read_text() for layer in one.layers] == ["base", "top"]
            await one.oci.forget("a")
            assert left(one) == []

    asyncio.run(run())


def test_container_has_the_namespaces_that_it_asked_for_and_no_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            script = "for kind in pid ipc uts net cgroup mnt; do readlink /proc/self/ns/$kind; done; hostname; echo $$"
            spec = one.contained("a", "/bin/sh", "-c", script, hostname="inner")
            await one.ran_contained(spec)
            *links, hostname, pid = one.output("a").split()
            own = [
                os.readlink(f"/proc/self/ns/{kind}")
                for kind in ("pid", "ipc", "uts", "net", "cgroup", "mnt")
            ]
            same = [mine == theirs for mine, theirs in zip(own, links, strict=True)]
            assert same == [False, False, False, True, False, False]
            assert (hostname, pid) == ("inner", "1")

    asyncio.run(run())


def test_process_has_the_user_groups_capabilities_and_environment_asked_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            script = (
                "id -u; id -G; pwd; env; cat /proc/self/status; echo again >/dev/stdout;"
                " ls /proc/self/fd | wc -l"
            )
            spec = one.contained("a", "/bin/sh", "-c", script, uid=1234, groups=(7, 8))
            await one.ran_contained(spec)
            text = one.output("a")
            assert text.startswith(f"1234\n1234 7 8\n{SANDBOX}\n")
            assert "PATH=" in text
            assert "CapEff:\t0000000000000000\n" in text
            assert "CapBnd:\t00000000000000e3\n" in text, CAPABILITIES
            assert "NoNewPrivs:\t1\n" in text
            assert "Umask:\t0022\n" in text
            assert text.endswith("again\n4\n"), "three streams, and the directory that ls reads"
            assert (one.sandbox("a") / "stdout").stat().st_uid == 1234

    asyncio.run(run())


def test_limits_hold_in_the_container(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            limits = (("RLMT_NOFILE", 100, 200), ("RLMT_CORE", 0, None))
            script = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc"
            await one.ran_contained(one.contained("a", "/bin/sh", "-c", script, rlimits=limits))
            assert one.output("a").splitlines()[:3] == ["100", "200", "0"]
            spec = one.contained(
                "b",
                "/bin/sh",
                "-c",
                "sleep 100 & sleep 100 & sleep 100 & sleep 100 & wait",
                pids_max=3,
            )
            started = await one.oci.launch(spec)
            assert started.pid > 0
            if "pids" in one.oci.capabilities().enforced:
                exited = await one.exits.of("b")
                assert exited.wait_status == 2 << 8
                assert "can't fork" in one.output("b", "stderr")

    asyncio.run(run())


def test_out_of_memory_ends_the_container_and_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            if "memory" not in one.oci.capabilities().enforced:
                pytest.skip(one.oci.capabilities().unenforced)
            script = "head -c 200000000 /dev/zero | tail >/dev/null; sleep 1000"
            exited = await one.ran_contained(
                one.contained("a", "/bin/sh", "-c", script, mem_bytes=32 << 20)
            )
            assert exited.oom
            assert exited.mem_limit_bytes == 32 << 20
            assert os.WTERMSIG(exited.wait_status) == signal.SIGKILL

    asyncio.run(run())


def test_read_only_root_cannot_be_written_but_its_mounts_can(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            script = "echo x >/x; echo y >y; touch /run/z && cat y"
            tmpfs = Mount(destination="/run", source=None, options=("size=64k", "nosuid"))
            spec = one.contained("a", "/bin/sh", "-c", script, is_read_only=True, mounts=(tmpfs,))
            assert (await one.ran_contained(spec)).wait_status == 0
            assert "Read-only file system" in one.output("a", "stderr")
            assert one.output("a") == "y\n"

    asyncio.run(run())


def test_mounts_made_for_the_container_can_be_entered_by_others_than_root(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            spec = one.contained("a", "/bin/sh", "-c", "echo in >made", uid=1234)
            assert (await one.ran_contained(spec)).wait_status == 0
            assert one.output("a", "made") == "in\n"

    asyncio.run(run())


def test_host_paths_layers_and_files_are_mounted_as_asked(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            data = tmp_path / "data"
            data.mkdir()
            (data / "text").write_text("data")
            mounts = (
                Mount(destination="/data", source=str(data)),
                Mount(destination="/ro", source=str(data), read_only=True),
                Mount(destination="/secret", source=str(data / "text"), read_only=True),
                Mount(destination="/image", source=None, layers=one.layers),
                Mount(destination="/image1", source=None, layers=one.layers[:1]),
            )
            script = (
                "cat /ro/text /secret /image/file /image1/file; echo new >/data/new;"
                " echo x >/ro/x; echo x >/image/x; echo x >/image1/x; echo x >/secret"
            )
            await one.ran_contained(one.contained("a", "/bin/sh", "-c", script, mounts=mounts))
            assert one.output("a") == "datadatatopbase"
            assert (data / "new").read_text() == "new\n"
            assert one.output("a", "stderr").count("Read-only file system") == 4
            assert sorted(os.listdir(one.layers[0])) == ["bin", "file", "gone"]

    asyncio.run(run())


def test_container_without_layers_has_the_root_of_the_host_and_leaves_it_alone(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            before = {
                name: os.lstat(f"/dev/{name}").st_ino for name in ("ptmx", "null", "fd", "shm")
            }
            own = tmp_path / "own"
            own.mkdir()
            (own / "in").write_text("in")
            target = tmp_path / "target"
            target.mkdir()
            plain = one.spec(
                "a", "/bin/sh", "-c", f"echo $$; cat {target}/in; ls -d /proc/[0-9]* | wc -l; pwd"
            )
            spec = replace(
                plain,
                isolation=Isolation(
                    directory=plain.directory,
                    namespaces={"pid": ""},
                    mounts=(Mount(destination=str(target), source=str(own)),),
                    capabilities=CAPABILITIES,
                ),
            )
            assert (await one.ran_contained(spec)).wait_status == 0
            pid, rest = one.output("a").split("\n", 1)
            assert (pid, rest[:2]) == ("1", "in")
            assert int(rest[2:].split()[0]) < 10
            assert one.output("a").endswith(f"{plain.directory}\n")
            assert os.listdir(target) == []
            assert before == {name: os.lstat(f"/dev/{name}").st_ino for name in before}
            assert not one.containers_directory.joinpath("a").exists()

    asyncio.run(run())


def mount(place: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tepui-test", place], check=True)


@contextmanager
def shared_directory(place: Path) -> Iterator[Path]:
    """A mount that passes on what is mounted in it; afterwards it is gone."""
    place.mkdir()
    mount(place)
    try:
        subprocess.run(["mount", "--make-shared", place], check=True)
        (place / "inner").mkdir()
        yield place
    finally:
        subprocess.run(["umount", "-R", place], check=True)


@pytest.mark.parametrize(
    "kind", [Propagation.BOTH_WAYS, Propagation.FROM_HOST, Propagation.PRIVATE]
)
def test_mounts_spread_as_the_volume_says(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kind: Propagation
) -> None:
    async def run(shared: Path) -> None:
        async with oci_host(tmp_path) as one:
            ready, go = one.fifo("a", "ready"), one.fifo("a", "go")
            script = (
                "mkdir /shared/mine && mount -t tmpfs mine /shared/mine && echo 1 >/shared/mine/file;"
                " echo up >ready; read x <go; cat /shared/inner/file; umount /shared/mine; exit 0"
            )
            spec = one.contained(
                "a",
                "/bin/sh",
                "-c",
                script,
                mounts=(Mount(destination="/shared", source=str(shared), propagation=kind),),
            )
            assert spec.isolation is not None
            may_mount = replace(spec.isolation, capabilities=(*CAPABILITIES, "CAP_SYS_ADMIN"))
            await one.oci.launch(replace(spec, isolation=may_mount))
            assert await line_from(ready) == "up\n"
            assert (shared / "mine/file").exists() == (kind is Propagation.BOTH_WAYS)
            mount(shared / "inner")
            (shared / "inner/file").write_text("from host")
            os.write(go, b"\n")
            await one.exits.of("a")
            seen = one.output("a") == "from host"
            assert seen == (kind is not Propagation.PRIVATE), one.output("a", "stderr")
            os.close(ready)
            os.close(go)

    with shared_directory(tmp_path_factory.mktemp("volume") / "shared") as shared:
        asyncio.run(run(shared))


def test_many_layers_with_long_and_odd_names_are_mounted(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            layers = list(one.layers)
            for number in range(120):
                layer = tmp_path / "layers" / f"{number}:,\\ {'x' * 60}"
                layer.mkdir()
                (layer / f"from{number}").write_text("")
                layers.append(str(layer))
            spec = one.contained("a", "/bin/sh", "-c", "ls -d /from* | wc -l", layers=tuple(layers))
            await one.ran_contained(spec)
            assert one.output("a") == "120\n"

    asyncio.run(run())


# How it fails


def test_what_keeps_a_container_from_starting_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            nothing = Mount(destination="/x", source="/no/such/place")
            cases = [
                (
                    one.contained("a", "/no/such"),
                    "start '/no/such': executable file `/no/such` not found",
                ),
                (one.contained("b", "no-such"), "executable file `no-such` not found"),
                (one.contained("c", "/noexec"), "start '/noexec': .*[Pp]ermission denied"),
                (
                    one.contained("d", "/garbage"),
                    "start '/garbage': the kernel does not execute it",
                ),
                (one.contained("e", "/script"), "start '/script': the kernel does not execute it"),
                (one.contained("f", "true", mounts=(nothing,)), "/no/such/place.*No such file"),
                (
                    one.contained("g", "true", layers=("/no/layer", *one.layers)),
                    "mount the root of 'true': the layer '/no/layer' is not there",
                ),
                (one.contained("h", "true", namespaces={"network": "/no/such"}), "/no/such"),
            ]
            for spec, text in cases:
                with pytest.raises(HostError, match=text):
                    await one.oci.launch(spec)
                assert left(one) == [], spec.container_id
                assert not ended(one.runtime.launcher_pid)
            assert one.exits.told == []
            assert (await one.ran_contained(one.contained("a", "true"))).wait_status == 0

    asyncio.run(run())


def test_refused_second_launch_leaves_the_first_ones_changes(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            go = one.fifo("a", "go")
            await one.oci.launch(
                one.contained("a", "/bin/sh", "-c", "read x <go; echo 1 >/kept; cat /kept")
            )
            with pytest.raises(HostError, match="there is a container of this id"):
                await one.oci.launch(one.contained("a", "true"))
            os.write(go, b"\n")
            await one.exits.of("a")
            assert one.output("a") == "1\n"
            os.close(go)

    asyncio.run(run())


@WAYS
def test_container_destroyed_while_it_is_created_leaves_nothing(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            for number in range(10):
                name = f"c{number}"
                launch = asyncio.ensure_future(one.oci.launch(one.contained(name, "sleep", "1000")))
                # Of these some come before the runtime is there, some while it works, some after.
                for _ in range(number):
                    await one.oci.forget("none")
                try:
                    await one.oci.destroy(name)
                except HostError:
                    await launch  # it was not asked for yet
                    await one.oci.destroy(name)
                try:
                    await launch
                except HostError as error:
                    assert "it was killed before it began" in str(error)  # noqa: PT017 - it may also start
                else:
                    await one.exits.of(name)
                    await one.oci.forget(name)
                assert left(one) == []

    asyncio.run(run())


def test_runtime_that_hangs_is_ended_with_its_container(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            hanging = tmp_path / "hanging"
            report = one.fifo("a", "report")
            fifo = one.sandbox("a") / "report"
            hanging.write_text(f"#!/bin/sh\necho up >{fifo}\nexec sleep 1000\n")
            hanging.chmod(0o755)
            assert one.program is not None
            one.program = replace(one.program, path=str(hanging))
            runtime = one.reconfigured()
            launch = asyncio.ensure_future(runtime.launch(one.contained("a", "true")))
            assert await line_from(report) == "up\n"
            os.close(report)
            assert os.listdir(one.runtime_directory / "bundles") == ["a"]
            await runtime.destroy("a")
            with pytest.raises(HostError, match="start 'true': it was killed before it began"):
                await launch
            assert left(one) == []

    asyncio.run(run())


# Lives of agents and launchers


AGENT = """
import asyncio, sys
from tests.agent.containers.oci_host import OciHost
from pathlib import Path

async def run():
    one = OciHost(Path(sys.argv[1]))
    await one.oci.recover()
    await one.oci.launch(one.contained("runs", "/bin/sh", "-c", "read code <go; cat /file; exit $code"))
    await one.oci.launch(one.contained("exits", "/bin/sh", "-c", "read code <end; exit $code"))
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


def test_containers_outlive_an_agent_that_is_killed(tmp_path: Path) -> None:
    async def run() -> None:
        one = OciHost(tmp_path)
        go, end = one.fifo("runs", "go"), one.fifo("exits", "end")
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
            [sys.executable, "-c", AGENT, str(tmp_path)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        ) as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"up\n"
            agent.kill()
        (one.containers_directory / "stale/upper").mkdir(parents=True)
        found = {each.container_id: each for each in await one.oci.recover()}
        assert found.keys() == {"runs", "exits"}
        assert sorted(os.listdir(one.containers_directory)) == ["exits", "runs"]
        os.write(end, b"4\n")
        assert (await one.exits.of("exits")).wait_status == 4 << 8
        assert not ended(found["runs"].pid)
        os.write(go, b"5\n")
        assert (await one.exits.of("runs")).wait_status == 5 << 8
        assert one.output("runs") == "top"
        for name in found:
            await one.oci.forget(name)
        assert left(one) == []
        await one.runtime.end()
        wait_gone(one.runtime.launcher_pid)
        assert traces_of(one) == []
        os.close(go)
        os.close(end)

    asyncio.run(run())


@WAYS
def test_killed_launcher_is_replaced_and_nothing_of_its_containers_is_left(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path, cgroups=cgroups) as one:
            report = one.fifo("a", "report")
            started = await one.oci.launch(
                one.contained("a", "/bin/sh", "-c", "sleep 1000 & echo up >report; wait")
            )
            assert await line_from(report) == "up\n"
            os.kill(one.runtime.launcher_pid, signal.SIGKILL)
            exited = await one.exits.of("a")
            assert exited.wait_status == signal.SIGKILL
            wait_gone(started.pid)
            assert [name for name in left(one) if name != "a"] == [], (
                "the next agent has not swept yet"
            )
            await one.oci.forget("a")
            assert left(one) == []
            assert (await one.ran_contained(one.contained("b", "true"))).wait_status == 0
            os.close(report)

    asyncio.run(run())


def test_many_containers_at_once_each_exit_once_and_leave_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            names = [f"c{number}" for number in range(24)]
            specs = [
                one.contained(name, "/bin/sh", "-c", f"exit {number}")
                for number, name in enumerate(names)
            ]
            await asyncio.gather(*(one.oci.launch(spec) for spec in specs))
            for number, name in enumerate(names):
                assert (await one.exits.of(name)).wait_status == number << 8
            await asyncio.gather(*(one.oci.forget(name) for name in names))
            assert len(one.exits.told) == len(names)
            assert left(one) == []

    asyncio.run(run())


def test_plain_containers_pass_through(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            assert isinstance(one.oci, OciRuntime)
            exited = await one.ran_contained(one.spec("a", "/bin/sh", "-c", "exit 7"))
            assert exited.wait_status == 7 << 8
            with pytest.raises(HostError, match="it is asked for without an OCI runtime"):
                await one.runtime.launch(one.contained("b", "true", namespaces=NAMESPACES))

    asyncio.run(run())


RUNC = shutil.which("runc", path=SEARCHED)


@pytest.mark.skipif(RUNC is None, reason="runc is not installed")
def test_runc_does_as_well_and_makes_no_cgroups(tmp_path: Path) -> None:
    async def run() -> None:
        assert RUNC is not None
        program = OciProgram(RUNC, False, guarded=(CGROUPS,))
        async with oci_host(tmp_path, program=program) as one:
            go = one.fifo("a", "go")
            await one.oci.launch(
                one.contained("a", "/bin/sh", "-c", "echo in; read code <go; exit $code")
            )
            session = one.session("a.s", "a", "/bin/sh", "-c", "id -u; exit 6", uid=1234)
            assert (await one.ran_contained(session)).wait_status == 6 << 8
            assert one.output("a.s") == "1234\n"
            os.write(go, b"5\n")
            assert (await one.exits.of("a")).wait_status == 5 << 8
            assert one.output("a") == "in\n"
            with pytest.raises(
                HostError, match=r"start '/no/such': runc create failed.*no such file"
            ):
                await one.oci.launch(one.contained("b", "/no/such"))
            with pytest.raises(HostError, match="start '/garbage': the kernel does not execute it"):
                await one.oci.launch(one.contained("c", "/garbage"))
            rules = rules_of(Filters().resolved(DEFAULT, ()))
            line = (
                "busybox grep Seccomp: /proc/self/status; busybox unshare -U true || echo refused"
            )
            spec = one.contained("d", "/bin/sh", "-c", line)
            assert spec.isolation is not None
            isolation = replace(spec.isolation, seccomp_rules=rules)
            await one.ran_contained(replace(spec, isolation=isolation))
            assert one.output("d").split() == ["Seccomp:", "2", "refused"]
            for name in ("a", "a.s", "d"):
                await one.oci.forget(name)
            assert left(one) == []
            assert [*Path("/sys/fs/cgroup").glob("*/a"), *Path("/sys/fs/cgroup").glob("*/c")] == []
            os.close(go)

    asyncio.run(run())
