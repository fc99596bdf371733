"""Which handler a path belongs to: the longest prefix that matches whole segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from tepui.web.http import Handler, Request

Lane = Callable[[Request], str]
TakesUpload = Callable[[Mapping[str, str]], bool]  # of a request with these headers

_SUFFIX: Final = ".json"  # of the names of Mesos before 0.20


class Route(Struct, frozen=True):
    """A handler, and in which lane its requests take their turn (`turns.py`)."""

    handler: Handler
    lane: Lane | None = None
    takes_upload: TakesUpload | None = None  # handled while their bodies come in


class Routes:
    """Handlers by path. A route also serves every path below it, as in Mesos."""

    def __init__(self, prefixes: tuple[str, ...] = ()) -> None:
        self._routes: dict[str, Route] = {}
        self._prefixes = prefixes  # e.g. "/master", which may stand before every route
        self._has_uploads = False
        self._chars_max = 0  # of a path that is a route

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths that are served, without prefixes."""
        return tuple(self._routes)

    def add(
        self,
        path: str,
        handler: Handler,
        lane: Lane | None = None,
        takes_upload: TakesUpload | None = None,
    ) -> None:
        """Serve `path` (`""` is the root) and what lies below it."""
        assert path not in self._routes, path
        self._routes[path] = Route(handler, lane, takes_upload)
        self._has_uploads = self._has_uploads or takes_upload is not None
        self._chars_max = max(self._chars_max, len(path) + len(_SUFFIX))

    def find(self, path: str) -> tuple[Route, str] | None:
        """The route of `path` and what remains of it; None: nobody serves it."""
        route = self._routes.get(path)
        if route is not None:
            return route, ""
        path = path.rstrip("/")
        found = self._longest(path)
        if found is not None and found[1] == "":
            return found
        for prefix in self._prefixes:
            if path == prefix or path.startswith(prefix + "/"):
                below = self._longest(path[len(prefix) :])
                if below is not None:
                    return below
        return found

    def takes_upload(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether a request is to be handled while its body comes in."""
        if not self._has_uploads:
            return False
        found = self.find(path)
        takes = None if found is None else found[0].takes_upload
        return takes is not None and takes(headers)

    def _longest(self, path: str) -> tuple[Route, str] | None:
        head = path
        if len(path) > self._chars_max:  # no longer one is a route, however many segments it has
            head = path[: max(0, path.rfind("/", 0, self._chars_max + 1))]
        while True:
            route = self._routes.get(head)
            if route is None and head.endswith(_SUFFIX):
                route = self._routes.get(head[: -len(_SUFFIX)])
            if route is not None:
                return route, path[len(head) :]
            if not head:
                return None
            head = head[: max(0, head.rfind("/"))]
