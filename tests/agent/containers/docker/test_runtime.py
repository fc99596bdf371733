"""What only containers of Docker Engine do, with a real Engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.containers.docker.finding import find_engine
from tepui.agent.containers.docker.runtime import DockerRuntime
from tepui.agent.containers.spec import (
    NO_LIMIT,
    ContainerSpec,
    DockerOptions,
    InsideDocker,
    Mount,
    Stdio,
    Window,
)
from tepui.base.errors import HostError
from tests.agent.containers.docker.docker_host import docker_host, ended_by
from tests.agent.containers.host import line_from
from tests.real.docker_engine import IMAGE, DockerEngine, make_image

pytestmark = pytest.mark.real

UP = "echo up >/mnt/mesos/sandbox/up"
WAIT = "read code <>/mnt/mesos/sandbox/go; exit $code"
LINES = 20_000
MANY = 16  # containers at once


def test_engine_is_found_with_its_version(engine: DockerEngine) -> None:
    found = asyncio.run(find_engine(engine.socket))
    assert found.version
    assert found.info.memory_limit


def test_absence_of_an_engine_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"ask Docker Engine at '.*': No such file or directory"):
        asyncio.run(find_engine(str(tmp_path / "docker.sock")))


def test_task_has_its_sandbox_environment_and_output(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            script = 'echo "$MESOS_SANDBOX $MESOS_CONTAINER_NAME $A"; echo bad >&2; echo x >$MESOS_SANDBOX/f'
            spec = one.spec("c", script, environment={"A": "b c", "PATH": "/bin"})
            (one.sandbox("c") / "stdout").write_text("fetched\n")
            exited = await one.ran(spec)
            assert (exited.wait_status, exited.text) == (0, "")
            assert one.output("c") == "fetched\n/mnt/mesos/sandbox mesos-c b c\n"
            assert one.output("c", "stderr") == "bad\n"
            assert one.output("c", "f") == "x\n"

    asyncio.run(run())


def test_nothing_is_left_of_a_forgotten_container(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.ran(one.spec("c", "exit 0"))
            assert one.names() == ["mesos-c"]
            await one.runtime.forget("c")
            assert one.names() == []
            assert list((tmp_path / "state").iterdir()) == []

    asyncio.run(run())


def test_forgotten_container_is_kept_for_as_long_as_is_asked_and_not_found_again(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path, remove_delay_ms=3_600_000) as one:
            await one.ran(one.spec("c", "exit 0"))
            await one.runtime.forget("c")
            (kept,) = one.names()
            assert kept.startswith("mesos-c.")
            await one.runtime.launch(one.spec("c", "sleep 1000"))  # the name is free
            await one.runtime.close()
            one.next_agent()
            (found,) = await one.runtime.recover()
            assert found.exited is None
            assert one.names() == ["mesos-c", kept]

    asyncio.run(run())


def test_missing_image_fails_the_launch_and_leaves_nothing(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            options = DockerOptions(image="127.0.0.1:1/none:1")
            with pytest.raises(HostError, match=r"pull '127.0.0.1:1/none:1': .*connection refused"):
                await one.runtime.launch(one.spec("c", "", options=options))
            never = structs.replace(options, parameters=(("pull", "never"),))
            with pytest.raises(HostError, match="create 'mesos-c': No such image"):
                await one.runtime.launch(one.spec("c", "", options=never))
            assert one.names() == []
            await one.ran(one.spec("c", "exit 0"))

    asyncio.run(run())


def test_missing_program_fails_the_launch_and_leaves_nothing(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            spec = structs.replace(one.spec("c"), program="/no/such", argv=("/no/such",))
            with pytest.raises(HostError, match="no such file or directory"):
                await one.runtime.launch(spec)
            await one.runtime.close()
            one.next_agent()
            assert await one.runtime.recover() == []
            assert list((tmp_path / "state").glob("*")) == []

    asyncio.run(run())


def test_cancelled_launch_leaves_nothing(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            launching = asyncio.ensure_future(one.runtime.launch(one.spec("c", "sleep 1000")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            launching.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launching
            while one.names():  # noqa: ASYNC110 - the deadline is the host's
                await asyncio.sleep(0.01)

    asyncio.run(run())


def test_image_has_its_own_command_and_what_is_given_is_appended(
    engine: DockerEngine, tmp_path: Path
) -> None:
    make_image(engine, "said:1", ('ENTRYPOINT ["/bin/echo","said"]', 'CMD ["nothing"]', "ENV X=y"))

    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            own = DockerOptions(image="said:1", has_own_command=False)
            await one.ran(one.spec("a", argv=(), options=own))
            await one.ran(one.spec("b", argv=("this", "$X"), options=own))
            replaced = structs.replace(own, has_own_command=True)
            await one.ran(one.spec("c", "echo $X", options=replaced))
            outputs = [one.output(name) for name in ("a", "b", "c")]
            assert outputs == ["said nothing\n", "said this $X\n", "y\n"]

    asyncio.run(run())


def test_sigterm_is_the_stop_signal_that_was_chosen(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            up, go = one.fifo("c", "up"), one.fifo("c")
            script = f"trap 'exit 4' INT; trap 'exit 5' TERM; {UP}; {WAIT}"
            options = DockerOptions(image=IMAGE, parameters=(("stop-signal", "SIGINT"),))
            await one.runtime.launch(one.spec("c", script, options=options))
            assert await line_from(up) == "up\n"
            await one.runtime.signal("c", signal.SIGTERM)
            assert (await one.exits.of("c")).wait_status == 4 << 8
            os.close(up)
            os.close(go)

    asyncio.run(run())


def test_container_that_wants_too_much_memory_is_told_so(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            script = "head -c 100m /dev/zero | tail >/dev/null; exit 1"
            exited = await one.ran(one.spec("c", script, mem_bytes=32 << 20))
            assert exited.oom
            assert exited.mem_limit_bytes == exited.mem_peak_bytes == 32 << 20

    asyncio.run(run())


def test_main_process_that_is_killed_for_want_of_memory_is_told_so_whatever_the_engine_saw(
    engine: DockerEngine, tmp_path: Path
) -> None:
    """The Engine misses some of many that die as soon as they have begun."""

    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            script = "exec dd if=/dev/zero of=/dev/null bs=300M count=1"
            names = [f"c{number}" for number in range(MANY)]
            specs = [
                one.spec(name, script, mem_bytes=(8 << 20) + (8 << 20) * (at % 3))
                for at, name in enumerate(names)
            ]
            exits = await asyncio.gather(*(one.ran(spec) for spec in specs))
            assert [exited.container_id for exited in exits if not exited.oom] == []
            assert {exited.wait_status for exited in exits} == {signal.SIGKILL}
            killed = one.spec("killed", "exec sleep 1000", mem_bytes=32 << 20)
            await one.runtime.launch(killed)
            await one.runtime.destroy("killed")
            assert not (await one.exits.of("killed")).oom

    asyncio.run(run())


def test_limits_are_lifted_and_not_lowered_under_what_is_used(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            up = one.fifo("c", "up")
            script = f"head -c 40m /dev/zero >/dev/shm/f; {UP}; sleep 1000"
            spec = one.spec("c", script, mem_bytes=128 << 20, cpus_milli=250)
            await one.runtime.launch(spec)
            assert await line_from(up) == "up\n"
            (note,) = await one.runtime.update("c", 0, 33 << 20)
            assert note == (
                f"the memory limit stays at {128 << 20} bytes: more than {33 << 20} are used"
            )
            assert await one.runtime.update("c", 0, NO_LIMIT, cpus_limit_milli=500) == ()
            usage = await one.runtime.usage("c")
            assert (usage.mem_limit_bytes, usage.processes, usage.threads) == (0, 1, 1)
            assert await one.runtime.update("c", 0, 64 << 20, cpus_limit_milli=NO_LIMIT) == ()
            assert (await one.runtime.usage("c")).mem_limit_bytes == 64 << 20
            os.close(up)

    asyncio.run(run())


def test_output_is_rotated_and_none_is_lost(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            script = f"seq 1 {LINES}; seq 1 {LINES} >&2"
            wanted = "".join(f"{number}\n" for number in range(1, LINES + 1))
            spec = one.spec("c", script, output_bytes_max=70_000)
            exited = await one.ran(spec)
            assert exited.text == ""
            for name in ("stdout", "stderr"):
                older, newer = one.output("c", f"{name}.1"), one.output("c", name)
                assert len(older) == 70_000
                assert wanted.endswith(older + newer)

    asyncio.run(run())


def test_output_goes_on_without_loss_when_the_engine_turns_its_log_over(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            options = DockerOptions(image=IMAGE, parameters=(("log-opt", "max-size=700k"),))
            # 1.7 MB of log: it is turned over twice, and all of it is in the three files that are kept.
            script = f"for n in 1 2 3 4 5; do seq 1 {LINES // 5}; done"
            exited = await one.ran(one.spec("c", script, options=options))
            assert exited.text == ""
            once = "".join(f"{number}\n" for number in range(1, LINES // 5 + 1))
            assert one.output("c") == once * 5

    asyncio.run(run())


def test_next_agent_goes_on_with_the_output(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            up, go = one.fifo("c", "up"), one.fifo("c")
            await one.runtime.launch(one.spec("c", f"echo one; {UP}; echo two; {WAIT}"))
            assert await line_from(up) == "up\n"
            await one.runtime.close()
            os.write(go, b"3\n")
            one.next_agent()
            (found,) = await one.runtime.recover()
            exited = found.exited or await one.exits.of("c")
            assert exited.wait_status == 3 << 8
            assert one.output("c") == "one\ntwo\n"
            os.close(up)
            os.close(go)

    asyncio.run(run())


def test_containers_and_their_output_survive_the_engines_sudden_end(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            fds = {name: one.fifo(name) for name in ("early", "late")}
            script = f"echo before; {UP}; read line <>/mnt/mesos/sandbox/go; echo after; {WAIT}"
            for name in fds:
                up = one.fifo(name, "up")
                await one.runtime.launch(one.spec(name, script))
                assert await line_from(up) == "up\n"
                os.close(up)
            await asyncio.to_thread(engine.kill)
            os.write(fds["early"], b"go\n5\n")
            with pytest.raises(HostError, match=r"ask Docker Engine at '.*': Connection refused"):
                await one.runtime.launch(one.spec("other", ""))
            with pytest.raises(HostError, match="ask Docker Engine"):
                await one.runtime.update("late", 100, 0)
            usage = await one.runtime.usage("late")
            assert usage.processes == 1, "nothing is killed because of it"
            await asyncio.to_thread(engine.start)
            os.write(fds["late"], b"go\n6\n")
            early, late = await one.exits.of("early"), await one.exits.of("late")
            assert (early.wait_status, late.wait_status) == (5 << 8, 6 << 8)
            assert "Docker Engine was away when it ended" in early.text
            assert late.text == ""
            assert one.output("early").startswith("before\n")
            assert one.output("late") == "before\nafter\n"
            for fd in fds.values():
                os.close(fd)

    asyncio.run(run())


def test_destroy_is_made_up_for_when_the_engine_is_back(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            await asyncio.to_thread(engine.stop)
            with pytest.raises(HostError, match="ask Docker Engine"):
                await one.runtime.destroy("c")
            await asyncio.to_thread(engine.start)
            assert ended_by(await one.exits.of("c")) == signal.SIGKILL

    asyncio.run(run())


def test_container_that_someone_else_removed_is_told_as_killed(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            with contextlib.closing(engine.client()) as client:
                await asyncio.to_thread(client.remove_container, "mesos-c", force=True)
            exited = await one.exits.of("c")
            assert ended_by(exited) == signal.SIGKILL
            await one.runtime.forget("c")

    asyncio.run(run())


def test_volumes_and_parameters_reach_the_container(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            given = tmp_path / "given"
            given.mkdir()
            (given / "f").write_text("content\n")
            options = DockerOptions(
                image=IMAGE,
                network="none",
                hostname="inner",
                mounts=(
                    Mount(destination="/given", source=str(given), read_only=True),
                    Mount(destination="/scratch", source=None, options=("size=64k",)),
                ),
                volumes=(("kept", "/kept", False),),
                parameters=(("env", "P=q"), ("ulimit", "nofile=77"), ("workdir", "/given")),
            )
            script = (
                "cat f; touch f 2>/dev/null || echo ro; df -k /scratch | tail -1 | awk '{print $2}';"
                " ls -d /kept; hostname; echo $P; ulimit -n; ls /sys/class/net"
            )
            await one.ran(one.spec("c", script, options=options, environment={"PATH": "/bin"}))
            assert one.output("c", "stderr") == ""
            assert one.output("c").split() == [
                "content", "ro", "64", "/kept", "inner", "q", "77", "lo",
            ]  # fmt: skip
            with contextlib.closing(engine.client()) as client:
                await one.runtime.forget("c")
                client.remove_volume("kept")

    asyncio.run(run())


def test_port_of_a_container_in_a_network_is_reached(engine: DockerEngine, tmp_path: Path) -> None:
    with contextlib.closing(engine.client()) as client:
        try:
            client.create_network("own", driver="bridge")
        except Exception as error:
            pytest.skip(f"no network can be made here: {error}")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = int(reserved.getsockname()[1])

    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            up = one.fifo("c", "up")
            options = DockerOptions(image=IMAGE, network="own", port_mappings=((port, 80, "tcp"),))
            script = f"echo hello | nc -l -p 80 & {UP}; wait"
            await one.runtime.launch(one.spec("c", script, options=options))
            (address,) = await one.runtime.addresses("c")
            assert address.count(".") == 3
            assert await line_from(up) == "up\n"
            await one.runtime.destroy("c")
            await one.exits.of("c")
            await one.runtime.forget("c")
            os.close(up)

    asyncio.run(run())


def session(one_directory: str, container_id: str, *argv: str, user: str = "") -> ContainerSpec:
    return ContainerSpec(
        container_id=container_id,
        program=argv[0],
        argv=argv,
        environment={"PATH": "/bin", "S": "t"},
        directory=one_directory,
        parent=container_id.rpartition(".")[0],
        inside=InsideDocker(user=user, directory="/tmp"),
        stdout=None,
        stderr=None,
    )


def test_session_runs_inside_with_the_streams_that_were_handed_over(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            stdin_fd, stdin = os.pipe()
            stdout, stdout_fd = os.pipe()
            stderr, stderr_fd = os.pipe()
            script = "id -u; pwd; echo $S; echo bad >&2; read line; echo got $line; exit 3"
            spec = session(str(tmp_path), "c.s", "/bin/sh", "-c", script, user="65534:65534")
            started = await one.runtime.launch(spec, Stdio(stdin_fd, stdout_fd, stderr_fd))
            assert started.pid
            for fd in (stdin_fd, stdout_fd, stderr_fd):
                os.close(fd)
            os.write(stdin, b"this\n")
            exited = await one.exits.of("c.s")
            assert exited.wait_status == 3 << 8
            assert os.read(stdout, 100) == b"65534\n/tmp\nt\ngot this\n"
            assert os.read(stderr, 100) == b"bad\n"
            assert os.read(stdout, 100) == os.read(stderr, 100) == b""
            for fd in (stdin, stdout, stderr):
                os.close(fd)
            await one.runtime.forget("c.s")

    asyncio.run(run())


def test_session_of_a_missing_program_fails(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            with pytest.raises(HostError, match="no such file or directory"):
                await one.runtime.launch(session(str(tmp_path), "c.s", "/no/such"))

    asyncio.run(run())


def test_destroyed_session_leaves_its_container_running(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            spec = session(str(tmp_path), "c.s", "/bin/sh", "-c", "sleep 1000; true")
            await one.runtime.launch(spec)
            await one.runtime.destroy("c.s")
            assert ended_by(await one.exits.of("c.s")) == signal.SIGKILL
            assert (await one.runtime.usage("c")).processes == 1
            await one.runtime.launch(session(str(tmp_path), "c.t", "/bin/sleep", "1000"))
            await one.runtime.destroy("c")
            assert ended_by(await one.exits.of("c.t")) == signal.SIGKILL
            await one.exits.of("c")
            assert [exited.container_id for exited in one.exits.told] == ["c.s", "c.t", "c"]

    asyncio.run(run())


def test_terminals_are_typed_into_and_shown(engine: DockerEngine, tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            go = one.fifo("c")
            spec = structs.replace(one.spec("c", "tty; " + WAIT), tty=Window())
            await one.runtime.launch(spec)
            shell = structs.replace(
                session(str(tmp_path), "c.s", "/bin/sh", "-c", "stty size; read l; echo [$l]"),
                tty=Window(30, 90),
            )
            await one.runtime.launch(shell)
            terminal = await one.runtime.terminal("c.s")
            os.write(terminal, b"typed\n")
            shown = ""
            while "[typed]" not in shown:
                shown += await line_from(terminal)
            os.close(terminal)
            await one.exits.of("c.s")
            os.write(go, b"0\n")
            await one.exits.of("c")
            assert one.output("c") == "/dev/pts/0\n"
            os.close(go)

    asyncio.run(run())


def test_sessions_of_an_agent_that_died_end_when_the_next_one_comes(
    engine: DockerEngine, tmp_path: Path
) -> None:
    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            await one.runtime.launch(one.spec("c", "sleep 1000"))
            await one.runtime.launch(session(str(tmp_path), "c.s", "/bin/sleep", "1000"))
            assert (await one.runtime.usage("c")).processes == 2
            next_one = DockerRuntime(one.settings, one.exits)
            (found,) = await next_one.recover()
            assert found.container_id == "c"
            assert ended_by(await one.exits.of("c.s")) == signal.SIGKILL
            assert (await next_one.usage("c")).processes == 1
            await next_one.close()

    asyncio.run(run())
