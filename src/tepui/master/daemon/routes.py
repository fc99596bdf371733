"""The master's routes. `/master` may stand before each of them, as in Mesos."""

from __future__ import annotations

from tepui.base.names import StreamId
from tepui.master.daemon.classic import Classic
from tepui.master.daemon.operator_api import OperatorApi
from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.put import Put
from tepui.master.daemon.scheduler_api import SchedulerApi
from tepui.web.event_streams import EventStreams
from tepui.web.files import Files, FilesApi
from tepui.web.http import Response
from tepui.web.loglevel import LogLevel
from tepui.web.process import ProcessApi
from tepui.web.requests import Requests
from tepui.web.routes import Routes
from tepui.wire import mesos


def routes(
    options: MasterOptions,
    info: mesos.MasterInfo,
    put: Put,
    requests: Requests[Response],
    streams: EventStreams[StreamId],
) -> Routes:
    """All that the master answers."""
    files = Files()
    if options.log_file is not None:
        files.attach("/master/log", options.log_file)
    table = Routes(prefixes=("/master",))
    schedulers = SchedulerApi(put, requests, streams)
    table.add("/api/v1/scheduler", schedulers.handle, schedulers.lane)
    log_level = LogLevel()
    table.add("/api/v1", OperatorApi(put, requests, streams, files, log_level).handle)
    for part in (ProcessApi(log_level), Classic(put, requests, info), FilesApi(files)):
        for path, handler in part.handlers().items():
            table.add(path, handler)
    return table
