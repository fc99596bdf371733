"""The classic endpoints: GET what the core answers, and the few that do something."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.events import (
    Asked,
    KillAsked,
    OperatorCallReceived,
    RequestId,
    TeardownAsked,
)
from tepui.master.core.views.questions import PARSERS, question_of, teardown_of
from tepui.master.daemon.put import Put
from tepui.web.http import Handler, Request, Response, not_allowed, text, with_jsonp
from tepui.web.requests import Requests
from tepui.wire import json, master, mesos

# In Mesos these can be changed as well: whoever tries is not to believe that it was done.
WRITABLE = ("quota", "maintenance/schedule")


class Classic:
    """Handlers bound to the daemon."""

    def __init__(self, put: Put, requests: Requests[Response], info: mesos.MasterInfo) -> None:
        self._put = put
        self._requests = requests
        self._info = info

    def handlers(self) -> dict[str, Handler]:
        """All of them, by path."""
        asking = {f"/{name}": self._asking(name) for name in PARSERS}
        return {
            **asking,
            "/metrics": self.metrics,
            "/redirect": self.redirect,
            "/teardown": self.teardown,
            "/kill": self.kill,
        }

    def _asking(self, name: str) -> Handler:
        async def handle(request: Request) -> Response:
            if name == "weights" and request.method == "PUT":
                return await self._set_weights(request)
            if name in WRITABLE and request.method not in ("GET", "HEAD"):
                said = f"{request.method} /{name} is not supported by this master"
                return text(501, said)
            query = request.query
            if name == "tasks" and request.method == "POST":
                query = {**query, **request.form}
            if name == "slaves" and request.rest:
                query = {**query, "slave_id": request.rest.lstrip("/")}
            return with_jsonp(await self._ask(name, query), request)

        return handle

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return await self._ask("metrics/prometheus", {})

    async def redirect(self, request: Request) -> Response:
        """307 to the leading master, which this one is."""
        location = f"//{self._info.hostname}:{self._info.port}"
        below = urlsplit(request.rest).path
        return Response(307, headers=(("Location", location + below),))

    async def teardown(self, request: Request) -> Response:
        """Remove a framework: POST with frameworkId in the form."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        framework_id = teardown_of(request.form)
        return await self._requests.ask(
            lambda number: self._put(TeardownAsked(RequestId(number), framework_id))
        )

    async def kill(self, request: Request) -> Response:
        """Kill a task: POST with framework_id and task_id in the form. Not in Mesos."""
        if request.method != "POST":
            return not_allowed(request, "POST")
        form = request.form
        for name in ("framework_id", "task_id"):
            if not form.get(name):
                return text(400, f"missing '{name}' in the form")
        framework_id, task_id = FrameworkId(form["framework_id"]), TaskId(form["task_id"])
        return await self._requests.ask(
            lambda number: self._put(KillAsked(RequestId(number), framework_id, task_id))
        )

    async def _set_weights(self, request: Request) -> Response:
        """UPDATE_WEIGHTS by its older name: the body is the list of weights."""
        try:
            infos = msgspec.json.decode(request.body)
        except msgspec.DecodeError as error:
            return text(400, f"Failed to parse update weights request JSON: {error}")
        update = json.decode(
            master.Call.UpdateWeights, msgspec.json.encode({"weight_infos": infos})
        )
        call = master.Call(type=master.Call.Type.UPDATE_WEIGHTS, update_weights=update)
        principal = request.principal
        return await self._requests.ask(
            lambda number: self._put(OperatorCallReceived(RequestId(number), call, principal))
        )

    async def _ask(self, name: str, query: dict[str, str]) -> Response:
        question = question_of(name, query)
        assert question is not None  # PARSERS has the name
        asked = question
        return await self._requests.ask(lambda number: self._put(Asked(RequestId(number), asked)))
