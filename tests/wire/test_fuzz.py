"""Broken bodies raise Malformed or decode; nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tepui.wire import agent, executor, json, master, protobuf, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage
from tests.wire.oracle import random_struct

SEED = 20
BODIES = 25  # of each message
MUTANTS = 20  # of each body
ROOTS: tuple[type[ProtoMessage], ...] = (
    scheduler.Call,
    scheduler.Event,
    executor.Call,
    master.Call,
    agent.Call,
)
JSON_PIECES = (
    b"null", b"true", b"1e400", b"-1", b"Infinity", b"NaN", b'"', b"{", b"}", b"[", b"]", b",", b":",
    b"\\ud800", b"\\", b"\xff", b"\x00", b'"1"', b"99999999999999999999", b"[[[", b'{"value":', b"{}",
)  # fmt: skip
Codec = tuple[Callable[[ProtoMessage], bytes], Callable[[type[ProtoMessage], bytes], ProtoMessage]]


def _mutant(body: bytes, random: Random) -> bytes:
    at, to = sorted(random.randrange(len(body) + 1) for _ in range(2))
    match random.randrange(5):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + body[min(to, at + 8) :]
        case 2:
            return body[:at] + bytes([random.randrange(256)]) + body[at + 1 :]
        case 3:
            return body[:at] + random.choice(JSON_PIECES) + body[min(to, at + 4) :]
        case _:
            return body[:to] + body[at:]


def _fuzz(codec: Codec) -> None:
    encode, decode = codec
    print(f"seed {SEED}")  # shown when a test fails
    random = Random(SEED)
    decoded = refused = 0
    for cls in ROOTS:
        for _ in range(BODIES):
            body = encode(random_struct(cls, random))
            for _ in range(MUTANTS):
                body_now = _mutant(body, random)
                try:
                    message = decode(cls, body_now)
                except Malformed:
                    refused += 1
                else:
                    assert decode(cls, encode(message)) == message, body_now
                    decoded += 1
    assert decoded
    assert refused


def test_mutated_json_is_refused_or_decoded() -> None:
    _fuzz((json.encode, json.decode))


def test_mutated_protobuf_is_refused_or_decoded() -> None:
    _fuzz((protobuf.encode, protobuf.decode))


def test_both_json_decoders_agree_on_mutated_bodies() -> None:
    print(f"seed {SEED}")
    random = Random(SEED)
    for cls in ROOTS:
        for _ in range(BODIES):
            body = json.encode(random_struct(cls, random))
            for _ in range(MUTANTS):
                mutant = _mutant(body, random)
                assert _outcome(json.decode, cls, mutant) == _outcome(
                    json.decode_tolerantly, cls, mutant
                ), mutant


def _outcome(
    decode: Callable[[type[ProtoMessage], bytes], ProtoMessage],
    cls: type[ProtoMessage],
    body: bytes,
) -> ProtoMessage | str:
    try:
        return decode(cls, body)
    except Malformed as error:
        return error.text
