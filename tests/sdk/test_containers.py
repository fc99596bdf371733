"""Containers of tasks, said in the words of `docker run`."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.sdk.containers import container
from tepui.sdk.tasks import Room
from tepui.wire import mesos

Info = mesos.ContainerInfo
Docker = mesos.ContainerInfo.DockerInfo


def test_nothing_asked_is_no_container() -> None:
    assert container() is None


def test_an_image_with_a_volume_and_a_published_port_is_on_the_bridge() -> None:
    image = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="app:1"))
    mapping = mesos.NetworkInfo.PortMapping(host_port=31000, container_port=80, protocol="tcp")
    assert container("app:1", volumes=["/srv:/data:ro"], publish=["31000:80"]) == Info(
        type=Info.Type.MESOS,
        mesos=Info.MesosInfo(image=image),
        volumes=(
            mesos.Volume(mode=mesos.Volume.Mode.RO, container_path="/data", host_path="/srv"),
        ),
        network_infos=(mesos.NetworkInfo(name="mesos-bridge", port_mappings=(mapping,)),),
    )


def test_only_the_first_network_maps_ports() -> None:
    found = container("app", networks=["a", "b"], publish=["1:2/udp"])
    assert found is not None
    assert [(one.name, len(one.port_mappings)) for one in found.network_infos] == [
        ("a", 1),
        ("b", 0),
    ]


@pytest.mark.parametrize(
    ("networks", "network", "named"),
    [
        ((), Docker.Network.HOST, ()),
        (("host",), Docker.Network.HOST, ()),
        (("none",), Docker.Network.NONE, ()),
        (("bridge",), Docker.Network.BRIDGE, ()),
        (("mine",), Docker.Network.USER, ("mine",)),
    ],
)
def test_docker_knows_its_networks_by_mode_or_name(
    networks: tuple[str, ...], network: Docker.Network, named: tuple[str, ...]
) -> None:
    found = container("app", networks=networks, docker=True)
    assert found is not None
    assert found.docker is not None
    assert found.docker.network is network
    assert tuple(one.name for one in found.network_infos) == named


@pytest.mark.parametrize(
    ("volumes", "publish", "text"),
    [
        (["/srv"], [], "volume '/srv': expected /HOST:/PATH"),
        (["/srv:data"], [], "volume '/srv:data': expected /HOST:/PATH"),
        (["/a:/b:exec"], [], "volume '/a:/b:exec': expected"),
        ([], ["80"], "publish '80': expected HOST:PORT"),
        ([], ["0:80"], "publish '0:80': '0' is no port from 1 to 65535"),
        ([], ["80:99999"], "publish '80:99999': '99999' is no port"),
        ([], ["80:80/sctp"], "publish '80:80/sctp': expected"),
    ],
)
def test_what_cannot_be_is_refused_with_its_text(
    volumes: list[str], publish: list[str], text: str
) -> None:
    with pytest.raises(Refused, match=text):
        container("app", volumes=volumes, publish=publish)


def test_docker_needs_an_image() -> None:
    with pytest.raises(Refused, match="a container of Docker needs an image"):
        container(docker=True)


def test_ports_are_taken_by_number() -> None:
    ranges = mesos.Value.Ranges(range=(mesos.Value.Range(begin=31000, end=31002),))
    ports = mesos.Resource(name="ports", type=mesos.Value.Type.RANGES, ranges=ranges)
    offer = mesos.Offer(
        id=mesos.OfferID("o"),
        framework_id=mesos.FrameworkID("f"),
        agent_id=mesos.AgentID("a"),
        hostname="h",
        resources=(ports,),
    )
    room = Room(offer)
    (taken,) = room.take(ports=[31001]) or ()
    assert taken.ranges is not None
    assert [(one.begin, one.end) for one in taken.ranges.range] == [(31001, 31001)]
    assert room.take(ports=[31001]) is None
    assert room.take(ports=[31000, 31002]) is not None
