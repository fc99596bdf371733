"""Resources, case by case: formats, volumes, roles, texts."""

from __future__ import annotations

import msgspec
import pytest

from tepui.base.errors import Refused
from tepui.resources import Ranges, Resources, parse_resources
from tepui.resources.convert import static_reservation
from tepui.resources.kinds import Kind, Reservation, ReservationType, ValueType, kind_of
from tepui.resources.resources import allocation_role
from tepui.wire import mesos
from tests.resources.strategies import volume

AGENT = "cpus:4;mem:4096;disk:10240;ports:[31000-32000];cpus(web):1;mem(web):512"

OLD_FORMAT = """[
{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]},"role":"*","allocation_info":{"role":"web/dev"}},
{"name":"cpus","type":"SCALAR","scalar":{"value":1.0},"role":"web","allocation_info":{"role":"web/dev"}},
{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"role":"*","allocation_info":{"role":"web/dev"}},
{"name":"mem","type":"SCALAR","scalar":{"value":512.0},"role":"web","allocation_info":{"role":"web/dev"}},
{"name":"mem","type":"SCALAR","scalar":{"value":4096.0},"role":"*","allocation_info":{"role":"web/dev"}},
{"name":"disk","type":"SCALAR","scalar":{"value":10240.0},"role":"*","allocation_info":{"role":"web/dev"}}
]"""
NEW_FORMAT = """[
{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":32000}]},"allocation_info":{"role":"web/dev"}},
{"name":"cpus","type":"SCALAR","scalar":{"value":1.0},"allocation_info":{"role":"web/dev"},"reservations":[{"type":"STATIC","role":"web"}]},
{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"allocation_info":{"role":"web/dev"}},
{"name":"mem","type":"SCALAR","scalar":{"value":512.0},"allocation_info":{"role":"web/dev"},"reservations":[{"type":"STATIC","role":"web"}]},
{"name":"mem","type":"SCALAR","scalar":{"value":4096.0},"allocation_info":{"role":"web/dev"}},
{"name":"disk","type":"SCALAR","scalar":{"value":10240.0},"allocation_info":{"role":"web/dev"}}
]"""

OPS = Reservation(type=ReservationType.DYNAMIC, role="db", principal="ops")
INNER = Reservation(type=ReservationType.DYNAMIC, role="db/x")


def wire(text: str) -> tuple[mesos.Resource, ...]:
    return msgspec.json.decode(text, type=tuple[mesos.Resource, ...])


def json_of(resources: tuple[mesos.Resource, ...]) -> object:
    return msgspec.json.decode(msgspec.json.encode(resources))


def reserved(*stack: Reservation, cpus_milli: int = 1000) -> Resources:
    return Resources({kind_of("cpus", ValueType.SCALAR, stack): cpus_milli})


def test_old_format_has_role_and_no_stack() -> None:
    offered = parse_resources(AGENT).to_wire(role="web/dev", refinement=False)
    assert json_of(offered) == msgspec.json.decode(OLD_FORMAT)


def test_new_format_has_the_stack_and_no_role() -> None:
    offered = parse_resources(AGENT).to_wire(role="web/dev", refinement=True)
    assert json_of(offered) == msgspec.json.decode(NEW_FORMAT)


def test_framework_without_multi_role_sees_no_allocation() -> None:
    offered = parse_resources("cpus:1").to_wire(role=None, refinement=False)
    assert json_of(offered) == [
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "role": "*"}
    ]


def test_both_formats_mean_the_same() -> None:
    assert (
        Resources.of(wire(OLD_FORMAT)) == Resources.of(wire(NEW_FORMAT)) == parse_resources(AGENT)
    )


def test_dynamic_reservation_in_the_old_format() -> None:
    old = reserved(OPS).to_wire(role=None, refinement=False)
    assert json_of(old) == [
        {
            "name": "cpus",
            "type": "SCALAR",
            "scalar": {"value": 1.0},
            "role": "db",
            "reservation": {"principal": "ops"},
        }
    ]
    assert Resources.of(old) == reserved(OPS)


def test_refined_reservation_needs_the_new_format() -> None:
    refined = reserved(OPS, INNER)
    assert Resources.of(refined.to_wire(role=None, refinement=True)) == refined
    with pytest.raises(Refused, match="RESERVATION_REFINEMENT"):
        refined.to_wire(role=None, refinement=False)
    assert (refined + parse_resources("cpus:1;cpus(db):1")).unrefined() == (
        parse_resources("cpus:1;cpus(db):1")
    )


