"""Schedulers, agents and operators that say anything that has the right shape, in any order.

Mostly they name what exists, so that they get far; else ids that never were, of others, or of
what is gone. Amounts are often impossible. Everything is drawn from one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan
from random import Random
from typing import TypeVar

from tepui.base.names import AgentId, FrameworkId, OfferId, StreamId, TaskId
from tepui.master.core.events import (
    Asked,
    CallReceived,
    Event,
    KillAsked,
    LinkClosed,
    LinkId,
    LinkOpened,
    LinkReceived,
    OperatorCallReceived,
    OperatorLeft,
    OperatorSubscribed,
    RequestId,
    StreamClosed,
    SubscribeReceived,
    TeardownAsked,
)
from tepui.master.core.operator import SHELL_CALLS
from tepui.master.core.state import Agent, Framework, State
from tepui.master.core.validation import call_error
from tepui.master.core.views import questions
from tepui.wire import link, master, mesos, scheduler

T = TypeVar("T")
Call = scheduler.Call
Operation = mesos.Offer.Operation
Capability = mesos.FrameworkInfo.Capability

ROLES = ("*", "web", "web/a", "ads")
BAD_ROLES = ("", "/", "a//b", "-x", "..", "*/x", " ")
NUMBERS = (0.0, 0.1, 1.0, 2.5, 4096.0, -1.0, 1e-9, 1e300, 9.3e15, inf, -inf, nan)
SECONDS = (0.0, 0.1, 5.0, 60.0, -1.0, 1e9, 1e300, inf, -inf, nan)
NAMES = ("cpus", "mem", "disk", "gpus", "ports", "tokens", "")
TASK_IDS = (*[f"t{number}" for number in range(30)], "", "..", "a/b", "é" * 200, "\x00")
EXECUTOR_IDS = ("e1", "e2", "default", "", "/")
FOREIGN_IDS = ("", "nobody", "a/b", "\n", "x" * 300)
PRINCIPALS = (None, "limited", "free")


class Hostile:
    """Those around one master, whose state they may look at to say something fitting."""

    def __init__(self, state: State, random: Random) -> None:
        self._state = state
        self._random = random
        self._last = 0
        self._links: list[LinkId] = []
        self._streams: list[StreamId] = []
        self._gone_offers: list[OfferId] = []
        self._uuids: list[bytes] = []

    def events(self) -> list[Event]:
        """What happens next, in one batch."""
        return [self._event() for _ in range(self._random.choice((1, 1, 1, 2, 5)))]

    def _event(self) -> Event:
        kinds: tuple[tuple[Callable[[], Event], int], ...] = (
            (self._subscribe, 6),
            (self._call, 50),
            (self._stream_closed, 2),
            (self._link_opened, 5),
            (self._link_received, 45),
            (self._link_closed, 2),
            (self._operator_call, 3),
            (self._operator, 4),
        )
        weights = [weight for _, weight in kinds]
        return self._random.choices([kind for kind, _ in kinds], weights)[0]()

    # Schedulers

    def _subscribe(self) -> Event:
        info = self._framework_info()
        call = Call(
            type=Call.Type.SUBSCRIBE,
            framework_id=info.id,
            subscribe=Call.Subscribe(framework_info=info, suppressed_roles=self._some(ROLES, 0.05)),
        )
        stream = StreamId(f"s{self._number()}")
        self._streams.append(stream)
        return SubscribeReceived(stream, call)

    def _call(self) -> Event:
        framework = self._framework()
        offered = [f for f in self._state.frameworks.values() if f.offers]
        if offered and not self._seldom():
            framework = self._one(offered)
        framework_id = framework.id if framework else self._one(FOREIGN_IDS)
        subscription = framework.subscription if framework else None
        stream = subscription.stream if subscription else None
        if self._seldom():
            stream = self._one([*self._streams, None])
        kind = self._random.choices(
            list(Call.Type), [12 if k is Call.Type.ACCEPT else 1 for k in Call.Type]
        )[0]
        if kind in (Call.Type.TEARDOWN, Call.Type.SUBSCRIBE) and not self._seldom():
            kind = Call.Type.ACCEPT
        call = Call(
            type=kind,
            framework_id=mesos.FrameworkID(framework_id),
            accept=self._accept(framework),
            decline=Call.Decline(offer_ids=self._offer_ids(framework), filters=self._filters()),
            revive=self._maybe(Call.Revive(roles=self._some(ROLES + BAD_ROLES, 0.2))),
            suppress=self._maybe(Call.Suppress(roles=self._some(ROLES + BAD_ROLES, 0.2))),
            kill=Call.Kill(
                task_id=mesos.TaskID(self._task_id(framework)),
                agent_id=self._maybe(mesos.AgentID(self._agent_id())),
            ),
            shutdown=Call.Shutdown(
                executor_id=mesos.ExecutorID(self._one(EXECUTOR_IDS)),
                agent_id=mesos.AgentID(self._agent_id()),
            ),
            acknowledge=self._acknowledge(framework),
            acknowledge_operation_status=Call.AcknowledgeOperationStatus(
                agent_id=self._maybe(mesos.AgentID(self._agent_id())),
                uuid=self._uuid(),
                operation_id=mesos.OperationID("o"),
            ),
            reconcile=Call.Reconcile(
                tasks=tuple(
                    Call.Reconcile.Task(
                        task_id=mesos.TaskID(self._task_id(framework)),
                        agent_id=self._maybe(mesos.AgentID(self._agent_id())),
                    )
                    for _ in range(self._random.randint(0, 3))
                )
            ),
            reconcile_operations=Call.ReconcileOperations(
                operations=(
                    Call.ReconcileOperations.Operation(operation_id=mesos.OperationID("o")),
                )
            ),
            message=Call.Message(
                agent_id=mesos.AgentID(self._agent_id()),
                executor_id=mesos.ExecutorID(self._one(EXECUTOR_IDS)),
                data=b"\xff",
            ),
            request=Call.Request(),
            accept_inverse_offers=Call.AcceptInverseOffers(),
            decline_inverse_offers=Call.DeclineInverseOffers(),
            update_framework=Call.UpdateFramework(
                framework_info=self._framework_info(framework),
                suppressed_roles=self._some(ROLES, 0.05),
            ),
        )
        principal = framework.info.principal if framework and not self._seldom() else None
        if kind is Call.Type.SUBSCRIBE or call_error(call, principal) is not None:
            return self._subscribe()  # the shell refuses it
        return CallReceived(RequestId(self._number()), call, stream, principal)

    def _acknowledge(self, framework: Framework | None) -> Call.Acknowledge:
        waiting = [t for t in (framework.tasks.values() if framework else ()) if t.update]
        if waiting and not self._seldom():
            task = self._one(waiting)
            assert task.update is not None
            uuid = task.update.uuid or self._uuid()
            return Call.Acknowledge(
                agent_id=mesos.AgentID(task.agent_id), task_id=mesos.TaskID(task.id), uuid=uuid
            )
        return Call.Acknowledge(
            agent_id=mesos.AgentID(self._agent_id()),
            task_id=mesos.TaskID(self._task_id(framework)),
            uuid=self._uuid(),
        )

    def _accept(self, framework: Framework | None) -> Call.Accept:
        offer_ids = self._offer_ids(framework)
        offer = self._state.offers.get(OfferId(offer_ids[0].value)) if offer_ids else None
        agent_id = offer.agent_id if offer and not self._seldom() else self._agent_id()
        framework_id = framework.id if framework else FrameworkId("nobody")
        operations = tuple(
            self._operation(framework_id, agent_id) for _ in range(self._random.randint(0, 2))
        )
        return Call.Accept(offer_ids=offer_ids, operations=operations, filters=self._filters())

    def _operation(self, framework_id: FrameworkId, agent_id: AgentId) -> mesos.Offer.Operation:
        kind = self._one((*Operation.Type, None, *(Operation.Type.LAUNCH,) * 12))
        if self._seldom():
            kind = Operation.Type.LAUNCH_GROUP
        return Operation(
            type=kind,
            id=mesos.OperationID("o") if self._seldom() else None,
            launch=self._often(
                Operation.Launch(
                    task_infos=tuple(
                        self._task(framework_id, agent_id)
                        for _ in range(self._random.randint(0, 3))
                    )
                )
            ),
            launch_group=self._often(
                Operation.LaunchGroup(
                    executor=self._executor(mesos.ExecutorInfo.Type.DEFAULT, framework_id),
                    task_group=mesos.TaskGroupInfo(
                        tasks=tuple(
                            self._task(framework_id, agent_id, command_only=True)
                            for _ in range(self._random.randint(0, 3))
                        )
                    ),
                )
            ),
        )

    def _task(
        self, framework_id: FrameworkId, agent_id: AgentId, *, command_only: bool = False
    ) -> mesos.TaskInfo:
        executor = self._executor(mesos.ExecutorInfo.Type.CUSTOM, framework_id)
        is_command = command_only or self._random.random() < 0.6
        return mesos.TaskInfo(
            name="t",
            task_id=mesos.TaskID(self._one(TASK_IDS)),
            agent_id=mesos.AgentID(agent_id),
            resources=self._resources(small=True),
            command=mesos.CommandInfo(value="true") if is_command else None,
            executor=None if is_command else executor,
            kill_policy=self._maybe(mesos.KillPolicy()),
        )

    def _executor(
        self, kind: mesos.ExecutorInfo.Type, framework_id: FrameworkId
    ) -> mesos.ExecutorInfo:
        is_custom = kind is mesos.ExecutorInfo.Type.CUSTOM
        small = (_scalar("cpus", 0.1), _scalar("mem", 32.0), _scalar("disk", 1.0))
        return mesos.ExecutorInfo(
            type=kind,
            executor_id=mesos.ExecutorID(self._one(EXECUTOR_IDS)),
            framework_id=self._often(mesos.FrameworkID(framework_id)),
            command=mesos.CommandInfo(value="true") if is_custom else None,
            resources=self._resources(small=True) if self._seldom() else small,
        )

    def _framework_info(self, known: Framework | None = None) -> mesos.FrameworkInfo:
        state = self._state
        ids = [
            *state.frameworks,
            *state.completed_frameworks,
            FrameworkId(f"{state.info.id}-{state.frameworks_registered:04d}"),
            *FOREIGN_IDS,
            None,
            None,
        ]
        framework_id = known.id if known and not self._seldom() else self._one(ids)
        kinds = self._some(tuple(Capability.Type), 0.4)
        is_multi_role = Capability.Type.MULTI_ROLE in kinds
        roles = self._some(ROLES + (BAD_ROLES if self._seldom(0.05) else ()), 0.7)
        return mesos.FrameworkInfo(
            user=known.info.user if known else "root",
            name="hostile",
            id=None if framework_id is None else mesos.FrameworkID(framework_id),
            roles=roles if is_multi_role else (),
            role=None if is_multi_role else self._maybe(self._one(ROLES)),
            capabilities=tuple(Capability(type=kind) for kind in kinds),
            principal=known.info.principal if known else self._one(PRINCIPALS),
            failover_timeout=self._one(SECONDS) if self._seldom() else 100.0,
            checkpoint=known.info.checkpoint if known else self._seldom(),
        )

    def _stream_closed(self) -> Event:
        stream = self._one([*self._streams, StreamId("never")])
        return OperatorLeft(stream) if self._seldom() else StreamClosed(stream)

    # Agents

    def _link_opened(self) -> Event:
        found = LinkId(self._number())
        self._links.append(found)
        return LinkOpened(found, "10.0.0.1")

    def _link_closed(self) -> Event:
        if not self._links:
            return self._link_opened()
        return LinkClosed(self._links.pop(self._random.randrange(len(self._links))))

    def _link_received(self) -> Event:
        if not self._links:
            return self._link_opened()
        found = self._one(self._links)
        agent_id = self._state.agent_by_link.get(found)
        if agent_id is None:
            return LinkReceived(found, self._greeting())
        return LinkReceived(found, self._report(self._state.agents[agent_id]))

    def _greeting(self) -> link.FromAgent:
        kind = self._random.random()
        if kind < 0.05:
            return link.Hello(self._one((link.PROTOCOL, 99)), "1.0.0")
        if kind < 0.1:
            return link.Pong(1)
        if kind < 0.6:
            return link.Register(self._agent_info(None), "1.0.0", self._address())
        return self._reregister(self._agent_id())

    def _report(self, agent: Agent) -> link.FromAgent:
        kind = self._random.random()
        framework = self._framework()
        framework_id = framework.id if framework else FrameworkId("nobody")
        if kind < 0.45:
            return self._status_updated(agent)
        if kind < 0.55:
            executor_id = self._one(EXECUTOR_IDS)
            return link.ExecutorExited(framework_id, executor_id, -1, self._seldom())
        if kind < 0.6:
            return link.ExecutorMessage(framework_id, self._one(EXECUTOR_IDS), b"")
        if kind < 0.62:
            return link.Condition(not self._seldom(), "full")
        if kind < 0.87:
            return link.Pong(self._one((*[agent.ping_sequence] * 8, -1, 2**63)))
        if kind < 0.97:
            agent_id = self._agent_id() if self._seldom() else agent.id
            return self._reregister(agent_id, agent)
        if kind < 0.99:
            return self._greeting()
        return link.Unregister()

    def _status_updated(self, agent: Agent) -> link.FromAgent:
        own = list(agent.tasks)
        framework = self._framework()
        framework_id, task_id = (
            self._one(own)
            if own and not self._seldom()
            else (framework.id if framework else FrameworkId(""), TaskId(self._one(TASK_IDS)))
        )
        state = self._one(tuple(mesos.TaskState))
        status = mesos.TaskStatus(
            task_id=mesos.TaskID(task_id),
            state=state,
            source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
            agent_id=self._often(mesos.AgentID(agent.id)),
            timestamp=self._one(SECONDS),
            uuid=self._often(self._uuid()),
        )
        latest = self._one((state, state, *mesos.TaskState))
        return link.StatusUpdated(framework_id, status, latest)

    def _reregister(self, agent_id: AgentId, agent: Agent | None = None) -> link.FromAgent:
        """Mostly what the agent has, less a little, and a little more."""
        frameworks = [f.info for f in self._state.frameworks.values() if not self._seldom()]
        if self._seldom():
            frameworks.append(self._framework_info())
        tasks = [self._reported(key, agent) for key in (agent.tasks if agent else ())]
        executors = [
            link.RunningExecutor(one.framework_id, one.info)
            for one in (agent.every_executor() if agent else ())
            if not self._seldom()
        ]
        for info in frameworks:
            framework_id = FrameworkId(info.id.value if info.id else "")
            if self._seldom():
                executor = self._executor(mesos.ExecutorInfo.Type.CUSTOM, framework_id)
                executors.append(link.RunningExecutor(framework_id, executor))
            if self._random.random() < 0.5:
                tasks.append(self._reported((framework_id, TaskId(self._one(TASK_IDS))), None))
        return link.Reregister(
            info=self._agent_info(agent_id, agent),
            version="1.0.0",
            address=self._address(),
            frameworks=tuple(frameworks),
            executors=tuple(executors),
            tasks=tuple(task for task in tasks if not self._seldom()),
        )

    def _reported(self, key: tuple[FrameworkId, TaskId], agent: Agent | None) -> mesos.Task:
        framework_id, task_id = key
        known = agent.tasks[key] if agent else None
        to = self._one(tuple(mesos.TaskState))
        wire = known.resources.to_wire(role=known.role, refinement=True) if known else None
        if wire is None or self._seldom():
            wire = self._resources(small=True)
        return mesos.Task(
            name="t",
            task_id=mesos.TaskID(task_id),
            framework_id=mesos.FrameworkID(framework_id),
            agent_id=mesos.AgentID(self._agent_id()),
            state=to,
            resources=wire,
            status_update_state=self._maybe(to),
            status_update_uuid=self._maybe(self._uuid()),
        )

    def _agent_info(self, agent_id: str | None, agent: Agent | None = None) -> mesos.AgentInfo:
        scalars = (("cpus", 8.0), ("mem", 8192.0), ("disk", 8192.0))
        big = (*[_scalar(name, value) for name, value in scalars], _ports(1, 9))
        if self._seldom():
            reserved = mesos.Resource.ReservationInfo(
                type=mesos.Resource.ReservationInfo.Type.STATIC, role="web"
            )
            refined = mesos.Resource.ReservationInfo(
                type=mesos.Resource.ReservationInfo.Type.DYNAMIC, role="web/a"
            )
            big += (_scalar("cpus", 4.0, reserved, refined), _scalar("mem", 99.0, reserved))
        same = agent.info.resources if agent else big
        return mesos.AgentInfo(
            hostname="h",
            id=None if agent_id is None or self._seldom(0.02) else mesos.AgentID(agent_id),
            resources=self._resources(small=False) if self._seldom() else same,
            attributes=self._attributes(),
        )

    def _attributes(self) -> tuple[mesos.Attribute, ...]:
        if not self._seldom(0.04):
            return ()
        inverted = mesos.Value.Range(begin=9, end=1)
        return (
            mesos.Attribute(
                name=self._one(("rack", "")),
                type=self._one(tuple(mesos.Value.Type)),
                text=self._maybe(mesos.Value.Text("r1")),
                scalar=self._maybe(mesos.Value.Scalar(self._one(NUMBERS))),
                ranges=self._maybe(mesos.Value.Ranges(range=(inverted,))),
            ),
        )

    def _address(self) -> str:
        if self._seldom(0.05):
            return self._one(("", "host", "host:", ":1", "h:99999999", "h:x", "h:²", "[::1]:5051"))
        return f"10.0.0.1:{self._random.randint(1, 9)}"

    # Operators

    def _operator(self) -> Event:
        request = RequestId(self._number())
        framework = self._framework()
        framework_id = framework.id if framework else FrameworkId("nobody")
        kind = self._random.random()
        if kind < 0.1:
            stream = StreamId(f"o{self._number()}")
            self._streams.append(stream)
            return OperatorSubscribed(request, stream)
        if kind < 0.15:
            return TeardownAsked(request, framework_id)
        if kind < 0.4:
            return KillAsked(request, framework_id, TaskId(self._task_id(framework)))
        parse = self._one(tuple(questions.PARSERS.values()))
        ids = {"framework_id": framework_id, "task_id": self._task_id(framework)}
        question = parse(ids)
        assert question is not None
        return Asked(request, question)

    def _operator_call(self) -> Event:
        changes = (
            master.Call.Type.DEACTIVATE_AGENT,
            master.Call.Type.REACTIVATE_AGENT,
            master.Call.Type.MARK_AGENT_GONE,
            master.Call.Type.TEARDOWN,
            master.Call.Type.UPDATE_WEIGHTS,
        )
        kinds = (*changes, *(kind for kind in master.Call.Type if kind not in SHELL_CALLS))
        agent_id = mesos.AgentID(self._agent_id())
        framework = self._framework()
        framework_id = mesos.FrameworkID(framework.id if framework else "nobody")
        call = master.Call(
            type=self._one(kinds),
            deactivate_agent=master.Call.DeactivateAgent(agent_id=agent_id),
            reactivate_agent=master.Call.ReactivateAgent(agent_id=agent_id),
            mark_agent_gone=self._maybe(master.Call.MarkAgentGone(agent_id=agent_id)),
            teardown=self._maybe(master.Call.Teardown(framework_id=framework_id)),
            update_weights=master.Call.UpdateWeights(
                weight_infos=(
                    mesos.WeightInfo(
                        weight=self._one(NUMBERS), role=self._one((*ROLES, *BAD_ROLES, None))
                    ),
                )
            ),
            get_metrics=master.Call.GetMetrics(),
        )
        return OperatorCallReceived(RequestId(self._number()), call)

    # Parts

    def _resources(self, *, small: bool) -> tuple[mesos.Resource, ...]:
        if small and not self._seldom():
            wire: tuple[mesos.Resource, ...] = (_scalar("cpus", 0.1), _scalar("mem", 32.0))
            port = self._random.randint(1, 9)
            return (*wire, _ports(port, port)) if self._seldom(0.3) else wire
        return tuple(self._resource() for _ in range(self._random.randint(0, 3)))

    def _resource(self) -> mesos.Resource:
        name = self._one(NAMES)
        allocation = mesos.Resource.AllocationInfo(role=self._one((*ROLES, *BAD_ROLES, None)))
        return mesos.Resource(
            name=name,
            type=mesos.Value.Type.RANGES
            if name == "ports"
            else self._one((mesos.Value.Type.SCALAR, mesos.Value.Type.SCALAR, *mesos.Value.Type)),
            scalar=self._often(mesos.Value.Scalar(self._one(NUMBERS))),
            ranges=self._maybe(
                mesos.Value.Ranges(
                    range=(
                        mesos.Value.Range(
                            begin=self._random.randint(0, 12), end=self._one((3, 12, 2**64 - 1))
                        ),
                    )
                )
            )
            if name == "ports"
            else None,
            role=self._maybe(self._one(ROLES + BAD_ROLES)) if self._seldom() else None,
            revocable=mesos.Resource.RevocableInfo() if self._seldom(0.05) else None,
            allocation_info=allocation if self._seldom() else None,
        )

    def _offer_ids(self, framework: Framework | None) -> tuple[mesos.OfferID, ...]:
        own = list(framework.offers) if framework else []
        self._gone_offers = [*self._gone_offers[-20:], *own[:1]]
        found = [self._one(own)] if own else []
        if self._seldom():
            found += [self._one([*self._state.offers, *self._gone_offers, OfferId("")])]
        return tuple(mesos.OfferID(one) for one in found)

    def _filters(self) -> mesos.Filters | None:
        refuse_s = self._one(SECONDS) if self._seldom() else 0.0
        return self._often(mesos.Filters(refuse_seconds=refuse_s))

    def _framework(self) -> Framework | None:
        found = list(self._state.frameworks.values())
        return self._one(found) if found else None

    def _agent_id(self) -> AgentId:
        state = self._state
        absent = [*state.unreachable_agents, *state.removed_agents, *state.gone_agents]
        if state.agents and not self._seldom():
            return self._one(list(state.agents))
        coming = f"{state.info.id}-S{state.agents_registered}"
        return AgentId(self._one([*state.agents, *absent, coming, *FOREIGN_IDS]))

    def _task_id(self, framework: Framework | None) -> str:
        own = [*framework.tasks, *framework.unreachable_tasks] if framework else []
        return self._one(own) if own and not self._seldom() else self._one(TASK_IDS)

    def _uuid(self) -> bytes:
        """Sometimes one that was there before."""
        if not self._uuids or not self._seldom():
            drawn = bytearray(self._random.randbytes(16))
            drawn[6] = 0x40
            self._uuids = [*self._uuids[-50:], bytes(drawn)]
        return self._one(self._uuids[-3:] if not self._seldom() else self._uuids)

    # Chance

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _one(self, among: Sequence[T]) -> T:
        return self._random.choice(among)

    def _some(self, among: Sequence[T], chance: float) -> tuple[T, ...]:
        return tuple(one for one in among if self._random.random() < chance)

    def _seldom(self, chance: float = 0.15) -> bool:
        return self._random.random() < chance

    def _maybe(self, value: T) -> T | None:
        return value if self._random.random() < 0.5 else None

    def _often(self, value: T) -> T | None:
        return None if self._seldom() else value


def _scalar(
    name: str, value: float, *reservations: mesos.Resource.ReservationInfo
) -> mesos.Resource:
    return mesos.Resource(
        name=name,
        type=mesos.Value.Type.SCALAR,
        scalar=mesos.Value.Scalar(value),
        reservations=reservations,
    )


def _ports(begin: int, end: int) -> mesos.Resource:
    return mesos.Resource(
        name="ports",
        type=mesos.Value.Type.RANGES,
        ranges=mesos.Value.Ranges(range=(mesos.Value.Range(begin=begin, end=end),)),
    )
