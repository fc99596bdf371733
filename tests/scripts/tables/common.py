"""Sections that the tables of several APIs have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tepui.wire import json, protobuf
from tepui.wire.message import ProtoMessage
from tests.scripts.tables.case import JSON, PROTOBUF, Case, Fields, Section, case, compact
from tests.scripts.tables.schema import ENUMS, MESSAGES, Wrong, Wrongs, example

METHODS = ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
ODD_IDS = ("", "nope", ".", "..", "a/b", "../../x", "a\\b", "a b", "a\nb", "\u0000", "é", "x" * 300)
WRONG_TYPES: tuple[object, ...] = (
    *(None, "", "NOPE", "kill", 1, 99, -1, True),
    *({}, [], ["KILL"], [[]]),
)
DEEP = 100_000  # brackets, far more than anybody's stack


def fields(wrongs: Wrongs, api: str, part: str | None, base: Fields) -> Section:
    """Everything that can be wrong with the call's field, by the schema."""
    if part is None:
        return Section("Fields", [])
    found: Iterable[Wrong] = wrongs.of(part, base)
    cases = [Case(title=one.what, body=one.body) for one in found]
    about = "Fields: wrong JSON types and missing ones, one at a time, in a call like\n"
    whole = {**base, part: example(str(MESSAGES[f"mesos.v1.{api}.Call"][part][1]))}
    return Section(about + compact(whole).decode(), cases, lines=True)


def odd_ids(
    what: str, calls: Callable[[str], Fields], *more: str, ids: Iterable[str] = ODD_IDS
) -> Section:
    """Calls with ids that nobody has, or could have; `what` names the field."""
    cases = [case(f"{what} {shown(odd)}", calls(odd)) for odd in (*ids, *more)]
    like = compact(calls("…")).decode()
    return Section(f"Ids: {what}, in a call like\n{like}", cases, lines=True)


def shown(value: object) -> str:
    """A value as a title names it: long texts are cut."""
    text = compact(value).decode()
    return text if len(text) < 100 else f"{text[:8]}… ({len(text) - 2} characters)"


def media_types(body: bytes, path: str) -> list[Case]:
    """Wrong methods and content types, with a body that is right."""
    return [
        *(
            Case(title=f"method {method}", method=method, path=path, body=body)
            for method in METHODS
        ),
        Case(title="no Content-Type", body=body, headers={"Content-Type": None}),
        *(
            Case(title=f"Content-Type {name or 'empty'}", body=body, headers={"Content-Type": name})
            for name in (
                "",
                "text/plain",
                "application/json; charset=utf-8",
                "application/json;",
                "APPLICATION/JSON",
                " application/json",
                "application/*",
                "*/*",
                "application/recordio",
                "application/protobuf",
                "application/x-www-form-urlencoded",
                "application/json, application/x-protobuf",
            )
        ),
    ]