def test_labels_of_a_reservation_have_no_order() -> None:
    one, two = mesos.Label(key="a", value="1"), mesos.Label(key="b")
    stacks = [
        Reservation(type=ReservationType.DYNAMIC, role="db", labels=mesos.Labels(labels=labels))
        for labels in ((one, two), (two, one))
    ]
    first, second = (
        Resources.of(reserved(stack).to_wire(role=None, refinement=True)) for stack in stacks
    )
    assert first == second


def test_zero_is_as_if_not_there() -> None:
    assert Resources.of(wire('[{"name":"cpus","type":"SCALAR","scalar":{"value":0}}]')) == (
        Resources.empty
    )
    assert not Resources.of_scalars(cpus=0)
    with pytest.raises(ValueError, match="negative"):
        Resources.of_scalars(cpus=-1)


def test_entries_of_one_kind_are_added() -> None:
    twice = wire(
        '[{"name":"cpus","type":"SCALAR","scalar":{"value":0.1}},'
        '{"name":"cpus","type":"SCALAR","scalar":{"value":0.2}}]'
    )
    assert Resources.of(twice) == Resources.of_scalars(cpus=300)


def test_subtracting_too_much_raises_and_changes_nothing() -> None:
    have = parse_resources("cpus:1;ports:[1-5]")
    for wanted in ("cpus:1.001", "mem:1", "ports:[5-6]", "cpus(web):1"):
        with pytest.raises(ValueError, match="does not contain"):
            have - parse_resources(wanted)
    assert have == parse_resources("cpus:1;ports:[1-5]")
    assert have - parse_resources("cpus:1;ports:[2-3]") == parse_resources("ports:[1-1, 4-5]")


def test_amounts_by_name() -> None:
    resources = parse_resources("cpus:1.5;cpus(web):1;ports:[1-10];s:{a,b}")
    assert resources.quantities() == {"cpus": 2500, "ports": 10000, "s": 2000}
    assert resources.scalar("cpus") == 2500
    assert resources.scalar("ports") == 0
    assert resources.ports() == Ranges.of([(1, 10)])
    assert resources.names() == {"cpus", "ports", "s"}


def test_a_role_may_have_what_is_reserved_to_its_ancestors() -> None:
    resources = parse_resources("cpus:1;cpus(db):2;cpus(db/x):4;cpus(dbx):8")
    assert resources.allocatable_to("db").scalar("cpus") == 3000
    assert resources.allocatable_to("db/x").scalar("cpus") == 7000
    assert resources.allocatable_to("db/x/y").scalar("cpus") == 7000
    assert resources.allocatable_to("web").scalar("cpus") == 1000
    assert resources.reserved_to("db").scalar("cpus") == 2000
    assert resources.unreserved().scalar("cpus") == 1000
    assert set(resources.reservations()) == {"db", "db/x", "dbx"}


def test_reservations_are_pushed_and_popped() -> None:
    resources = parse_resources("cpus:1;ports:[1-5]")
    assert resources.push_reservation(OPS).reserved_to("db").ports() == resources.ports()
    assert resources.push_reservation(OPS).push_reservation(INNER).pop_reservation() == (
        resources.push_reservation(OPS)
    )
    assert resources.push_reservation(OPS).push_reservation(INNER).to_unreserved() == resources


def test_flatten_leaves_amounts_alone() -> None:
    resources = parse_resources("cpus:1;cpus(db):2;disk:10") + Resources(
        {volume("v1", shared=True, size=5000): 3}
    )
    assert resources.flatten() == Resources.of_scalars(cpus=3000, disk=15000)


# Volumes


def test_a_volume_goes_as_a_whole_or_not_at_all() -> None:
    have = Resources({volume("v1", shared=False, size=5000): 1})
    assert have.contains(Resources({volume("v1", shared=False, size=5000): 1}))
    assert not have.contains(Resources({volume("v1", shared=False, size=4000): 1}))
    assert not have.contains(Resources({volume("v2", shared=False, size=5000): 1}))
    assert have.scalar("disk") == 5000


