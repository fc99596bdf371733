"""What a request is answered, by its route or because that failed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

import msgspec

from tepui.base.errors import Refused
from tepui.base.loop import Overloaded
from tepui.web.decoding import NotUnzipped, unzipped
from tepui.web.files import FileError
from tepui.web.http import Answer, Request, Response, Streaming, Switching, TooManyFields, text
from tepui.web.reader import TOO_LARGE
from tepui.web.routes import Route
from tepui.wire.errors import Malformed
from tepui.wire.media import NotNegotiable

FAILED: Final = text(500, "Internal Server Error")

log = logging.getLogger("tepui.web")


def answer(request: Request, route: Route | None) -> Answer | Awaitable[Answer]:
    """What the route's handler says."""
    if request.path and not request.path.startswith("/"):  # of the root nothing is left
        return text(400, "Request URL path must start with '/'")
    if route is None:
        return text(404, "404 Not Found.")
    if request.headers.get("content-encoding") == "gzip":
        return _answer_unzipped(request, route)
    try:
        return route.handler(request)
    except Exception as error:
        return failed(error)


async def _answer_unzipped(request: Request, route: Route) -> Answer:
    """The same for a gzip body; one that is not gzip is answered as in Mesos (libprocess: 500)."""
    try:
        body = await unzipped(request.body)
    except NotUnzipped:
        return text(500, "failed to decode body")
    if body is None:
        return TOO_LARGE
    said = route.handler(msgspec.structs.replace(request, body=body))
    return said if isinstance(said, Response | Streaming | Switching) else await said


def failed(error: BaseException) -> Response:
    """The answer when a handler raised."""
    if isinstance(error, Overloaded):
        return text(503, str(error))
    if isinstance(error, TooManyFields):
        return text(400, str(error))
    if isinstance(error, NotNegotiable):
        return text(error.status, error.text)
    if isinstance(error, Malformed | Refused):
        return text(400, error.text)
    if isinstance(error, FileError):
        return text(error.status, error.body)
    log.error("a request failed", exc_info=error)
    return FAILED
