"""What containers ask for, in one form for both kinds, and who runs them."""

from __future__ import annotations

import pytest

from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.specs.kinds import Kind, kind_of, kinds_of
from tepui.agent.containers.specs.wanted import Wanted, wanted_of
from tepui.wire import mesos

Info = mesos.ContainerInfo
Docker = mesos.ContainerInfo.DockerInfo
IMAGE = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="app"))
RW = mesos.Volume.Mode.RW


def docker(*parameters: tuple[str, str], **fields: object) -> mesos.ContainerInfo:
    given = tuple(mesos.Parameter(key=key, value=value) for key, value in parameters)
    info = Docker(image="app", parameters=given, **fields)  # type: ignore[arg-type]  # of DockerInfo
    return Info(type=Info.Type.DOCKER, docker=info)


def test_a_container_that_asks_for_nothing_is_a_process() -> None:
    assert wanted_of(None).is_plain
    assert wanted_of(Info(type=Info.Type.MESOS)).is_plain
    kind = mesos.RLimitInfo.RLimit.Type.RLMT_CORE
    limits = mesos.RLimitInfo(rlimits=(mesos.RLimitInfo.RLimit(type=kind),))
    assert wanted_of(Info(type=Info.Type.MESOS, rlimit_info=limits)).is_plain
    unnamed = (mesos.NetworkInfo(),)
    assert wanted_of(Info(type=Info.Type.MESOS, network_infos=unnamed)).is_plain


def test_an_image_a_volume_or_a_network_is_more_than_a_process() -> None:
    image = Info(type=Info.Type.MESOS, mesos=Info.MesosInfo(image=IMAGE))
    assert wanted_of(image) == Wanted(image=IMAGE)
    volume = mesos.Volume(mode=RW, container_path="/data", host_path="/data")
    assert not wanted_of(Info(type=Info.Type.MESOS, volumes=(volume,))).is_plain
    network = mesos.NetworkInfo(name="overlay")
    assert wanted_of(Info(type=Info.Type.MESOS, network_infos=(network,))).networks == (network,)


def test_a_docker_container_is_read_as_one_with_an_image() -> None:
    assert wanted_of(docker()) == Wanted(image=IMAGE, is_docker=True)
    mapping = Docker.PortMapping(host_port=31000, container_port=80)
    bridge = wanted_of(docker(network=Docker.Network.BRIDGE, port_mappings=(mapping,)))
    inner = mesos.NetworkInfo.PortMapping(host_port=31000, container_port=80)
    assert bridge.networks == (mesos.NetworkInfo(name="mesos-bridge", port_mappings=(inner,)),)
    assert wanted_of(docker(network=Docker.Network.NONE)).is_without_network
    fresh = wanted_of(docker(force_pull_image=True)).image
    assert fresh is not None
    assert not fresh.cached


def test_the_usual_flags_of_docker_run_are_understood() -> None:
    wanted = wanted_of(
        docker(
            ("env", "A=b=c"),
            ("--hostname", "box"),
            ("cap-add", "net_admin"),
            ("cap-drop", "ALL"),
            ("read-only", "true"),
            ("shm-size", "64m"),
            ("tmpfs", "/run:size=1m"),
            ("ulimit", "nofile=10:20"),
            ("ulimit", "core=-1"),
            ("user", "app:web"),
            ("volume", "/host:/inside:ro"),
            ("workdir", "/srv"),
            ("label", "x=y"),
        )
    )
    volume = mesos.Volume(mode=mesos.Volume.Mode.RO, container_path="/inside", host_path="/host")
    assert wanted == Wanted(
        image=IMAGE,
        is_docker=True,
        volumes=(volume,),
        hostname="box",
        rlimits=(("RLMT_NOFILE", 10, 20), ("RLMT_CORE", None, None)),
        is_read_only=True,
        added_capabilities=("CAP_NET_ADMIN",),
        dropped_capabilities=("ALL",),
        environment={"A": "b=c"},
        user="app:web",
        directory="/srv",
        shm_bytes=64 << 20,
        tmpfs=(("/run", "size=1m"),),
    )


@pytest.mark.parametrize(
    ("container", "text"),
    [
        (docker(("gpus", "all")), "the parameter 'gpus' needs Docker Engine, which this agent"),
        (docker(("env", "A")), "the parameter 'env' is NAME=VALUE, not 'A'"),
        (docker(("shm-size", "many")), "the parameter 'shm-size' is a size such as 64m"),
        (docker(("ulimit", "nofile")), "the parameter 'ulimit' is NAME=SOFT"),
        (docker(("tmpfs", "run")), "the parameter 'tmpfs' is an absolute path, not 'run'"),
        (docker(("volume", "name:/x")), "the parameter 'volume' is /HOST:/CONTAINER"),
        (docker(network=Docker.Network.USER), "the container's network is USER, and it names none"),
        (Info(type=Info.Type.DOCKER), "the container is of type DOCKER and says nothing of it"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(
    container: mesos.ContainerInfo, text: str
) -> None:
    with pytest.raises(Unsupported, match=text):
        wanted_of(container)


def test_mesos_stands_for_processes_and_containers() -> None:
    assert kinds_of("mesos") == (Kind.PROCESS, Kind.OCI)
    assert kinds_of("docker,mesos") == (Kind.DOCKER, Kind.PROCESS, Kind.OCI)
    assert kinds_of("oci, docker, oci") == (Kind.OCI, Kind.DOCKER)
    with pytest.raises(ValueError, match="'rkt' is none of process, oci, docker and mesos"):
        kinds_of("rkt")


def test_the_first_runtime_that_can_do_it_runs_a_container() -> None:
    everything = (Kind.PROCESS, Kind.DOCKER, Kind.OCI)
    image = Info(type=Info.Type.MESOS, mesos=Info.MesosInfo(image=IMAGE))
    assert kind_of(None, everything, {}) is Kind.PROCESS
    assert kind_of(image, everything, {}) is Kind.OCI
    assert kind_of(docker(), everything, {}) is Kind.DOCKER
    assert kind_of(docker(), everything, {Kind.DOCKER: "no Engine answers"}) is Kind.OCI
    assert kind_of(docker(("gpus", "all")), (Kind.OCI, Kind.DOCKER), {}) is Kind.DOCKER


def test_a_container_that_no_runtime_can_run_is_refused_with_all_reasons() -> None:
    lacks = {Kind.DOCKER: "no Docker Engine answers", Kind.OCI: "neither crun nor runc is there"}
    both = (Kind.PROCESS, Kind.DOCKER, Kind.OCI)
    with pytest.raises(Unsupported) as refused:
        kind_of(docker(), both, lacks)
    assert str(refused.value) == (
        "this agent does not run Docker containers: "
        "no Docker Engine answers; neither crun nor runc is there"
    )
    image = Info(type=Info.Type.MESOS, mesos=Info.MesosInfo(image=IMAGE))
    with pytest.raises(Unsupported, match="not run container images: its --containerizers name"):
        kind_of(image, (Kind.PROCESS,), {})
