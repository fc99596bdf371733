"""Schemes that a client of the machine fetches; the client here is a small script."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import select
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.agent.fetcher import commands
from tepui.agent.fetcher.cache import Cache
from tepui.agent.fetcher.errors import FetchFailed
from tepui.agent.fetcher.fetch import Fetcher
from tepui.wire import mesos

URI = mesos.CommandInfo.URI

# Keeps what it was asked in `asked`. The last part of an address says what it does.
HADOOP = """#!/bin/sh
echo "$(id -un) ${HADOOP_HOME-} ${MESOS_FLAG-} $1 $2 $3" >> "$ASKED"
case "$2 $3" in
"-du "*/sizeless) exit 1 ;;
"-du "*) echo "6  18  $3" ;;
*/missing) echo "WARN util: no native code" >&2; echo "copyToLocal: '$3': No such file" >&2; exit 1 ;;
*/chatty) i=0; while [ $i -lt 3000 ]; do echo "line $i of what it has to say" >&2; i=$((i+1)); done
    printf "%0600d\\n" 7 >&2; exit 3 ;;
*/slow) sleep 600 & echo $$ $! > "$PIDS"; wait ;;
*/nothing) ;;
*) printf 'hadoop' > "$4" ;;
esac
"""


class Machine:
    """A machine with a `hadoop` on the PATH, and a sandbox."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = root / "sandbox"
        self.bin = root / "bin"
        self.asked_file, self.pids = root / "asked", root / "pids"
        for directory in (self.sandbox, self.bin):
            directory.mkdir()
        self.asked_file.touch(0o666)
        self.asked_file.chmod(0o666)
        (self.bin / "hadoop").write_text(HADOOP)
        (self.bin / "hadoop").chmod(0o755)
        self.cache = Cache(root / "fetch", 100)
        self.cache.open()

    def fetcher(self, timeout_ms: int = 20_000, hadoop_home: str | None = None) -> Fetcher:
        return Fetcher(
            timeout_ms=timeout_ms, bytes_max=1_000, hadoop_home=hadoop_home, cache=self.cache
        )

    def fetch(self, uri: URI, fetcher: Fetcher | None = None, user: str | None = None) -> None:
        one = fetcher or self.fetcher()
        try:
            asyncio.run(one.fetch([uri], str(self.sandbox), user))
        finally:
            one.close()

    def failure(self, uri: str, fetcher: Fetcher | None = None) -> str:
        with pytest.raises(FetchFailed) as failed:
            self.fetch(URI(value=uri), fetcher)
        assert os.listdir(self.sandbox) == []
        return str(failed.value)

    def asked(self) -> list[str]:
        return [" ".join(line.split()) for line in self.asked_file.read_text().splitlines()]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        one = Machine(Path(open_to_all))
        monkeypatch.setenv("PATH", f"{one.bin}:{os.environ['PATH']}")
        monkeypatch.setenv("ASKED", str(one.asked_file))
        monkeypatch.setenv("PIDS", str(one.pids))
        monkeypatch.setenv("MESOS_FLAG", "secret")
        monkeypatch.delenv("HADOOP_HOME", raising=False)
        yield one


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["hdfs", "hftp", "s3", "s3n", "gs"])
def test_the_hadoop_client_fetches_what_nobody_else_does(machine: Machine, scheme: str) -> None:
    machine.fetch(URI(value=f"{scheme}://host/dir/file", output_file="sub/mine", executable=True))
    assert (machine.sandbox / "sub/mine").read_bytes() == b"hadoop"
    assert os.access(machine.sandbox / "sub/mine", os.X_OK)
    assert os.listdir(machine.sandbox / "sub") == ["mine"]
    assert machine.asked() == [f"{me()} fs -copyToLocal {scheme}://host/dir/file"]


@pytest.mark.real
def test_a_cached_uri_is_fetched_by_the_client_once(machine: Machine) -> None:
    for _ in range(2):
        machine.fetch(URI(value="hdfs://h/file", cache=True))
        assert (machine.sandbox / "file").read_bytes() == b"hadoop"
    assert machine.asked() == [
        f"{me()} fs -du hdfs://h/file",
        f"{me()} fs -copyToLocal hdfs://h/file",
    ]
    assert machine.cache.used_bytes == 6


@pytest.mark.real
def test_what_has_no_known_size_goes_past_the_cache(machine: Machine) -> None:
    machine.fetch(URI(value="hdfs://h/sizeless", cache=True))
    assert (machine.sandbox / "sizeless").read_bytes() == b"hadoop"
    assert machine.cache.used_bytes == 0
    assert list(machine.cache.directory.iterdir()) == []