def test_where_a_volume_is_mounted_is_not_part_of_it() -> None:
    offered = Resources({volume("v1", shared=False, size=5000, path="data"): 1})
    wanted = Resources({volume("v1", shared=False, size=5000, path="elsewhere"): 1})
    assert offered == wanted
    assert not offered - wanted
    for resources, path in ((offered, "data"), (wanted, "elsewhere")):
        (written,) = resources.to_wire(role=None, refinement=True)
        assert written.disk is not None
        assert written.disk.volume is not None
        assert written.disk.volume.container_path == path


def test_shared_volume_is_counted_by_its_uses_and_written_once() -> None:
    once = Resources({volume("v1", shared=True, size=5000): 1})
    twice = once + once
    assert twice.contains(twice)
    assert not once.contains(twice)
    assert twice - once == once
    assert twice.scalar("disk") == 5000
    assert len(twice.to_wire(role=None, refinement=True)) == 1
    assert str(twice) == "disk(reservations: [(STATIC,db)])[v1:data]<SHARED>:5<2>"
    assert Resources.of(twice.to_wire(role=None, refinement=True) * 2) == twice


DISK = mesos.Resource.DiskInfo
SOURCE = mesos.Resource.DiskInfo.Source


def disk(source: SOURCE, size: float) -> Resources:
    return Resources.of(
        [
            mesos.Resource(
                name="disk",
                type=ValueType.SCALAR,
                scalar=mesos.Value.Scalar(size),
                disk=DISK(source=source),
            )
        ]
    )


def test_mounts_are_exclusive_and_paths_can_be_split() -> None:
    mount = SOURCE(type=SOURCE.Type.MOUNT, mount=SOURCE.Mount(root="/m"))
    path = SOURCE(type=SOURCE.Type.PATH, path=SOURCE.Path(root="/p"))
    assert disk(path, 5).contains(disk(path, 3))
    assert not disk(mount, 5).contains(disk(mount, 3))
    assert disk(mount, 5).contains(disk(mount, 5))
    assert disk(mount, 3) + disk(mount, 3) != disk(mount, 6)
    assert len((disk(mount, 3) + disk(mount, 3)).to_wire(role=None, refinement=True)) == 2
    assert str(disk(mount, 5) + disk(path, 5)) == "disk[MOUNT:/m]:5; disk[PATH:/p]:5"


def test_raw_disks_without_identity_can_be_split() -> None:
    storage = SOURCE(type=SOURCE.Type.RAW, vendor="csi", profile="fast")
    device = SOURCE(type=SOURCE.Type.RAW, vendor="csi", profile="fast", id="d1")
    assert disk(storage, 5).contains(disk(storage, 3))
    assert not disk(device, 5).contains(disk(device, 3))
    assert str(disk(device, 5)) == "disk[RAW(csi,d1,fast)]:5"


# Allocation


def test_allocation_role_is_found_beside_the_resources() -> None:
    assert allocation_role(wire(OLD_FORMAT)) == "web/dev"
    assert allocation_role(parse_resources("cpus:1").to_wire(role=None, refinement=True)) is None


def test_two_allocation_roles_are_refused() -> None:
    one = parse_resources("cpus:1")
    mixed = one.to_wire(role="a", refinement=True) + one.to_wire(role="b", refinement=True)
    with pytest.raises(Refused) as refused:
        allocation_role(mixed)
    assert refused.value.text == (
        "The resources have multiple allocation roles ('b' and 'a')"
        " but only one allocation role is allowed"
    )


# Texts


def test_text_is_that_of_mesos() -> None:
    assert str(parse_resources("cpus:4;mem:4096;ports:[31000-32000]")) == (
        "cpus:4; mem:4096; ports:[31000-32000]"
    )
    assert parse_resources("cpus(web):0.1;s:{b,a}").format("web") == (
        "cpus(allocated: web)(reservations: [(STATIC,web)]):0.1; s(allocated: web):{a, b}"
    )
    assert str(reserved(OPS, INNER, cpus_milli=250)) == (
        "cpus(reservations: [(DYNAMIC,db,ops),(DYNAMIC,db/x)]):0.25"
    )
    assert str(Resources({Kind(name="cpus", type=ValueType.SCALAR, revocable=True): 100})) == (
        "cpus{REV}:0.1"
    )
    assert str(Resources.empty) == "{}"


def test_static_and_dynamic_reservations_are_different_kinds() -> None:
    assert reserved(static_reservation("db")) != reserved(OPS)
    assert [kind.is_dynamically_reserved for kind, _ in reserved(OPS).items()] == [True]
    assert not any(k.is_dynamically_reserved for k, _ in reserved(static_reservation("db")).items())
