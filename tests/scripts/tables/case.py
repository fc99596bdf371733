"""Wrong requests, and the text in which a table shows them with their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tepui.web.http import TEXT_TYPE

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
RECORDIO = "application/recordio"

SHOWN_CHARS_MAX = 400  # of a body or of a line of an answer
SHOWN_OF_LARGE = 150  # bytes
TOLD_MAX = 5  # records
EVENT_CHARS_MAX = 120  # of what an accepted subscription is sent
VIEW_CHARS_MAX = 60  # of a body that shows what there is


Fields = Mapping[str, object]  # of a message in JSON


class Case(Struct, frozen=True, kw_only=True):
    """One request. `headers` come on top of those of the table; None takes one away.

    `effect` says that the request is not refused but does something, on purpose: the world is
    then built anew for the next one. Without it the state must be as it was before.
    """

    title: str
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    method: str = "POST"
    path: str = ""  # that of the table
    principal: str | None = None  # who the client has proved to be
    shown: str = ""  # instead of the body, when it is large
    effect: bool = False


class Section(Struct, frozen=True):
    """Cases that belong together. As `lines` each is its title and the answer alone.

    What is wrong is then in the title, and what all of them have in common in the section's.
    """

    title: str
    cases: Sequence[Case]
    lines: bool = False


class Table(Struct, frozen=True, kw_only=True):
    """What one golden file holds."""

    name: str  # of the file
    about: str
    path: str
    headers: Mapping[str, str]
    sections: Sequence[Section]


class Seen(Struct, frozen=True):
    """An answer; `events` are the records of a stream, `ended` whether it was ended.

    `told` is what others heard of it on their streams.
    """

    status: int
    content_type: str | None
    body: bytes
    events: tuple[str, ...] = ()
    ended: bool | None = None
    told: tuple[str, ...] = ()


def compact(value: object) -> bytes:
    """JSON as the tables write it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def case(title: str, value: object, **more: object) -> Case:
    """A request with a JSON body."""
    return Case(title=title, body=compact(value), **more)  # type: ignore[arg-type]  # fields of Case


def large(title: str, value: object, **more: object) -> Case:
    """The same, with a body of which the table shows the beginning and the size."""
    body = compact(value)
    shown = f"{body[:SHOWN_OF_LARGE].decode()}… ({len(body)} bytes)"
    return Case(title=title, body=body, shown=shown, **more)  # type: ignore[arg-type]  # fields of Case


def head_text(table: Table) -> str:
    """The first lines of a file."""
    requests = "Each block names its method and path; there are no headers."
    headers = ", ".join(f"{name}: {value}" for name, value in table.headers.items())
    if headers:
        requests = f"Unless a block says otherwise: POST {table.path}\n# with {headers}."
    return (
        f"# {table.about}\n"
        f"# {requests}\n"
        "# Errors are text/plain; charset=utf-8. The state is the same before and after.\n"
    )


def block_text(table: Table, one: Case, seen: Seen) -> str:
    """One request and its answer."""
    lines = [one.title]
    if one.path or one.method != "POST":
        lines.append(f"{one.method} {one.path or table.path}")
    for name, value in one.headers.items():
        lines.append(f"{name}: {value}" if value is not None else f"(no {name})")
    if one.principal is not None:
        lines.append(f"(authenticated as {one.principal})")
    if one.shown or one.body:
        lines.append(one.shown or shown_body(one.body))
    elif one.method == "POST":
        lines.append("(no body)")
    lines.append(f"→ {_status(seen)}")
    lines += _answer(seen)
    if one.effect:
        lines.append("(accepted: the state is another one)")
    return "\n".join(lines) + "\n"


def line_text(one: Case, seen: Seen) -> str:
    """The same in one line."""
    return f"{one.title} → {' '.join([_status(seen), *_answer(seen)])}\n"


def shown_body(body: bytes) -> str:
    """JSON as it is, anything else in hex."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or any(c < " " and c != "\n" for c in text):
        return _cut("hex:" + body.hex())
    return _cut(printable(text.replace("\n", "\\n")))


def printable(text: str) -> str:
    """Control characters as escapes, so that the file stays text."""
    return "".join(c if c >= " " and c != "\x7f" else f"\\x{ord(c):02x}" for c in text)


def _status(seen: Seen) -> str:
    usual = TEXT_TYPE if seen.body else None
    return f"{seen.status}" if seen.content_type == usual else f"{seen.status} {seen.content_type}"


def _answer(seen: Seen) -> list[str]:
    body = printable(seen.body.decode("utf-8", "replace").replace("\n", "\\n"))
    # What an accepted request shows is another test's matter.
    limit = VIEW_CHARS_MAX if seen.status == 200 else SHOWN_CHARS_MAX
    lines = [_cut(body, limit)] if body else []
    for event in seen.events:
        is_error = event.startswith('{"type":"ERROR"')
        lines.append(_cut(printable(event), SHOWN_CHARS_MAX if is_error else EVENT_CHARS_MAX))
    if seen.ended is not None:
        lines.append("<end of the stream>" if seen.ended else "<the stream goes on>")
    lines += [_cut(printable(record)) for record in seen.told[:TOLD_MAX]]
    if len(seen.told) > TOLD_MAX:
        lines.append(f"… and {len(seen.told) - TOLD_MAX} more")
    return lines


def _cut(text: str, limit: int = SHOWN_CHARS_MAX) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}…"
