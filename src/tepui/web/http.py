"""Requests and responses as the handlers of a daemon see them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec.structs import replace

from tepui.web.filed import SharedFile
from tepui.web.stream import RecordStream
from tepui.web.upload import Upload

BODY_BYTES_MAX: Final = 16 * 1024 * 1024  # a request's body; 413 above
FORM_BYTES_MAX: Final = 1024 * 1024  # a body that is a form; 400 above
QUERY_FIELDS_MAX: Final = 1_000  # 400 above

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"


class TooManyFields(ValueError):
    """A query or form has more than QUERY_FIELDS_MAX fields."""


class Request(msgspec.Struct, frozen=True):
    """One request, its body read whole, or coming in as `upload` on routes that ask for that.

    `path` has no trailing slash; `rest` is what follows the route that matched.
    """

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case; of repeated ones the last
    query_text: str
    body: bytes
    server: str  # host:port on which the request came in
    rest: str = ""
    keeps_alive: bool = True  # further requests may follow on its connection
    is_upgrade: bool = False  # the connection is to be handed over to another protocol
    principal: str | None = None
    upload: Upload | None = None

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of repeated ones the last. Raises TooManyFields."""
        return _fields(self.query_text)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body; of repeated ones the last. Raises TooManyFields."""
        if len(self.body) > FORM_BYTES_MAX:
            raise TooManyFields(f"a form may have {FORM_BYTES_MAX} bytes at most")
        return _fields(self.body.decode("utf-8", "replace"))


class Response(msgspec.Struct, frozen=True):
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body_bytes(self) -> int:
        """How long the whole body is."""
        return len(self.body)


class Filed(Response, frozen=True, kw_only=True):
    """A whole answer whose `body` goes on in a file and ends with `after`."""

    file: SharedFile
    after: bytes = b""

    @property
    def body_bytes(self) -> int:
        return len(self.body) + self.file.size_bytes + len(self.after)


class Streaming(msgspec.Struct, frozen=True):
    """An answer that goes on: `stream` is written to until it is ended or the client leaves.

    The body of `first` comes before, in a chunk of its own; what is sent meanwhile waits.
    """

    stream: RecordStream
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    first: Filed | None = None


class Switching(msgspec.Struct, frozen=True):
    """The connection is handed over to another protocol, of this name: it was asked for.

    If the client has left by then, `protocol` is told that its connection is lost, and of none before.
    """

    protocol: asyncio.Protocol
    name: str


Answer = Response | Streaming | Switching
Handler = Callable[[Request], Answer | Awaitable[Answer]]


def text(status: int, body: str) -> Response:
    """A sentence as the body, as Mesos answers errors."""
    return Response(status, body.encode(), TEXT_TYPE)


def json(value: Any, request: Request | None = None) -> Response:  # any JSON value
    """The value as JSON; wrapped when the request has a `jsonp` query."""
    answer = Response(200, msgspec.json.encode(value), JSON_TYPE)
    return answer if request is None else with_jsonp(answer, request)


def with_jsonp(answer: Response, request: Request) -> Response:
    """A JSON answer wrapped for a `jsonp` query (Mesos: libprocess http::OK)."""
    if "jsonp" not in request.query_text or answer.content_type != JSON_TYPE:
        return answer
    function = request.query.get("jsonp")
    if function is None:
        return answer
    before = function.encode() + b"(" + answer.body
    if isinstance(answer, Filed):
        return replace(answer, body=before, content_type="text/javascript", after=b")")
    return Response(200, before + b")", "text/javascript")


def not_allowed(request: Request, *methods: str) -> Response:
    """405, with the methods that the route takes."""
    wanted = ", ".join(f"'{method}'" for method in methods)
    body = (
        f"405 Method Not Allowed. Expecting one of {{ {wanted} }}, but received '{request.method}'."
    )
    return Response(405, body.encode(), TEXT_TYPE, (("Allow", ", ".join(methods)),))


def _fields(encoded: str) -> dict[str, str]:
    try:
        fields = parse_qsl(encoded, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        raise TooManyFields(f"a query may have {QUERY_FIELDS_MAX} fields at most") from None
    return dict(fields)


ACCEPTED: Final = Response(202)
