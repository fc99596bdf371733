"""Tasks in containers of Docker Engine: a real master, agent and Engine, and what is left when they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.sdk import SchedulerClient, executor_info, executor_task, framework_info
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tepui.wire.states import TERMINAL_STATES
from tests.agent.containers.images.test_docker_registry import registry
from tests.real.cluster import PROJECT, Cluster, wait_gone
from tests.real.container_lab import Scheduler, variable
from tests.real.docker_engine import docker_engine, make_image
from tests.real.docker_lab import CONTAINERS, RESOURCES, WAIT, DockerLab, Network, go
from tests.real.ports import free_ports

pytestmark = [pytest.mark.real, pytest.mark.apart]

Reason = mesos.TaskStatus.Reason
Health = mesos.HealthCheck
ENDS_S = 30.0  # for a program that ends at once
OWN = "own:1"  # it has an entrypoint, a command, and a variable
CHANGES = ('ENTRYPOINT ["echo", "entry"]', 'CMD ["by", "default"]', 'ENV OWN="of the image"')
COUNTING = f"i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); sleep 0.01; done; {WAIT}"
COUNTED = "".join(f"{number}\n" for number in range(400))
SERVE = "echo served >$MESOS_SANDBOX/index.html; exec httpd -f -p 80 -h $MESOS_SANDBOX"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    """One cluster and one Engine for all tests here."""
    with docker_engine(has_networks=True) as engine:
        make_image(engine, OWN, CHANGES)
        place = tmp_path_factory.mktemp("docker")
        flags = (CONTAINERS, f"--docker_socket={engine.socket}")
        with Cluster(place / "cluster", resources=RESOURCES, agent_flags=flags) as cluster:
            yield DockerLab(cluster, engine)


@pytest.fixture
def ordinary(lab: DockerLab) -> Iterator[DockerLab]:
    """The module's cluster, with an Engine as it is by default: it keeps nothing that runs when it ends."""
    lab.engine.stop()
    lab.engine.keeps_containers = False
    lab.engine.start()
    yield lab
    lab.cluster.wait_until(lambda: lab.names() == [], "no containers")
    lab.engine.stop()
    lab.engine.keeps_containers = True
    lab.engine.start()


@pytest.fixture
def lab(machine: DockerLab) -> Iterator[DockerLab]:
    """The module's cluster, which has no more of tasks afterwards than before."""
    before = machine.traces()
    yield machine
    machine.check_clean(before)


def test_tasks_have_the_network_that_they_ask_for(lab: DockerLab) -> None:
    [port] = free_ports(1)
    with contextlib.closing(lab.engine.client()) as client:
        client.create_network("users", driver="bridge")
    look = f'echo "$(readlink /proc/self/ns/net) $(ls /sys/class/net | xargs)"; {WAIT}'

    async def story(scheduler: Scheduler) -> None:
        users = (mesos.NetworkInfo(name="users"),)
        tasks = [
            lab.docker("host", look),
            lab.docker("none", look, network=Network.NONE),
            lab.docker("bridge", SERVE, network=Network.BRIDGE, ports=(port,)),
            lab.docker("user", look, network=Network.USER, network_infos=users),
        ]
        await scheduler.running(*tasks)
        for name in ("host", "none", "user"):
            await scheduler.wrote(name, "net:")
        own = os.readlink("/proc/self/ns/net")
        assert scheduler.output("host").split()[0] == own
        assert scheduler.output("none").split()[1:] == ["lo"]
        assert scheduler.output("user").split()[0] != own
        assert addresses(scheduler, "host") == ["127.0.0.1"]  # the agent's, as in Mesos
        [on_bridge], [on_users] = addresses(scheduler, "bridge"), addresses(scheduler, "user")
        assert on_bridge.startswith(f"{lab.engine.subnet}.")
        assert on_users.startswith("198.19.")
        await asyncio.to_thread(
            lab.cluster.wait_until, lambda: answers(port) == "served\n", "it serves"
        )

    lab.play(story)
    with contextlib.closing(lab.engine.client()) as client:
        lab.cluster.wait_until(lambda: lab.names() == [], "no containers")
        client.remove_network("users")


