"""Bytes from a pipe to bounded files: every byte in order, never more than twice the limit, no writer held up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tepui.agent.launcher.output import Stream

LIMIT_BYTES = 10_000


@contextmanager
def stream_in(directory: Path, *, splices: bool = True) -> Iterator[Stream]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    stream = Stream(fd, "stdout", LIMIT_BYTES, None, 0)
    stream.splices = splices
    try:
        yield stream
    finally:
        stream.close()


def sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def test_file_of_exactly_the_limit_is_not_rotated_and_the_next_byte_rotates_it(
    tmp_path: Path,
) -> None:
    with stream_in(tmp_path) as stream:
        os.write(stream.write_fd, b"a" * LIMIT_BYTES)
        stream.drain()
        assert sizes(tmp_path) == {"stdout": LIMIT_BYTES}
        os.write(stream.write_fd, b"b")
        stream.drain()
        assert sizes(tmp_path) == {"stdout": 1, "stdout.1": LIMIT_BYTES}


def test_only_the_newest_two_files_are_kept_and_nothing_between_is_lost(tmp_path: Path) -> None:
    for splices in (True, False):
        with stream_in(tmp_path, splices=splices) as stream:
            data = b"".join(b"%06d\n" % number for number in range(5_000))
            for start in range(0, len(data), 3_000):
                os.write(stream.write_fd, data[start : start + 3_000])
                stream.drain()
        kept = (tmp_path / "stdout.1").read_bytes() + (tmp_path / "stdout").read_bytes()
        assert data.endswith(kept)
        assert LIMIT_BYTES < len(kept) <= 2 * LIMIT_BYTES
        for path in tmp_path.iterdir():
            path.unlink()


def test_end_of_the_stream_is_told_apart_from_silence(tmp_path: Path) -> None:
    with stream_in(tmp_path) as stream:
        assert stream.pump() == -1
        stream.handed_over()
        assert stream.pump() == 0


def test_log_that_the_task_removed_is_begun_anew(tmp_path: Path) -> None:
    with stream_in(tmp_path) as stream:
        os.write(stream.write_fd, b"a" * LIMIT_BYTES)
        stream.drain()
        (tmp_path / "stdout").unlink()
        os.write(stream.write_fd, b"b" * 5_000)
        stream.drain()
        assert sizes(tmp_path) == {"stdout": 5_000}
        assert stream.lost_bytes == 0


def test_bytes_without_a_place_are_counted_and_the_writer_goes_on(tmp_path: Path) -> None:
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    with stream_in(sandbox) as stream:
        os.write(stream.write_fd, b"a" * LIMIT_BYTES)
        stream.drain()
        (sandbox / "stdout").unlink()
        sandbox.rmdir()
        os.write(stream.write_fd, b"b" * 5_000)
        stream.drain()
        assert stream.lost_bytes == 5_000
