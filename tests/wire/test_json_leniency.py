"""What JSON is taken, what is refused, and in which words: as Mesos 1.12 answered."""

from __future__ import annotations

import json as plain_json
from math import inf
from pathlib import Path

import pytest

from tepui.wire import agent, executor, json, master, mesos, scheduler
from tepui.wire.errors import Malformed
from tepui.wire.message import ProtoMessage

DATA = Path(__file__).parents[1] / "data"
CALLS: dict[str, type[ProtoMessage]] = {
    "scheduler": scheduler.Call,
    "executor": executor.Call,
    "master": master.Call,
    "agent": agent.Call,
}


def _answer(api: str, body: bytes) -> str | None:
    """The text of the 400, or None when the body is taken."""
    try:
        json.decode(CALLS[api], body)
    except Malformed as error:
        return error.agent_text if api == "agent" else error.text
    return None


def test_recorded_bodies_are_answered_as_mesos_answered_them() -> None:
    cases = plain_json.loads((DATA / "mesos-json-cases.json").read_text())
    assert len(cases) > 100
    for case in cases:
        assert _answer(case["api"], case["body"].encode()) == case["answer"], case


def _refusal(cls: type[ProtoMessage], body: bytes) -> str:
    with pytest.raises(Malformed) as refused:
        json.decode(cls, body)
    return refused.value.detail


def _http(body: bytes) -> mesos.HealthCheck.HTTPCheckInfo:
    return json.decode(mesos.HealthCheck.HTTPCheckInfo, body)


@pytest.mark.parametrize(
    ("written", "port"),
    [
        (b'"80"', 80),
        (b"3.6e+06", 3600000),
        (b'"1e2"', 100),
        (b"80.9", 80),
        (b"-1", 2**32 - 1),  # wraps, as in Mesos
        (b"4294967296", 0),
        (b"1e30", 2**32 - 1),  # undefined in Mesos: the nearest here
        (b"-99999999999999999999", 0),
        (b"080", 80),
        (b"80.", 80),
    ],
)
def test_integers_may_be_strings_and_floats(written: bytes, port: int) -> None:
    assert _http(b'{"port":' + written + b"}").port == port


@pytest.mark.parametrize(
    ("written", "end"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b'"18446744073709551615"', 2**64 - 1),
        (b"18446744073709551616", 2**64 - 1),
        (b'"18446744073709551616"', 2**64 - 1),
        (b"9223372036854775808", 2**63),
        (b"-1", 2**64 - 1),
        (b"1" + b"0" * 300, 2**64 - 1),
    ],
)
def test_largest_unsigned_integer_is_exact_and_larger_ones_become_it(
    written: bytes, end: int
) -> None:
    found = json.decode(mesos.Value.Range, b'{"begin":0,"end":' + written + b"}")
    assert found.end == end


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b'"Infinity"', inf),
        (b'"-Infinity"', -inf),
        (b"Infinity", inf),
        (b"-Infinity", -inf),
        (b'"5.5"', 5.5),
        (b"1", 1.0),
    ],
)
def test_doubles_may_be_strings_and_infinite(written: bytes, value: float) -> None:
    assert json.decode(mesos.Value.Scalar, b'{"value":' + written + b"}").value == value


def test_integer_of_thousands_of_digits_is_out_of_range() -> None:
    body = b'{"value":' + b"9" * 5000 + b"}"
    assert _refusal(mesos.Value.Scalar, body) == "Value out of range"


def test_infinity_is_no_integer() -> None:
    assert _refusal(mesos.TimeInfo, b'{"nanoseconds":Infinity}') == (
        "Not expecting a JSON number for field 'nanoseconds'"
    )


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b'"1"', "Failed to parse '1' as a JSON boolean for field 'shell': Unexpected JSON type parsed"),
        (b'"True"', "Failed to parse 'True' as a JSON boolean for field 'shell': syntax error at line 1 near: True"),
        (b"0", "Not expecting a JSON number for field 'shell'"),
        (b"{}", "Not expecting a JSON object for field 'shell'"),
    ],
)  # fmt: skip
def test_only_true_and_false_are_booleans(written: bytes, why: str) -> None:
    assert _refusal(mesos.CommandInfo, b'{"shell":' + written + b"}") == why


@pytest.mark.parametrize("written", [b'"false"', b"false"])
def test_booleans_may_be_strings(written: bytes) -> None:
    assert json.decode(mesos.CommandInfo, b'{"shell":' + written + b"}").shell is False


def test_null_is_absent_so_the_default_of_the_schema_holds() -> None:
    found = json.decode(mesos.CommandInfo, b'{"shell":null,"value":null,"arguments":[null,"a"]}')
    assert found == mesos.CommandInfo(arguments=("a",))


def test_the_word_null_in_a_string_is_no_null() -> None:
    assert json.decode(mesos.CommandInfo, b'{"value":"null"}').value == "null"
    assert _refusal(mesos.HealthCheck.TCPCheckInfo, b'{"port":"null"}').endswith(
        "Unexpected JSON type parsed"
    )


def test_lone_value_is_a_list_of_one_and_nested_lists_are_joined() -> None:
    found = json.decode(mesos.CommandInfo, b'{"arguments":"a","uris":{"value":"u"}}')
    assert found == mesos.CommandInfo(arguments=("a",), uris=(mesos.CommandInfo.URI(value="u"),))
    nested = json.decode(mesos.CommandInfo, b'{"arguments":["a",[["b"],"c"]]}')
    assert nested.arguments == ("a", "b", "c")