def test_volumes_are_of_the_host_of_the_sandbox_and_of_the_engine(
    lab: DockerLab, tmp_path: Path
) -> None:
    (tmp_path / "given").write_text("of the host\n")
    rw, ro = mesos.Volume.Mode.RW, mesos.Volume.Mode.RO
    source = mesos.Volume.Source(
        type=mesos.Volume.Source.Type.DOCKER_VOLUME,
        docker_volume=mesos.Volume.Source.DockerVolume(name="tepui-kept"),
    )
    volumes = (
        mesos.Volume(mode=rw, container_path="/rw", host_path=str(tmp_path)),
        mesos.Volume(mode=ro, container_path="/ro", host_path=str(tmp_path)),
        mesos.Volume(mode=rw, container_path="/kept", source=source),
    )

    async def story(scheduler: Scheduler) -> None:
        line = (
            "cat /ro/given; echo new >/rw/new; touch /ro/x 2>/dev/null || echo refused;"
            "echo kept >/kept/file; echo mine >$MESOS_SANDBOX/mine"
        )
        said = await scheduler.said(lab.docker("first", line, volumes=volumes))
        assert said == "of the host\nrefused\n"
        assert (tmp_path / "new").read_text() == "new\n"
        assert (scheduler.sandbox("first") / "mine").read_text() == "mine\n"
        assert (
            await scheduler.said(lab.docker("second", "cat /kept/file", volumes=volumes))
            == "kept\n"
        )

    lab.play(story)
    lab.cluster.wait_until(lambda: lab.names() == [], "no containers")
    with contextlib.closing(lab.engine.client()) as client:
        client.remove_volume("tepui-kept")


