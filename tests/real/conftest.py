"""What tests with real containers share: one cluster a module, and nothing left after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tepui.agent.containers.oci.finding import find_runtime
from tests.real.cluster import Cluster
from tests.real.container_images import BUSYBOX, make_images
from tests.real.container_lab import Lab, chains_left

RESOURCES = "cpus:4;mem:2048;disk:10240;ports:[31000-32000]"
FLAGS = ("--containerizers=process,oci",)


def lacks() -> str:
    """What this machine lacks for containers; else ''."""
    if os.geteuid() != 0:
        return "containers need root"
    if BUSYBOX is None:
        return "a static busybox is not installed"
    return find_runtime()[1]


@pytest.fixture(scope="module")
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A cluster of one agent; the module's AGENT_FLAGS are given to it."""
    if missing := lacks():
        pytest.skip(missing)
    place = tmp_path_factory.mktemp("containers")
    linked = place / "linked"
    linked.mkdir()
    images = make_images(place / "images", linked)
    flags = (*FLAGS, *getattr(request.module, "AGENT_FLAGS", ()))
    with Cluster(place / "cluster", resources=RESOURCES, agent_flags=flags) as cluster:
        lab = Lab(cluster, images)
        yield lab
    assert chains_left(lab.work / "networks") == []


@pytest.fixture
def lab(machine: Lab) -> Iterator[Lab]:
    """The module's cluster, which has no more of tasks afterwards than before."""
    before = machine.traces()
    yield machine
    machine.check_clean(before)
