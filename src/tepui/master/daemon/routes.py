"""The master's routes. `/master` may stand before each of them, as in Mesos."""

from __future__ import annotations

from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.peers import Peers
from tepui.master.daemon.put import Put
from tepui.master.daemon.scheduler_api import SchedulerApi
from tepui.web.http import Request, Response
from tepui.web.routes import Routes
from tepui.wire import mesos


def routes(options: MasterOptions, info: mesos.MasterInfo, put: Put, peers: Peers) -> Routes:
    """All that the master answers."""
    table = Routes(prefixes=("/master",))
    table.add("/api/v1/scheduler", SchedulerApi(put, peers).handle)
    table.add("/health", _health)
    return table


async def _health(request: Request) -> Response:
    return Response(200)
