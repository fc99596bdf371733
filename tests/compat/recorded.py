"""The recorded answers of a real Mesos, as steps to play.

The files lie in tests/data/mesos-recorded; its README says what they hold. One line is one step.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct, field, structs

from tests.compat.jsonvalue import Json

DIRECTORY = Path(__file__).resolve().parents[1] / "data" / "mesos-recorded"
FILES = {
    "A1": "A1-scheduler-call-errors",
    "A2": "A2-scheduler-task-lifecycles",
    "A3": "A3-scheduler-task-validation",
    "A4": "A4-scheduler-sessions",
    "A5": "A5-http-wire",
    "A6": "A6-scheduler-more",
    "B": "B-operator-api",
    "B-crashes": "B-operator-crashes",
    "C": "C-classic-endpoints",
    "D": "D-task-environment",
    "E": "E-executor-api",
    "F": "F-zookeeper-and-standby",
    "G": "G-authentication-and-acls",
    "H": "H-agent-failure",
}
AREAS = tuple(FILES)
END = "<END OF STREAM: last chunk>"
CUT = "<END OF STREAM: connection closed>"
REPEATED = re.compile(r"<(\d+) times (\w)>")
MASTER_PORT, AGENT_PORT, SECOND_AGENT_PORT = 15050, 15051, 15052
STANDBY_PORT = 15055


class Request(Struct, frozen=True):
    """What was sent."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


class Response(Struct, frozen=True):
    """What came back; `ended` tells how a stream without a label ended.

    Status 0: nothing came, since the daemon died. `body_cut`: only the start of the body was kept.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    ended: str | None = None
    body_cut: bool = False


class Step(Struct, frozen=True):
    """One line of a recording."""

    name: str
    step: int
    area: str = ""
    note: str | None = None
    stream: str | None = None
    request: Request | None = None
    response: Response | None = None
    events: tuple[str, ...] | None = None
    events_left_out: str | None = None  # a kind of event that came and was not recorded
    case: str | None = None
    raw_request: str | None = None
    raw_response: str | None = None
    server_closed: bool = False
    records_base64: tuple[str, ...] | None = None
    file_stdout: str | None = field(default=None, name="file stdout")
    file_stderr: str | None = field(default=None, name="file stderr")
    sandbox_tree: tuple[str, ...] | None = field(default=None, name="sandbox_tree_of_the_executor")
    sandbox_modes: tuple[str, ...] | None = None
    tree: tuple[str, ...] | None = None
    runtime_dir_tree: tuple[str, ...] | None = None
    znode: dict[str, object] | None = None

    @property
    def where(self) -> str:
        """The step as a failure names it."""
        return f"{self.name} step {self.step}"

    @property
    def is_exchange(self) -> bool:
        """Something was asked, came or was looked at; a note alone was not."""
        return any(
            x is not None
            for x in (
                self.request,
                self.events,
                self.raw_request,
                self.file_stdout,
                self.file_stderr,
                self.sandbox_tree,
                self.sandbox_modes,
                self.tree,
                self.runtime_dir_tree,
                self.znode,
            )
        )


@cache
def scenarios(area: str) -> dict[str, tuple[Step, ...]]:
    """The scenarios of an area by name, each with its steps in order."""
    path = DIRECTORY / f"{FILES[area]}.jsonl"
    found: dict[str, list[Step]] = {}
    for line in path.read_bytes().splitlines():
        step = structs.replace(msgspec.json.decode(line, type=Step), area=area)
        found.setdefault(step.name, []).append(step)
    return {name: tuple(steps) for name, steps in found.items()}


@cache
def scenario(name: str) -> tuple[Step, ...]:
    """The steps of a scenario of any area; no two share a name."""
    (found,) = (some[name] for some in map(scenarios, AREAS) if name in some)
    return found


def body_bytes(text: str) -> bytes:
    """The bytes that a recorded body stands for."""
    if text.startswith("base64:"):
        return base64.b64decode(text.removeprefix("base64:"))
    if text.startswith("gzip of "):
        return gzip.compress(text.removeprefix("gzip of ").encode())
    return REPEATED.sub(lambda match: match[2] * int(match[1]), text).encode()


def records(text: str) -> list[Json]:
    """The JSON records of a RecordIO body kept as text; the lengths in it are of other ids."""
    decoder = json.JSONDecoder()
    found: list[Json] = []
    at = 0
    while at < len(text):
        at = text.index("\n", at) + 1
        record, at = decoder.raw_decode(text, at)
        found.append(record)
    return found
