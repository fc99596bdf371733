"""What the machine can do without us: uvicorn and an application that does nothing.

    python -m bench.bare PORT [RECORDS_FILE]

A POST is read whole and answered 202; a GET is answered with the content of the file, which may
be the chunks of a stream: the reader here does not ask whether they were declared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec  # noqa: F401  # what each of Tepui's servers has in memory
import uvicorn

from bench.processes import HOST

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope


class Bare:
    """The ASGI application."""

    def __init__(self, records: bytes) -> None:
        self._records = records

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        assert scope["type"] == "http"
        is_post = scope["method"] == "POST"
        while True:
            message = await receive()
            if message["type"] != "http.request" or not message["more_body"]:
                break
        body = b"" if is_post else self._records
        await send(
            {
                "type": "http.response.start",
                "status": 202 if is_post else 200,
                "headers": [(b"content-length", b"%d" % len(body))],
                "trailers": False,
            }
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})


def main() -> None:
    """Serve until ended."""
    port, *files = sys.argv[1:]
    records = Path(files[0]).read_bytes() if files else b""
    uvicorn.run(
        Bare(records),
        host=HOST,
        port=int(port),
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