def test_entrypoint_arguments_environment_and_parameters(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        assert await scheduler.said(lab.docker("own", image=OWN)) == "entry by default\n"
        task = lab.docker("given", "true", image=OWN)
        # As in Mesos: with Docker both the value and the arguments follow the entrypoint.
        given = mesos.CommandInfo(shell=False, value="one", arguments=("two words",))
        assert await scheduler.said(replace(task, command=given)) == "entry one two words\n"
        task = lab.docker(
            "environment",
            'echo "$OWN,$GIVEN,$ADDED,$(hostname),$(pwd),$MESOS_SANDBOX"',
            image=OWN,
            network=Network.BRIDGE,
            parameters=(("env", "ADDED=by parameter"), ("hostname", "named"), ("workdir", "/tmp")),
        )
        assert task.command is not None
        command = replace(task.command, environment=variable("GIVEN", "by the task"))
        said = await scheduler.said(replace(task, command=command))
        assert said == "of the image,by the task,by parameter,named,/tmp,/mnt/mesos/sandbox\n"
        end = await scheduler.ran(lab.docker("bad", "true", parameters=(("no-such", "x"),)))
        assert (end.state, end.reason) == (
            TaskState.TASK_FAILED,
            Reason.REASON_CONTAINER_LAUNCH_FAILED,
        )
        assert end.message is not None
        assert "no-such" in end.message

    lab.play(story)


def test_ends_are_told_as_those_of_any_task(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        end = await scheduler.ran(lab.docker("code", "exit 7"))
        assert (end.state, end.message) == (
            TaskState.TASK_FAILED,
            "Command exited with status 7",
        )
        line = "head -c 100m /dev/zero | tail >/dev/null; exit 1"
        end = await scheduler.ran(lab.docker("much", line, mem_mib=40))
        assert end.reason is Reason.REASON_CONTAINER_LIMITATION_MEMORY, end
        end = await scheduler.ran(lab.docker("none", "true", image="127.0.0.1:1/no/such:1"))
        assert (end.state, end.reason) == (
            TaskState.TASK_FAILED,
            Reason.REASON_CONTAINER_LAUNCH_FAILED,
        )
        assert end.message is not None
        assert "127.0.0.1:1/no/such" in end.message

    lab.play(story)


def test_killed_task_may_end_by_itself_within_its_grace(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        line = "trap 'echo ending; exit 0' TERM; echo up; while true; do sleep 0.02; done"
        await scheduler.running(
            lab.docker("kind", line),
            lab.docker("deaf", "trap '' TERM; echo up; while true; do sleep 1; done"),
        )
        await scheduler.wrote("kind", "up")
        await scheduler.wrote("deaf", "up")
        assert (await scheduler.kill("kind", 30_000)).state is TaskState.TASK_KILLED
        assert scheduler.output("kind") == "up\nending\n"
        assert (await scheduler.kill("deaf", 200)).state is TaskState.TASK_KILLED

    lab.play(story)


def test_health_is_checked_in_the_container(lab: DockerLab) -> None:
    checks = {
        "command": Health(
            type=Health.Type.COMMAND,
            command=mesos.CommandInfo(value="test -e /www-of-the-container"),
        ),
        "http": Health(
            type=Health.Type.HTTP, http=Health.HTTPCheckInfo(port=80, path="/index.html")
        ),
        "tcp": Health(type=Health.Type.TCP, tcp=Health.TCPCheckInfo(port=80)),
    }
    quick = {"delay_seconds": 0.0, "interval_seconds": 0.1, "grace_period_seconds": 60.0}

    async def story(scheduler: Scheduler) -> None:
        tasks = [
            replace(
                lab.docker(name, f"touch /www-of-the-container; {SERVE}", network=Network.BRIDGE),
                health_check=replace(check, timeout_seconds=20.0, **quick),
            )
            for name, check in checks.items()
        ]
        await scheduler.start(*tasks)
        for name in checks:
            while not any(one.healthy for one in scheduler.statuses.get(name, ())):
                await scheduler.until(lambda event: event.update is not None)

    lab.play(story)


def test_executor_of_its_own_runs_in_a_container(lab: DockerLab) -> None:
    needed = {sys.base_prefix, sys.prefix, str(PROJECT), "/usr", "/lib", "/lib64"}
    shared = [path for path in sorted(needed) if os.path.isdir(path)]
    volumes = tuple(
        mesos.Volume(mode=mesos.Volume.Mode.RO, container_path=path, host_path=path)
        for path in shared
    )
    line = (
        f"PYTHONPATH={PROJECT}/src exec {sys.executable} {PROJECT}/tests/real/counting_executor.py"
    )
    container = lab.docker("x", "true", volumes=volumes).container
    info = replace(executor_info("counting", line, mem_mib=128), container=container)

    async def story(scheduler: Scheduler) -> None:
        task = executor_task("counts", "", info)
        await scheduler.running(task)
        [name] = lab.names()
        with contextlib.closing(lab.engine.client()) as client:
            assert client.inspect_container(name)["State"]["Running"]
        assert (await scheduler.kill("counts")).state is TaskState.TASK_KILLED

    lab.play(story)


def test_image_is_pulled_again_when_that_is_asked_for(lab: DockerLab, tmp_path: Path) -> None:
    with registry(tmp_path) as host:
        name = f"{host}/user/app"

        def push(text: str) -> None:
            make_image(lab.engine, f"{name}:1", (f'ENV TEXT="{text}"',))
            with contextlib.closing(lab.engine.client()) as client:
                client.push(name, tag="1")

        def drop() -> None:
            with contextlib.closing(lab.engine.client()) as client:
                client.remove_image(f"{name}:1", force=True)

        async def story(scheduler: Scheduler) -> None:
            def task(task_id: str, *, pulls: bool) -> mesos.TaskInfo:
                return lab.docker(task_id, "echo $TEXT", image=f"{name}:1", pulls=pulls)

            await asyncio.to_thread(push, "old")
            await asyncio.to_thread(drop)
            assert await scheduler.said(task("absent", pulls=False)) == "old\n"
            await asyncio.to_thread(push, "new")
            with contextlib.closing(lab.engine.client()) as client:
                client.remove_image(f"{name}:1", force=True)
            await asyncio.to_thread(make_image, lab.engine, f"{name}:1", ('ENV TEXT="local"',))
            assert await scheduler.said(task("there", pulls=False)) == "local\n"
            assert await scheduler.said(task("asked", pulls=True)) == "new\n"

        lab.play(story)
        lab.cluster.wait_until(lambda: lab.names() == [], "no containers")
        drop()


def test_killed_agent_finds_its_container_again_and_all_of_its_output(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.docker("counting", COUNTING))
        [before] = lab.names()
        await asyncio.to_thread(lab.restart_agent)
        assert lab.names() == [before]
        go(scheduler, "counting")
        end = await scheduler.ended("counting")
        assert (end.state, scheduler.output("counting")) == (TaskState.TASK_FINISHED, COUNTED)

    lab.play(story)


def test_killed_engine_comes_back_to_the_tasks_that_it_had(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        tasks = [
            lab.docker("stays", f"echo up; {WAIT}"),
            lab.docker("ends", f"echo up; {WAIT}; exit 5"),
        ]
        await scheduler.running(*tasks)
        for name in ("stays", "ends"):
            await scheduler.wrote(name, "up")
        lab.engine.kill()
        end = await scheduler.ran(lab.docker("away", "true"))
        assert (end.state, end.reason) == (
            TaskState.TASK_FAILED,
            Reason.REASON_CONTAINER_LAUNCH_FAILED,
        )
        assert end.message is not None
        assert f"Docker Engine at '{lab.engine.socket}'" in end.message
        assert len(scheduler.statuses["stays"]) == len(scheduler.statuses["ends"]) == 2
        go(scheduler, "ends")
        await asyncio.to_thread(lab.engine.start)
        end = await scheduler.ended("ends")
        assert end.state is TaskState.TASK_FAILED
        assert "exited with status 5" in (end.message or ""), end
        go(scheduler, "stays")
        assert (await scheduler.ended("stays")).state is TaskState.TASK_FINISHED
        assert await scheduler.said(lab.docker("after", "echo hello")) == "hello\n"

    lab.play(story)


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_engine_that_ends_its_containers_is_named_in_the_end_of_their_tasks(
    ordinary: DockerLab, ends: str
) -> None:
    lab = ordinary
    asked = "trap 'echo asked; {}' TERM; echo up; while true; do sleep 0.02; done"
    soon = (("stop-timeout", "1"),)  # until the Engine kills who does not end
    signalled = "Command terminated with signal Killed; Docker Engine stopped or died"

    async def story(scheduler: Scheduler) -> None:
        tasks = {
            "deaf": lab.docker("deaf", asked.format(":"), parameters=soon),
            "plain": lab.docker("plain", "echo up; exec sleep 1000", parameters=soon),
            "sad": lab.docker("sad", asked.format("exit 7")),
            "done": lab.docker("done", asked.format("exit 0")),
            "killed": lab.docker("killed", "echo up; exec sleep 1000", parameters=soon),
        }
        await scheduler.running(*tasks.values())
        for name in tasks:
            await scheduler.wrote(name, "up")
        processes = [scheduler.process(name) for name in tasks]
        await asyncio.to_thread(lab.engine.stop if ends == "stop" else lab.engine.kill)
        assert all(len(scheduler.statuses[name]) == 2 for name in tasks)  # nobody knows yet
        await scheduler.client.kill("killed", scheduler.agent_id, grace_period_ms=50)
        await asyncio.to_thread(lab.engine.start)
        found = {name: await scheduler.ended(name) for name in tasks}
        assert {name: one.state for name, one in found.items()} == {
            "deaf": TaskState.TASK_FAILED,
            "plain": TaskState.TASK_FAILED,
            "sad": TaskState.TASK_FAILED,
            "done": TaskState.TASK_FINISHED,  # as whoever ends by itself when it is asked to
            "killed": TaskState.TASK_KILLED,
        }
        messages = {name: one.message or "" for name, one in found.items()}
        assert messages["deaf"].startswith(signalled)
        assert messages["plain"].startswith(signalled)
        assert messages["sad"].startswith("Command exited with status 7; Docker Engine stopped")
        assert all("live-restore" in message for message in messages.values()), messages
        for process in processes:
            await asyncio.to_thread(wait_gone, process.pid)
        assert await scheduler.said(lab.docker("after", "echo hello")) == "hello\n"
        assert {name: ends_of(scheduler, name) for name in tasks} == dict.fromkeys(tasks, 1)

    lab.play(story)


@pytest.mark.parametrize("ends", ["stop", "kill"])
def test_agent_and_engine_that_end_together_tell_the_ends_of_their_tasks_once(
    ordinary: DockerLab, ends: str
) -> None:
    lab = ordinary

    async def story(scheduler: Scheduler) -> None:
        soon = (("stop-timeout", "1"),)
        await scheduler.running(lab.docker("ends", "echo up; exec sleep 1000", parameters=soon))
        await scheduler.wrote("ends", "up")
        process = scheduler.process("ends")
        [agent] = lab.cluster.agents
        agent.kill()
        await asyncio.to_thread(lab.engine.stop if ends == "stop" else lab.engine.kill)
        agent.start()
        await asyncio.to_thread(
            lab.cluster.wait_until, lambda: "docker_awaited" in agent.log_end(), "it waits"
        )
        await asyncio.to_thread(lab.engine.start)
        end = await scheduler.ended("ends")
        assert end.state is TaskState.TASK_FAILED
        assert "signal Killed" in (end.message or ""), end
        await asyncio.to_thread(wait_gone, process.pid)
        assert await scheduler.said(lab.docker("after", "echo hello")) == "hello\n"
        assert ends_of(scheduler, "ends") == 1

    lab.play(story)


def test_agent_that_comes_back_awaits_the_engine_that_has_its_tasks(lab: DockerLab) -> None:
    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(
            lab.docker("stays", WAIT), lab.docker("ends", f"echo up; {WAIT}; exit 6")
        )
        await scheduler.wrote("ends", "up")
        process = scheduler.process("ends")
        [agent] = lab.cluster.agents
        lab.engine.kill()
        agent.kill()
        go(scheduler, "ends")
        await asyncio.to_thread(process.wait, ENDS_S)
        agent.start()
        await asyncio.to_thread(
            lab.cluster.wait_until, lambda: "docker_awaited" in agent.log_end(), "it waits"
        )
        await asyncio.to_thread(lab.engine.start)
        await asyncio.to_thread(lab.cluster.wait_for_agents, 1)
        end = await scheduler.ended("ends")
        assert end.state is TaskState.TASK_FAILED
        assert "exited with status 6" in (end.message or ""), end
        go(scheduler, "stays")
        assert (await scheduler.ended("stays")).state is TaskState.TASK_FINISHED

    lab.play(story)


def test_engine_that_comes_after_the_agent_is_used_and_keeps_nothing(lab: DockerLab) -> None:
    [agent] = lab.cluster.agents

    async def give_up() -> None:
        # Of a framework without checkpoints: nobody waits for the Engine for its sake.
        info = framework_info("forgetful", checkpoint=False)
        async with SchedulerClient(lab.cluster.master_address, info) as client:
            scheduler = Scheduler(client, lab)
            await scheduler.running(lab.docker("given-up", "sleep 1000"))
            lab.engine.kill()
            agent.kill()
            agent.start()
            await scheduler.ended("given-up")
            await client.teardown()

    asyncio.run(give_up())
    lab.cluster.wait_for_agents(1)
    lab.engine.start()
    assert len(lab.names()) == 1
    lab.cluster.wait_until(lambda: lab.names() == [], "it is ended")

    async def story(scheduler: Scheduler) -> None:
        assert await scheduler.said(lab.docker("after", "echo hello")) == "hello\n"

    lab.play(story)


def ends_of(scheduler: Scheduler, task_id: str) -> int:
    """How often its end was told."""
    return sum(one.state in TERMINAL_STATES for one in scheduler.statuses[task_id])


def addresses(scheduler: Scheduler, task_id: str) -> list[str]:
    """Those of the task's container, as the scheduler is told."""
    status = scheduler.statuses[task_id][-1].container_status
    assert status is not None
    own = [address for info in status.network_infos for address in info.ip_addresses]
    return [address.ip_address or "" for address in own]


def answers(port: int) -> str:
    """What a web server there says; '' when there is none."""
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer,
    ):
        text: str = answer.read().decode()
        return text
    return ""
