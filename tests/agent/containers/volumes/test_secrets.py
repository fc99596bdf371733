"""Secrets: in memory, for their container alone, and gone with it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tepui.agent.containers.volumes.secrets import SECRET_BYTES_MAX, Secrets


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    place = tmp_path / "memory"
    place.mkdir()
    return place


def made(memory: Path, work_dir: str = "/work") -> Secrets:
    return Secrets(work_dir, str(memory.parent / "elsewhere"), memory)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_secret_is_in_a_file_that_nobody_else_reads(memory: Path) -> None:
    before = os.umask(0)
    try:
        kept = made(memory)
        one, two = kept.keep("c1", b"one"), kept.keep("c1", b"\0two")
    finally:
        os.umask(before)
    assert [Path(path).read_bytes() for path in (one, two)] == [b"one", b"\0two"]
    assert [mode(path) for path in (one, two)] == [0o400, 0o400]
    assert [mode(Path(one).parent), mode(kept.directory)] == [0o700, 0o700]
    assert kept.directory.parent == memory


def test_the_largest_secret_is_kept_and_a_larger_one_is_not(memory: Path) -> None:
    kept = made(memory)
    path = kept.keep("c1", b"x" * SECRET_BYTES_MAX)
    assert os.path.getsize(path) == SECRET_BYTES_MAX
    with pytest.raises(ValueError, match="a secret of 1048577 bytes is over the limit of 1048576"):
        kept.keep("c1", b"x" * (SECRET_BYTES_MAX + 1))


def test_secrets_belong_to_whom_their_container_runs_as(memory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    kept = made(memory)
    one, other = kept.keep("c1", b"one"), kept.keep("c2", b"other")
    kept.hand_over("c1", 4321, 4322)
    kept.hand_over("unknown", 4321, 4322)
    assert (os.stat(one).st_uid, os.stat(one).st_gid, mode(one)) == (4321, 4322, 0o400)
    assert os.stat(other).st_uid == 0


def test_secrets_go_with_their_container_and_the_last_leaves_nothing(memory: Path) -> None:
    kept = made(memory)
    kept.keep("c1", b"one")
    other = kept.keep("c1.nested", b"other")
    kept.drop("c1")
    kept.drop("c1")
    assert os.listdir(kept.directory) == ["c1.nested"]
    assert Path(other).read_bytes() == b"other"
    kept.drop("c1.nested")
    assert os.listdir(memory) == []


def test_an_agent_that_is_back_keeps_what_living_containers_have(memory: Path) -> None:
    before = made(memory)
    for name in ("lives", "lives.nested", "ended"):
        before.keep(name, b"secret")
    after = made(memory)
    after.sweep(("lives", "lives.nested", "another"))
    assert sorted(os.listdir(after.directory)) == ["lives", "lives.nested"]
    after.sweep(())
    assert os.listdir(memory) == []
    after.sweep(())


def test_agents_of_one_machine_do_not_touch_each_others_secrets(memory: Path) -> None:
    one, two = made(memory, "/srv/one"), made(memory, "/srv/two")
    path = one.keep("same", b"one")
    two.keep("same", b"two")
    two.sweep(())
    assert Path(path).read_bytes() == b"one"
    assert os.listdir(memory) == [one.directory.name]


def test_a_link_in_the_place_of_the_secrets_leads_to_nothing(memory: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious" / "data"
    precious.mkdir(parents=True, mode=0o700)
    precious.parent.chmod(0o700)
    kept = made(memory)
    kept.directory.symlink_to(precious.parent)
    kept.sweep(())
    kept.drop("data")
    assert precious.is_dir()
    with pytest.raises(OSError, match="it is not a directory of this agent's"):
        kept.keep("c1", b"secret")
    assert os.listdir(precious.parent) == ["data"]


def test_a_directory_of_somebody_else_is_not_used(memory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    kept = made(memory)
    (kept.directory / "theirs").mkdir(parents=True)
    os.chown(kept.directory, 4321, 4321)
    with pytest.raises(OSError, match="it is not a directory of this agent's"):
        kept.keep("c1", b"secret")
    kept.sweep(())
    assert os.listdir(kept.directory) == ["theirs"]


def test_a_directory_of_the_agents_is_closed_to_others(memory: Path) -> None:
    kept = made(memory)
    kept.directory.mkdir(mode=0o755)
    kept.keep("c1", b"secret")
    assert mode(kept.directory) == 0o700


def test_without_a_file_system_in_memory_they_are_where_the_agent_says(tmp_path: Path) -> None:
    elsewhere = tmp_path / "runtime" / "secrets"
    kept = Secrets("/work", str(elsewhere), tmp_path / "none")
    assert Path(kept.keep("c1", b"x")).parent.parent == elsewhere
    kept.drop("c1")
    assert not elsewhere.exists()
