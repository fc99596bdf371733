"""Downloads over http and https."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import IO, Final

from tepui.agent.fetcher.errors import FetchFailed, Room
from tepui.agent.fetcher.local import open_new

CONNECT_MS: Final = 30_000
STALL_MS: Final = 60_000  # Mesos: --fetcher_stall_timeout; without a byte for so long
REDIRECTS_MAX: Final = 10  # of one URI
CHUNK_BYTES: Final = 256 * 1024


async def download(source: str, target: Path, room: Room, stall_ms: int) -> None:
    """The file is at `target`. Raises FetchFailed, and OSError for the target."""
    import aiohttp  # its import is slow, and not every agent downloads

    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_MS / 1000, sock_read=stall_ms / 1000
    )
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(source, max_redirects=REDIRECTS_MAX) as answer,
        ):
            if answer.status != 200:
                raise FetchFailed(f"the server answered {answer.status} {answer.reason}")
            await asyncio.to_thread(room, answer.content_length or 0)
            size_bytes = 0
            with open_new(target) as file:
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    size_bytes += len(chunk)
                    await asyncio.to_thread(_write, file, chunk, room, size_bytes)
    except aiohttp.TooManyRedirects:
        raise FetchFailed(f"more than {REDIRECTS_MAX} redirects") from None
    except aiohttp.ConnectionTimeoutError:
        raise FetchFailed(f"no connection within {CONNECT_MS / 1000:g} s") from None
    except TimeoutError:  # before ClientError, which aiohttp's are too
        raise FetchFailed(f"no byte for {stall_ms / 1000:g} s") from None
    except aiohttp.ClientError as error:
        raise FetchFailed(str(error) or type(error).__name__) from None


def _write(file: IO[bytes], chunk: bytes, room: Room, size_bytes: int) -> None:
    room(size_bytes)
    file.write(chunk)
