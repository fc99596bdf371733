"""Which handler a path belongs to: the longest prefix that matches whole segments."""

from __future__ import annotations

from tepui.web.http import Handler


class Routes:
    """Handlers by path. A route also serves every path below it, as in Mesos."""

    def __init__(self, prefixes: tuple[str, ...] = ()) -> None:
        self._handlers: dict[str, Handler] = {}
        self._prefixes = prefixes  # e.g. "/master", which may stand before every route

    def add(self, path: str, handler: Handler) -> None:
        """Serve `path` (`""` is the root) and what lies below it."""
        assert path not in self._handlers, path
        self._handlers[path] = handler

    def find(self, path: str) -> tuple[Handler, str] | None:
        """The handler for `path` and what remains of it; None: nobody serves it."""
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

    def _longest(self, path: str) -> tuple[Handler, str] | None:
        head = path
        while True:
            handler = self._handlers.get(head)
            if handler is None and head.endswith(".json"):  # the names of Mesos before 0.20
                handler = self._handlers.get(head[: -len(".json")])
            if handler is not None:
                return handler, path[len(head) :]
            if not head:
                return None
            head = head[: head.rfind("/")]
