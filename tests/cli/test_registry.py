"""`tepui registry` shows and copies what outlives masters; the move itself is in tests/real."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from tepui.base.names import Role
from tepui.cli.main import run
from tepui.master.core.actions import AgentAdmitted, EpochBegan, WeightSet
from tepui.master.core.registry import entry
from tepui.storage.sqlite import SqliteStore
from tepui.storage.store import Write
from tepui.wire import mesos

AGENT = mesos.AgentInfo(hostname="h1", port=5051, id=mesos.AgentID("a1"))
RECORDS = (AgentAdmitted(AGENT, deactivated=True), WeightSet(Role("ads"), 2.5), EpochBegan(7))


def registry(path: Path, *more: Write) -> None:
    """A file with RECORDS, and with something else."""

    async def write() -> None:
        store = SqliteStore(path)
        await store.open()
        encode = msgspec.msgpack.encode
        entries = [(entry(record)[0], encode(record)) for record in RECORDS]
        await store.save([*(Write(key, value) for key, value in entries), *more])
        await store.close()

    asyncio.run(write())


def contents(path: Path) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        store = SqliteStore(path)
        found = await store.open()
        await store.close()
        return found

    return asyncio.run(read())


def said(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code and what was printed, in both ways."""
    code = run(["registry", *arguments])
    out, err = capfd.readouterr()
    return code, out + err


def test_what_is_known_and_what_is_not_is_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    unknown = msgspec.msgpack.encode({"type": "Later", "n": 1})
    registry(
        tmp_path / "registry.db",
        Write("later/x", unknown),
        Write("later/y", msgspec.msgpack.encode({b"n": 1})),  # JSON has no such keys
        Write("raw", b"\xc1"),
    )
    code, text = said(capfd, "show", f"sqlite:{tmp_path}", "--json")
    assert code == 0
    assert [(row["key"], row["kind"], row["says"]) for row in json.loads(text)] == [
        ("agents/a1", "AgentAdmitted", "h1:5051, deactivated"),
        ("epoch", "EpochBegan", '{"type": "EpochBegan", "epoch": 7}'),
        ("later/x", "unknown to this version", '{"type": "Later", "n": 1}'),
        ("later/y", "unknown to this version", r"b'\x81\xc4\x01n\x01'"),
        ("raw", "unknown to this version", "b'\\xc1'"),
        ("weights/ads", "WeightSet", "ads=2.5"),
    ]
    code, text = said(capfd, "show", f"sqlite:{tmp_path}/registry.db")
    assert code == 0
    assert "weights/ads" in text


def test_a_copy_holds_what_this_version_does_not_know(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry(tmp_path / "registry.db", Write("later/x", b"\0\xff"))
    source, copy = f"--from=sqlite:{tmp_path}", f"--to=sqlite:{tmp_path}/copy.db"
    code, text = said(capfd, "copy", source, copy)
    assert (code, text.partition(" (")[0]) == (0, "4 objects")
    assert contents(tmp_path / "copy.db") == contents(tmp_path / "registry.db")
    code, text = said(capfd, "copy", source, copy)
    assert code == 1
    assert "4 objects are there already, such as 'agents/a1', 'epoch', 'later/x', ...;" in text
    assert "--force replaces them" in text
    code, text = said(capfd, "copy", source, copy, "--force")
    assert (code, "; 4 that were there are replaced" in text) == (0, True)


def test_a_work_dir_that_is_not_there_is_made(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry(tmp_path / "registry.db")
    code, _ = said(capfd, "copy", f"--from=sqlite:{tmp_path}", f"--to=sqlite:{tmp_path}/new/dir")
    assert code == 0
    assert contents(tmp_path / "new/dir/registry.db") == contents(tmp_path / "registry.db")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["show", "nowhere"], "registry 'nowhere': expected sqlite:PATH"),
        (["show", "sqlite:"], "registry 'sqlite:': expected sqlite:PATH"),
        (["show", "sqlite:/no/where"], "there is no registry at '/no/where/registry.db'"),
        (["show", "sqlite:/no/where.db"], "there is no registry at '/no/where.db'"),
        (["show", "zk://h@x/"], "must have the form user:password"),
        (["copy", "--from=sqlite:/a", "--to=sqlite:/a"], "are the same registry: '/a/registry.db'"),
        (
            ["copy", "--from=sqlite:/a", "--to=sqlite:/b"],
            "there is no registry at '/a/registry.db'",
        ),
        (["copy", "--from=sqlite:/a"], "Missing option '--to'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capfd, *arguments)
    assert code != 0
    assert text.count("\n") == 1
    assert why in text


def test_a_file_that_is_shown_is_not_made(tmp_path: Path) -> None:
    assert run(["registry", "show", f"sqlite:{tmp_path}"]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_a_registry_that_a_master_has_open_is_not_touched(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry(tmp_path / "registry.db")

    async def meanwhile() -> None:
        store = SqliteStore(tmp_path / "registry.db")
        await store.open()
        code, text = await asyncio.to_thread(said, capfd, "show", f"sqlite:{tmp_path}")
        assert (code, "is in use by this process" in text) == (1, True)
        await store.save([Write("epoch", b"8")])  # it was not fenced off
        await store.close()

    asyncio.run(meanwhile())
