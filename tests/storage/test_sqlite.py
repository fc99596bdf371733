"""The file of a SqliteStore: who owns it, how it is damaged, and what of it outlives a kill."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tepui.storage.sqlite import APPLICATION_ID, SqliteStore
from tepui.storage.store import Fenced, StoreFailed, StoreFull, Write
from tests.real.small_disk import fill, small_disk
from tests.storage.saver import AT_ONCE
from tests.storage.stores import puts

ROOT = Path(__file__).parents[2]


def contents(path: Path) -> dict[str, bytes]:
    """What a store finds in the file."""

    async def read() -> dict[str, bytes]:
        store = SqliteStore(path)
        try:
            return await store.open()
        finally:
            await store.close()

    return asyncio.run(read())


def written(path: Path, count: int = 100) -> None:
    """A file with objects, closed."""

    async def write() -> None:
        store = SqliteStore(path)
        await store.open()
        await store.save([Write(f"k{number}", b"v" * 1000) for number in range(count)])
        await store.close()

    asyncio.run(write())


@contextmanager
def saving(path: Path, first: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that saves objects until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.saver", str(path), str(first)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"open\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    written(tmp_path / "registry")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry", "registry.lock"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


def test_a_file_is_known_for_what_it_is(tmp_path: Path) -> None:
    written(tmp_path / "registry", 1)
    with sqlite3.connect(tmp_path / "registry") as file:
        assert file.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()


@pytest.mark.real
@pytest.mark.long
def test_what_was_acknowledged_outlives_a_kill(tmp_path: Path) -> None:
    """After it: all that was acknowledged, and of what was not, the first ones."""
    path, random, first = tmp_path / "registry", Random(7), 0
    for _ in range(20):
        acknowledged = first - 1
        with saving(path, first) as process:
            assert process.stdout is not None
            for _ in range(random.randrange(60)):
                acknowledged = int(process.stdout.readline())
            process.kill()
            rest = process.stdout.read().splitlines(keepends=True)
            acknowledged = max([acknowledged, *(int(one) for one in rest if one.endswith(b"\n"))])
        found = contents(path)
        last = int(found.pop("last", b"-1"))
        assert acknowledged <= last <= acknowledged + AT_ONCE
        assert found == {f"n{number}": b"%d" % number * 500 for number in range(last + 1)}
        first = last + 1


@pytest.mark.real
def test_a_second_owner_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    with saving(path, 0) as process:
        with pytest.raises(StoreFailed, match=f"'{path}' is in use by process {process.pid}"):
            contents(path)
        process.kill()
        process.wait()
        contents(path)


def test_a_second_owner_in_the_same_process_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        first, second = SqliteStore(tmp_path / "r"), SqliteStore(tmp_path / "r")
        await first.open()
        for _ in range(2):  # refusing must not release what the first one holds
            with pytest.raises(StoreFailed, match=f"in use by this process \\({os.getpid()}\\)"):
                await second.open()
        await first.save(puts(("a", b"1")))
        await first.close()
        assert await second.open() == {"a": b"1"}
        await second.close()

    asyncio.run(test())


@pytest.mark.real
def test_a_child_that_was_forked_does_not_keep_the_file(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    script = (
        "import asyncio, os, sys, signal\n"
        "from tepui.storage.sqlite import SqliteStore\n"
        f"asyncio.run(SqliteStore({str(path)!r}).open())\n"
        "if os.fork() == 0:\n    print(os.getpid(), flush=True)\n    signal.pause()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.wait()
        assert contents(path) == {}
    finally:
        os.kill(child, 9)
        parent.stdout.close()


def test_an_owner_whose_lock_file_was_removed_is_fenced(tmp_path: Path) -> None:
    async def test() -> None:
        first, second = SqliteStore(tmp_path / "r"), SqliteStore(tmp_path / "r")
        await first.open()
        await first.save(puts(("a", b"first")))
        (tmp_path / "r.lock").unlink()
        assert await second.open() == {"a": b"first"}
        with pytest.raises(Fenced, match="opened by another owner"):
            await first.save(puts(("a", b"late")))
        await second.save(puts(("b", b"second")))
        await first.close()
        await second.save(puts(("c", b"second")))
        await second.close()

    asyncio.run(test())
    assert contents(tmp_path / "r") == {"a": b"first", "b": b"second", "c": b"second"}


def test_a_file_that_was_removed_or_replaced_is_not_written(tmp_path: Path) -> None:
    async def test() -> None:
        for remove in (lambda: path.unlink(), lambda: (tmp_path / "other").rename(path)):
            await asyncio.to_thread(written, tmp_path / "other")
            store = SqliteStore(path)
            await store.open()
            await store.save(puts(("a", b"1")))
            remove()
            with pytest.raises(StoreFailed, match=r"registry': (No such file|another file)"):
                await store.save(puts(("a", b"2")))
            with pytest.raises(StoreFailed):
                await store.save(puts(("a", b"2")))
            await store.close()
            for left in tmp_path.glob("registry*"):
                left.unlink()

    path = tmp_path / "registry"
    asyncio.run(test())


def test_a_torn_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    written(path)
    whole = path.read_bytes()
    torn = [
        whole[:0],
        whole[:50],
        whole[: len(whole) // 2],
        whole[:-4096],
        whole[:-100],
        b"\0" * len(whole),
        whole[:8192] + b"\xff" * 4096 + whole[12288:],
        whole[:100] + bytes(200) + whole[300:],
    ]
    for content in torn:
        path.write_bytes(content)
        with pytest.raises(StoreFailed, match=f"cannot read '{path}': ") as failed:
            contents(path)
        assert "\n" not in str(failed.value)
        assert path.read_bytes() == content
    path.write_bytes(whole)
    assert len(contents(path)) == 100


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"[section]\nname = value\n" * 300, "it is no file of SQLite"),
        (b"x", "it is no file of SQLite"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "registry"
    path.write_bytes(content)
    with pytest.raises(StoreFailed, match=f"cannot read '{path}': {cause}"):
        contents(path)
    assert path.read_bytes() == content


def test_a_file_of_another_program_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
    other.commit()
    before = path.read_bytes()
    with pytest.raises(StoreFailed, match=f"cannot read '{path}': it belongs to another program"):
        contents(path)
    assert path.read_bytes() == before
    other.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(StoreFailed, match="it has version 2, and this is version 1"):
        contents(path)


def test_a_directory_and_a_path_below_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match=f"cannot open '{tmp_path}': it is no file"):
        contents(tmp_path)
    with pytest.raises(StoreFailed, match=r"cannot open .*/none/registry.*No such file"):
        contents(tmp_path / "none" / "registry")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed, match=r"cannot open .*/file/registry.*Not a directory"):
        contents(tmp_path / "file" / "registry")


def test_a_log_without_its_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "registry-wal").write_bytes(b"saves")
    with pytest.raises(StoreFailed, match=r"registry' is gone, but there is .*registry-wal'"):
        contents(tmp_path / "registry")
    assert (tmp_path / "registry-wal").read_bytes() == b"saves"


def test_a_file_that_was_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "registry.new").write_bytes(b"half")
    (tmp_path / "registry.new-journal").write_bytes(b"half")
    assert contents(tmp_path / "registry") == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["registry", "registry.lock"]


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tepui-test", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.real
def test_a_full_disk_fails_the_save_and_loses_nothing(tmp_path: Path) -> None:
    async def test(path: Path) -> int:
        store = SqliteStore(path)
        await store.open()
        saved = 0

        async def fill() -> None:
            nonlocal saved
            while True:
                await store.save(puts((f"k{saved}", b"v" * 10_000)))
                saved += 1

        with pytest.raises(StoreFailed, match=f"cannot write '{path}': .*(full|disk I/O)"):
            await fill()
        with pytest.raises(StoreFailed, match=r"full|disk I/O"):
            await store.save(puts(("small", b"")))
        await store.close()
        return saved

    with mounted(tmp_path / "small", "size=512k") as directory:
        saved = asyncio.run(test(directory / "registry"))
        assert saved > 5
        (tmp_path / "copy").mkdir()
        for name in os.listdir(directory):  # elsewhere there is room to open it
            (tmp_path / "copy" / name).write_bytes((directory / name).read_bytes())
    assert sorted(contents(tmp_path / "copy" / "registry")) == sorted(f"k{n}" for n in range(saved))


@pytest.mark.real
def test_a_disk_without_room_and_a_read_only_one_are_refused(tmp_path: Path) -> None:
    with mounted(tmp_path / "tiny", "size=8k") as directory:
        with pytest.raises(
            StoreFailed, match=r"cannot (open|read) .*registry.*(full|No space|disk)"
        ):
            contents(directory / "registry")
        assert not (directory / "registry").exists()
    with (
        mounted(tmp_path / "ro", "ro,size=1m") as directory,
        pytest.raises(StoreFailed, match=r"cannot open .*registry.lock': Read-only file system"),
    ):
        contents(directory / "registry")


def test_saves_that_wait_become_one_transaction(tmp_path: Path) -> None:
    async def test() -> None:
        store = SqliteStore(tmp_path / "registry")
        await store.open()
        await asyncio.gather(*(store.save(puts((f"k{n}", b"v"))) for n in range(500)))
        commits = _frames_that_commit((tmp_path / "registry-wal").read_bytes())
        assert commits <= 3  # opening, the first save, and the other 499
        await store.close()

    asyncio.run(test())
    assert len(contents(tmp_path / "registry")) == 500


def _frames_that_commit(log: bytes) -> int:
    """How many transactions are in a write-ahead log (sqlite.org/fileformat2.html#walformat)."""
    page_bytes = int.from_bytes(log[8:12])
    frames = range(32, len(log), 24 + page_bytes)
    return sum(1 for start in frames if int.from_bytes(log[start + 4 : start + 8]) != 0)


def test_a_save_on_a_full_disk_writes_nothing_and_is_tried_again_when_asked(
    tmp_path: Path,
) -> None:
    async def test(disk: Path) -> None:
        given_up: list[str] = []

        async def when_full(full: StoreFull) -> None:
            given_up.append(str(full))
            (disk / "filler").unlink()

        strict = SqliteStore(disk / "registry")
        await strict.open()
        await strict.save(puts(("before", b"1")))
        fill(disk / "filler")
        with pytest.raises(StoreFull, match="full"):
            await strict.save(puts(*((f"large{each}", b"x" * 10_000) for each in range(100))))
        await strict.close()
        (disk / "filler").unlink()
        patient = SqliteStore(disk / "registry", when_full)
        assert await patient.open() == {"before": b"1"}
        fill(disk / "filler")
        await patient.save(puts(*((f"large{each}", b"x" * 10_000) for each in range(100))))
        assert len(given_up) == 1
        await patient.close()

    with small_disk(tmp_path / "disk", 8) as disk:
        asyncio.run(test(disk))
        assert len(contents(disk / "registry")) == 101
