"""Volumes as mounts, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tepui.agent.containers.spec import Mount, Propagation
from tepui.agent.containers.specs.errors import Unsupported
from tepui.agent.containers.volumes.mounts import Place, volume_mount
from tepui.wire import mesos

Volume = mesos.Volume
Source = mesos.Volume.Source
Kind = Source.Type
Side = Source.SandboxPath.Type
RW, RO = Volume.Mode.RW, Volume.Mode.RO
INSIDE = "/mnt/mesos/sandbox"


class World:
    """A container's sandbox in that of its parent, and a directory of the host."""

    def __init__(self, directory: Path) -> None:
        self.host = directory / "host"
        self.parent = directory / "parent"
        self.sandbox = self.parent / "containers" / "c"
        self.sandbox.mkdir(parents=True)
        self.host.mkdir()
        self.secrets: list[bytes] = []

    def mount(self, volume: Volume, *, has_image: bool = True, nested: bool = True) -> Mount:
        place = Place(
            sandbox=str(self.sandbox),
            sandbox_inside=INSIDE,
            parent_sandbox=str(self.parent) if nested else None,
            has_image=has_image,
        )
        return volume_mount(
            volume,
            place,
            lambda name: (f"/layers/{name}",),
            self.keep,
            lambda asked: f"/mounted/{asked.driver}/{asked.name}",
        )

    def keep(self, data: bytes) -> str:
        self.secrets.append(data)
        return "/in/memory"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def in_sandbox(side: Side | None, path: str, container_path: str = "/data") -> Volume:
    inner = Source.SandboxPath(type=side, path=path)
    return Volume(
        mode=RW,
        container_path=container_path,
        source=Source(type=Kind.SANDBOX_PATH, sandbox_path=inner),
    )


def test_a_path_of_the_host_is_mounted_as_asked(world: World) -> None:
    legacy = Volume(mode=RO, container_path="/data", host_path=str(world.host))
    assert world.mount(legacy) == Mount(destination="/data", source=str(world.host), read_only=True)
    both = mesos.MountPropagation(mode=mesos.MountPropagation.Mode.BIDIRECTIONAL)
    path = Source.HostPath(path=str(world.host), mount_propagation=both)
    source = Source(type=Kind.HOST_PATH, host_path=path)
    assert world.mount(Volume(mode=RW, container_path="in", source=source)) == Mount(
        destination=f"{INSIDE}/in", source=str(world.host), propagation=Propagation.BOTH_WAYS
    )


def test_a_directory_of_a_sandbox_is_made_for_its_volume(world: World) -> None:
    own = world.mount(in_sandbox(Side.SELF, "a/b"))
    assert own == Mount(destination="/data", source=f"{world.sandbox}/a/b")
    assert (world.sandbox / "a" / "b").is_dir()
    shared = world.mount(in_sandbox(Side.PARENT, "shared", "mine"))
    assert shared == Mount(destination=f"{INSIDE}/mine", source=f"{world.parent}/shared")
    assert (world.parent / "shared").is_dir()
    legacy = world.mount(Volume(mode=RW, container_path="/old", host_path="cache"))
    assert legacy == Mount(destination="/old", source=f"{world.sandbox}/cache")


def test_two_tasks_of_a_group_may_make_their_shared_directory_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = world.parent / "shared"
    exists = os.path.exists

    def told_before_the_other_made_it(path: str) -> bool:
        found = exists(path)
        if path == str(shared):
            shared.mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(os.path, "exists", told_before_the_other_made_it)
    assert world.mount(in_sandbox(Side.PARENT, "shared")).source == str(shared)


def test_images_and_secrets_are_read_only(world: World) -> None:
    image = mesos.Image(type=mesos.Image.Type.DOCKER, docker=mesos.Image.Docker(name="data"))
    found = world.mount(Volume(mode=RW, container_path="/data", image=image))
    assert found == Mount(
        destination="/data", source=None, layers=("/layers/data",), read_only=True
    )
    value = mesos.Secret(type=mesos.Secret.Type.VALUE, value=mesos.Secret.Value(data=b"s"))
    secret = Volume(mode=RW, container_path="/key", source=Source(type=Kind.SECRET, secret=value))
    assert world.mount(secret) == Mount(
        destination="/key", source="/in/memory", read_only=True, has_outer_owners=True
    )
    assert world.secrets == [b"s"]


def test_a_docker_volume_is_where_its_driver_has_it(world: World) -> None:
    asked = Source.DockerVolume(driver="d", name="v")
    source = Source(type=Kind.DOCKER_VOLUME, docker_volume=asked)
    volume = Volume(mode=RO, container_path="/data", source=source)
    found = world.mount(volume)
    assert found == Mount(destination="/data", source="/mounted/d/v", read_only=True)


def test_a_link_in_a_sandbox_leads_nowhere_else(world: World, tmp_path: Path) -> None:
    (world.parent / "out").symlink_to("/etc")
    (world.parent / "sideways").symlink_to(tmp_path)
    for path in ("out", "out/new", "sideways/host", "sideways/new"):
        with pytest.raises(Unsupported, match=f"Path '{path}' .* leads out of the sandbox"):
            world.mount(in_sandbox(Side.PARENT, path))
    assert not Path("/etc/new").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("volume", "text"),
    [
        (Volume(mode=RW, container_path="/x", host_path="/no/such"), "'/no/such' in HOST_PATH"),
        (Volume(mode=RW, container_path="/x/../y", host_path="/"), "'/x/../y' has a '..' in it"),
        (in_sandbox(Side.SELF, "/abs"), "Path '/abs' in SANDBOX_PATH volume is absolute"),
        (in_sandbox(Side.SELF, "../x"), "Path '../x' in SANDBOX_PATH volume has a '..' in it"),
        (in_sandbox(Side.SELF, "x", "relative"), "'container_path' is relative for SANDBOX_PATH"),
        (in_sandbox(None, "x"), "Unknown SANDBOX_PATH volume type"),
        (Volume(mode=RW, container_path="/x"), "volume '/x': it has no source"),
        (
            Volume(mode=RW, container_path="/x", source=Source(type=Kind.CSI_VOLUME)),
            "volume '/x': it has a source of type CSI_VOLUME",
        ),
    ],
)
def test_a_volume_that_cannot_be_is_refused_by_name(
    world: World, volume: Volume, text: str
) -> None:
    with pytest.raises(Unsupported, match=text):
        world.mount(volume)


def test_a_parent_is_needed_for_its_sandbox(world: World) -> None:
    with pytest.raises(Unsupported, match="only works for nested container"):
        world.mount(in_sandbox(Side.PARENT, "x"), nested=False)


def test_nothing_is_made_on_the_root_of_the_host(world: World) -> None:
    volume = Volume(mode=RW, container_path="/no/such/place", host_path=str(world.host))
    with pytest.raises(Unsupported, match="It must exist if the container shares the host"):
        world.mount(volume, has_image=False)
    assert world.mount(volume).destination == "/no/such/place"
