"""Containers from end to end: a scheduler asks for them, and an agent runs them from images."""

from __future__ import annotations

import asyncio
import random
import shlex
import socket
import sys
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from tepui.sdk import executor_info, executor_task
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.agent.containers.images.fake_registry import fake_registry
from tests.agent.containers.images.made import digest, file
from tests.real.cluster import PROJECT
from tests.real.container_images import MARK, PATH, WORKER, busybox_image
from tests.real.container_lab import TYPE, Lab, Scheduler, container, of, variable
from tests.real.inside_lab import cli

pytestmark = pytest.mark.real

Capability = mesos.CapabilityInfo.Capability
Docker = mesos.ContainerInfo.DockerInfo
Kind = mesos.Volume.Source.Type
Mode = mesos.Volume.Mode
Reason = mesos.TaskStatus.Reason
BRIDGE = "mesos-bridge"
SANDBOX = "/mnt/mesos/sandbox"
COUNT = "i=0; until test -e go; do echo $i; i=$((i+1)); usleep 20000; done; exit 5"
ANSWER_S = 30.0  # for what takes milliseconds on a machine that has nothing else to do


def volume(path: str, *, mode: Mode = Mode.RW, **source: object) -> mesos.Volume:
    """A volume; `source` is one field of Volume.Source by name."""
    [(name, value)] = source.items()
    [kind] = [one for one in Kind if one.name == name.upper()]
    return mesos.Volume(
        mode=mode,
        container_path=path,
        source=replace(mesos.Volume.Source(type=kind), **{name: value}),
    )


def secret(data: bytes) -> mesos.Secret:
    return mesos.Secret(type=mesos.Secret.Type.VALUE, value=mesos.Secret.Value(data=data))


def on_bridge(*ports: tuple[int, int]) -> mesos.ContainerInfo:
    mappings = tuple(
        mesos.NetworkInfo.PortMapping(host_port=host, container_port=inner, protocol="tcp")
        for host, inner in ports
    )
    return container(network_infos=(mesos.NetworkInfo(name=BRIDGE, port_mappings=mappings),))


def docker(image: str, *parameters: tuple[str, str], **parts: object) -> mesos.ContainerInfo:
    pairs = tuple(mesos.Parameter(key=key, value=value) for key, value in parameters)
    return mesos.ContainerInfo(
        type=TYPE.DOCKER, docker=replace(Docker(image=image, parameters=pairs), **parts)
    )


