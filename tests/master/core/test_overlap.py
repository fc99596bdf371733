"""What two tasks of one agent can't both use, and what they can."""

from __future__ import annotations

import pytest

from tepui.master.core.validation.requested import overlap
from tepui.resources import Resources, parse_resources
from tepui.wire import mesos


def shared_volume() -> Resources:
    """Ten MB that several tasks may use at once."""
    resource, disk = mesos.Resource, mesos.Resource.DiskInfo
    volume = mesos.Volume(container_path="data", mode=mesos.Volume.Mode.RW)
    one = resource(
        name="disk",
        type=mesos.Value.Type.SCALAR,
        scalar=mesos.Value.Scalar(10.0),
        disk=disk(persistence=disk.Persistence(id="p"), volume=volume),
        shared=resource.SharedInfo(),
        reservations=(
            resource.ReservationInfo(type=resource.ReservationInfo.Type.DYNAMIC, role="a"),
        ),
    )
    return Resources.of((one,))


@pytest.mark.parametrize(
    ("one", "other", "is_overlap"),
    [
        ("cpus:1;mem:32", "cpus:1;mem:32", False),
        ("cpus:1;ports:[1-2]", "cpus:1;ports:[3-4]", False),
        ("cpus:1;ports:[1-3]", "cpus:1;ports:[3-4]", True),
        ("gpus:{a,b}", "gpus:{c}", False),
        ("gpus:{a,b}", "gpus:{b}", True),
    ],
)
def test_ports_and_items_belong_to_one_task(one: str, other: str, is_overlap: bool) -> None:
    parts = [parse_resources("cpus:2"), parse_resources(one), parse_resources(other)]

    assert overlap(parts) is is_overlap


def test_a_port_is_used_twice_also_when_both_say_the_same() -> None:
    same = parse_resources("ports:[1-1]")

    assert overlap([same, same])


def test_a_shared_volume_is_used_by_several_tasks() -> None:
    ports = [parse_resources(f"ports:[{port}-{port}]") for port in (1, 2)]

    assert not overlap([shared_volume(), shared_volume()])
    assert not overlap([shared_volume() + ports[0], shared_volume() + ports[1]])
