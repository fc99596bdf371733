"""Which capabilities a container has: what it asks for, within what the operator allows."""

from __future__ import annotations

import pytest

from tepui.agent.containers.isolation.capabilities import (
    IMAGE_DEFAULT,
    NAMES,
    Allowed,
    Held,
    allowed_by,
    capabilities_of,
    changed,
    passable,
)
from tepui.base.errors import Refused
from tepui.wire import mesos

Capability = mesos.CapabilityInfo.Capability
NO_FLAGS = Allowed()
FLAGS = allowed_by(
    '{"capabilities":["NET_RAW","MKNOD"]}', '{"capabilities":["NET_RAW","MKNOD","SYSLOG"]}'
)


def info(*names: str) -> mesos.CapabilityInfo:
    return mesos.CapabilityInfo(capabilities=tuple(Capability.__members__[name] for name in names))


def linux(
    effective: mesos.CapabilityInfo | None = None, bounding: mesos.CapabilityInfo | None = None
) -> mesos.LinuxInfo:
    return mesos.LinuxInfo(effective_capabilities=effective, bounding_capabilities=bounding)


def test_names_are_in_the_order_of_the_kernels_numbers() -> None:
    assert (NAMES[0], NAMES[21], NAMES[40]) == (
        "CAP_CHOWN",
        "CAP_SYS_ADMIN",
        "CAP_CHECKPOINT_RESTORE",
    )


def test_process_has_the_agents_where_nothing_is_said() -> None:
    assert capabilities_of(None, NO_FLAGS, has_image=False) == Held()


def test_image_container_has_dockers_default_where_nothing_is_said() -> None:
    held = capabilities_of(None, NO_FLAGS, has_image=True)
    assert set(held.effective or ()) == set(held.bounding or ()) == IMAGE_DEFAULT
    assert len(IMAGE_DEFAULT) == 14
    assert not held.is_ambient


def test_default_of_an_image_container_is_cut_to_what_is_allowed() -> None:
    only_bounding = allowed_by(None, '{"capabilities":["CHOWN","SYS_ADMIN"]}')
    held = capabilities_of(None, only_bounding, has_image=True)
    assert held == Held(effective=("CAP_CHOWN",), bounding=("CAP_CHOWN", "CAP_SYS_ADMIN"))
    held = capabilities_of(None, NO_FLAGS, has_image=True, machine={"CAP_KILL", "CAP_BPF"})
    assert held == Held(effective=("CAP_KILL",), bounding=("CAP_KILL",))


@pytest.mark.parametrize("has_image", [True, False])
def test_who_asks_for_none_has_those_of_the_flags(has_image: bool) -> None:
    assert capabilities_of(None, FLAGS, has_image=has_image) == Held(
        effective=("CAP_NET_RAW", "CAP_MKNOD"),
        bounding=("CAP_NET_RAW", "CAP_MKNOD", "CAP_SYSLOG"),
        is_ambient=True,
    )


def test_what_is_asked_for_comes_in_place_of_the_flags() -> None:
    held = capabilities_of(linux(info("SYSLOG"), info("SYSLOG")), FLAGS, has_image=True)
    assert held == Held(effective=("CAP_SYSLOG",), bounding=("CAP_SYSLOG",), is_ambient=True)
    held = capabilities_of(linux(info("BPF")), NO_FLAGS, has_image=True)
    assert held == Held(effective=("CAP_BPF",), bounding=("CAP_BPF",), is_ambient=True)


def test_empty_lists_drop_all() -> None:
    held = capabilities_of(linux(info(), info()), NO_FLAGS, has_image=True)
    assert held == Held(effective=(), bounding=(), is_ambient=True)
    none = allowed_by('{"capabilities":[]}', None)
    assert capabilities_of(None, none, has_image=True).effective == ()


def test_old_field_means_the_same_and_both_are_refused() -> None:
    old = mesos.LinuxInfo(capability_info=info("CHOWN"))
    assert capabilities_of(old, NO_FLAGS, has_image=False).effective == ("CAP_CHOWN",)
    both = mesos.LinuxInfo(capability_info=info(), effective_capabilities=info())
    with pytest.raises(Refused, match="Only one of 'capability_info' or 'effective_capabilities'"):
        capabilities_of(both, NO_FLAGS, has_image=False)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            linux(info("CHOWN", "NET_RAW")),
            "Requested capabilities '{ CHOWN, NET_RAW }', but only '{ NET_RAW, MKNOD, SYSLOG }'"
            " are allowed",
        ),
        (
            linux(None, info("CHOWN")),
            "Bounding capabilities '{ CHOWN }', but only '{ NET_RAW, MKNOD, SYSLOG }' are allowed",
        ),
        (
            linux(info("MKNOD"), info("SYSLOG")),
            "Requested capabilities '{ MKNOD }', but only '{ SYSLOG }' are allowed",
        ),
    ],
)
def test_more_than_is_allowed_is_refused(asked: mesos.LinuxInfo, text: str) -> None:
    with pytest.raises(Refused) as refused:
        capabilities_of(asked, FLAGS, has_image=True)
    assert refused.value.text == text


def test_capability_that_the_agent_has_not_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="'SYS_RESOURCE', which this agent does not have"):
        capabilities_of(
            linux(info("SYS_RESOURCE")), NO_FLAGS, has_image=True, machine={"CAP_CHOWN"}
        )


def test_flags_are_checked_against_each_other_and_read() -> None:
    with pytest.raises(Refused, match=r"'--effective_capabilities' has \{ CHOWN \}, which"):
        allowed_by('{"capabilities":["CHOWN"]}', '{"capabilities":[]}')
    with pytest.raises(Refused, match="'--bounding_capabilities' is no CapabilityInfo"):
        allowed_by(None, "[1]")


def test_docker_parameters_add_and_drop() -> None:
    held = Held(effective=("CAP_CHOWN", "CAP_KILL"), bounding=("CAP_CHOWN", "CAP_KILL"))
    assert changed(held, (), (), NO_FLAGS) is held
    assert changed(held, ("CAP_BPF",), ("CAP_KILL",), NO_FLAGS).effective == (
        "CAP_CHOWN",
        "CAP_BPF",
    )
    assert changed(held, ("CAP_CHOWN",), ("ALL",), NO_FLAGS).effective == ("CAP_CHOWN",)
    assert changed(held, ("ALL",), (), NO_FLAGS, {"CAP_KILL", "CAP_BPF"}).effective == (
        "CAP_KILL",
        "CAP_BPF",
    )
    assert changed(held, ("ALL",), ("CAP_KILL",), NO_FLAGS).bounding == tuple(
        name for name in NAMES if name != "CAP_KILL"
    )


def test_docker_parameters_are_held_to_the_flags() -> None:
    held = Held(effective=("CAP_NET_RAW",), bounding=("CAP_NET_RAW",))
    with pytest.raises(Refused, match=r"but only '\{ NET_RAW, MKNOD, SYSLOG \}' are allowed"):
        changed(held, ("CAP_CHOWN",), (), FLAGS)
    assert changed(held, ("ALL",), (), FLAGS).effective == (
        "CAP_NET_RAW",
        "CAP_MKNOD",
        "CAP_SYSLOG",
    )
    with pytest.raises(Refused, match="there is no capability 'CAP_NONE'"):
        changed(held, ("CAP_NONE",), (), NO_FLAGS)


def test_what_the_agent_may_pass_on_is_its_bounding_set() -> None:
    assert passable("Name:\tx\nCapBnd:\t0000000000000021\n") == {"CAP_CHOWN", "CAP_KILL"}
    assert passable("") == frozenset()
