"""What a container becomes on the runtime, and what it cannot become."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.containers.spec import ContainerSpec, Usage
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.usage.statistics import statistics_of
from tepui.agent.core.actions import Action, LaunchContainer, Limits
from tepui.agent.daemon import shell
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.machine import resources_of
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.options import AgentOptions, flags_of
from tepui.agent.daemon.probing import Probing
from tepui.agent.daemon.sandboxes import Sandboxes
from tepui.agent.daemon.sessions import Sessions
from tepui.agent.daemon.usage import reading_of
from tepui.agent.fetcher.fetch import Fetcher
from tepui.web.event_streams import EventStreams
from tepui.web.files import Files
from tepui.web.process import system_metrics
from tepui.web.requests import Requests
from tepui.wire import mesos
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.daemon.bound import bind

Info = mesos.ContainerInfo
Variable = mesos.Environment.Variable


def spec_of(action: LaunchContainer) -> ContainerSpec:
    """What an agent without container runtimes makes of it."""
    containers = Containers(lambda event: None)
    bind(containers, FakeRuntime(Machine(), containers.exited), Path("/nowhere"))
    return containers.specs.of_launch(action)


def launch(
    command: mesos.CommandInfo, container: mesos.ContainerInfo | None = None
) -> LaunchContainer:
    limits = Limits(500, None, 32 << 20, 64 << 20, 0)
    return LaunchContainer("c", "/d", command, container, {"A": "1"}, "u", limits)


def rlimits(*limits: mesos.RLimitInfo.RLimit) -> mesos.ContainerInfo:
    return Info(type=Info.Type.MESOS, rlimit_info=mesos.RLimitInfo(rlimits=limits))


def test_a_command_becomes_a_process_with_limits() -> None:
    kind = mesos.RLimitInfo.RLimit.Type
    container = rlimits(
        mesos.RLimitInfo.RLimit(type=kind.RLMT_NOFILE, soft=10, hard=20),
        mesos.RLimitInfo.RLimit(type=kind.RLMT_CORE),
    )
    assert spec_of(launch(mesos.CommandInfo(value="x y"), container)) == ContainerSpec(
        container_id="c",
        program="/bin/sh",
        argv=("sh", "-c", "x y"),
        environment={"A": "1"},
        directory="/d",
        user="u",
        rlimits=(("RLMT_NOFILE", 10, 20), ("RLMT_CORE", None, None)),
        cpus_milli=500,
        mem_bytes=64 << 20,
        mem_soft_bytes=32 << 20,
    )


def test_a_program_gets_its_arguments_and_the_name_it_is_called_by() -> None:
    command = mesos.CommandInfo(shell=False, value="/bin/busybox", arguments=("echo", "a", "b"))
    assert spec_of(launch(command)).program == "/bin/busybox"
    assert spec_of(launch(command)).argv == ("echo", "a", "b")
    alone = mesos.CommandInfo(shell=False, value="/bin/echo")
    assert spec_of(launch(alone)).argv == ("/bin/echo",)


SECRET = Variable(
    name="S",
    type=Variable.Type.SECRET,
    secret=mesos.Secret(
        type=mesos.Secret.Type.REFERENCE, reference=mesos.Secret.Reference(name="n")
    ),
)
IMAGE = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="busybox"))
VOLUME = mesos.Volume(mode=mesos.Volume.Mode.RO, container_path="/data", host_path="/data")
RUN = mesos.CommandInfo(value="x")


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (launch(mesos.CommandInfo()), "the command has no value"),
        (
            launch(mesos.CommandInfo(shell=False)),
            "the command has neither value nor arguments",
        ),
        (
            launch(
                mesos.CommandInfo(value="x", environment=mesos.Environment(variables=(SECRET,)))
            ),
            "this agent cannot look up the secret of the variable 'S'",
        ),
        (
            launch(RUN, Info(type=Info.Type.DOCKER, docker=Info.DockerInfo(image="busybox"))),
            "this agent does not run Docker containers: no Docker Engine answers; "
            "neither crun nor runc is there",
        ),
        (
            launch(RUN, Info(type=Info.Type.MESOS, mesos=Info.MesosInfo(image=IMAGE))),
            "this agent does not run container images: neither crun nor runc is there",
        ),
        (
            launch(RUN, Info(type=Info.Type.MESOS, volumes=(VOLUME,))),
            "this agent does not run containers with volumes, as '/data': "
            "neither crun nor runc is there",
        ),
        (
            launch(RUN, Info(type=Info.Type.MESOS, network_infos=(mesos.NetworkInfo(name="net"),))),
            "this agent does not run containers on a network of their own, as 'net': "
            "neither crun nor runc is there",
        ),
        (
            launch(RUN, rlimits(mesos.RLimitInfo.RLimit(soft=1, hard=1))),
            "a resource limit has a type, and both soft and hard or neither",
        ),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_reason(action: LaunchContainer, text: str) -> None:
    with pytest.raises(Unsupported) as refused:
        spec_of(action)
    assert str(refused.value) == text


def test_usage_is_shown_with_what_was_asked_for() -> None:
    usage = Usage(
        cpu_user_ms=1_500,
        cpu_system_ms=250,
        mem_rss_bytes=1_000,
        processes=2,
        threads=3,
        cpus_limit_milli=0,
        mem_limit_bytes=0,
    )
    found = statistics_of(reading_of(usage), Limits(500, None, 32 << 20, None, 0), 1.0)
    assert (found.cpus_user_time_secs, found.cpus_system_time_secs) == (1.5, 0.25)
    assert (found.cpus_soft_limit, found.mem_soft_limit_bytes) == (0.5, 32 << 20)
    assert found.mem_limit_bytes is None


def test_what_the_flag_leaves_out_the_machine_has(tmp_path: object) -> None:
    found = resources_of("cpus:4;gpus:1", "*", str(tmp_path))
    assert found.scalar("cpus") == 4_000
    assert found.names() == {"cpus", "mem", "disk", "ports", "gpus"}
    assert str(found.ports()) == "[31000-32000]"
    total_mib = system_metrics()["system/mem_total_bytes"] / (1 << 20)
    kept = 1024 if total_mib >= 2048 else total_mib / 2
    assert abs(found.scalar("mem") / 1000 - (total_mib - kept)) <= 1


def test_flags_are_texts_by_name() -> None:
    options = AgentOptions(
        master="h:1", work_dir="/w", runtime_dir="/r", port=0, flags={"unknown_flag": "x"}
    )
    flags = flags_of(options, 5055)
    assert list(flags) == sorted(flags)
    assert flags["port"] == "5055"
    assert flags["switch_user"] == "true"
    assert flags["executor_shutdown_grace_period"] == "5secs"
    assert flags["gc_delay"] == "1weeks"
    assert flags["unknown_flag"] == "x"
    assert "hostname" not in flags


def test_the_shell_can_do_everything_that_a_core_may_ask_for() -> None:
    def put(event: object) -> None:
        raise AssertionError("nothing happens")

    containers, files = Containers(put), Files()
    parts = (
        MasterLink("h:1", put, 1),
        Sandboxes(put, Fetcher(timeout_ms=1, bytes_max=1), files),
        containers,
        Probing(put, containers),
        Sessions(put, containers),
    )
    assert shell.Shell(*parts, EventStreams(), Requests()).can_do == frozenset(
        Action.__subclasses__()
    )
