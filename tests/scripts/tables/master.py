"""A master as the tables find it: who is known to it, by ids that never change.

| framework | who                                                                    |
| --------- | ---------------------------------------------------------------------- |
| M-0000    | role `web`, subscribed on stream-0; runs `t` on M-S0 and has its offer |
| M-0001    | role `ads`, subscribed on stream-1; suppressed, so without offers      |
| M-0002    | role `web`, disconnected; may come back for an hour                    |
| M-0003    | was torn down                                                          |

Agents: M-S0 runs; M-S1 was marked gone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec.structs import replace

from tepui.base.names import FrameworkId, StreamId
from tepui.master.core.actions import Action, Record
from tepui.master.core.events import (
    CallReceived,
    Event,
    LinkId,
    LinkReceived,
    OperatorCallReceived,
    RequestId,
    StreamClosed,
    SubscribeReceived,
)
from tepui.master.core.state import State, new
from tepui.master.core.step import step
from tepui.master.daemon.options import MasterOptions
from tepui.master.daemon.routes import routes
from tepui.master.daemon.shell import Shell
from tepui.resources import parse_resources
from tepui.web.event_streams import EventStreams
from tepui.web.http import Response
from tepui.web.requests import Requests
from tepui.web.snapshots import Snapshots
from tepui.wire import link, master, mesos, scheduler
from tepui.wire.media import Media
from tests.master.world import AGENT_RESOURCES, START_MS, master_info, task_info
from tests.scripts.tables.served import Served, Wire

WEB, ADS, AWAY, GONE = "M-0000", "M-0001", "M-0002", "M-0003"
AGENT, GONE_AGENT = "M-S0", "M-S1"
STREAM_ID = "Mesos-Stream-Id"
STREAM, ADS_STREAM = "stream-0", "stream-1"
RUNNING_TASK = "t"
UUID = "AAAAAAAAEAAAAAAAAAAAAA=="  # 16 bytes, version 1

Call = scheduler.Call


def served(directory: Path) -> tuple[Served[Event, Record, Action], State]:
    """The master, to be asked; it shows the file `stdout` of `directory` as its log."""
    state = _peopled()
    options = MasterOptions(log_file=str(directory / "stdout"))
    requests: Requests[Response] = Requests()
    streams: EventStreams[StreamId] = EventStreams()
    snapshots = Snapshots(lambda question: (), lambda: None)  # so little needs none
    shell = Shell(requests, streams, {}, snapshots)
    daemon: Served[Event, Record, Action] = Served(
        partial(step, state), shell.act, state.timers.next_ms, START_MS
    )
    for name in (STREAM, ADS_STREAM):
        wire = daemon.listening[name] = Wire()
        streams.open(StreamId(name), Media.JSON, left=lambda: None).attach(wire)
    daemon.routes = routes(options, state.info, daemon.loop.put, requests, streams)
    return daemon, state


def _peopled() -> State:
    state = new(
        replace(master_info(), id="M"), now_ms=START_MS, seed=b"bad input", flags={"quorum": "1"}
    )
    for number in (0, 1):
        info = mesos.AgentInfo(
            hostname=f"host-{number}",
            port=15_051 + number,
            resources=parse_resources(AGENT_RESOURCES).to_wire(role=None, refinement=True),
        )
        register = link.Register(info, "1.0.0", f"127.0.0.1:{15_051 + number}")
        _put(state, LinkReceived(LinkId(number), register))
    gone = master.Call.MarkAgentGone(agent_id=mesos.AgentID(GONE_AGENT))
    mark = master.Call(type=master.Call.Type.MARK_AGENT_GONE, mark_agent_gone=gone)
    _put(state, OperatorCallReceived(RequestId(0), mark))
    for number, role in enumerate(("web", "ads", "web", "web")):
        _subscribe(state, number, role)
    _call(state, 1, Call.Type.SUPPRESS)
    _put(state, StreamClosed(StreamId("stream-2")))
    _call(state, 3, Call.Type.TEARDOWN)
    _launch(state)
    return state


def _subscribe(state: State, number: int, role: str) -> None:
    multi_role = mesos.FrameworkInfo.Capability(type=mesos.FrameworkInfo.Capability.Type.MULTI_ROLE)
    info = mesos.FrameworkInfo(
        user="root", name=role, roles=(role,), capabilities=(multi_role,), failover_timeout=3600.0
    )
    call = Call(type=Call.Type.SUBSCRIBE, subscribe=Call.Subscribe(framework_info=info))
    _put(state, SubscribeReceived(StreamId(f"stream-{number}"), call))
    if number:  # all but the first leave the agent to it
        _call(state, number, Call.Type.SUPPRESS)


def _launch(state: State) -> None:
    """The first framework has a running task, and what is left of the agent as an offer."""
    (offer,) = state.frameworks[state.framework_by_stream[StreamId(STREAM)]].offers.values()
    task = task_info(RUNNING_TASK, offer.agent_id, "cpus:1;mem:32", None)
    operation = mesos.Offer.Operation(
        type=mesos.Offer.Operation.Type.LAUNCH,
        launch=mesos.Offer.Operation.Launch(task_infos=(task,)),
    )
    accept = Call.Accept(
        offer_ids=(mesos.OfferID(offer.id),),
        operations=(operation,),
        filters=mesos.Filters(refuse_seconds=0.0),
    )
    _call(state, 0, Call.Type.ACCEPT, accept=accept)
    status = mesos.TaskStatus(
        task_id=mesos.TaskID(RUNNING_TASK),
        state=mesos.TaskState.TASK_RUNNING,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        agent_id=mesos.AgentID(offer.agent_id),
        executor_id=mesos.ExecutorID(RUNNING_TASK),
        timestamp=START_MS / 1000,
        uuid=bytes(6) + b"\x10" + bytes(9),
    )
    running = mesos.TaskState.TASK_RUNNING
    _put(state, LinkReceived(LinkId(0), link.StatusUpdated(FrameworkId(WEB), status, running)))


def _call(state: State, number: int, kind: Call.Type, **parts: object) -> None:
    call = Call(
        type=kind,
        framework_id=mesos.FrameworkID(f"M-{number:04d}"),
        **parts,  # type: ignore[arg-type]  # the message of the kind
    )
    _put(state, CallReceived(RequestId(0), call, StreamId(f"stream-{number}")))


def _put(state: State, event: Event) -> None:
    step(state, (event,), START_MS)
    while (due_ms := state.timers.next_ms()) is not None and due_ms <= START_MS:
        step(state, (), START_MS)