async def asked(address: str, port: int, path: str = "/") -> str:
    """What an HTTP server answers; it is asked again while nobody listens."""
    async with asyncio.timeout(ANSWER_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection(address, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = (await reader.read()).decode()
            writer.close()
            return answer


# What an image says, and what a task says instead


def test_a_task_that_names_no_program_runs_as_its_image_says(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        task = lab.task("own", image=lab.images.own)
        said = await scheduler.said(replace(task, command=mesos.CommandInfo(shell=False)))
        assert said.splitlines() == [
            "arguments: entry by default",
            "own: of the image",
            "place: /srv",
            f"user: {WORKER}:{WORKER} /home/worker",
        ]

    lab.play(story)


def test_a_task_says_instead_of_its_image_what_it_runs_and_as_whom(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        arguments = lab.task("arguments", image=lab.images.own)
        command = mesos.CommandInfo(
            shell=False, arguments=("by", "the task"), environment=variable("OWN", "the task's")
        )
        said = await scheduler.said(replace(arguments, command=command))
        assert said.splitlines()[:2] == ["arguments: entry by the task", "own: the task's"]

        line = (
            'echo "$OWN"; id -u; pwd; echo oh >&2; echo $MESOS_SANDBOX; ls -a $MESOS_SANDBOX; ls /'
        )
        shell = lab.task("shell", line, lab.images.own)
        command = mesos.CommandInfo(value=line, user="root")
        said = await scheduler.said(replace(shell, command=command))
        lines = said.splitlines()
        assert lines[:4] == ["of the image", "0", "/srv", SANDBOX]
        assert lines[4:8] == [".", "..", "stderr", "stdout"]
        assert MARK in lines
        assert scheduler.output("shell", "stderr") == "oh\n"

    lab.play(story)


def test_what_a_container_changes_in_its_image_is_gone_with_it(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        line = f"rm /{MARK}; echo mine >/tmp/mine; echo kept >kept; ls / /tmp"
        image = lab.images.plain
        said = await scheduler.said(lab.task("first", line, image))
        assert "mine" in said
        assert MARK not in said
        assert not (scheduler.sandbox("first") / "mine").exists()
        assert (scheduler.sandbox("first") / "kept").read_text() == "kept\n"
        said = await scheduler.said(lab.task("second", "ls / /tmp", image))
        assert MARK in said
        assert "mine" not in said

    lab.play(story)


# Volumes


def test_volumes_of_every_kind_are_where_they_were_asked_for(lab: Lab) -> None:
    host = lab.cluster.directory / "host-files"
    host.mkdir()
    (host / "one").write_text("of the host\n")
    sandbox_path = mesos.Volume.Source.SandboxPath
    volumes = (
        volume("/host", mode=Mode.RO, host_path=mesos.Volume.Source.HostPath(path=str(host))),
        volume("/own", sandbox_path=sandbox_path(type=sandbox_path.Type.SELF, path="own")),
        mesos.Volume(mode=Mode.RO, container_path="/data", image=of(lab.images.data).image),
        volume("/secrets/one", mode=Mode.RO, secret=secret(b"of nobody else\n")),
        volume("relative", mode=Mode.RO, secret=secret(b"in the sandbox\n")),
    )
    line = (
        "cat /host/one /data/words/one /secrets/one relative; echo mine >/own/mine; echo $PASSWORD;"
        " echo x >/host/two; echo x >/data/x; mount | grep -c ' /secrets/one '"
    )

    async def story(scheduler: Scheduler) -> None:
        task = lab.task("volumes", line, lab.images.plain, container=container(volumes=volumes))
        password = mesos.Environment.Variable(
            name="PASSWORD",
            type=mesos.Environment.Variable.Type.SECRET,
            secret=secret(b"12345"),
        )
        variables = mesos.Environment(variables=(password,))
        command = mesos.CommandInfo(value=line, environment=variables)
        said = await scheduler.said(replace(task, command=command))
        assert said.splitlines() == [
            "of the host",
            "of the data",
            "of nobody else",
            "in the sandbox",
            "12345",
            "1",
        ]
        assert (scheduler.sandbox("volumes") / "own/mine").read_text() == "mine\n"
        errors = scheduler.output("volumes", "stderr")
        assert errors.count("Read-only file system") == 2, errors
        assert [path.name for path in host.iterdir()] == ["one"]

    lab.play(story)


def test_a_volume_without_an_image_is_seen_by_the_task_alone(lab: Lab) -> None:
    host = lab.cluster.directory / "for-one"
    host.mkdir()
    (host / "one").write_text("of the host\n")
    path = mesos.Volume.Source.HostPath(path=str(host))

    async def story(scheduler: Scheduler) -> None:
        asked = container(volumes=(volume("there", host_path=path),))
        assert (
            await scheduler.said(lab.task("t", "cat there/one", container=asked)) == "of the host\n"
        )
        assert not (scheduler.sandbox("t") / "there/one").exists()

    lab.play(story)


# Networks


def test_a_bridged_container_has_an_address_and_a_port_of_the_host_leads_to_it(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        port = 31_080
        info = on_bridge((port, 80))
        serve = lab.task(
            "web", "httpd -f -p 80 -h /www", lab.images.plain, container=info, ports=[port]
        )
        await scheduler.start(serve)
        status = (await scheduler.runs("web")).container_status
        assert status is not None
        [network] = status.network_infos
        assert network.name == BRIDGE
        [address] = network.ip_addresses
        assert address.ip_address is not None
        assert (await asked(address.ip_address, 80)).endswith("served\n")
        for host in ("127.0.0.1", _address_of_this_machine()):
            assert (await asked(host, port)).endswith("served\n")
        line = f"cat /etc/hosts; hostname -i; wget -qO- http://{address.ip_address}/"
        said = await scheduler.said(
            lab.task("other", line, lab.images.plain, container=on_bridge())
        )
        assert said.endswith("served\n")
        assert (await scheduler.kill("web")).state is TaskState.TASK_KILLED

    lab.play(story)


def test_a_docker_container_without_network_has_nothing_but_a_loopback(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        info = docker(lab.images.plain, network=Docker.Network.NONE)
        line = "ls /sys/class/net; ip -o -4 addr; ping -c 1 -W 1 127.0.0.1 >/dev/null; echo $?"
        said = await scheduler.said(lab.task("none", line, container=info))
        assert said.splitlines()[0] == "lo"
        assert said.count("inet") == 1
        assert said.endswith("0\n")

    lab.play(story)


def test_a_docker_container_runs_without_docker_engine(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        port = 31_081
        mapping = Docker.PortMapping(host_port=port, container_port=80)
        parameters = (
            ("env", "COLOR=red"),
            ("hostname", "named"),
            ("workdir", "/www"),
            ("user", "worker"),
            ("tmpfs", "/scratch:size=1m"),
            ("ulimit", "nofile=77:88"),
            ("shm-size", "8m"),
            ("read-only", "true"),
            ("cap-drop", "ALL"),
            ("label", "a=b"),
        )
        info = docker(
            lab.images.plain,
            *parameters,
            network=Docker.Network.BRIDGE,
            port_mappings=(mapping,),
        )
        line = (
            "echo $COLOR $(hostname) $(pwd) $(id -u) $(ulimit -n) $(ulimit -Hn);"
            " df -k /scratch /dev/shm | awk '/tmpfs|shm/ {print $2, $NF}'; grep CapBnd /proc/self/status;"
            " touch /tmp/x; exec httpd -f -p 8080"
        )
        info = replace(
            info,
            docker=replace(
                info.docker or Docker(image=""),
                port_mappings=(replace(mapping, container_port=8080),),
            ),
        )
        await scheduler.running(lab.task("docker", line, container=info, ports=[port]))
        assert (await asked("127.0.0.1", port, "/index.html")).endswith("served\n")
        assert scheduler.output("docker").splitlines() == [
            f"red named /www {WORKER} 77 88",
            "1024 /scratch",
            "8192 /dev/shm",
            "CapBnd:\t0000000000000000",
        ]
        assert "Read-only file system" in scheduler.output("docker", "stderr")
        session = ("task", "exec", "docker", "--", "pwd")
        assert (await asyncio.to_thread(cli, lab, *session)).text == "/www\n"
        assert (await scheduler.kill("docker")).state is TaskState.TASK_KILLED

    lab.play(story)


# What is told to the kernel


def test_privileges_limits_names_and_shared_memory_are_as_asked(lab: Lab) -> None:
    capabilities = mesos.CapabilityInfo(capabilities=(Capability.CHOWN, Capability.NET_ADMIN))
    linux = mesos.LinuxInfo(
        effective_capabilities=capabilities,
        bounding_capabilities=capabilities,
        seccomp=mesos.SeccompInfo(unconfined=True),
        ipc_mode=mesos.LinuxInfo.IpcMode.PRIVATE,
        shm_size=16,
    )
    limit = mesos.RLimitInfo.RLimit(type=mesos.RLimitInfo.RLimit.Type.RLMT_NOFILE, soft=55, hard=66)
    info = container(
        hostname="called-so",
        linux_info=linux,
        rlimit_info=mesos.RLimitInfo(rlimits=(limit,)),
    )
    line = (
        "hostname; ulimit -n; ulimit -Hn; grep -E 'Cap(Eff|Bnd)|^Seccomp:' /proc/self/status;"
        " df -k /dev/shm | awk 'END {print $2}'; readlink /proc/self/ns/ipc"
    )
    bits = (1 << 0) | (1 << 12)

    async def story(scheduler: Scheduler) -> None:
        said = await scheduler.said(lab.task("t", line, lab.images.plain, container=info))
        *lines, ipc = said.splitlines()
        assert lines == [
            "called-so",
            "55",
            "66",
            f"CapEff:\t{bits:016x}",
            f"CapBnd:\t{bits:016x}",
            "Seccomp:\t0",
            str(16 << 10),
        ]
        shared = container(
            linux_info=mesos.LinuxInfo(ipc_mode=mesos.LinuxInfo.IpcMode.SHARE_PARENT)
        )
        line_of_two = "readlink /proc/self/ns/ipc; grep ^Seccomp: /proc/self/status"
        two = await scheduler.said(lab.task("u", line_of_two, lab.images.plain, container=shared))
        host = await scheduler.said(lab.task("host", "readlink /proc/self/ns/ipc"))
        assert two == f"{host}Seccomp:\t2\n"
        assert ipc != host.strip()

    lab.play(story)


# Checks


def test_checks_see_the_container_from_within(lab: Lab) -> None:
    """The command finds a file of the image; the ports are open on the container's own network only."""
    serve = "httpd -f -p 80 -h /www"
    command = mesos.CommandInfo(value=f"test -e /{MARK} && exit 7")
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.COMMAND,
        command=mesos.CheckInfo.Command(command=command),
        delay_seconds=0.0,
        interval_seconds=0.1,
    )
    http = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.HTTP,
        http=mesos.HealthCheck.HTTPCheckInfo(port=80, path="/index.html"),
        delay_seconds=0.0,
        interval_seconds=0.1,
    )
    tcp = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.TCP,
        tcp=mesos.HealthCheck.TCPCheckInfo(port=80),
        delay_seconds=0.0,
        interval_seconds=0.1,
    )
    inside = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.COMMAND,
        command=mesos.CommandInfo(value=f"test -e /{MARK}"),
        delay_seconds=0.0,
        interval_seconds=0.1,
    )

    async def story(scheduler: Scheduler) -> None:
        tasks = []
        for name, health in (("http", http), ("tcp", tcp), ("command", inside)):
            task = lab.task(name, serve, lab.images.plain, container=on_bridge())
            tasks.append(replace(task, health_check=health, check=check))
        await scheduler.running(*tasks)
        for name in ("http", "tcp", "command"):
            await _until(scheduler, name, lambda one: one.healthy is True)
            await _until(scheduler, name, lambda one: _exit_code(one) == 7)
        for name in ("http", "tcp", "command"):
            await scheduler.kill(name)

    lab.play(story)


def test_a_container_that_is_not_healthy_is_killed(lab: Lab) -> None:
    health = mesos.HealthCheck(
        type=mesos.HealthCheck.Type.TCP,
        tcp=mesos.HealthCheck.TCPCheckInfo(port=81),
        delay_seconds=0.0,
        interval_seconds=0.05,
        grace_period_seconds=0.0,
        consecutive_failures=2,
    )

    async def story(scheduler: Scheduler) -> None:
        task = lab.task("t", "sleep 1000", lab.images.plain, container=on_bridge())
        end = await scheduler.ran(replace(task, health_check=health))
        assert end.healthy is False
        assert end.state in (TaskState.TASK_KILLED, TaskState.TASK_FAILED)

    lab.play(story)


# Ends


def test_a_kill_lets_the_container_clean_up_within_its_grace(lab: Lab) -> None:
    line = "trap 'echo cleaned; exit 3' TERM; echo ready; while true; do usleep 20000; done"

    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(lab.task("t", line, lab.images.plain))
        await scheduler.wrote("t", "ready")
        end = await scheduler.kill("t", grace_ms=10_000)
        assert end.state is TaskState.TASK_KILLED
        assert scheduler.output("t") == "ready\ncleaned\n"

    lab.play(story)


@pytest.mark.parametrize(
    ("line", "state", "words"),
    [
        ("exit 3", TaskState.TASK_FAILED, "exited with status 3"),
        ("kill -9 $$; sleep 9", TaskState.TASK_FINISHED, ""),  # init of its namespace is not killed
    ],
)
def test_a_containers_end_is_its_programs(
    lab: Lab, line: str, state: TaskState, words: str
) -> None:
    async def story(scheduler: Scheduler) -> None:
        end = await scheduler.ran(lab.task("t", line.replace("; sleep 9", ""), lab.images.plain))
        assert end.state is state
        assert words in (end.message or "")

    lab.play(story)


def test_a_custom_executor_runs_in_a_container_of_its_own(lab: Lab) -> None:
    """Its root is the host's, where Python is; it has a volume and a name that the host has not."""
    host = lab.cluster.directory / "of-executor"
    host.mkdir()
    (host / "one").write_text("of the host\n")
    program = shlex.join([sys.executable, str(PROJECT / "tests/real/counting_executor.py")])
    line = f"cat there/one; hostname; PYTHONPATH={PROJECT / 'src'} exec {program}"
    path = mesos.Volume.Source.HostPath(path=str(host))
    info = container(hostname="of-executor", volumes=(volume("there", host_path=path),))

    async def story(scheduler: Scheduler) -> None:
        executor = replace(executor_info("custom", line), container=info)
        await scheduler.running(executor_task("t", "", executor))
        await scheduler.wrote("t", "\n3\n")
        assert scheduler.output("t").startswith("of the host\nof-executor\n0\n1\n")
        assert (await scheduler.kill("t")).state is TaskState.TASK_KILLED

    lab.play(story)


# What cannot be


def test_what_cannot_be_had_is_named(lab: Lab) -> None:
    host_path = mesos.Volume.Source.HostPath
    nowhere = container(network_infos=(mesos.NetworkInfo(name="no-such-network"),))
    missing = container(volumes=(volume("/x", host_path=host_path(path="/no/such/path")),))
    odd = docker(lab.images.plain, ("no-such-flag", "1"))
    plain = lab.images.plain
    user = lab.task("user", "true", plain)
    user = replace(user, command=mesos.CommandInfo(value="true", user="nobody-here"))
    cases = [
        (lab.task("absent", "true", "/no/such/image.tar"), "/no/such/image.tar"),
        (lab.task("refused", "true", "127.0.0.1:9/no/such:1"), "127.0.0.1:9"),
        (lab.task("broken", "true", lab.images.broken), lab.images.broken),
        (user, "the image has no user 'nobody-here'"),
        (lab.task("network", "true", plain, container=nowhere), "no-such-network"),
        (lab.task("volume", "true", plain, container=missing), "/no/such/path"),
        (lab.task("parameter", "true", container=odd), "no-such-flag"),
        (lab.task("program", ["/no/such/program"], plain), "/no/such/program"),
        (lab.task("nothing", image=plain), "names no program"),
    ]

    async def story(scheduler: Scheduler) -> None:
        await scheduler.start(*(replace(task, command=task.command) for task, _ in cases))
        for task, words in cases:
            name = task.task_id.value
            end = await scheduler.ended(name)
            assert end.state is TaskState.TASK_FAILED, (name, end)
            assert words in (end.message or ""), (name, end.message)
        assert await scheduler.said(lab.task("after", "echo fine", plain)) == "fine\n"

    lab.play(story)


# Agents that die


def test_containers_run_on_while_their_agent_is_dead(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        port = 31_082
        info = on_bridge((port, 80))
        counting = lab.task("counts", COUNT, lab.images.plain)
        serving = lab.task(
            "web", "httpd -f -p 80 -h /www", lab.images.plain, container=info, ports=[port]
        )
        await scheduler.running(counting, serving)
        processes = [scheduler.process(name) for name in ("counts", "web")]
        lab.cluster.agents[0].kill()
        assert (await asked("127.0.0.1", port)).endswith("served\n")
        await asyncio.to_thread(_start_again, lab)
        assert all(one.is_running() for one in processes)
        assert (await asked("127.0.0.1", port)).endswith("served\n")
        (scheduler.sandbox("counts") / "go").touch()
        end = await scheduler.ended("counts")
        assert end.state is TaskState.TASK_FAILED
        assert "exited with status 5" in (end.message or "")
        numbers = scheduler.output("counts").split()
        assert numbers == [str(number) for number in range(len(numbers))]
        assert (await scheduler.kill("web")).state is TaskState.TASK_KILLED

    lab.play(story)


def test_a_container_that_ends_while_its_agent_is_dead_has_its_end_told(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        await scheduler.running(
            lab.task(
                "t",
                "echo on; until test -e go; do usleep 10000; done; exit 4",
                lab.images.plain,
                container=on_bridge(),
            )
        )
        process = scheduler.process("t")
        lab.cluster.agents[0].kill()
        (scheduler.sandbox("t") / "go").touch()
        await asyncio.to_thread(process.wait, ANSWER_S)
        await asyncio.to_thread(_start_again, lab)
        end = await scheduler.ended("t")
        assert end.state is TaskState.TASK_FAILED
        assert "exited with status 4" in (end.message or "")

    lab.play(story)


def test_a_task_whose_image_was_being_pulled_runs_after_its_agent_has_died(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        async with fake_registry() as registry:
            # Its first layer is on the machine already: this one is what is fetched.
            large = file("large", random.Random(1).randbytes(300_000))
            image = busybox_image({"Env": [PATH], "Cmd": ["echo", "from a registry"]}, large)
            registry.add("app", "1", image)
            registry.stops_at[digest(image.layers[1])] = 100_000
            task = lab.task("t", image=f"{registry.host}/app:1")
            await scheduler.start(replace(task, command=mesos.CommandInfo(shell=False)))
            async with asyncio.timeout(ANSWER_S):
                await registry.stopped.wait()
            lab.cluster.agents[0].kill()
            registry.gate.set()
            await asyncio.to_thread(_start_again, lab)
            end = await scheduler.ended("t")
            assert end.state is TaskState.TASK_FINISHED, end
            assert scheduler.output("t") == "from a registry\n"

    lab.play(story)


def test_containers_that_were_being_destroyed_are_gone_after_their_agent_has_died(lab: Lab) -> None:
    async def story(scheduler: Scheduler) -> None:
        names = [f"t{number}" for number in range(4)]
        await scheduler.running(
            *(
                lab.task(name, "sleep 1000", lab.images.plain, container=on_bridge())
                for name in names
            )
        )
        for name in names:
            await scheduler.client.kill(name, scheduler.agent_id)
        lab.cluster.agents[0].kill()
        await asyncio.to_thread(_start_again, lab)
        for name in names:
            if not any(one.state is TaskState.TASK_KILLED for one in scheduler.statuses[name]):
                await scheduler.client.kill(name, scheduler.agent_id)
            assert (await scheduler.ended(name)).state is TaskState.TASK_KILLED

    lab.play(story)


def _start_again(lab: Lab) -> None:
    """An agent that was killed is back."""
    lab.cluster.wait_for_agents(0)
    lab.cluster.agents[0].start()
    lab.cluster.wait_for_agents(1)


async def _until(scheduler: Scheduler, task_id: str, holds: object) -> None:
    assert callable(holds)
    while not any(holds(one) for one in scheduler.statuses.get(task_id, ())):
        await scheduler.until(
            lambda event: event.update is not None and event.update.status.task_id.value == task_id
        )


def _exit_code(status: mesos.TaskStatus) -> int | None:
    check = status.check_status
    return None if check is None or check.command is None else check.command.exit_code


def _address_of_this_machine() -> str:
    """One that is not a loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))
        address: Sequence[str] = asking.getsockname()
        return address[0]
