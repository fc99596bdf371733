"""The agent's checkpoint on a real disk: what is damaged, foreign or of another time."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from tepui.agent.containers.spec import ContainerSpec
from tepui.agent.core.actions import Limits
from tepui.agent.core.events import ContainerExited, Event
from tepui.agent.core.reconfiguration import Policy
from tepui.agent.core.saved import (
    FORMAT,
    Save,
    Saved,
    SavedAgent,
    SavedFramework,
    SavedTask,
    SavedUpdate,
    key_of_framework,
    key_of_task,
    key_of_update,
)
from tepui.agent.daemon.checkpoint import Checkpoint, boot_id
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.main import AgentDaemon
from tepui.agent.daemon.options import AgentOptions
from tepui.base.errors import HostError, Refused
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import WRITES_MAX, StoreFailed
from tepui.wire import mesos
from tests.agent.containers.fake import FakeRuntime, Machine
from tests.agent.daemon.bound import bind
from tests.agent.daemon.fake_master import command_task

F = mesos.FrameworkInfo(user="root", name="f", id=mesos.FrameworkID("F"), checkpoint=True)
AGENT = SavedAgent(mesos.AgentInfo(hostname="h", id=mesos.AgentID("A")), boot_id())
TASK = SavedTask("F", "t", command_task("t", "true"))
SOME: dict[str, Saved] = {
    "agent": AGENT,
    key_of_framework("F"): SavedFramework(F, ending=False),
    key_of_task("F", "t"): TASK,
    key_of_update("F", "t", 0): SavedUpdate(
        "F",
        "t",
        0,
        b"u" * 16,
        mesos.TaskStatus(
            task_id=mesos.TaskID("t"), state=mesos.TaskState.TASK_FINISHED, uuid=b"u" * 16
        ),
        acknowledged=False,
    ),
}


def path_of(directory: Path) -> Path:
    path = directory / "work" / "meta" / "agent.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def checkpoint(directory: Path, *, strict: bool = True) -> Checkpoint:
    path = path_of(directory)
    return Checkpoint(SqliteStore(path), path, strict=strict)


def saves(objects: dict[str, Saved]) -> list[Save]:
    return [Save(key, one) for key, one in objects.items()]


async def write(directory: Path, objects: dict[str, Saved]) -> None:
    one = checkpoint(directory)
    await one.open()
    await one.save(saves(objects))
    await one.close()


async def read(directory: Path, *, strict: bool = True) -> dict[str, Saved]:
    one = checkpoint(directory, strict=strict)
    try:
        return await one.open()
    finally:
        await one.close()


def rows(directory: Path) -> dict[str, bytes]:
    """What lies in the file, whoever can read it."""
    sqlite = sqlite3.connect(path_of(directory))
    try:
        return dict(sqlite.execute("SELECT key, value FROM kv"))
    finally:
        sqlite.close()


def overwrite(directory: Path, key: str, value: bytes) -> None:
    sqlite = sqlite3.connect(path_of(directory))
    try:
        sqlite.execute("UPDATE kv SET value = ? WHERE key = ?", (value, key))
        sqlite.commit()
    finally:
        sqlite.close()


def options(directory: Path) -> AgentOptions:
    return AgentOptions(
        master="127.0.0.1:9",  # nobody
        work_dir=str(directory / "work"),
        runtime_dir=str(directory / "run"),
        port=0,
        resources="cpus:4;mem:1024;disk:1000;ports:[31000-32000]",
        attributes="rack:r1",
    )


async def refusal(given: AgentOptions) -> str:
    """The sentence with which an agent that is started so ends."""
    daemon = AgentDaemon(given)
    with pytest.raises((HostError, Refused)) as refused:
        await daemon.start()
    return str(refused.value)


# What was saved


def test_all_that_was_saved_is_found_again(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, SOME))
    assert asyncio.run(read(tmp_path)) == SOME


def test_the_last_save_of_an_object_counts_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    async def play() -> None:
        one = checkpoint(tmp_path)
        await one.open()
        await one.save(saves(SOME))
        newer = structs.replace(AGENT, boot_id="newer")
        await one.save([Save("agent", newer), Save(key_of_task("F", "t"), None)])
        await one.close()
        found = await read(tmp_path)
        assert found["agent"] == newer
        assert key_of_task("F", "t") not in found

    asyncio.run(play())


@pytest.mark.parametrize("name", ["a/b", "ä", "a b", "a%2Fb", "-" * 600, "a\nb", ".x"])
def test_every_id_makes_a_key(tmp_path: Path, name: str) -> None:
    key = key_of_update(name, name, 7)
    update = SavedUpdate(name, name, 7, b"u" * 16, None, acknowledged=True)
    asyncio.run(write(tmp_path, {key: update}))
    assert asyncio.run(read(tmp_path)) == {key: update}


def test_more_records_than_a_store_takes_at_once_are_saved(tmp_path: Path) -> None:
    async def play() -> None:
        one = checkpoint(tmp_path)
        await one.open()
        await one.save(saves(SOME))
        many = [Save(f"updates/F/t/{number}", None) for number in range(WRITES_MAX)]
        await one.save([*many, Save("agent", None)])
        await one.close()
        assert "agent" not in await read(tmp_path)

    asyncio.run(play())


# What can't be read


def empty(path: Path) -> None:
    path.write_bytes(b"")


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


def corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.write_bytes(b"not a database, but a letter\n" * 100)


def another(path: Path) -> None:
    path.unlink()
    sqlite = sqlite3.connect(path)
    sqlite.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
    sqlite.commit()
    sqlite.close()


def directory_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (empty, torn, cut, corrupt, foreign, another, directory_instead)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_an_agent_does_not_start_on_a_damaged_file_and_leaves_it(
    tmp_path: Path, damage: Callable[[Path], None], *, strict: bool
) -> None:
    asyncio.run(write(tmp_path, SOME))
    path = path_of(tmp_path)
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    sentence = asyncio.run(refusal(structs.replace(options(tmp_path), strict=strict)))
    assert sentence.startswith(f"read the checkpoint '{path}': ")
    assert "move it away to start as a new agent" in sentence
    assert len(sentence.splitlines()) == 1
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_an_agent_does_not_take_a_lost_file_for_a_new_one(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, SOME))
    path = path_of(tmp_path)
    path.with_name(path.name + "-wal").touch()
    path.unlink()
    sentence = asyncio.run(refusal(options(tmp_path)))
    assert "is gone, but there is" in sentence
    assert not path.exists()


def test_an_object_that_cannot_be_read_stops_a_strict_agent(tmp_path: Path) -> None:
    asyncio.run(write(tmp_path, SOME))
    key = key_of_task("F", "t")
    overwrite(tmp_path, key, b"\xc1")
    before = rows(tmp_path)
    sentence = asyncio.run(refusal(options(tmp_path)))
    assert sentence.startswith(f"read the checkpoint '{path_of(tmp_path)}': {key}: ")
    assert rows(tmp_path) == before


def test_an_object_that_cannot_be_read_is_left_out_without_strict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.run(write(tmp_path, SOME))
    key = key_of_task("F", "t")
    overwrite(tmp_path, key, b"\xc1")
    with caplog.at_level(logging.WARNING):
        found = asyncio.run(read(tmp_path, strict=False))
    assert found == {name: one for name, one in SOME.items() if name != key}
    assert [one.getMessage().split(" reason=")[0] for one in caplog.records] == [
        f"checkpoint_unreadable key={key}"
    ]
    assert key not in rows(tmp_path)  # the next start may be strict again
    assert asyncio.run(read(tmp_path)) == found


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_another_format_is_not_read_and_nothing_of_it_removed(
    tmp_path: Path, *, strict: bool
) -> None:
    newer = structs.replace(AGENT, format=FORMAT + 1)
    asyncio.run(write(tmp_path, SOME | {"agent": newer}))
    if not strict:
        overwrite(tmp_path, key_of_task("F", "t"), b"\xc1")
    before = rows(tmp_path)
    sentence = asyncio.run(refusal(structs.replace(options(tmp_path), strict=strict)))
    assert f"it has format {FORMAT + 1}, this agent reads {FORMAT}" in sentence
    assert rows(tmp_path) == before


def test_a_second_agent_is_told_that_the_first_has_the_file(tmp_path: Path) -> None:
    async def play() -> str:
        first = checkpoint(tmp_path)
        await first.open()
        try:
            sentence = await refusal(options(tmp_path))
            await first.save(saves(SOME))  # the first one does not notice
        finally:
            await first.close()
        return sentence

    assert "is in use by this process" in asyncio.run(play())
    assert asyncio.run(read(tmp_path)) == SOME


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.with_name(path.name + ".lock").mkdir()
    assert "cannot open" in asyncio.run(refusal(options(tmp_path)))


@pytest.mark.parametrize("name", ["work", "work/meta"])
def test_a_directory_that_cannot_be_made_is_an_error_of_the_system(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("a file")

    async def play() -> None:
        with pytest.raises(OSError, match=name):
            AgentDaemon(options(tmp_path))

    asyncio.run(play())


def test_a_save_that_fails_is_told_to_whoever_saves(tmp_path: Path) -> None:
    async def play() -> None:
        one = checkpoint(tmp_path)
        await one.open()
        path = path_of(tmp_path)
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(StoreFailed):
            await one.save(saves(SOME))
        await one.close()

    asyncio.run(play())


# An agent that is another than before


async def with_before(
    directory: Path,
    change: Callable[[mesos.AgentInfo], mesos.AgentInfo],
    *,
    boot: str | None = None,
    policy: Policy = Policy.EQUAL,
) -> AgentDaemon:
    """A daemon on what an agent has saved that differed from it so."""
    daemon = AgentDaemon(structs.replace(options(directory), reconfiguration_policy=policy))
    info = structs.replace(daemon.state.info, id=mesos.AgentID("A"))
    saved = SavedAgent(change(info), boot_id() if boot is None else boot)
    await write(directory, SOME | {"agent": saved})
    return daemon


def other_attributes(info: mesos.AgentInfo) -> mesos.AgentInfo:
    return structs.replace(info, attributes=())


def same(info: mesos.AgentInfo) -> mesos.AgentInfo:
    return info


def test_an_agent_with_other_attributes_is_refused_and_nothing_lost(tmp_path: Path) -> None:
    async def play() -> None:
        daemon = await with_before(tmp_path, other_attributes)
        before = rows(tmp_path)
        with pytest.raises(Refused) as refused:
            await daemon.start()
        assert refused.value.text.startswith(
            "Incompatible agent info detected: attributes were none, and are "
        )
        assert f"remove '{tmp_path}/work/meta'" in refused.value.text
        assert rows(tmp_path) == before

    asyncio.run(play())


async def started(daemon: AgentDaemon, then: Callable[[], Awaitable[None]]) -> None:
    try:
        await daemon.start()
        await then()
    finally:
        await daemon.stop()


@pytest.mark.real
def test_an_agent_is_the_same_one_after_the_machine_was_started_anew(tmp_path: Path) -> None:
    async def play() -> None:
        daemon = await with_before(tmp_path, same, boot="before")

        async def check() -> None:
            assert daemon.state.info.id == mesos.AgentID("A")
            assert list(daemon.state.frameworks) == ["F"]  # its end is not acknowledged

        await started(daemon, check)
        found = await read(tmp_path)
        assert isinstance(found["agent"], SavedAgent)
        assert found["agent"].boot_id == boot_id()

    asyncio.run(play())


@pytest.mark.real
def test_an_agent_that_changed_is_a_new_one_after_the_machine_was_started_anew(
    tmp_path: Path,
) -> None:
    async def play() -> None:
        for _ in range(2):  # also when it is started once more before the master has admitted it
            daemon = await with_before(tmp_path, other_attributes, boot="before")

            async def check(daemon: AgentDaemon = daemon) -> None:
                assert daemon.state.info.id is None
                assert daemon.state.frameworks == {}

            await started(daemon, check)
            assert set(await read(tmp_path)) <= {"agent"}

    asyncio.run(play())


@pytest.mark.real
def test_an_agent_that_has_more_is_the_same_one_with_the_additive_policy(tmp_path: Path) -> None:
    async def play() -> None:
        daemon = await with_before(tmp_path, other_attributes, policy=Policy.ADDITIVE)

        async def check() -> None:
            assert daemon.state.info.id == mesos.AgentID("A")

        await started(daemon, check)
        found = await read(tmp_path)
        assert isinstance(found["agent"], SavedAgent)
        assert found["agent"].info == daemon.state.info

    asyncio.run(play())


@pytest.mark.real
def test_an_agent_on_an_empty_directory_is_a_new_one(tmp_path: Path) -> None:
    async def play() -> None:
        daemon = AgentDaemon(options(tmp_path))

        async def check() -> None:
            assert daemon.state.info.id is None

        await started(daemon, check)
        assert await read(tmp_path) == {}

    asyncio.run(play())


# Exits while the agent recovers


def test_an_exit_that_comes_while_the_core_recovers_is_told_when_it_has(tmp_path: Path) -> None:
    told: list[Event] = []

    async def play() -> None:
        machine = Machine()
        before = FakeRuntime(machine, lambda exited: None)
        for name in ("known", "unknown"):
            await before.launch(spec(name, tmp_path))
        containers = Containers(told.append)
        runtime = FakeRuntime(machine, containers.exited)
        bind(containers, runtime, tmp_path)
        found = await containers.recover()
        assert {name: one.exited for name, one in found.items()} == {
            "known": None,
            "unknown": None,
        }
        runtime.finish("known", 0)
        runtime.finish("unknown", 0)
        assert told == []
        containers.adopt("known", Limits(0, None, 0, None, 0), str(tmp_path))
        containers.recovered()
        await containers.close()
        assert "unknown" not in machine.started  # forgotten: nobody wants to know

    asyncio.run(play())
    assert told == [ContainerExited("known", 0)]


def spec(name: str, directory: Path) -> ContainerSpec:
    return ContainerSpec(
        container_id=name,
        program="/bin/true",
        argv=("true",),
        environment={},
        directory=str(directory),
        user=None,
        rlimits=(),
        cpus_milli=100,
        mem_bytes=0,
    )


STOPPED_AT_ONCE = """
import asyncio, os, signal, sys
from tepui.agent.daemon.main import run
from tepui.agent.daemon.options import AgentOptions

async def main():
    work, runtime = sys.argv[1:]
    options = AgentOptions(master="127.0.0.1:9", work_dir=work, runtime_dir=runtime, port=0)
    agent = asyncio.ensure_future(run(options))
    await asyncio.sleep(0)  # it has begun, and reads its checkpoint
    os.kill(os.getpid(), signal.SIGUSR1)
    await agent

asyncio.run(main())
"""


@pytest.mark.real
def test_an_agent_that_is_asked_to_leave_while_it_recovers_leaves(tmp_path: Path) -> None:
    directories = (str(tmp_path / "work"), str(tmp_path / "run"))
    ended = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_ONCE, *directories],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "ended reason=asked to stop\n")
