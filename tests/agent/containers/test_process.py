"""Real processes under a real launcher: statuses, errors, output, trees, limits, and what is left behind."""

from __future__ import annotations

import asyncio
import getpass
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers import process
from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.spec import ContainerSpec, Exited
from tepui.agent.containers.users import ids_of
from tepui.agent.launcher import frames
from tepui.base.errors import HostError
from tests.agent.containers.host import Host, cgroups_of, ended, host, line_from, wait_gone

pytestmark = pytest.mark.real

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
WAYS = pytest.mark.parametrize("cgroups", [True, False], ids=["cgroups", "proc"])


def enforced(one: Host, name: str) -> None:
    """Skip the test where the machine does not enforce `name`."""
    if name not in one.runtime.capabilities().enforced:
        pytest.skip(one.runtime.capabilities().unenforced or f"'{name}' is not enforced")


# Statuses and errors


@WAYS
def test_exit_codes_and_signals_are_told_as_wait_statuses(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> list[int]:
        async with host(tmp_path, cgroups=cgroups) as one:
            scripts = {"a": "exit 0", "b": "exit 255", "c": "kill -SEGV $$", "d": "kill -TERM $$"}
            for name, script in scripts.items():
                await one.shell(name, script)
            return [(await one.exits.of(name)).wait_status & ~0x80 for name in scripts]

    assert asyncio.run(run()) == [0, 255 << 8, signal.SIGSEGV, signal.SIGTERM]


def test_what_keeps_a_program_from_starting_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            script = one.sandbox("script") / "tool"
            script.write_text("#!/no/such/interpreter\n")
            script.chmod(0o755)
            plain = one.sandbox("plain") / "file"
            plain.write_text("text")
            cases = [
                (("/no/such",), r"start '/no/such': no such file or directory \(ENOENT\)"),
                (("no-such-tool",), r"start 'no-such-tool': no such file or directory \(ENOENT\)"),
                ((str(plain),), r"permission denied \(EACCES\)"),
                ((str(script),), r"the file is there, but its interpreter is not"),
                (("/bin/true", "x" * 3_000_000), r"argument list too long \(E2BIG\)"),
                (("a\0b",), r"field 'program': it must be a text without NUL"),
                (("a", "\0"), r"field 'argv': it must be a list of texts without NUL"),
                ((), r"field 'argv': it is empty"),
            ]
            for number, (argv, text) in enumerate(cases):
                with pytest.raises(HostError, match=text):
                    await one.runtime.launch(one.spec(f"c{number}", *argv))
            nowhere = ContainerSpec(
                container_id="nowhere",
                program="/bin/true",
                argv=("true",),
                environment={},
                directory=str(tmp_path / "nowhere"),
            )
            with pytest.raises(HostError, match=r"enter the working directory '.*nowhere'"):
                await one.runtime.launch(nowhere)
            assert one.exits.told == []
            assert (await one.ran(one.spec("c0", "true"))).wait_status == 0

    asyncio.run(run())


def test_unknown_user_is_refused_by_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            with pytest.raises(HostError, match="Failed to get user information for 'nobody-here'"):
                await one.runtime.launch(one.spec("a", "true", user="nobody-here"))
            assert (await one.ran(one.spec("a", "true", user=getpass.getuser()))).wait_status == 0

    asyncio.run(run())


@needs_root
def test_container_runs_as_its_user_and_can_open_its_own_streams(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    async def run() -> None:
        async with host(tmp_path) as one:
            script = "id -u; id -G; echo again >/dev/stdout; echo err >/dev/stderr; cat /proc/self/oom_score_adj"
            exited = await one.ran(one.spec("a", "/bin/sh", "-c", script, user="nobody"))
            ids = ids_of("nobody")
            assert ids is not None
            groups = " ".join(str(group) for group in ids.groups)
            own = Path("/proc/self/oom_score_adj").read_text().strip()
            assert one.output("a") == f"{ids.uid}\n{groups}\nagain\n{own}\n"
            assert one.output("a", "stderr") == "err\n"
            assert (one.sandbox("a") / "stdout").stat().st_uid == ids.uid
            assert exited.wait_status == 0

    asyncio.run(run())


def test_process_begins_clean(tmp_path: Path) -> None:
    """Own session, no descriptors but three, default signals, the umask, and the environment as given."""

    async def run() -> None:
        async with host(tmp_path) as one:
            program = (
                "import os,signal;"
                "print(os.getsid(0)==os.getpid()==os.getpgid(0), os.readlink('/proc/self/fd/0'));"
                "print(sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4]);"
                "print([l for l in open('/proc/self/status') if l[:6] in ('SigIgn','SigBlk')]);"
                "print(os.getcwd(), oct(os.umask(0)), sorted(k for k in os.environ if k!='LC_CTYPE'))"
            )
            spec = one.spec("a", "/usr/bin/env", "python3", "-I", "-c", program)
            assert (await one.ran(spec)).wait_status == 0, one.output("a", "stderr")
            lines = one.output("a").splitlines()
            assert lines[0] == "True /dev/null"
            assert lines[1] == "[0, 1, 2, 3]"  # 3 is the listing itself
            # Python itself ignores SIGPIPE and SIGXFSZ.
            assert "SigBlk:\\t0000000000000000" in lines[2]
            assert "SigIgn:\\t0000000001001000" in lines[2]
            assert lines[3] == f"{one.sandbox('a')} 0o22 ['PATH', 'TEPUI_CONTAINER']"

    asyncio.run(run())


# Output


@WAYS
def test_output_is_rotated_and_bounded_and_its_end_is_kept(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            script = "head -c 20000000 /dev/zero | tr '\\0' x; printf end"
            await one.ran(one.spec("a", "/bin/sh", "-c", script))
            place = one.sandbox("a")
            assert sorted(os.listdir(place)) == ["stderr", "stdout", "stdout.1"]
            assert (place / "stdout.1").stat().st_size == 1 << 20
            assert (place / "stdout").stat().st_size == (20_000_003 - 1) % (1 << 20) + 1
            assert one.output("a").endswith("xend")

    asyncio.run(run())


def test_output_within_the_limit_is_kept_whole_and_after_what_was_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            (one.sandbox("a") / "stdout").write_text("fetched\n")
            spec = one.spec(
                "a", "/bin/sh", "-c", "seq 1 200000; seq 1 10 >&2", output_bytes_max=8 << 20
            )
            await one.ran(spec)
            wanted = "".join(f"{number}\n" for number in range(1, 200_001))
            assert one.output("a") == "fetched\n" + wanted
            assert one.output("a", "stderr") == "".join(f"{number}\n" for number in range(1, 11))

    asyncio.run(run())


def test_loud_tasks_keep_no_other_from_exiting(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            for name in ("loud1", "loud2"):
                await one.shell(name, "exec cat /dev/zero")
            for number in range(10):
                await one.ran(one.spec(f"quiet{number}", "true"))
            assert {e.container_id for e in one.exits.told} == {f"quiet{n}" for n in range(10)}
            for name in ("loud1", "loud2"):
                await one.runtime.destroy(name)
                await one.exits.of(name)
                assert (one.sandbox(name) / "stdout").stat().st_size <= 1 << 20

    asyncio.run(run())


def test_link_in_the_place_of_an_output_file_leads_nowhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            target = tmp_path / "precious"
            target.write_text("kept")
            (one.sandbox("a") / "stdout").symlink_to(target)
            with pytest.raises(HostError, match="open 'stdout'"):
                await one.runtime.launch(one.spec("a", "echo", "lost"))
            os.mkfifo(one.sandbox("b") / "stderr")
            with pytest.raises(HostError, match="open 'stderr'"):
                await one.runtime.launch(one.spec("b", "echo", "lost"))
            assert target.read_text() == "kept"

    asyncio.run(run())


# Trees


@WAYS
def test_background_grandchildren_end_with_the_main_process(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            # They hold the pipe open: the exit must not wait for them.
            await one.shell("a", "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; exit 7")
            assert (await one.exits.of("a")).wait_status == 7 << 8
            first, second = (int(pid) for pid in one.output("a").split())
            assert ended(first)
            assert ended(second)

    asyncio.run(run())


DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        fd = os.open("pid", os.O_WRONLY)
        os.dup2(os.open("/dev/null", os.O_RDWR), 1)
        os.write(fd, str(os.getpid()).encode())
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    os._exit(0)
os.wait()
open("go").read(1)
"""


@WAYS
def test_daemon_that_forked_twice_and_cleared_its_environment_is_killed(
    tmp_path: Path, cgroups: bool
) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            report, go = one.fifo("a", "pid"), one.fifo("a", "go")
            await one.runtime.launch(one.spec("a", "python3", "-I", "-c", DAEMON))
            daemon = int(await line_from(report))
            await one.runtime.destroy("a")
            assert os.WTERMSIG((await one.exits.of("a")).wait_status) == signal.SIGKILL
            wait_gone(daemon)
            os.close(report)
            os.close(go)

    asyncio.run(run())


@WAYS
def test_signal_reaches_the_whole_tree(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            report = one.fifo("a", "report")
            child = (
                "trap 'echo child >>log; exit' TERM; echo up >report; while :; do sleep 0.01; done"
            )
            script = f"trap 'wait; exit 9' TERM; setsid sh -c \"{child}\" & wait"
            await one.shell("a", script)
            await line_from(report)
            await one.runtime.signal("a", signal.SIGTERM)
            assert (await one.exits.of("a")).wait_status == 9 << 8
            assert one.output("a", "log") == "child\n"
            os.close(report)

    asyncio.run(run())


@WAYS
def test_container_may_kill_its_own_process_group(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            await one.shell("a", "kill -KILL 0")
            assert (await one.exits.of("a")).wait_status == signal.SIGKILL
            await one.ran(one.spec("b", "true"))

    asyncio.run(run())


@WAYS
def test_many_containers_at_once_each_exit_once(tmp_path: Path, cgroups: bool) -> None:
    count = 200 if cgroups else 50

    async def run() -> list[Exited]:
        async with host(tmp_path, cgroups=cgroups) as one:
            names = [f"c{number}" for number in range(count)]
            await asyncio.gather(*[one.runtime.launch(one.spec(name, "true")) for name in names])
            for name in names:
                await one.exits.of(name)
            await asyncio.gather(*[one.runtime.forget(name) for name in names])
            assert os.listdir(one.runtime_directory / "exits") == []
            return one.exits.told

    told = asyncio.run(run())
    assert len({one.container_id for one in told}) == len(told) == count
    assert {one.wait_status for one in told} == {0}


# Limits


def test_out_of_memory_ends_the_container_and_is_told(tmp_path: Path) -> None:
    async def run() -> Exited:
        async with host(tmp_path) as one:
            enforced(one, "memory")
            # A child is chosen by the kernel; the whole container ends, as in Mesos.
            script = "head -c 200000000 /dev/zero | tail >/dev/null; sleep 1000"
            await one.runtime.launch(one.spec("a", "/bin/sh", "-c", script, mem_bytes=32 << 20))
            return await one.exits.of("a")

    exited = asyncio.run(run())
    assert exited.oom
    assert exited.mem_limit_bytes == 32 << 20
    assert (24 << 20) < exited.mem_peak_bytes <= (32 << 20)
    assert os.WTERMSIG(exited.wait_status) == signal.SIGKILL


def test_memory_limit_can_be_raised_but_not_under_what_is_used(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            enforced(one, "memory")
            report, go = one.fifo("a", "report"), one.fifo("a", "go")
            program = (
                "import os; line = lambda: open('go').readline();"
                "r = os.open('report', os.O_WRONLY);"
                "line(); x = bytearray(80 << 20); os.write(r, b'up\\n'); line()"
            )
            spec = one.spec("a", "python3", "-I", "-c", program, mem_bytes=40 << 20)
            await one.runtime.launch(spec)
            assert await one.runtime.update("a", 0, 160 << 20) == ()
            os.write(go, b"\n")
            await line_from(report)
            notes = await one.runtime.update("a", 0, 40 << 20)
            assert notes[0].startswith(f"the memory limit stays at {160 << 20} bytes")
            usage = await one.runtime.usage("a")
            assert usage.mem_rss_bytes > 80 << 20
            assert usage.mem_limit_bytes == 160 << 20
            os.write(go, b"\n")
            exited = await one.exits.of("a")
            assert (exited.wait_status, exited.oom) == (0, False)
            assert exited.mem_peak_bytes > 80 << 20
            os.close(report)
            os.close(go)

    asyncio.run(run())


@WAYS
def test_usage_counts_processes_threads_and_time(tmp_path: Path, cgroups: bool) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=cgroups) as one:
            report, go = one.fifo("a", "report"), one.fifo("a", "go")
            program = (
                "import os,threading,time; e = threading.Event();"
                "threading.Thread(target=e.wait).start();"
                "p = os.fork() or time.sleep(1000);"
                "end = time.process_time() + 0.05\n"
                "while time.process_time() < end: pass\n"
                "open('report', 'w').write('up'); open('go').read(1)"
            )
            await one.runtime.launch(
                one.spec("a", "python3", "-I", "-W", "ignore", "-c", program, cpus_milli=500)
            )
            await line_from(report)
            usage = await one.runtime.usage("a")
            assert (usage.processes, usage.threads) == (2, 3)
            assert usage.cpu_user_ms + usage.cpu_system_ms >= 40
            assert usage.mem_rss_bytes > 1 << 20
            assert usage.cpus_limit_milli == 500
            os.close(report)
            os.close(go)

    asyncio.run(run())


def test_rlimits_are_set_and_those_out_of_reach_lowered_with_a_note(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            limits = (("RLMT_CORE", 0, 0), ("RLMT_NOFILE", 100, 200), ("RLMT_STACK", 1 << 20, None))
            spec = one.spec(
                "a", "/bin/sh", "-c", "ulimit -c; ulimit -n; ulimit -Hn", rlimits=limits
            )
            started = await one.runtime.launch(spec)
            await one.exits.of("a")
            assert one.output("a") == "0\n100\n200\n"
            assert started.notes == () or "RLMT" not in started.notes[0]
            ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            over = (("RLMT_NOFILE", ceiling + 1, ceiling + 1),)
            try:
                started = await one.runtime.launch(
                    one.spec("b", "/bin/sh", "-c", "ulimit -n", rlimits=over)
                )
            except HostError as error:
                # Over what the kernel has at all.
                assert error.operation == "set the rlimits of"  # noqa: PT017 - it may also work
            else:
                await one.exits.of("b")
                assert bool(started.notes) == (one.output("b") == f"{ceiling}\n")
            with pytest.raises(HostError, match="set the rlimit 'NOSUCH'"):
                await one.runtime.launch(one.spec("c", "true", rlimits=(("RLMT_NOSUCH", 1, 1),)))
            with pytest.raises(HostError, match="soft 2 is over hard 1"):
                await one.runtime.launch(one.spec("c", "true", rlimits=(("RLMT_CORE", 2, 1),)))

    asyncio.run(run())


def test_what_is_not_enforced_is_said_in_one_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path, cgroups=False) as one:
            told = one.runtime.capabilities()
            assert told.enforced == ()
            assert told.unenforced.startswith("not enforced: cpu limits, memory limits")

    asyncio.run(run())


# Lives of agents and launchers


def test_launcher_imports_nothing_heavy_and_stays_small(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            pid = one.runtime.launcher_pid
            maps = Path(f"/proc/{pid}/maps").read_text()
            assert "site-packages" not in maps
            assert "_asyncio" not in maps
            status = Path(f"/proc/{pid}/status").read_text()
            (line,) = (one for one in status.splitlines() if one.startswith("VmRSS"))
            assert int(line.split()[1]) < 20_000
            assert os.getsid(pid) == pid
            assert len(os.listdir(f"/proc/{pid}/fd")) < 20
            mode = (one.runtime_directory / "launcher.sock").stat().st_mode
            assert stat.S_IMODE(mode) == 0o700 & ~0o077

    asyncio.run(run())


def test_container_outlives_a_broken_connection_and_its_exit_is_told_after(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            go = one.fifo("a", "go")
            await one.shell("a", "read code <go; exit $code")
            link = one.runtime._link  # no public method breaks a connection
            assert link is not None
            link.close()
            os.write(go, b"6\n")
            assert (await one.exits.of("a")).wait_status == 6 << 8
            assert (await one.ran(one.spec("b", "true"))).wait_status == 0
            assert len(one.exits.told) == 2
            os.close(go)

    asyncio.run(run())


def test_second_agent_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            second = ProcessRuntime(one.config, one.exits)
            with pytest.raises(
                HostError, match=f"another agent, process {os.getpid()}, is connected"
            ):
                await second.recover()
            assert (await one.ran(one.spec("a", "true"))).wait_status == 0

    asyncio.run(run())


def test_launches_that_wait_while_the_connection_breaks_happen_once(tmp_path: Path) -> None:
    async def run() -> list[Exited]:
        async with host(tmp_path) as one:
            names = [f"c{number}" for number in range(40)]
            launches = [
                asyncio.ensure_future(one.runtime.launch(one.spec(n, "true"))) for n in names
            ]
            await launches[0]
            link = one.runtime._link  # no public method breaks a connection
            assert link is not None
            link.close()
            await asyncio.gather(*launches)
            for name in names:
                await one.exits.of(name)
            return one.exits.told

    told = asyncio.run(run())
    assert len({one.container_id for one in told}) == len(told) == 40


AGENT = """
import asyncio, sys
from tests.agent.containers.host import Host
from pathlib import Path

async def run():
    one = Host(Path(sys.argv[1]), cgroups=True, idle_s=60)
    await one.runtime.recover()
    await one.shell("runs", "read code <go; exit $code")
    await one.shell("exits", "read code <end; exit $code")
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(run())
"""


def test_containers_outlive_an_agent_that_is_killed(tmp_path: Path) -> None:
    async def run() -> None:
        one = Host(tmp_path, cgroups=True, idle_s=60)
        go, end = one.fifo("runs", "go"), one.fifo("exits", "end")
        with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs meanwhile
            [sys.executable, "-c", AGENT, str(tmp_path)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        ) as agent:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"up\n"
            agent.kill()
        found = {each.container_id: each for each in await one.runtime.recover()}
        assert found.keys() == {"runs", "exits"}
        os.write(end, b"4\n")
        assert (await one.exits.of("exits")).wait_status == 4 << 8
        assert not ended(found["runs"].pid)
        os.write(go, b"5\n")
        assert (await one.exits.of("runs")).wait_status == 5 << 8
        await one.runtime.end()
        wait_gone(one.runtime.launcher_pid)
        os.close(go)
        os.close(end)

    asyncio.run(run())


def test_killed_launcher_is_replaced_and_its_containers_are_told_as_killed(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path) as one:
            started = await one.shell("a", "sleep 1000 & wait")
            await one.ran(one.spec("b", "true"))
            first = one.runtime.launcher_pid
            os.kill(first, signal.SIGKILL)
            exited = await one.exits.of("a")
            assert exited.wait_status == signal.SIGKILL
            assert "the launcher was killed" in exited.text
            wait_gone(started.pid)
            assert (await one.ran(one.spec("c", "true"))).wait_status == 0
            assert one.runtime.launcher_pid != first
            await one.runtime.close()
            again = one.next_agent()
            assert {found.container_id for found in await again.recover()} == {"b", "c"}

    asyncio.run(run())


def test_launcher_without_agent_and_containers_ends_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        one = Host(tmp_path, cgroups=True, idle_s=0.05)
        await one.runtime.recover()
        pid = one.runtime.launcher_pid
        await one.ran(one.spec("a", "true"))
        await one.runtime.close()
        wait_gone(pid)
        assert not (one.runtime_directory / "launcher.sock").exists()
        assert cgroups_of(one.runtime_directory) == []
        again = one.next_agent()
        (found,) = await again.recover()
        assert found.exited is not None
        assert found.exited.wait_status == 0
        await again.end()
        wait_gone(again.launcher_pid)

    asyncio.run(run())


def test_end_kills_what_runs_and_tells_its_exit(tmp_path: Path) -> None:
    async def run() -> None:
        one = Host(tmp_path, cgroups=True, idle_s=60)
        await one.runtime.recover()
        started = await one.shell("a", "sleep 1000")
        await one.runtime.end()
        wait_gone(one.runtime.launcher_pid)
        assert ended(started.pid)
        assert os.WTERMSIG((await one.exits.of("a")).wait_status) == signal.SIGKILL
        with pytest.raises(HostError, match="this runtime was closed"):
            await one.runtime.launch(one.spec("b", "true"))

    asyncio.run(run())


def test_long_runtime_directory_is_no_obstacle(tmp_path: Path) -> None:
    async def run() -> None:
        async with host(tmp_path / ("long" * 40)) as one:
            assert (await one.ran(one.spec("a", "true"))).wait_status == 0

    asyncio.run(run())


# A launcher that an older agent has started


def test_a_launcher_of_an_older_version_is_not_asked_for_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with host(tmp_path) as one:
            await one.shell("busy", "exec sleep 60")
            monkeypatch.setattr(process, "CONTAINERS_REVISION", frames.REVISION + 1)
            with pytest.raises(HostError, match="of an older version, which does not know of that"):
                await one.runtime.launch(replace(one.spec("group"), program="", argv=()))
            assert (await one.ran(one.spec("plain", "true"))).wait_status == 0

    asyncio.run(play())


def test_a_launcher_of_an_older_version_without_containers_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        async with host(tmp_path) as one:
            before = one.runtime.launcher_pid
            monkeypatch.setattr(process, "REVISION", frames.REVISION + 1)
            await one.runtime.close()
            await one.next_agent().recover()
            assert one.runtime.launcher_pid != before
            wait_gone(before)

    asyncio.run(play())
