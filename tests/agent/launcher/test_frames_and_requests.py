"""The launcher's edge: frames cut from a stream, and requests checked field by field."""

from __future__ import annotations

import pytest

from tepui.agent.launcher import frames
from tepui.agent.launcher.frames import Malformed, Message
from tepui.agent.launcher.limits import IO_WEIGHT_MAX
from tepui.agent.launcher.request import DEVICE_RULES_MAX, NAME_BYTES_MAX, Fault, Launch
from tepui.agent.launcher.spawn import affordable_rlimits


def test_frames_are_cut_wherever_the_stream_was() -> None:
    messages: list[Message] = [{"n": 1, "do": "list"}, {"n": 2, "text": "ü" * 300}, {}]
    stream = b"".join(frames.encode(message) for message in messages)
    for size in (1, 3, 7, len(stream)):
        buffer = bytearray()
        got: list[Message] = []
        for start in range(0, len(stream), size):
            buffer += stream[start : start + size]
            got += [frames.decode(body) for body in frames.bodies(buffer)]
        assert got == messages
        assert not buffer


def test_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    limit = frames.FRAME_BYTES_MAX
    assert frames.bodies(bytearray(limit.to_bytes(4, "big"))) == []
    with pytest.raises(Malformed, match=f"a frame of {limit + 1} bytes is over the limit"):
        frames.bodies(bytearray((limit + 1).to_bytes(4, "big")))


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff"])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        frames.decode(body)


def launch(**changes: object) -> Message:
    message: Message = {
        "container_id": "a",
        "program": "true",
        "argv": ["true"],
        "environment": {"A": "1"},
        "directory": "/tmp",
        "uid": None,
        "rlimits": [["CORE", 0, -1]],
        "umask": 18,
        "stdout": "stdout",
        "stderr": "",
        "output_bytes_max": 1 << 20,
        "cpus_milli": 100,
        "mem_bytes": 0,
    }
    return message | changes


def test_whole_request_is_taken() -> None:
    devices = ["c 1:3 rw"] * DEVICE_RULES_MAX
    name = "x" * NAME_BYTES_MAX
    asked = Launch(launch(container_id=name, devices=devices, io_weight=IO_WEIGHT_MAX))
    assert (asked.limits.devices, asked.limits.io_weight) == (devices, IO_WEIGHT_MAX)
    assert asked.rlimits == [("CORE", 0, -1)]
    assert (asked.uid, asked.parent, asked.stderr) == (None, "", "")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"container_id": "../a"}, "container_id"),
        ({"container_id": "x" * (NAME_BYTES_MAX + 1)}, "container_id"),
        ({"container_id": ".."}, "container_id"),
        ({"container_id": 7}, "container_id"),
        ({"parent": "a/b"}, "parent"),
        ({"program": 7}, "program"),
        ({"argv": []}, "argv"),
        ({"argv": ["a", 1]}, "argv"),
        ({"argv": "true"}, "argv"),
        ({"environment": {"A=B": "1"}}, "environment"),
        ({"environment": {"A": "\0"}}, "environment"),
        ({"directory": None}, "directory"),
        ({"uid": -1}, "uid"),
        ({"uid": 1, "gid": 1, "groups": ["a"]}, "groups"),
        ({"rlimits": [["CORE", 0]]}, "rlimits"),
        ({"rlimits": [["CORE", "0", 0]]}, "rlimits"),
        ({"umask": "022"}, "umask"),
        ({"stdout": "../../etc/passwd"}, "stdout"),
        ({"cpus_milli": 0.5}, "cpus_milli"),
        ({"io_weight": IO_WEIGHT_MAX + 1}, "io_weight"),
        ({"devices": ["c 1:3 rw"] * (DEVICE_RULES_MAX + 1)}, "devices"),
    ],
)
def test_bad_field_is_named(changes: Message, field: str) -> None:
    with pytest.raises(Fault, match=f"read the request's field '{field}'"):
        Launch(launch(**changes))


def test_limit_over_the_ceiling_is_lowered_only_where_it_may_not_be_raised() -> None:
    asked = [("NOFILE", 1 << 40, -1)]
    limits, notes = affordable_rlimits(asked, may_raise=True)
    assert (limits[0][1:], notes) == ((1 << 40, -1), [])
    limits, notes = affordable_rlimits(asked, may_raise=False)
    if limits[0][2] != -1:  # a machine may have no ceiling of its own
        assert limits[0][1] == limits[0][2] < 1 << 40
        assert notes[0].startswith("the rlimit 'NOFILE' was lowered to")
