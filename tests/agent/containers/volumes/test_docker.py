"""Docker volumes: mounted once, unmounted after the last container, whatever happens to the agent."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.volumes import docker, plugins
from tepui.agent.containers.volumes.docker import DockerVolume, DockerVolumes
from tepui.agent.containers.volumes.plugins import PluginPlaces
from tepui.base.errors import HostError
from tepui.wire import mesos

SCRIPT = Path(__file__).with_name("plugin.py")


class World:
    """Plug-ins, and an agent's work_dir; each `agent` is one that begins anew there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = root / "sandbox"
        self.sockets, self.specs, self.backing = root / "s", root / "specs", root / "backing"
        for directory in (self.sandbox, self.sockets, self.specs, self.backing):
            directory.mkdir()
        self.processes: list[subprocess.Popen[str]] = []

    def start_plugin(self, name: str = "dirs") -> None:
        """Answers when this returns; what one before it knew, it knows too."""
        socket = self.sockets / f"{name}.sock"
        socket.unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(socket), str(self.backing)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    def stop_plugins(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes.clear()

    def agent(self) -> DockerVolumes:
        places = PluginPlaces(sockets=(str(self.sockets),), specs=(str(self.specs),))
        return DockerVolumes(str(self.root / "work"), places)

    async def mount(
        self, agent: DockerVolumes, container: str, name: str = "v", driver: str | None = "dirs"
    ) -> str:
        return await agent.mount(container, volume(name, driver), str(self.sandbox))

    def asked(self) -> list[str]:
        """What the plug-ins were asked since the last time, but whether they are there."""
        path = self.backing / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line for line in lines if line != "Activate"]

    def mounted(self) -> dict[str, list[str]]:
        """What the plug-ins have mounted, by volume, and for whom."""
        found: dict[str, list[str]] = json.loads((self.backing / "state.json").read_text())
        return {name: ids for name, ids in found.items() if ids}

    def kept(self) -> int:
        return len(list((self.root / "work" / "volumes" / "mounted").glob("*")))


def volume(name: str, driver: str | None = "dirs", **options: str) -> DockerVolume:
    given = tuple(mesos.Parameter(key=key, value=text) for key, text in options.items())
    return DockerVolume(
        driver=driver,
        name=name,
        driver_options=mesos.Parameters(parameter=given) if given else None,
    )


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    one = World(tmp_path_factory.mktemp("v"))
    yield one
    one.stop_plugins()


@pytest.fixture
def plugged(world: World) -> World:
    world.start_plugin()
    return world


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


@pytest.mark.real
def test_a_volume_is_mounted_for_the_first_and_unmounted_after_the_last(plugged: World) -> None:
    async def scenario() -> None:
        agent = plugged.agent()
        await agent.start(())
        sandbox = str(plugged.sandbox)
        path = await agent.mount("c1", volume("v", size="1G"), sandbox)
        assert path == str(plugged.backing / "v")
        assert await plugged.mount(agent, "c2") == path
        assert await plugged.mount(agent, "c2") == path  # two volumes of one container
        assert plugged.asked() == ['Create v {"size": "1G"}', "Mount v c1"]
        await agent.release("c1")
        await agent.release("c1")
        await agent.release("unknown")
        assert plugged.asked() == []
        await agent.release("c2")
        assert plugged.asked() == ["Unmount v c1"]
        assert (plugged.mounted(), plugged.kept()) == ({}, 0)

    play(scenario)


@pytest.mark.real
def test_containers_that_begin_and_end_at_once_share_well(plugged: World) -> None:
    async def scenario() -> None:
        agent = plugged.agent()
        names = [f"c{number}" for number in range(12)]
        await asyncio.gather(*(plugged.mount(agent, name) for name in names))
        assert len(plugged.asked()) == 2
        await asyncio.gather(*(agent.release(name) for name in names))
        assert len(plugged.asked()) == 1
        assert (plugged.mounted(), plugged.kept()) == ({}, 0)

    play(scenario)


