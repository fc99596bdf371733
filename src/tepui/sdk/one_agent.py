"""What clients of one agent have in common: its address, and a session that is open within a context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import aiohttp

from tepui.sdk.http import CONNECT_TIMEOUT_S


class OneAgent(ABC):
    """One agent. Used within its context; only connecting has a time limit of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        self._http = self._new_session(timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    @abstractmethod
    def _new_session(self, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession: ...

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._http is not None, "the client is used within its context"
        return self._http
