"""Inputs to begin with: recorded requests of real clients, and a message of every kind."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from tepui.master.core.actions import SendToAgent
from tepui.master.core.events import LinkReceived
from tepui.wire import agent, executor, json, link, master, mesos, protobuf, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage
from tepui.wire.recordio import frame
from tests.compat.recorded import DIRECTORY, Request, body_bytes
from tests.fuzz.codecs import MESSAGES
from tests.fuzz.daemons import APART, ENDS, PASSES, SEPARATOR, request
from tests.fuzz.master_core import MasterUnderTest
from tests.master.core.hostile import Hostile
from tests.wire.oracle import random_struct

DATA: Final = Path(__file__).resolve().parents[1] / "data"
SEED: Final = 7
APIS: Final[dict[str, type[ProtoMessage]]] = {
    "/api/v1/scheduler": scheduler.Call,
    "/api/v1/executor": executor.Call,
}
MARKS: Final = (
    (re.compile(rb"<FRAMEWORK_\d+>"), b"@F"),
    (re.compile(rb"<AGENT_\d+>"), b"@A"),
    (re.compile(rb"<OFFER_\d+>"), b"@O"),
    (re.compile(rb"<UUID_\d+>"), b"@S"),
    (re.compile(rb"<UUIDB64_\d+>"), b"AAAAAAAAQACAAAAAAAAAAA=="),
)
FLAGS: Final = (0, PASSES, ENDS, APART, APART | PASSES)


def seeds(target: str) -> list[bytes]:
    """The first inputs of a target, each once."""
    makers: dict[str, Callable[[], Iterator[bytes]]] = {
        "json": _json,
        "protobuf": _protobuf,
        "recordio": _recordio,
        "link": _link,
        "master": _random,
        "agent": _random,
        "http_master": lambda: _http("master"),
        "http_agent": lambda: _http("agent"),
    }
    return sorted(set(makers[target]()))


@cache
def _recorded() -> tuple[tuple[str, bytes, bytes], ...]:
    """Requests of all recordings: who is asked, the body, and the whole request."""
    found: dict[tuple[str, bytes, bytes], None] = {}
    for path in sorted(DIRECTORY.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            step = plain_json.loads(line)
            if (raw := step.get("raw_request")) is not None:
                found["master", b"", _marked(str(raw).encode("utf-8", "replace"))] = None
            if isinstance(step.get("request"), dict):
                found[_request(step["request"])] = None
    for case in plain_json.loads((DATA / "agent-call-answers.json").read_text()):
        found[_request(case)] = None
    return tuple(found)


def _request(step: dict[str, Any]) -> tuple[str, bytes, bytes]:
    one = Request(
        method=step["method"],
        path=step["path"],
        headers=tuple((str(name), str(value)) for name, value in step.get("headers") or ()),
        body=step.get("body"),
    )
    body = b"" if one.body is None else body_bytes(one.body)
    lines = [f"{one.method} {one.path} HTTP/1.1", "Host: h"]
    lines += [f"{name}: {value}" for name, value in one.headers if name.lower() != "host"]
    if not any(name.lower() == "content-length" for name, _ in one.headers) and body:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n"
    is_agent = "slave" in one.path or "executor" in one.path or "monitor" in one.path
    return "agent" if is_agent else "master", _marked(body), _marked(head + body)


def _marked(text: bytes) -> bytes:
    for pattern, mark in MARKS:
        text = pattern.sub(mark, text)
    return text


def _bodies() -> Iterator[tuple[type[ProtoMessage], bytes]]:
    for _, body, whole in _recorded():
        if not body:
            continue
        path = whole.split(b" ", 2)[1].decode("latin-1")
        cls = next((cls for prefix, cls in APIS.items() if path.startswith(prefix)), master.Call)
        yield cls, body
    for case in plain_json.loads((DATA / "mesos-json-cases.json").read_text()):
        kinds: dict[str, type[ProtoMessage]] = {
            "scheduler": scheduler.Call,
            "executor": executor.Call,
            "master": master.Call,
        }
        yield kinds.get(case["api"], agent.Call), case["body"].encode()
    for case in plain_json.loads((DATA / "call-validation.json").read_text()):
        yield scheduler.Call, plain_json.dumps(case["call"]).encode()
    for case in plain_json.loads((DATA / "launch-validation.json").read_text()):
        accept = {"type": "ACCEPT", "accept": {"operations": case["operations"]}}
        yield scheduler.Call, plain_json.dumps(accept).encode()


def _structs() -> Iterator[tuple[int, ProtoMessage]]:
    random = Random(SEED)
    for index, cls in enumerate(MESSAGES):
        for _ in range(4):
            yield index, random_struct(cls, random)


def _json() -> Iterator[bytes]:
    for cls, body in _bodies():
        yield bytes([MESSAGES.index(cls)]) + body
    for index, message in _structs():
        yield bytes([index]) + json.encode(message)
    for body in (
        b"[" * 65 + b'"' + b'\\"' * 50,
        b'{"accept":{"offer_ids":' + b"[" * 60 + b'{"value":"x"}' + b"]" * 60 + b"}}",
        b'{"type":"KILL","type":null,"kill":{"task_id":{"value":"\\ud83d\\ude00"}}}',
        b'{"framework_id":{"value":"\xff"},"x":1e999,"y":"\\ud800"}',
    ):
        yield b"\x00" + body


def _protobuf() -> Iterator[bytes]:
    for cls, body in _bodies():
        try:
            yield bytes([MESSAGES.index(cls)]) + protobuf.encode(json.decode(cls, body))
        except Malformed:
            continue
    for index, message in _structs():
        yield bytes([index]) + protobuf.encode(message)
    nested = mesos.ContainerID(value="c")
    for _ in range(40):
        nested = mesos.ContainerID(value="c", parent=nested)
    yield bytes([MESSAGES.index(mesos.ContainerID)]) + protobuf.encode(nested)


def _recordio() -> Iterator[bytes]:
    stream = frame(b"{}") + frame(b"") + frame(b"12\n34\n") + frame(b"x" * 40)
    for sizes in (0, 1, 3, 200):
        for tail in (b"", b"4", b"41\n", b"x\n", b"0" * 21, b"\n", b"\xff\n"):
            yield bytes([sizes]) + stream + tail


def _link() -> Iterator[bytes]:
    random = Random(SEED)
    here = MasterUnderTest()
    hostile = Hostile(here.world.state, random)
    to_master: list[link.LinkMessage] = []
    to_agent: list[link.LinkMessage] = [
        link.Hello(link.PROTOCOL, "1"),
        link.Registered("A", 75_000),
    ]
    for _ in range(300):
        for event in hostile.events():
            if isinstance(event, LinkReceived):
                to_master.append(event.message)
            effects = here.world.put(event)
            to_agent += [one.message for one in effects.then if isinstance(one, SendToAgent)]
    for number in range(300):
        side, messages = random.choice(((0, to_master), (1, to_agent)))
        chosen = [random.choice(messages) for _ in range(random.randint(1, 4))]
        header = bytes([side | random.choice((0, 2, 4, 6)), random.choice((0, 0, 1, 7, 200))])
        tail = b"" if number % 10 else b"\x00\x00\x00\x02\x91\xa0"
        yield header + b"".join(map(link.frame, chosen)) + tail


def _random() -> Iterator[bytes]:
    random = Random(SEED)
    for size in (20, 60, 150, 300, 600) * 12:
        yield random.randbytes(size)


def _http(who: str) -> Iterator[bytes]:
    whole = [one for asked, _, one in _recorded() if asked == who or not one.startswith(b"POST")]
    whole += _own(who)
    random = Random(SEED)
    for one in whole:
        if len(one) < 4_000:
            yield bytes([random.choice(FLAGS), random.choice((0, 0, 1, 200))]) + one
            yield bytes([random.choice(FLAGS), 0]) + SEPARATOR + one
    for _ in range(100):
        some = [random.choice(whole) for _ in range(random.randint(2, 4))]
        joined = random.choice((b"", SEPARATOR)).join(some)
        if len(joined) < 4_000:
            yield bytes([random.choice(FLAGS), random.choice((0, 1, 90, 200))]) + joined


def _own(who: str) -> list[bytes]:
    """What recordings lack: files, uploads in chunks, upgrades."""
    log = "/master/log" if who == "master" else "/slave/log"
    paths = [
        f"/files/{what}?path={log}{rest}"
        for what in ("browse", "read", "download")
        for rest in (
            "",
            "/a.txt",
            "/out.txt",
            "/up/outside.txt",
            "/../outside.txt",
            "/%2e%2e",
            "/%00",
        )
    ]
    found = [request("GET", path, b"") for path in paths]
    found += [request("GET", f"/files/read?path={log}/a.txt&offset=1&length=2", b"")]
    found += [request("HEAD", "/state", b""), request("GET", "/state?jsonp=f", b"")]
    head = b"POST /api/v1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    chunked = (
        b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"typ\r\n14\r\ne":"GET_HEALTH"}    \r\n0\r\n\r\n'
    )
    found += [head + chunked, head + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"]
    found += [head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"]
    found += [
        b"GET /link HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tepui-link\r\n\r\n"
    ]
    found += [b"GET /state HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"]
    if who == "agent":
        for call in _executor_calls():
            found.append(request("POST", "/api/v1/executor", json.encode(call)))
        kinds = [kind.value for kind in agent.Call.Type]
    else:
        found += [request("POST", "/api/v1/scheduler", body) for body in _scheduler_calls()]
        kinds = [kind.value for kind in master.Call.Type]
    found += [request("POST", "/api/v1", b'{"type":"%b"}' % kind.encode()) for kind in kinds]
    listed = b'{"type":"%b","%b":{"path":"%b","offset":0}}'
    for kind in ("LIST_FILES", "READ_FILE"):
        body = listed % (kind.encode(), kind.lower().encode(), log.encode())
        found.append(request("POST", "/api/v1", body))
    return found


def _executor_calls() -> Iterator[executor.Call]:
    kinds = executor.Call.Type
    ids = {"framework_id": mesos.FrameworkID("F"), "executor_id": mesos.ExecutorID("ex")}
    yield executor.Call(type=kinds.SUBSCRIBE, subscribe=executor.Call.Subscribe(), **ids)  # type: ignore[arg-type]  # the two ids
    status = mesos.TaskStatus(
        task_id=mesos.TaskID("t"),
        state=mesos.TaskState.TASK_RUNNING,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        uuid=bytes(6) + b"\x40" + bytes(9),
    )
    update = executor.Call.Update(status=status)
    yield executor.Call(type=kinds.UPDATE, update=update, **ids)  # type: ignore[arg-type]  # the two ids
    message = executor.Call.Message(data=b"\xff")
    yield executor.Call(type=kinds.MESSAGE, message=message, **ids)  # type: ignore[arg-type]  # the two ids


def _scheduler_calls() -> Iterator[bytes]:
    for cls, body in _bodies():
        if cls is scheduler.Call and len(body) < 2_000:
            yield body.replace(b'"type"', b'"framework_id":{"value":"@F"},"type"', 1)
