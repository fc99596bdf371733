"""Both codecs against Google's protobuf runtime, for every message of the API.

The one difference allowed: what we write always holds the fields that have a default in the schema,
as Mesos writes them in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf, nan
from random import Random

import pytest
from google.protobuf import json_format

from tepui.wire import executor, json, mesos, protobuf, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage
from tests.wire.oracle import (
    holds_duration,
    random_runtime,
    random_struct,
    runtime,
    structs,
    with_defaults,
)

SEED = 20
ROUNDS = 4  # random messages of each kind


def _random_structs() -> Iterator[tuple[str, ProtoMessage]]:
    print(f"seed {SEED}")  # shown when a test fails
    random = Random(SEED)
    for name, cls in structs().items():
        for _ in range(ROUNDS):
            yield name, random_struct(cls, random)


def test_protobuf_of_a_message_survives_the_real_schema() -> None:
    for name, message in _random_structs():
        seen = runtime(name).FromString(protobuf.encode(message))
        again = protobuf.decode(type(message), seen.SerializeToString())
        assert again == message, name


def test_message_of_the_real_schema_survives_our_protobuf() -> None:
    print(f"seed {SEED}")
    random = Random(SEED)
    for name, cls in structs().items():
        for _ in range(ROUNDS):
            sent = random_runtime(name, random)
            ours = protobuf.decode(cls, sent.SerializeToString())
            back = runtime(name).FromString(protobuf.encode(ours))
            assert back == with_defaults(sent), name


def test_json_of_a_message_survives() -> None:
    for name, message in _random_structs():
        line = json.encode(message)
        assert line.isascii(), name
        assert b"\n" not in line, name
        assert json.decode(type(message), line) == message, name


def test_json_reads_the_same_with_google_and_the_real_schema() -> None:
    for name, message in _random_structs():
        if holds_duration(type(message)):
            continue
        line = re.sub(rb":(-?Infinity)([,}])", rb':"\1"\2', json.encode(message))
        seen = json_format.Parse(line, runtime(name)())
        assert seen == runtime(name).FromString(protobuf.encode(message)), name


def test_both_json_decoders_give_the_same() -> None:
    for name, message in _random_structs():
        line = json.encode(message)
        assert json.decode_tolerantly(type(message), line) == message, name


def test_same_message_is_the_same_bytes_whatever_the_order_of_its_maps() -> None:
    one, two = mesos.Value.Scalar(1.0), mesos.Value.Scalar(2.0)
    task = mesos.TaskInfo(
        name="t",
        task_id=mesos.TaskID("t"),
        agent_id=mesos.AgentID("a"),
        limits={"a": one, "b": two},
    )
    turned = mesos.TaskInfo(
        name="t",
        task_id=mesos.TaskID("t"),
        agent_id=mesos.AgentID("a"),
        limits={"b": two, "a": one},
    )
    assert protobuf.encode(task) == protobuf.encode(turned)


@pytest.mark.parametrize(("value", "text"), [(inf, b"Infinity"), (-inf, b"-Infinity")])
def test_infinite_doubles_are_written_bare(value: float, text: bytes) -> None:
    line = json.encode(mesos.Value.Scalar(value))
    assert line == b'{"value":' + text + b"}"
    assert json.decode(mesos.Value.Scalar, line).value == value


def test_nan_is_neither_written_nor_taken() -> None:
    with pytest.raises(ValueError, match="NaN"):
        json.encode(mesos.Value.Scalar(nan))
    with pytest.raises(Malformed) as refused:
        protobuf.decode(mesos.Value.Scalar, protobuf.encode(mesos.Value.Scalar(nan)))
    assert refused.value.detail == "field 'value' is NaN"


def test_the_words_null_and_nan_in_a_string_are_only_words() -> None:
    task_id = mesos.TaskID("null NaN")
    assert json.encode(task_id) == b'{"value":"null NaN"}'


def test_other_than_ascii_is_escaped() -> None:
    assert json.encode(mesos.TaskID("é😀/")) == b'{"value":"\\u00e9\\ud83d\\ude00/"}'


def test_unknown_protobuf_fields_and_enum_values_count_as_absent() -> None:
    unknown_type, unknown_field = b"\x10\x63", b"\xf8\x07\x01"  # type 99; field 127
    call = protobuf.decode(scheduler.Call, unknown_type + unknown_field)
    assert call == scheduler.Call()


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 20,  # no field number
        b"\x0a\x05a",  # longer than the body
        b"\x0a\xff\xff\xff\xff\x0f",  # a length of 4 GiB
        b"\x0a\x00",  # framework_id without its value
        b"\x0a\x03\x0a\x01\xff",  # no UTF-8
        b'{"type":"SUBSCRIBE"}',
    ],
)
def test_broken_protobuf_is_refused_in_the_words_of_each_api(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        protobuf.decode(scheduler.Call, body)
    assert refused.value.text == "Failed to parse body into Call protobuf"
    assert refused.value.agent_text == "Failed to parse body into a protobuf object"


def test_reason_of_a_missing_protobuf_field_is_kept_for_logs() -> None:
    with pytest.raises(Malformed) as refused:
        protobuf.decode(executor.Call, b"")
    assert refused.value.detail == "missing required fields: executor_id, framework_id"


def test_nested_container_ids_have_a_limit_on_both_ways_in() -> None:
    deepest = mesos.ContainerID(value="c")
    for _ in range(200):
        deepest = mesos.ContainerID(value="c", parent=deepest)
    line = b'{"value":"c","parent":' * 200 + b'{"value":"c"}' + b"}" * 200
    with pytest.raises(Malformed):
        json.decode(mesos.ContainerID, line)
    with pytest.raises(Malformed):
        protobuf.decode(mesos.ContainerID, protobuf.encode(deepest))
