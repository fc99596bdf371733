"""Where Docker Engine keeps what a container writes outside its sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from tepui.agent.containers.docker.answers import (
    Config,
    GraphDriver,
    HostConfig,
    Inspected,
    Mounted,
    State,
)
from tepui.agent.containers.docker.changes import changes_of, why_uncounted
from tepui.agent.containers.spec import DockerOptions
from tepui.agent.containers.usage.disk import held_bytes
from tests.agent.containers.docker.docker_host import DockerHost, docker_host
from tests.agent.containers.host import line_from
from tests.real.docker_engine import IMAGE, DockerEngine, docker_engine

MIB = 1 << 20
ANONYMOUS = "0f" * 32
WRITE = "dd if=/dev/zero of=/f bs=1M count=2 2>/dev/null; dd if=/dev/zero of=/own/f bs=1M count=1 2>/dev/null"
UP = "echo up >/mnt/mesos/sandbox/up; sleep 1000"


def inspected(upper: str = "", mounts: list[Mounted] | None = None) -> Inspected:
    """A container whose storage driver says no more than that."""
    driver = GraphDriver("overlay2", {"UpperDir": upper}) if upper else GraphDriver("vfs")
    return Inspected(
        "id", "/c", State(), Config(), HostConfig(), graph_driver=driver, mounts=mounts
    )


def test_only_volumes_that_go_with_their_container_count() -> None:
    mounts = [
        Mounted("volume", ANONYMOUS, "/volumes/anonymous", "local"),
        Mounted("volume", ANONYMOUS, "/volumes/remote", "rexray"),
        Mounted("volume", "named", "/volumes/named", "local"),
        Mounted("bind", "", "/srv", ""),
        Mounted("tmpfs", "", "", ""),
    ]
    assert changes_of(inspected("/upper", mounts)) == ("/upper", "/volumes/anonymous")
    assert changes_of(inspected()) == ()


def test_why_changes_are_not_counted_is_said_in_words(tmp_path: Path) -> None:
    assert why_uncounted(inspected(str(tmp_path))) == ""
    assert "storage driver 'vfs'" in why_uncounted(inspected())
    assert f"'{tmp_path}/none' cannot be read" in why_uncounted(inspected(f"{tmp_path}/none"))


async def _written(one: DockerHost, container_id: str) -> None:
    """A container runs, and has written what it is to write."""
    up = one.fifo(container_id, "up")
    options = DockerOptions(image=IMAGE, parameters=(("volume", "/own"),))
    await one.runtime.launch(one.spec(container_id, f"{WRITE}; {UP}", options=options))
    await line_from(up)
    os.close(up)


@pytest.mark.real
def test_what_is_written_to_the_root_and_to_unnamed_volumes_is_found(
    engine: DockerEngine, tmp_path: Path
) -> None:
    with contextlib.closing(engine.client()) as client:
        if client.info()["Driver"] not in ("overlay2", "fuse-overlayfs"):
            pytest.skip("the Engine's storage driver here keeps no changes apart")

    async def run() -> None:
        async with docker_host(engine, tmp_path) as one:
            assert one.runtime.changes("c") == ()
            await _written(one, "c")
            found = one.runtime.changes("c")
            assert 3 * MIB <= held_bytes(*found) < 4 * MIB
            await one.runtime.destroy("c")
            await one.exits.of("c")
            await one.runtime.forget("c")
            assert one.runtime.changes("c") == ()
            assert held_bytes(*found) == 0, "all of it goes with the container"

    asyncio.run(run())


@pytest.mark.real
def test_storage_that_keeps_no_changes_apart_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(engine: DockerEngine) -> None:
        async with docker_host(engine, tmp_path) as one:
            for name in ("a", "b"):
                await _written(one, name)
                assert MIB <= held_bytes(*one.runtime.changes(name)) < 2 * MIB

    with docker_engine(storage_driver="vfs") as engine:
        asyncio.run(run(engine))
    told = [one for one in caplog.messages if one.startswith("docker_disk_uncounted")]
    assert len(told) == 1
    assert "storage driver 'vfs'" in told[0]