def bodies(call: Fields, message: type[ProtoMessage]) -> list[Case]:
    """Bodies that are no call; `call` is one that is."""
    whole = compact(call)
    binary = protobuf.encode(json.decode(message, whole))
    as_protobuf = {"Content-Type": PROTOBUF}
    texts: dict[str, bytes] = {
        "empty": b"",
        "only white space": b" \n\t",
        "a call cut in the middle": whole[: len(whole) // 2],
        "a call without its last byte": whole[:-1],
        "only an opening bracket": b"{",
        "a list": b"[]",
        "a list of one call": b"[" + whole + b"]",
        "null": b"null",
        "a string": b'"x"',
        "a number": b"7",
        "a boolean": b"true",
        "no JSON": b"not json",
        "two calls": whole + whole,
        "something after the call": whole + b" trailing",
        "single quotes": b"{'type':'KILL'}",
        "a comma too many": b'{"type":"KILL",}',
        "a name without quotes": b'{type:"KILL"}',
        "a comment": b'{/* */"type":"KILL"}',
        "a line break within a string": b'{"type":"KI\nLL"}',
        "an escape that JSON does not have": b'{"type":"\\x41"}',
        "half a surrogate pair": b'{"type":"\\ud800"}',
        "NaN as a value": b'{"type":NaN}',
        "a number that is too large": b'{"type":1e999}',
        "a byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode().encode("utf-16"),
        "bytes that are no UTF-8": b"\xff\xfe{}",
        "a protobuf body that is labelled JSON": binary,
    }
    return [
        *(Case(title=title, body=body) for title, body in texts.items()),
        Case(
            title="brackets that nest deeper than any message",
            body=b"[" * DEEP,
            shown=f"body: {DEEP} times [",
        ),
        Case(
            title="objects that nest deeper than any message",
            body=b'{"x":' * DEEP + b"1" + b"}" * DEEP,
            shown=f'body: {DEEP} times {{"x": and so many }}',
        ),
        Case(title="a JSON body that is labelled protobuf", body=whole, headers=as_protobuf),
        Case(title="an empty protobuf body", headers=as_protobuf),
        Case(
            title="protobuf cut in the middle", body=binary[: len(binary) // 2], headers=as_protobuf
        ),
        Case(title="protobuf without its last byte", body=binary[:-1], headers=as_protobuf),
        Case(title="protobuf with a byte too many", body=binary + b"\n", headers=as_protobuf),
        Case(title="bytes that are no protobuf", body=b"\x00\x01\xff", headers=as_protobuf),
        Case(title="an endless varint", body=b"\xff" * 20, headers=as_protobuf),
    ]


def types(base: Fields) -> list[Case]:
    """What can be wrong with the type, in a call that has everything else."""
    return [
        case("no type", base),
        *(
            case(f"type {compact(value).decode()}", {**base, "type": value})
            for value in WRONG_TYPES
        ),
    ]


def part_missing(api: str, call_type: str, part: str, base: Fields, other: str) -> Iterator[Case]:
    """The field of the call's type is not there; `other` is that of another type."""
    call = f"mesos.v1.{api}.Call"
    filling = example(str(MESSAGES[call][other][1]))
    yield case("without its field", base)
    yield case("its field is null", {**base, part: None})
    yield case("the field of another call instead", {**base, other: filling})
    misspelt = {**base, part.upper(): example(str(MESSAGES[call][part][1]))}
    yield case("its field in capitals", misspelt)
    yield Case(
        title="protobuf without its field",
        body=_binary(api, call_type, base),
        headers={"Content-Type": PROTOBUF},
    )
    number = _number(call, part)
    yield Case(
        title="protobuf with a number where its field should be",
        body=_binary(api, call_type, base) + _varint(number << 3) + b"\x01",
        headers={"Content-Type": PROTOBUF},
    )
    yield Case(
        title="protobuf whose field claims more bytes than there are",
        body=_binary(api, call_type, base) + _varint(number << 3 | 2) + b"\x7f",
        headers={"Content-Type": PROTOBUF},
    )
    if example(str(MESSAGES[call][part][1])):
        yield Case(
            title="protobuf whose field is empty, though it needs something",
            body=_binary(api, call_type, base) + _varint(number << 3 | 2) + b"\x00",
            headers={"Content-Type": PROTOBUF},
        )


def unknown_type_in_protobuf(api: str, base: Fields) -> Case:
    """A number that no type has."""
    call = f"mesos.v1.{api}.Call"
    return Case(
        title="protobuf with a type that nobody knows",
        body=_ids(api, base) + _varint(_number(call, "type") << 3) + b"\x63",
        headers={"Content-Type": PROTOBUF},
    )


def json_headers(**more: str) -> Mapping[str, str]:
    """Those of nearly every request."""
    headers = {"Content-Type": JSON, "Accept": JSON}
    return headers | {name.replace("_", "-"): value for name, value in more.items()}


def _binary(api: str, call_type: str, base: Fields) -> bytes:
    """The call's ids and its type in protobuf."""
    call = f"mesos.v1.{api}.Call"
    number = ENUMS[f"{call}.Type"][call_type]
    return _ids(api, base) + _varint(_number(call, "type") << 3) + _varint(number)


def _ids(api: str, base: Fields) -> bytes:
    """The ids of the caller, where the API has them; each is a message with one string."""
    out = b""
    for name, value in base.items():
        if isinstance(value, dict) and list(value) == ["value"]:
            text = str(value["value"]).encode()
            inner = b"\x0a" + _varint(len(text)) + text
            tag = _varint(_number(f"mesos.v1.{api}.Call", name) << 3 | 2)
            out += tag + _varint(len(inner)) + inner
    return out


def _number(message: str, field: str) -> int:
    number = MESSAGES[message][field][0]
    assert isinstance(number, int)
    return number


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])