@pytest.mark.real
def test_the_last_that_a_client_said_is_the_reason(machine: Machine) -> None:
    assert machine.failure("hdfs://h/missing") == (
        "'hdfs://h/missing': the client 'hadoop' ended with 1:"
        " copyToLocal: 'hdfs://h/missing': No such file"
    )
    text = machine.failure("hdfs://h/nothing")
    assert text == "'hdfs://h/nothing': the client 'hadoop' has fetched no file"


@pytest.mark.real
def test_of_much_that_a_client_says_the_last_is_told_and_cut(machine: Machine) -> None:
    text = machine.failure("hdfs://h/chatty")
    said = "0" * commands.REASON_LENGTH_MAX
    assert text == f"'hdfs://h/chatty': the client 'hadoop' ended with 3: {said}"


@pytest.mark.real
def test_what_is_too_large_is_not_taken(machine: Machine) -> None:
    small = Fetcher(timeout_ms=20_000, bytes_max=5)
    assert machine.failure("hdfs://h/file", small) == "'hdfs://h/file': more than 5 bytes"


@pytest.mark.real
def test_a_client_that_does_not_end_is_killed_with_all_it_has_started(machine: Machine) -> None:
    text = machine.failure("hdfs://h/slow", machine.fetcher(timeout_ms=500))
    assert text == "not done within 0.5 s"
    for pid in machine.pids.read_text().split():
        with contextlib.suppress(ProcessLookupError):
            waited = os.pidfd_open(int(pid))
            assert select.select([waited], [], [], 20)[0]
            os.close(waited)


@pytest.mark.real
def test_a_client_runs_as_the_user_of_the_task(machine: Machine) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can fetch for others")
    who = pwd.getpwnam("nobody")
    os.chown(machine.sandbox, who.pw_uid, who.pw_gid)
    machine.fetch(URI(value="hdfs://h/direct"), user="nobody")
    machine.fetch(URI(value="hdfs://h/cached", cache=True), user="nobody")
    for name in ("direct", "cached"):
        assert (machine.sandbox / name).read_bytes() == b"hadoop"
        assert (machine.sandbox / name).stat().st_uid == who.pw_uid
    assert [path.stat().st_uid for path in machine.cache.directory.iterdir()] == [0]
    assert all(line.startswith("nobody fs -") for line in machine.asked())


@pytest.mark.real
def test_the_home_of_hadoop_is_used_when_it_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = machine.root / "home"
    home.mkdir()
    machine.bin.rename(home / "bin")
    machine.fetch(URI(value="hdfs://h/file"), machine.fetcher(hadoop_home=str(home)))
    monkeypatch.setenv("HADOOP_HOME", str(home))
    machine.fetch(URI(value="hdfs://h/file"))
    assert machine.asked() == [f"{me()} {home} fs -copyToLocal hdfs://h/file"] * 2


@pytest.mark.real
def test_a_scheme_without_a_client_is_refused_and_what_is_missing_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(machine.root))
    assert machine.failure("s3://bucket/x") == (
        "'s3://bucket/x': the scheme 's3' needs a Hadoop client: neither --hadoop_home nor"
        " HADOOP_HOME is set, and there is no 'hadoop' on the PATH"
    )
    assert machine.failure("hdfs://h/x", machine.fetcher(hadoop_home="/none")) == (
        "'hdfs://h/x': the scheme 'hdfs' needs a Hadoop client, and --hadoop_home is '/none',"
        " where there is no 'bin/hadoop' that can be run"
    )
    text = machine.failure("ftp://host/x")
    assert text == "'ftp://host/x': the scheme 'ftp' needs 'curl', which is not on the PATH"
    assert machine.failure("-x://host/x") == "'-x://host/x': '-x' is not a scheme"


@pytest.mark.real
def test_so_many_clients_run_at_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMANDS_MAX", 1)
    fetcher = machine.fetcher()
    os.mkfifo(machine.pids)  # the first says there that it runs

    async def play() -> None:
        first, second = (
            asyncio.create_task(fetcher.fetch([URI(value=uri)], str(machine.sandbox), None))
            for uri in ("hdfs://h/slow", "hdfs://h/waits")
        )
        await asyncio.to_thread(machine.pids.read_text)
        second.cancel()
        await asyncio.wait([second])  # while the first still runs
        first.cancel()
        await asyncio.wait([first])
        assert second.cancelled()
        assert first.cancelled()

    asyncio.run(play())
    fetcher.close()
    assert machine.asked() == [f"{me()} fs -copyToLocal hdfs://h/slow"]