def test_unknown_enum_value_is_absent_unless_the_field_is_required() -> None:
    assert json.decode(scheduler.Call, b'{"type":"NOPE"}').type is None
    plugin = json.decode(mesos.CSIPluginContainerInfo, b'{"services":["NOPE","NODE_SERVICE",null]}')
    assert plugin.services == (mesos.CSIPluginContainerInfo.Service.NODE_SERVICE,)
    why = _refusal(mesos.Value, b'{"type":"NOPE"}')
    assert why == "Failed to find enum for 'NOPE'"


def test_first_error_by_name_is_told() -> None:
    body = b'{"type":5,"framework_id":"x","accept":7}'
    assert _refusal(scheduler.Call, body) == "Not expecting a JSON number for field 'accept'"


def test_error_is_told_before_missing_fields() -> None:
    body = b'{"name":1}'
    assert _refusal(mesos.FrameworkInfo, body) == "Not expecting a JSON number for field 'name'"


def test_maps_are_objects_and_list_their_missing_fields_by_place() -> None:
    quantities = json.decode(mesos.TaskInfo, _task(b'{"mem":{"value":"1"},"cpus":{"value":2}}'))
    assert quantities.limits == {"mem": mesos.Value.Scalar(1.0), "cpus": mesos.Value.Scalar(2.0)}
    why = _refusal(mesos.TaskInfo, _task(b'{"mem":{},"cpus":{"value":2}}'))
    assert why == "Missing required fields: limits[1].value.value"
    assert _refusal(mesos.TaskInfo, _task(b'"x"')) == (
        "Not expecting a JSON string for field 'limits'"
    )


def _task(limits: bytes) -> bytes:
    return b'{"name":"t","task_id":{"value":"t"},"agent_id":{"value":"a"},"limits":' + limits + b"}"


@pytest.mark.parametrize(
    ("written", "data"),
    [
        (b"YWI=", b"ab"),
        (b"YWI", b"ab"),
        (b" Y\\nWI =junk", b"ab"),
        (b"Y", b""),
        (b"", b""),
        (b"\\/+\\/+", b"\xff\xef\xfe"),
    ],
)
def test_base64_may_hold_space_and_lack_padding(written: bytes, data: bytes) -> None:
    assert json.decode(mesos.ExecutorInfo, _executor(b'"' + written + b'"')).data == data


def test_url_safe_base64_is_refused() -> None:
    assert _refusal(mesos.ExecutorInfo, _executor(b'"YW-_"')) == (
        "Failed to base64 decode bytes field 'data': Invalid character '-'"
    )


def _executor(data: bytes) -> bytes:
    return b'{"executor_id":{"value":"e"},"data":' + data + b"}"


def test_last_of_two_equal_names_counts() -> None:
    assert json.decode(mesos.TaskID, b'{"value":1,"value":"b"}') == mesos.TaskID("b")
    assert json.decode(mesos.TaskID, b'{"value":"a","value":"b"}') == mesos.TaskID("b")


def test_what_is_not_utf8_is_replaced() -> None:
    assert json.decode(mesos.TaskID, b'{"value":"a\xff"}') == mesos.TaskID("a\ufffd")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"value":"\\ud800"}', 'syntax error at line 1 near: "}'),
        (b'{"value":"\\udc00\\ud800"}', 'syntax error at line 1 near: \\ud800"}'),
        (b'{"value":"a\\q"}', 'syntax error at line 1 near: "}'),
        (b'{"value":"\\u00g0"}', 'syntax error at line 1 near: g0"}'),
        (b'{"value":"a\tb"}', 'syntax error at line 1 near: b"}'),
        (b'\n\n{"value":\n"a",\n}\n', "syntax error at line 5 near: }"),
        (b'{"value":-}', "syntax error at line 1 near: }"),
        (b'{"value":1-2}', "syntax error at line 1 near: }"),
        (b'{"value":tru}', "syntax error at line 1 near: }"),
        (b'{"value":"a"', "syntax error at line 1 near: "),
        (b'{"value":["a" "b"]}', 'syntax error at line 1 near: "b"]}'),
        (b"   ", "syntax error at line 1 near: "),
        (b"1 2", "Parsed JSON included non-whitespace trailing characters: 2"),
        (b"{}\n\n x", "Parsed JSON included non-whitespace trailing characters: \n\n x"),
    ],
)
def test_syntax_errors_say_line_and_rest(body: bytes, why: str) -> None:
    assert _refusal(mesos.TaskID, body) == why


def test_surrogate_pairs_are_one_character() -> None:
    assert json.decode(mesos.TaskID, b'{"value":"\\ud83d\\ude00"}').value == "😀"
    assert json.decode_tolerantly(mesos.TaskID, b'{"value":"\\ud83d\\ude00"}').value == "😀"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"value":' + b"[" * 65])
def test_deep_nesting_is_refused(body: bytes) -> None:
    assert _refusal(mesos.TaskID, body).startswith("syntax error at line 1 near: ")


def test_quoted_rest_has_a_limit() -> None:
    why = _refusal(mesos.TaskID, b"x" * 1_000_000)
    assert len(why) < 1100


def test_string_that_never_ends_is_looked_at_once() -> None:
    body = b"[" * 65 + b'"' + b'\\"' * 1_000_000  # from each quote anew it would take hours
    assert _refusal(mesos.TaskID, body).startswith("syntax error at line 1 near: ")