@pytest.mark.real
def test_the_next_agent_unmounts_what_containers_that_are_no_more_had(plugged: World) -> None:
    async def scenario() -> None:
        first = plugged.agent()
        for container, name in (("c1", "one"), ("c2", "two"), ("c1", "both"), ("c2", "both")):
            await plugged.mount(first, container, name)
        assert len(plugged.mounted()) == 3
        plugged.asked()
        second = plugged.agent()
        await second.start(("c2", "another"))
        assert plugged.asked() == ["Unmount one c1"]
        await second.release("c2")
        assert sorted(plugged.asked()) == ["Unmount both c1", "Unmount two c2"]
        assert (plugged.mounted(), plugged.kept()) == ({}, 0)

    play(scenario)


class Killed(BaseException):
    """The agent is no more."""


@pytest.mark.real
@pytest.mark.parametrize("method", ["Create", "Mount", "Unmount", "after Mount", "after Unmount"])
def test_an_agent_killed_at_any_step_is_cleared_up_after(
    plugged: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    call = plugins.Plugin._call

    def dying(self: plugins.Plugin, name: str, step: str, body: dict[str, object]) -> object:
        if step == f"VolumeDriver.{method}":
            raise Killed
        answer = call(self, name, step, body)
        if step == f"VolumeDriver.{method.removeprefix('after ')}":
            raise Killed
        return answer

    monkeypatch.setattr(plugins.Plugin, "_call", dying)
    agent = plugged.agent()

    def die() -> None:
        record = agent._mount_now(("dirs", "v"), "c1", {})
        assert record
        agent._leave_now(replace(agent._records[("dirs", "v")], users=()))

    with pytest.raises(Killed):
        die()
    monkeypatch.undo()
    assert plugged.kept() == 1

    async def scenario() -> None:
        for _ in range(docker.UNMOUNTS_MAX):  # after Unmount: it is said not to be mounted
            await plugged.agent().start(())
        assert plugged.kept() == 0
        state = plugged.backing / "state.json"
        assert not state.exists() or plugged.mounted() == {}

    play(scenario)


@pytest.mark.real
def test_a_container_that_is_cancelled_while_it_mounts_leaves_nothing(plugged: World) -> None:
    async def scenario() -> None:
        agent = plugged.agent()
        mounting = asyncio.create_task(plugged.mount(agent, "c1"))
        await asyncio.sleep(0)
        mounting.cancel()
        await asyncio.wait([mounting])
        await agent.release("c1")
        assert plugged.asked() == ["Create v", "Mount v c1", "Unmount v c1"]
        assert plugged.kept() == 0

    play(scenario)


@pytest.mark.real
def test_failures_name_driver_volume_and_step(plugged: World) -> None:
    plugged.start_plugin("wrong")
    (plugged.specs / "far.spec").write_text("ftp://nowhere")
    (plugged.specs / "odd.json").write_text("[]")

    async def scenario() -> None:
        agent = plugged.agent()
        for name, driver, text in (
            ("nomount", "dirs", "mount the volume 'nomount' of the driver 'dirs': the disk is bro"),
            ("noise", "dirs", "create the volume 'noise' .* answered 200, and not in JSON"),
            ("v", "wrong", "activate the volume 'v' of the driver 'wrong': it is no volume driver"),
            ("v", "none", "there is no plug-in 'none' in .*/s, .*/specs"),
            ("v", "../x", "'../x' is not the name of a driver"),
            ("v", "far", "its address is 'ftp://nowhere', neither unix:// nor tcp://"),
            ("v", "odd", "odd.json': Expected `object`, got `array`"),
        ):
            with pytest.raises(HostError, match=text):
                await plugged.mount(agent, "c1", name, driver)
            await agent.release("c1")
        assert (plugged.mounted(), plugged.kept()) == ({}, 0)

    play(scenario)


@pytest.mark.real
def test_a_plugin_may_be_named_by_a_file(world: World) -> None:
    world.start_plugin("other")
    (world.specs / "spec.spec").write_text(f"unix://{world.sockets}/other.sock\n")
    (world.specs / "json").mkdir()
    (world.specs / "json" / "json.json").write_text(
        json.dumps({"Name": "json", "Addr": f"unix://{world.sockets}/other.sock"})
    )

    async def scenario() -> None:
        agent = world.agent()
        for driver in ("spec", "json"):
            assert await world.mount(agent, "c1", "v", driver) == str(world.backing / "v")

    play(scenario)


@pytest.mark.real
def test_a_plugin_that_hangs_is_not_waited_for_for_ever(
    plugged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "CALL_S", 0.2)

    async def scenario() -> None:
        agent = plugged.agent()
        with pytest.raises(HostError, match=r"mount the volume 'hang' .* no answer within 0\.2 s"):
            await plugged.mount(agent, "c1", "hang")

    play(scenario)


@pytest.mark.real
def test_what_a_plugin_did_not_unmount_is_tried_again_when_it_is_back(plugged: World) -> None:
    async def scenario() -> None:
        agent = plugged.agent()
        for name in ("one", "two"):
            await plugged.mount(agent, "c1", name)
        await plugged.mount(agent, "c2", "three")
        plugged.asked()
        plugged.stop_plugins()
        await agent.release("c1")
        assert plugged.kept() == 3
        await plugged.agent().start(("c2",))  # it is not there for the next either
        assert plugged.kept() == 3
        plugged.start_plugin()
        await plugged.mount(agent, "c3", "one")
        assert plugged.asked() == ["Unmount one c1", "Create one", "Mount one c3"]
        await agent.release("c2")
        assert plugged.asked() == ["Unmount three c2", "Unmount two c1"]
        await agent.release("c3")
        assert (plugged.mounted(), plugged.kept()) == ({}, 0)

    play(scenario)


@pytest.mark.real
def test_a_refusal_to_unmount_is_not_repeated_for_ever(plugged: World) -> None:
    async def scenario() -> None:
        agent = plugged.agent()
        await plugged.mount(agent, "c1", "busy")
        await plugged.mount(agent, "c1", "gone")
        await agent.release("c1")
        assert plugged.kept() == 1  # of the other the plug-in knows nothing any more
        for left in range(docker.UNMOUNTS_MAX - 2, -1, -1):
            await plugged.agent().start(())
            assert plugged.kept() == (1 if left else 0)

    play(scenario)


@pytest.mark.real
def test_so_many_plugins_are_called_at_once(
    plugged: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "CALLS_MAX", 1)
    monkeypatch.setattr(plugins, "CALL_S", 0.2)

    async def scenario() -> None:
        agent = plugged.agent()
        slow = asyncio.create_task(plugged.mount(agent, "c1", "hang"))
        await asyncio.sleep(0)
        await plugged.mount(agent, "c2")
        assert slow.done()
        assert isinstance(slow.exception(), HostError)

    play(scenario)


@pytest.mark.parametrize("driver", [None, "", "local"])
def test_a_local_volume_is_a_directory_that_stays(world: World, driver: str | None) -> None:
    if os.geteuid() == 0:
        os.chown(world.sandbox, 4321, 4322)

    async def scenario() -> None:
        agent = world.agent()
        path = Path(await world.mount(agent, "c1", "v.1", driver))
        assert path == world.root / "work" / "volumes" / "local" / "v.1"
        owner = world.sandbox.stat()
        assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid)
        (path / "data").write_text("kept")
        await agent.release("c1")
        await world.agent().start(())
        again = Path(await world.mount(agent, "c2", "v.1", driver))
        assert (again / "data").read_text() == "kept"

    play(scenario)


def test_a_local_volume_has_a_name_and_no_options(world: World) -> None:
    async def scenario() -> None:
        agent = world.agent()
        for name in ("", "..", "a/b", ".hidden", "x" * 256):
            with pytest.raises(Unsupported, match="is not the name of a local volume"):
                await world.mount(agent, "c1", name, None)
        with pytest.raises(Unsupported, match="the volume 'v' has driver_options"):
            await agent.mount("c1", volume("v", None, type="nfs"), str(world.sandbox))
        await world.mount(agent, "c1", "x" * 255, None)

    play(scenario)


def test_a_record_that_cannot_be_read_stops_nothing(world: World) -> None:
    directory = world.root / "work" / "volumes" / "mounted"
    directory.mkdir(parents=True)
    (directory / "x.json").write_text("{")

    async def scenario() -> None:
        await world.agent().start(())

    play(scenario)
    assert world.kept() == 1
