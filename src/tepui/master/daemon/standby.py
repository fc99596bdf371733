"""What a master answers that does not lead: nearly all of it is for the leader.

Source: Mesos master/http.cpp (redirect); answers as a real standby gives them.
"""

from __future__ import annotations

from urllib.parse import quote

from tepui import MESOS_VERSION
from tepui.master.core.views.cluster import BUILD
from tepui.master.core.views.questions import PARSERS
from tepui.master.daemon.options import MasterOptions
from tepui.web.files import Files, FilesApi
from tepui.web.http import Handler, Request, Response, json, text
from tepui.web.loglevel import LogLevel
from tepui.web.process import ProcessApi
from tepui.web.routes import Routes
from tepui.wire import mesos

# What is asked of a leader besides the questions; some of it no leader of ours does yet.
COMMANDS = (
    *("/api/v1", "/link", "/metrics", "/teardown", "/kill"),
    *("/reserve", "/unreserve", "/create-volumes", "/destroy-volumes"),
    *("/machine/down", "/machine/up"),
)
NO_LEADER = text(503, "No leader elected")
NOT_RECOVERED = text(503, "Master has not finished recovery")


class Standby:
    """The handlers; `leader` is who leads, as far as is known."""

    def __init__(self, options: MasterOptions) -> None:
        self.leader: mesos.MasterInfo | None = None
        self.is_recovering = False  # we lead, and read the registry
        self._options = options
        self.routes = self._routes()

    def _routes(self) -> Routes:
        files = Files()
        if self._options.log_file is not None:
            files.attach("/master/log", self._options.log_file)
        own: dict[str, Handler] = {
            "/health": self._health,
            "/flags": self._flags,
            "/metrics/snapshot": self._metrics,
            "/version": self._version,
            "/redirect": self._redirect_to_leader,
        }
        table = Routes(prefixes=("/master",))
        for part in (own, ProcessApi(LogLevel()).handlers(), FilesApi(files).handlers()):
            for path, handler in part.items():
                table.add(path, handler)
        elsewhere = {f"/{name}" for name in PARSERS} - own.keys()
        for path in (*elsewhere, *COMMANDS):
            table.add(path, self._redirect)
        return table

    def _redirect(self, request: Request) -> Response:
        """307 to the same of the leader, below /master as in Mesos."""
        if self.is_recovering:
            return NOT_RECOVERED
        if self.leader is None:
            return NO_LEADER
        path = request.path.removeprefix("/master")
        query = f"?{request.query_text}" if request.query_text else ""
        return _moved(self.leader, f"/master{quote(path)}{query}")

    def _redirect_to_leader(self, request: Request) -> Response:
        return NO_LEADER if self.leader is None else _moved(self.leader, "")

    def _health(self, request: Request) -> Response:
        return Response(200)

    def _flags(self, request: Request) -> Response:
        return json({"flags": dict(sorted(self._options.flags.items()))}, request)

    def _version(self, request: Request) -> Response:
        return json({**BUILD, "version": MESOS_VERSION}, request)

    def _metrics(self, request: Request) -> Response:
        return json({"master/elected": 0.0}, request)


def _moved(leader: mesos.MasterInfo, below: str) -> Response:
    host = leader.hostname or (leader.address.hostname if leader.address else None) or ""
    return Response(307, headers=(("Location", f"//{host}:{leader.port}{below}"),))
