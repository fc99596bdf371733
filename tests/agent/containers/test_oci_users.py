"""Containers whose users are nobody on the host: what they are, see and may, from within and from outside."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import stat
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from tepui.agent.containers.isolation.user_support import refuse_without_users
from tepui.agent.containers.spec import (
    ContainerSpec,
    Mount,
    Propagation,
    Users,
    Window,
)
from tepui.base.errors import HostError, Refused
from tests.agent.containers.host import ended, line_from
from tests.agent.containers.oci_host import (
    MISSING,
    PROGRAM,
    needs_oci,
    oci_host,
)

FIRST = 1_900_000_000
USERS = Users(first=FIRST, count=65_536)
NULL = "/dev/null"


def lacking() -> str:
    """Why this machine gives containers no users of their own; '' when it does."""
    try:
        refuse_without_users(PROGRAM, MISSING, "/tmp", "/tmp", FIRST)
    except Refused as refused:
        return str(refused)
    return ""


pytestmark = [pytest.mark.real, needs_oci, pytest.mark.skipif(bool(lacking()), reason=lacking())]


def with_users(spec: ContainerSpec, **namespaces: str) -> ContainerSpec:
    own = spec.isolation
    assert own is not None
    spaces = {**own.namespaces, "user": "", **namespaces}
    return replace(spec, isolation=replace(own, namespaces=spaces, users=USERS))


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


def null_state() -> tuple[int, int, int]:
    found = os.stat(NULL)
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def test_root_is_somebody_else_outside_and_its_files_are_right_everywhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            null = null_state()
            report, go = one.fifo("a", "report"), one.fifo("a", "go")
            script = (
                "id -u; cat /proc/self/uid_map; stat -c %u:%g /file /bin; touch /mine ./here;"
                " stat -c %u:%g /mine ./here .; echo changed >>/file; echo up >report; read _ <go"
            )
            started = await one.oci.launch(with_users(one.contained("a", "/bin/sh", "-c", script)))
            assert await line_from(report) == "up\n"
            outside = psutil.Process(started.pid)
            assert set(outside.uids()) == {FIRST}
            assert set(outside.gids()) == {FIRST}
            assert os.readlink(f"/proc/{started.pid}/ns/user") != os.readlink("/proc/self/ns/user")
            upper = one.containers_directory / "a/upper"
            assert owner(upper / "mine") == owner(upper / "file") == (FIRST, FIRST)
            assert owner(one.sandbox("a") / "here") == (0, 0)
            assert owner(one.sandbox("a") / "stdout") == (0, 0)
            for layer in one.layers:
                assert owner(Path(layer)) == (0, 0)
            usage = await one.oci.usage("a")
            assert usage.processes >= 1
            os.write(go, b"\n")
            assert (await one.exits.of("a")).wait_status == 0
            uid, mapping, *rest = one.output("a").splitlines()
            assert uid == "0"
            assert mapping.split() == ["0", str(FIRST), "65536"]
            assert rest == ["0:0"] * 5
            assert null_state() == null
            os.close(report)
            os.close(go)

    asyncio.run(run())


def test_user_of_the_image_is_mapped_too_and_opens_its_own_output(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            script = (
                "id -u; touch here; stat -c %u here; echo out >/dev/stdout; echo err >/dev/stderr"
            )
            spec = with_users(one.contained("a", "/bin/sh", "-c", script, uid=1234))
            assert (await one.ran_contained(spec)).wait_status == 0
            assert one.output("a").splitlines() == ["1234", "1234", "out"]
            assert (one.sandbox("a") / "stderr").read_text() == "err\n"
            assert owner(one.sandbox("a") / "here") == (1234, 1234)

    asyncio.run(run())


def test_nothing_of_the_host_can_be_mounted_owned_or_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            secret = tmp_path / "of-root"
            secret.write_text("host")
            secret.chmod(0o600)
            given = tmp_path / "given"
            given.write_text("host")
            tries = (
                "mount -t tmpfs none /bin",
                "mount -o remount,rw /given",
                "mount -t proc proc /proc",
                "umount /proc/kcore",
                "echo changed >/given",
                "echo 1 >/proc/sys/kernel/printk",
                "echo c >/proc/sysrq-trigger",
                "hostname other",
                "touch /sys/kernel/mine",
                "mkdir /sys/fs/cgroup/memory/mine",
                "cat /dev/kmsg",
                f"cat /proc/1/root{secret}",
            )
            script = "; ".join(f"({one}) 2>/dev/null && echo {shlex.quote(one)}" for one in tries)
            read_only = Mount(destination="/given", source=str(given), read_only=True)
            spec = one.contained("a", "/bin/sh", "-c", script + "; cat /given", mounts=(read_only,))
            assert (await one.ran_contained(with_users(spec))).wait_status == 0
            assert one.output("a") == "host"
            assert given.read_text() == "host"

    asyncio.run(run())


def test_volume_has_the_owners_that_it_has_on_disk_and_one_that_is_not_mapped_is_closed(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            shared, handed, closed = (tmp_path / name for name in ("shared", "handed", "closed"))
            for place in (shared, handed, closed):
                place.mkdir()
                (place / "file").write_text("text")
                (place / "file").chmod(0o600)
            os.chown(shared / "file", 33, 33)
            for path in (handed, handed / "file"):
                os.chown(path, FIRST + 7, FIRST + 7)
            script = (
                "stat -c %u /shared/file; stat -c %u /handed/file; stat -c %u /closed/file;"
                " echo new >/shared/new; cat /shared/file; cat /closed/file || echo refused"
            )
            mounts = (
                Mount(destination="/shared", source=str(shared)),
                Mount(destination="/handed", source=str(handed), has_outer_owners=True),
                Mount(destination="/closed", source=str(closed), has_outer_owners=True),
            )
            spec = one.contained("a", "/bin/sh", "-c", script, mounts=mounts)
            assert (await one.ran_contained(with_users(spec))).wait_status == 0
            assert one.output("a").splitlines() == ["33", "7", "65534", "textrefused"]
            assert owner(shared / "new") == (0, 0)

    asyncio.run(run())


def test_kernel_files_are_those_of_the_network_that_the_container_is_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            script = "ls /sys/class/net; test -r /proc/self/status && ls -d /sys/fs/cgroup; cat /proc/kcore"
            on_host = with_users(one.contained("h", "/bin/sh", "-c", script))
            alone = with_users(one.contained("n", "/bin/sh", "-c", script), network="")
            await one.ran_contained(on_host)
            await one.ran_contained(alone)
            hosts = sorted(os.listdir("/sys/class/net"))
            assert {"lo", "/sys/fs/cgroup"} <= set(one.output("h").split())
            assert one.output("n").split() == ["lo", "/sys/fs/cgroup"]
            if len(hosts) > 1:
                assert len(one.output("h").split()) > 2

    asyncio.run(run())


def test_containers_of_a_group_own_its_network_together(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            group = one.group("g", {"user": "", "network": ""})
            own = group.isolation
            assert own is not None
            held = await one.oci.launch(replace(group, isolation=replace(own, users=USERS)))
            paths = {kind: held.namespaces[kind] for kind in ("user", "network")}
            script = (
                "readlink /proc/self/ns/user; readlink /proc/self/ns/net; ls /sys/class/net;"
                " ifconfig lo 127.0.0.2 && echo configured"
            )
            for name in ("g.a", "g.b"):
                spec = one.contained(name, "/bin/sh", "-c", script, parent="g")
                spec = with_users(spec, **paths)
                assert spec.isolation is not None
                capable = replace(
                    spec.isolation, capabilities=("CAP_NET_ADMIN", *spec.isolation.capabilities)
                )
                await one.ran_contained(replace(spec, isolation=capable))
                expected = [os.readlink(paths[kind]) for kind in ("user", "network")]
                assert one.output(name).split() == [*expected, "lo", "configured"]
            await one.oci.destroy("g")
            await one.exits.of("g")

    asyncio.run(run())


def test_session_is_in_the_user_namespace_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            null = null_state()
            outer = await one.oci.launch(with_users(one.contained("a", "sleep", "1000")))
            asked = (
                "readlink /proc/self/ns/user; id -u; cat /proc/self/uid_map; echo out >/dev/stdout"
            )
            await one.oci.launch(one.session("a.s", "a", "/bin/sh", "-c", asked))
            assert (await one.exits.of("a.s")).wait_status == 0
            space, uid, *mapping, out = one.output("a.s").split()
            assert space == os.readlink(f"/proc/{outer.pid}/ns/user")
            assert (uid, mapping, out) == ("0", ["0", str(FIRST), "65536"], "out")
            await one.oci.launch(one.session("a.t", "a", "/bin/sh", "-c", "id -u", uid=1234))
            assert (await one.exits.of("a.t")).wait_status == 0
            assert one.output("a.t") == "1234\n"
            assert null_state() == null
            await one.oci.destroy("a")
            assert os.WTERMSIG((await one.exits.of("a")).wait_status) == signal.SIGKILL
            assert ended(outer.pid)

    asyncio.run(run())


def test_terminal_belongs_to_the_containers_user(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            spec = with_users(one.contained("a", "/bin/sh", "-c", "tty; stat -c %u $(tty)"))
            spec = replace(spec, tty=Window())
            assert (await one.ran_contained(spec)).wait_status == 0
            name, uid = one.output("a").split()
            assert name.startswith("/dev/pts/")
            assert uid == "0"
            outer = await one.oci.launch(with_users(one.contained("b", "sleep", "1000")))
            session = replace(one.session("b.s", "b", "/bin/sh", "-c", "tty; id -u"), tty=Window())
            await one.oci.launch(session)
            assert (await one.exits.of("b.s")).wait_status == 0
            assert one.output("b.s").split()[-1] == "0"
            assert not ended(outer.pid)
            await one.oci.destroy("b")
            await one.exits.of("b")

    asyncio.run(run())


def test_container_outlives_its_agent_and_its_users_stay(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            go = one.fifo("a", "go")
            script = "read _ <go; touch later; exit 4"
            started = await one.oci.launch(with_users(one.contained("a", "/bin/sh", "-c", script)))
            await one.runtime.close()
            one.next_agent()
            [found] = await one.oci.recover()
            assert (found.container_id, found.pid) == ("a", started.pid)
            os.write(go, b"\n")
            assert (await one.exits.of("a")).wait_status == 4 << 8
            assert owner(one.sandbox("a") / "later") == (0, 0)
            await one.oci.forget("a")
            assert os.listdir(one.containers_directory) == []
            os.close(go)

    asyncio.run(run())


def test_what_a_user_namespace_has_not_is_refused_in_words(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            shared = Mount(
                destination="/shared", source=str(tmp_path), propagation=Propagation.BOTH_WAYS
            )
            with pytest.raises(HostError, match="is never seen outside"):
                await one.oci.launch(with_users(one.contained("a", "true", mounts=(shared,))))
            with pytest.raises(HostError, match="users and groups below 65536 only"):
                await one.oci.launch(with_users(one.contained("b", "true", uid=70_000)))

    asyncio.run(run())


def test_limits_hold_and_the_end_is_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with oci_host(tmp_path) as one:
            if "memory" not in one.oci.capabilities().enforced:
                pytest.skip("no memory is limited on this machine")
            script = "head -c 200000000 /dev/zero | tail >/dev/null; sleep 1000"
            spec = with_users(one.contained("a", "/bin/sh", "-c", script, mem_bytes=64 << 20))
            exited = await one.ran_contained(spec)
            assert exited.oom
            assert exited.mem_limit_bytes == 64 << 20

    asyncio.run(run())
