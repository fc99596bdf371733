"""Output on its way from the Engine's log to the sandbox: each byte once, whatever dies when."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tepui.agent.containers.docker.output import Output, Plan, Saved

BYTES_MAX = 1000


class Log:
    """A log as the Engine writes it, turned over when asked."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "c-json.log"
        self.path.touch()

    def write(self, *texts: str, stream: str = "stdout") -> None:
        with self.path.open("a") as file:
            for text in texts:
                file.write(msgspec.json.encode({"log": text, "stream": stream}).decode() + "\n")

    def turn_over(self, kept: int = 2) -> None:
        for number in range(kept, 0, -1):
            older = Path(f"{self.path}.{number - 1}") if number > 1 else self.path
            if older.exists():
                older.rename(f"{self.path}.{number}")
        self.path.touch()


class Sandbox:
    def __init__(self, directory: Path, bytes_max: int = BYTES_MAX) -> None:
        self.directory = directory / "sandbox"
        self.directory.mkdir()
        self.state_path = directory / "c.json"
        self.plan = Plan(
            directory=str(self.directory), stdout="stdout", stderr="stderr", bytes_max=bytes_max
        )

    def begin(self, log: Log) -> Output:
        output = Output(self.state_path, Saved(self.plan), is_new=True)
        output.read_from(str(log.path))
        return output

    def resume(self, log: Log) -> Output:
        """Go on as an agent does that finds only what the one before has saved."""
        saved = msgspec.json.decode(self.state_path.read_bytes(), type=Saved)
        output = Output(self.state_path, saved, is_new=False)
        output.read_from(str(log.path))
        return output

    def text(self, name: str = "stdout") -> str:
        older = self.directory / f"{name}.1"
        before = older.read_text() if older.exists() else ""
        return before + (self.directory / name).read_text()


def test_streams_go_to_their_files_after_what_is_there(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    (sandbox.directory / "stdout").write_text("fetched\n")
    output = sandbox.begin(log)
    log.write("one\n", "two")
    log.write("bad\n", stream="stderr")
    assert output.drain() == ""
    assert sandbox.text() == "fetched\none\ntwo"
    assert sandbox.text("stderr") == "bad\n"
    output.close()


def test_line_that_is_half_written_waits_for_its_other_half(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    output = sandbox.begin(log)
    with log.path.open("a") as file:
        file.write('{"log":"one\\n","str')
        file.flush()
        output.drain()
        assert sandbox.text() == ""
        file.write('eam":"stdout"}\n')
        file.flush()
        output.drain()
    assert sandbox.text() == "one\n"
    output.close()


def test_torn_line_is_passed_over(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    output = sandbox.begin(log)
    with log.path.open("a") as file:
        file.write('{"log":"los\n')
    log.write("kept\n")
    output.drain()
    assert sandbox.text() == "kept\n"
    output.close()


@pytest.mark.parametrize("is_saved", [True, False])
@pytest.mark.parametrize("pumps", range(8))
def test_no_byte_is_lost_or_doubled_when_the_agent_dies(
    tmp_path: Path, pumps: int, *, is_saved: bool
) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    output = sandbox.begin(log)
    texts = [f"line {number}\n" for number in range(150)]  # over the limit of one file
    log.write(*texts[:100])
    log.write("bad\n", stream="stderr")
    log.turn_over()
    log.write(*texts[100:])
    for _ in range(pumps):
        output.pump()
    if is_saved:
        output.save()
    output.close()  # which saves nothing: so it is after a kill as well
    again = sandbox.resume(log)
    assert again.drain() == ""
    again.close()
    third = sandbox.resume(log)
    assert third.drain() == ""
    third.close()
    assert sandbox.text() == "".join(texts)
    assert sandbox.text("stderr") == "bad\n"


def test_log_that_was_turned_over_too_often_is_told(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    output = sandbox.begin(log)
    log.write("read\n")
    output.drain()
    for number in range(4):
        log.turn_over()
        log.write(f"{number}\n")
    assert "part of its output was lost" in output.drain()
    assert sandbox.text() == "read\n1\n2\n3\n"
    output.close()


def test_file_that_the_task_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path, bytes_max=4)
    output = sandbox.begin(log)
    (tmp_path / "target").write_text("untouched")
    log.write("full")
    output.drain()
    os.unlink(sandbox.directory / "stdout")
    os.symlink(tmp_path / "target", sandbox.directory / "stdout")
    os.symlink(tmp_path / "target", sandbox.directory / "stdout.1")
    log.write("more", "and more")
    output.drain()
    assert (tmp_path / "target").read_text() == "untouched"
    output.close()


def test_sandbox_with_a_fifo_for_a_file_is_refused(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path)
    os.mkfifo(sandbox.directory / "stdout")
    with pytest.raises(OSError, match=r"No such device or address|no file of its own"):
        sandbox.begin(log)


def test_bytes_without_a_place_are_counted(tmp_path: Path) -> None:
    log, sandbox = Log(tmp_path), Sandbox(tmp_path, bytes_max=4)
    output = sandbox.begin(log)
    log.write("full")
    output.drain()
    (sandbox.directory / "stdout.1").mkdir()  # so that it cannot be renamed
    log.write("lost")
    assert output.drain() == "4 bytes of its output could not be written and were lost"
    output.close()
