"""The classic endpoints of the agent. `/slave(1)` may stand before each, as in Mesos."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tepui.agent.core.actions import AnswerClassic, Json, Reply
from tepui.agent.core.events import Classic, ClassicAsked
from tepui.agent.daemon.build import version_info
from tepui.agent.daemon.containers import Containers
from tepui.agent.daemon.master_link import MasterLink
from tepui.agent.daemon.put import Put
from tepui.web.http import Handler, Request, Response, json, text
from tepui.web.loglevel import LogLevel
from tepui.web.process import ProcessApi, system_metrics
from tepui.web.requests import Requests

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Endpoints:
    """The handlers, bound to the daemon."""

    def __init__(
        self,
        put: Put,
        requests: Requests[Reply],
        containers: Containers,
        master: MasterLink,
        flags: Mapping[str, str],
        log_level: LogLevel,
        fetcher_metrics: Callable[[], dict[str, float]] = dict,
        lacking: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._put = put
        self._requests = requests
        self._containers = containers
        self._master = master
        self._flags = flags
        self._process = ProcessApi(log_level)
        self._fetcher_metrics = fetcher_metrics
        self._lacking = lacking

    def handlers(self) -> dict[str, Handler]:
        """All of them, by path."""
        return {
            "/state": self.state,
            "/containers": self.containers,
            "/monitor/statistics": self.statistics,
            "/flags": self.flags,
            "/lacking": self.lacking,
            "/version": self.version,
            "/health": self.health,
            "/metrics/snapshot": self.snapshot,
            "/metrics": self.prometheus,
            **self._process.handlers(),
        }

    async def state(self, request: Request) -> Response:
        body = await self._ask(Classic.STATE)
        assert isinstance(body, dict)
        version: dict[str, Json] = dict(self._version())
        extra: dict[str, Json] = {
            "master_hostname": self._master.leader.rpartition(":")[0],
            "flags": dict(self._flags),
        }
        frameworks = {name: body.pop(name) for name in ("frameworks", "completed_frameworks")}
        return json(version | body | extra | frameworks, request)

    async def containers(self, request: Request) -> Response:
        body = await self._ask(
            Classic.CONTAINERS,
            show_nested=_is_true(request, "show_nested"),
            show_standalone=_is_true(request, "show_standalone"),
        )
        wanted = request.query.get("container_id")
        if isinstance(body, list) and wanted is not None:
            body = [one for one in body if isinstance(one, dict) and one["container_id"] == wanted]
        return json(body, request)

    async def statistics(self, request: Request) -> Response:
        return json(await self._ask(Classic.STATISTICS), request)

    async def snapshot(self, request: Request) -> Response:
        return json(await self._ask(Classic.METRICS), request)

    async def prometheus(self, request: Request) -> Response:
        """`/metrics`: the same metrics as text for Prometheus."""
        if request.rest:
            return text(404, "404 Not Found.")
        body = await self._ask(Classic.METRICS)
        assert isinstance(body, dict)
        lines = [f"{_prometheus_name(name)} {value}\n" for name, value in body.items()]
        return Response(200, "".join(lines).encode(), PROMETHEUS_TYPE)

    async def flags(self, request: Request) -> Response:
        return json({"flags": self._flags}, request)

    async def lacking(self, request: Request) -> Response:
        """What containers on this machine do without, and why. Mesos has no such thing."""
        if request.rest:
            return text(404, "404 Not Found.")
        return json({"lacking": self._lacking()}, request)

    async def version(self, request: Request) -> Response:
        return json(self._version(), request)

    async def health(self, request: Request) -> Response:
        return Response(200)

    async def _ask(
        self, view: Classic, *, show_nested: bool = False, show_standalone: bool = False
    ) -> Json:
        needs_usage = view in (Classic.CONTAINERS, Classic.STATISTICS)
        usage = await self._containers.usage() if needs_usage else {}
        system: dict[str, float] = {}
        if view is Classic.METRICS:
            system = system_metrics() | self._fetcher_metrics()
            system |= await self._containers.metrics()
        reply = await self._requests.ask(
            lambda number: self._put(
                ClassicAsked(number, view, usage, system, show_nested, show_standalone)
            )
        )
        assert isinstance(reply, AnswerClassic)
        return reply.body

    def _version(self) -> dict[str, str | float | None]:
        info = version_info()
        return {
            "build_date": info.build_date,
            "build_time": info.build_time,
            "build_user": info.build_user,
            "git_tag": info.git_tag,
            "version": info.version,
        }


def _is_true(request: Request, name: str) -> bool:
    return request.query.get(name) in ("true", "1")


def _prometheus_name(name: str) -> str:
    return "tepui_" + "".join(c if c.isalnum() else "_" for c in name)
