"""Rules for devices, GPUs of a machine that is made up, and which container has which."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.containers.isolation.devices import (
    ALL_DEVICES,
    DEFAULT_RULES,
    allowed_devices,
    rule_of,
    rules_for,
)
from tepui.agent.containers.isolation.gpus import Gpu, GpuPool, chosen, find_gpus
from tepui.agent.containers.spec import ContainerSpec, Device, Isolation
from tepui.base.errors import HostError, Refused


def spec(
    devices: tuple[Device, ...] | None = None, isolation: Isolation | None = None
) -> ContainerSpec:
    return ContainerSpec(
        container_id="a",
        program="true",
        argv=("true",),
        environment={},
        directory="/",
        devices=devices,
        isolation=isolation,
    )


NULL = Device(path="/dev/null", access="rw")


def test_process_may_use_all_devices_unless_it_names_some() -> None:
    assert rules_for(spec()) is None
    assert rules_for(spec(isolation=Isolation())) is None  # the host's root, with volumes say
    assert rules_for(spec(devices=())) == DEFAULT_RULES
    assert rules_for(spec(devices=(NULL,))) == (*DEFAULT_RULES, "c 1:3 rw")


def test_image_container_may_use_the_harmless_ones_and_its_own() -> None:
    assert rules_for(spec(isolation=Isolation(layers=("/l",)))) == DEFAULT_RULES
    own = Isolation(layers=("/l",), devices=(NULL,))
    assert rules_for(spec(isolation=own)) == (*DEFAULT_RULES, "c 1:3 rw")


def test_privileged_container_may_use_all() -> None:
    privileged = spec(devices=ALL_DEVICES, isolation=Isolation(layers=("/l",), devices=(NULL,)))
    assert rules_for(privileged) == ("a *:* rwm",)


def test_devices_of_one_container_are_limited_in_number() -> None:
    assert rules_for(spec(devices=(NULL,) * 200)) is not None
    with pytest.raises(HostError, match="201 devices are over the limit of 200"):
        rules_for(spec(devices=(NULL,) * 201))


def test_what_is_no_device_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"allow the device '.*none': No such file or directory"):
        rule_of(Device(path=str(tmp_path / "none")))
    with pytest.raises(HostError, match="it is not a device"):
        rule_of(Device(path=str(tmp_path)))
    with pytest.raises(HostError, match="'x' is not of r, w, m"):
        rule_of(Device(path="/dev/null", access="x"))


def test_allowed_devices_are_read_from_their_flag() -> None:
    text = (
        '{"allowed_devices":[{"device":{"path":"/dev/null"},"access":{"read":true,"mknod":true}},'
        '{"device":{"path":"/dev/zero"},"access":{"read":true,"write":true,"mknod":false}}]}'
    )
    assert allowed_devices(text) == (
        Device(path="/dev/null", access="rm"),
        Device(path="/dev/zero", access="rw"),
    )
    assert allowed_devices("{}") == ()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[1]", "is no DeviceWhitelist"),
        ('{"allowed_devices":[{"device":{},"access":{"read":true}}]}', "has a device without"),
        (
            '{"allowed_devices":[{"device":{"path":"/etc/x"},"access":{"read":true}}]}',
            "has the path '/etc/x', which is not below '/dev/'",
        ),
        (
            '{"allowed_devices":[{"device":{"path":"/dev/x"},"access":{"read":false}}]}',
            "allows nothing with '/dev/x'",
        ),
    ],
)
def test_flag_that_cannot_be_read_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(Refused) as refused:
        allowed_devices(text)
    assert refused.value.text.startswith(f"'--allowed_devices' {wrong}")


def dev(root: Path, *names: str) -> str:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return str(root)


def test_nvidia_gpus_are_found_by_number_with_what_they_share(tmp_path: Path) -> None:
    names = ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-caps/x", "dri/renderD128")
    place = dev(tmp_path, *names)
    shared = (f"{place}/nvidiactl", f"{place}/nvidia-uvm")
    assert find_gpus(place) == (
        Gpu("nvidia2", f"{place}/nvidia2", shared, is_nvidia=True),
        Gpu("nvidia10", f"{place}/nvidia10", shared, is_nvidia=True),
    )


def test_other_gpus_are_found_by_their_render_nodes(tmp_path: Path) -> None:
    place = dev(tmp_path, "dri/renderD129", "dri/renderD128", "dri/card0", "kfd")
    assert [one.name for one in find_gpus(place)] == ["renderD128", "renderD129"]
    assert find_gpus(place)[0].shared == (f"{place}/kfd",)


def test_machine_without_gpus_has_none(tmp_path: Path) -> None:
    assert find_gpus(str(tmp_path)) == ()


def gpus(count: int, *, is_nvidia: bool = True) -> tuple[Gpu, ...]:
    names = [f"nvidia{number}" for number in range(count)]
    return tuple(Gpu(one, f"/dev/{one}", ("/dev/nvidiactl",), is_nvidia) for one in names)


def test_nvidia_gpus_are_offered_unasked_and_others_only_when_asked_for() -> None:
    assert chosen(gpus(2), None, None) == gpus(2)
    assert chosen(gpus(2, is_nvidia=False), None, None) == ()
    assert len(chosen(gpus(2, is_nvidia=False), 2000, None)) == 2
    assert chosen(gpus(2), 1000, None) == gpus(1)
    assert chosen(gpus(2), 0, None) == ()
    assert chosen(gpus(3), 2000, (2, 0)) == (gpus(3)[2], gpus(3)[0])


@pytest.mark.parametrize(
    ("gpus_milli", "devices", "text"),
    [
        (1500, None, "The 'gpus' resource must be an non-negative integer"),
        (3000, None, "'--resources' has 3 gpus, but the machine has 2"),
        (1000, (0, 0), "'--nvidia_gpu_devices' contains duplicates"),
        (1000, (5,), "'--nvidia_gpu_devices' names '5', which is not there"),
        (1000, (0, 1), "'--resources' and '--nvidia_gpu_devices' specify different numbers"),
        (None, (0,), "'--nvidia_gpu_devices' cannot be set without also setting 'gpus'"),
    ],
)
def test_flags_that_disagree_with_the_machine_are_refused(
    gpus_milli: int | None, devices: tuple[int, ...] | None, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        chosen(gpus(2), gpus_milli, devices)
    assert refused.value.text.startswith(text)


def test_every_gpu_is_one_containers() -> None:
    pool = GpuPool(gpus(3))
    assert pool.take("a", 2) == ("nvidia0", "nvidia1")
    assert pool.take("b", 1) == ("nvidia2",)
    with pytest.raises(Refused, match="Requested 1 gpus but only 0 available"):
        pool.take("c", 1)
    assert [one.path for one in pool.devices("a")] == [
        "/dev/nvidia0",
        "/dev/nvidiactl",
        "/dev/nvidia1",
    ]
    pool.release("a")
    pool.release("a")
    assert pool.free() == ("nvidia0", "nvidia1")
    assert pool.devices("a") == ()
    assert pool.take("c", 0) == ()
    assert dict(pool.held) == {"b": ("nvidia2",)}


def test_container_keeps_its_gpus_when_it_gets_more_and_loses_the_last_first() -> None:
    pool = GpuPool(gpus(3))
    pool.take("a", 1)
    pool.take("b", 1)
    assert pool.take("a", 2) == ("nvidia0", "nvidia2")
    with pytest.raises(Refused):
        pool.take("a", 3)
    assert pool.take("a", 1) == ("nvidia0",)
    assert pool.free() == ("nvidia2",)


def test_gpus_of_containers_that_run_are_theirs_after_a_restart() -> None:
    pool = GpuPool(gpus(2))
    assert pool.recover("a", ("nvidia1", "nvidia7")) == ("nvidia7",)
    assert pool.take("b", 1) == ("nvidia0",)
    assert pool.recover("c", ()) == ()
