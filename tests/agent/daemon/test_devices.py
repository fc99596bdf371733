"""Which devices and GPUs containers have, over the lives of agents, on a machine whose GPUs are made up."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.containers.isolation.gpus import Gpu, find_gpus
from tepui.agent.containers.spec import Device
from tepui.agent.daemon import main
from tepui.agent.daemon.devices import Devices, refuse_missing
from tepui.agent.daemon.machine import gpus_of, resources_of
from tepui.base.errors import Refused
from tepui.resources import parse_resources
from tepui.wire import mesos
from tests.agent.daemon.fake_master import DEADLINE_S, command_task, run_task, running_agent

UNUSED_MAJOR = 240  # for local use: no driver answers, but the cgroup is asked first
NULL = Device(path="/dev/null", access="rw")


def gpus(count: int, place: str = "/dev", *, uuids: bool = False) -> tuple[Gpu, ...]:
    return tuple(
        Gpu(
            f"nvidia{number}",
            f"{place}/nvidia{number}",
            is_nvidia=True,
            uuid=f"GPU-{number}" if uuids else "",
        )
        for number in range(count)
    )


def paths(devices: tuple[Device, ...]) -> list[str]:
    return [os.path.basename(one.path) for one in devices]


def test_gpus_are_given_kept_by_the_next_agent_and_given_back(tmp_path: Path) -> None:
    first = Devices(None, gpus(3), str(tmp_path / "gpus"))
    first.recover([])
    first.take("a", 1)
    first.take("b", 1)
    first.release("a")
    first.take("c", 2)
    with pytest.raises(Refused, match="Requested 1 gpus but only 0 available"):
        first.take("d", 1)
    second = Devices(None, gpus(3), str(tmp_path / "gpus"))
    second.recover(["b"])  # c is gone with the machine's launcher
    assert paths(second.own("b")) == ["nvidia1"]
    assert paths(second.own("c")) == []
    assert os.listdir(tmp_path / "gpus") == ["b"]
    second.take("e", 2)
    assert paths(second.own("e")) == ["nvidia0", "nvidia2"]
    second.release("b")
    second.release("e")
    second.release("unknown")
    assert os.listdir(tmp_path / "gpus") == []


def test_container_without_gpus_leaves_no_file(tmp_path: Path) -> None:
    devices = Devices(None, gpus(1), str(tmp_path / "gpus"))
    devices.take("a", 0)
    assert not (tmp_path / "gpus").exists()


def test_what_cannot_be_written_is_not_given(tmp_path: Path) -> None:
    (tmp_path / "gpus").touch()
    devices = Devices(None, gpus(1), str(tmp_path / "gpus"))
    with pytest.raises(OSError, match="gpus"):
        devices.take("a", 1)
    assert devices.own("a") == ()


def test_libraries_are_told_of_the_gpus_by_name_or_by_number(tmp_path: Path) -> None:
    numbered = Devices(None, gpus(2), str(tmp_path))
    numbered.take("first", 1)
    numbered.take("a", 1)
    assert numbered.environment("a") == {
        "NVIDIA_VISIBLE_DEVICES": "1",
        "CUDA_VISIBLE_DEVICES": "0",  # the only one that it can open
    }
    named = Devices(None, gpus(2, uuids=True), str(tmp_path))
    named.take("a", 2)
    assert set(named.environment("a").values()) == {"GPU-0,GPU-1"}
    assert named.environment("none") == {"NVIDIA_VISIBLE_DEVICES": "void"}
    assert Devices(None, (), str(tmp_path)).environment("a") == {}


def test_devices_are_restricted_where_some_are_named(tmp_path: Path) -> None:
    assert not Devices(None, (), str(tmp_path)).is_restricting
    assert Devices(None, gpus(1), str(tmp_path)).is_restricting
    allowed = Devices((NULL,), (), str(tmp_path))
    assert allowed.is_restricting
    assert allowed.own("any") == (NULL,)
    refuse_missing((NULL,))
    with pytest.raises(Refused, match="names '/dev/none', which is not there"):
        refuse_missing((Device(path="/dev/none"),))


def test_gpus_that_are_there_are_offered(tmp_path: Path) -> None:
    assert gpus_of(None, "*", None, gpus(2)) == gpus(2)
    assert gpus_of("cpus:1", "*", None, gpus(2)) == gpus(2)
    assert gpus_of("cpus:1;gpus:1", "*", None, gpus(2)) == gpus(1)
    assert gpus_of("[]", "*", None, gpus(2)) == ()  # a list is complete
    with pytest.raises(Refused, match="has 3 gpus, but the machine has 2"):
        gpus_of("gpus:3", "*", None, gpus(2))
    assert resources_of("cpus:1", "*", str(tmp_path), gpus(2)).scalar("gpus") == 2_000
    assert resources_of("gpus:1", "*", str(tmp_path), gpus(1)).scalar("gpus") == 1_000
    assert "gpus" not in resources_of("cpus:1", "*", str(tmp_path)).names()


def test_driver_tells_what_its_gpus_are_called(tmp_path: Path) -> None:
    uuid = "GPU-01234567-89ab-cdef-0123-456789abcdef"
    for name, text in (
        ("0000:01:00.0", f"Model: \t X\nGPU UUID: \t {uuid}\nDevice Minor: \t 1\n"),
        ("0000:02:00.0", "GPU UUID: GPU-????????\nDevice Minor: 0\n"),
    ):
        (tmp_path / "driver" / name).mkdir(parents=True)
        (tmp_path / "driver" / name / "information").write_text(text)
    for name in ("nvidia0", "nvidia1"):
        (tmp_path / name).touch()
    found = find_gpus(str(tmp_path), str(tmp_path / "driver"))
    assert [one.uuid for one in found] == ["", uuid]


def with_gpus(task: mesos.TaskInfo, count: int) -> mesos.TaskInfo:
    resources = parse_resources(f"cpus:0.1;mem:64;gpus:{count}")
    return structs.replace(task, resources=resources.to_wire(role="*", refinement=True))


@pytest.mark.real
def test_tasks_open_their_own_gpus_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    for number in range(2):
        device = os.makedev(UNUSED_MAJOR, number)
        try:
            os.mknod(tmp_path / f"nvidia{number}", stat.S_IFCHR | 0o666, device)
        except OSError as error:
            pytest.skip(f"no device can be made: {error}")
    tmp_path.chmod(0o755)
    monkeypatch.setattr(main, "find_gpus", lambda: gpus(2, str(tmp_path)))
    tries = "; ".join(f"cat {tmp_path}/nvidia{number} 2>&1 | sed 's/.*: //'" for number in range(2))

    async def scenario() -> None:
        async with running_agent() as (master, daemon):
            if "devices" not in daemon.enforced:
                pytest.skip("this machine does not limit devices")

            async def said(name: str, count: int) -> list[str]:
                line = f"{tries}; echo $NVIDIA_VISIBLE_DEVICES; exec sleep 1000"
                master.send(run_task(with_gpus(command_task(name, line), count)))
                await master.updates(name, 2)
                directory = daemon.state.frameworks["F"].executors[name].directory
                async with asyncio.timeout(DEADLINE_S):
                    while True:
                        lines = (Path(directory) / "stdout").read_text().splitlines()
                        if len(lines) == 3:
                            return lines
                        await asyncio.sleep(0.02)

            denied, opened = "Operation not permitted", "No such device or address"
            assert await said("first", 1) == [opened, denied, "0"]
            assert await said("none", 0) == [denied, denied, "void"]
            assert await said("second", 1) == [denied, opened, "1"]
            master.send(run_task(with_gpus(command_task("third", "true"), 1)))
            (failed,) = await master.updates("third", 1)
            assert failed.message is not None
            assert failed.message.endswith("Requested 1 gpus but only 0 available")

    asyncio.run(scenario())
