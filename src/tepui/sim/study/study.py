"""One study: the plan's cluster and workload, under virtual time.

Every decision is that of the production cores: the master with its allocator, and an agent's on each
machine. Played are time, the network (a message takes none of it, and none is lost), containers
(they only pass time) and frameworks (see `framework.py`). All that is said at one moment is stepped
together, so that a task costs few steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from time import perf_counter

from msgspec import structs

from tepui import MESOS_VERSION
from tepui.agent.core import events as agent_events
from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.base.names import Role, StreamId
from tepui.master.core import actions, events
from tepui.master.core.events import LinkId, RequestId
from tepui.master.core.explain import explain_framework
from tepui.master.core.settings import Settings
from tepui.master.core.state import new
from tepui.master.core.step import step
from tepui.resources import Resources
from tepui.resources.scalars import milli
from tepui.sim.study import plan, results
from tepui.sim.study.agent import StudyAgent
from tepui.sim.study.framework import Crew, StudyFramework, where_of
from tepui.sim.study.results import Books, Result
from tepui.sim.time import Alarm, VirtualTime
from tepui.wire import mesos, scheduler

START_MS = 1_700_000_000_000
RESOURCES = ("cpus", "mem", "disk", "gpus")  # whose use is told
SETTLED_MS = 1_000  # from then on tasks need not be on the hosts where they are said to begin
STILL_MS = 900_000  # when nothing has begun or ended for so long, and nothing will, all is over
LEAST_MS = 60_000  # of a study without an end that has nothing but services
CALM_PING_MS = 3_600_000
EXPLAINED_MAX = 100  # jobs that wait at the end and whose reason is told


def study(described: plan.Plan) -> Result:
    """The figures of the plan; the same plan has the same, but for the time it took.

    Raises Refused when the master refuses an agent, framework or task of it.
    """
    began_s = perf_counter()
    result = Study(described).run()
    return structs.replace(result, took_s=perf_counter() - began_s)


class Study:
    """A cluster, from its start to the end of the study."""

    def __init__(self, described: plan.Plan) -> None:
        self._plan = described
        self._random = Random(f"{described.seed}/events")
        until_ms = described.until_ms
        self._end_ms = None if until_ms is None else START_MS + until_ms
        self.time = VirtualTime(START_MS)
        self.steps = 0
        self.master = new(
            mesos.MasterInfo(
                id="m",
                ip=0,
                port=5050,
                pid="master@10.0.0.0:5050",
                hostname="m",
                version=MESOS_VERSION,
            ),
            now_ms=START_MS,
            seed=described.seed.to_bytes(8, "big"),
            settings=_settings(described),
            weights={Role(role): weight for role, weight in described.roles.items()},
        )
        names = {framework.name: framework.role for framework in described.frameworks}
        self.books = Books(names, RESOURCES, START_MS)
        self.agents: list[StudyAgent] = []
        self.frameworks = [
            StudyFramework(one, described.seed, self.time, self.books, self._called)
            for one in described.frameworks
        ]
        self._numbers: dict[str, int] = {}  # of agents that a group has had
        self._by_link: dict[LinkId, StudyAgent] = {}
        self._streams = {StreamId(one.name): one for one in self.frameworks}
        self._inbox: list[events.Event] = []
        self._has_turn = False
        self._busy: list[StudyAgent] = []
        self._alarm = Alarm(self.time, self._rang)
        self._asked = 0
        self._to_come = 0  # arrivals and events
        self._changed_ms = START_MS  # when a task last began, ended or arrived
        self._counted = (0, 0, 0)
        self._still_ms = STILL_MS + 3 * max(
            (one.answers_after_ms for one in self.frameworks), default=0
        )
        self._is_over = False

    def run(self) -> Result:
        """Play to the end."""
        for group in self._plan.agents:
            self._join(group, group.count)
        for framework in self.frameworks:
            start_ms = parse_duration_ms(framework.described.start)
            self._later(start_ms, partial(self._subscribe, framework))
            self._later(start_ms + SETTLED_MS, framework.forget_hosts)
            for crew in framework.crews:
                self._plan_arrivals(framework, crew)
        for event in self._plan.events:
            self._later(parse_duration_ms(event.at), partial(self._happen, event))
        if self._end_ms is not None:
            self.time.at(self._end_ms, self._stop)
        while not self._is_over and self.time.advance():
            pass
        return self._result()

    # What happens besides

    def _plan_arrivals(self, framework: StudyFramework, crew: Crew) -> None:
        job = crew.job
        crew.to_come = (job.count or 0) * len(job.arrival.at or (0,))
        waves = plan.arrivals(job, crew.random, self._plan.until_ms or plan.SPAN_MS_MAX)

        def follow() -> None:
            wave = next(waves, None)
            if wave is not None:
                at_ms, count = wave
                self._later(at_ms, lambda: arrive(count))

        def arrive(count: int) -> None:
            framework.arrive(crew, count)
            crew.to_come = max(0, crew.to_come - count)
            self._touch()
            follow()

        follow()

    def _later(self, at_ms: int, call: Callable[[], None]) -> None:
        self._to_come += 1

        def happen() -> None:
            self._to_come -= 1
            call()

        self.time.at(START_MS + at_ms, happen)

    def _happen(self, event: plan.Happening) -> None:
        if event.join is not None:
            groups = [one for one in self._plan.agents if event.agents in (None, one.name)]
            self._join(groups[0], event.join)
            return
        assert event.die is not None  # plan_of
        alive = [one for one in self.agents if event.agents in (None, one.group)]
        for agent in self._random.sample(alive, min(event.die, len(alive))):
            agent.die()
            self.agents.remove(agent)
            self._put(events.LinkClosed(LinkId(agent.number)))

    def _join(self, group: plan.Agents, count: int) -> None:
        resources = plan.resources_of(group).to_wire(role=None, refinement=True)
        attributes = plan.attributes_of(group)
        for _ in range(count):
            number = len(self._by_link) + 1
            of_group = self._numbers[group.name] = self._numbers.get(group.name, 0) + 1
            is_named = group.hostname is not None and of_group == 1
            info = mesos.AgentInfo(
                hostname=(group.hostname or "") if is_named else f"{group.name}-{of_group}",
                port=5051,
                resources=resources,
                attributes=attributes,
            )
            agent = StudyAgent(number, group.name, info, self.time, self._busy.append)
            self.agents.append(agent)
            self._by_link[LinkId(number)] = agent
            self._put(events.LinkOpened(LinkId(number), agent.state.settings.ip))
            agent.put(agent_events.LinkOpened())

    def _subscribe(self, framework: StudyFramework) -> None:
        stream = StreamId(framework.name)
        self._put(events.SubscribeReceived(stream, framework.subscribe_call()))

    def _stop(self) -> None:
        self._is_over = True

    # Turns

    def _called(self, framework: StudyFramework, call: scheduler.Call) -> None:
        self._asked += 1
        stream = StreamId(framework.name)
        self._put(events.CallReceived(RequestId(self._asked), call, stream))

    def _put(self, event: events.Event) -> None:
        self._inbox.append(event)
        self._touch()

    def _touch(self) -> None:
        """Have a turn at this moment, after what else happens in it."""
        if not self._has_turn:
            self._has_turn = True
            self.time.at(self.time.now_ms, self._turn)

    def _rang(self) -> None:
        due_ms = self.master.timers.next_ms()
        if due_ms is not None and due_ms <= self.time.now_ms:
            self._touch()
        else:
            self._alarm.set(due_ms)

    def _turn(self) -> None:
        """Everybody hears what was said, and answers; the answers are heard in the next turn."""
        self._has_turn = False
        now_ms = self.time.now_ms
        self._hear_agents()
        batch, self._inbox = self._inbox, []
        self.steps += 1
        for action in step(self.master, batch, now_ms).then:
            self._act(action)
        self._hear_agents()
        due_ms = self.master.timers.next_ms()
        if self._inbox or (due_ms is not None and due_ms <= now_ms):
            self._touch()
            return
        self._alarm.set(due_ms)
        self._settle(now_ms)

    def _hear_agents(self) -> None:
        busy, self._busy[:] = self._busy[:], []
        for agent in busy:
            link_id = LinkId(agent.number)
            self._inbox.extend(events.LinkReceived(link_id, said) for said in agent.run())

    def _act(self, action: actions.Action) -> None:
        match action:
            case actions.SendEvent(stream=stream, event=scheduler.Event() as event):
                self._streams[stream].received(event)
            case actions.SendToAgent(link=link_id, message=message):
                self._by_link[link_id].put(agent_events.MasterSpoke(message))
            case actions.Answer(status=status, text=text):
                assert status == 202, text
            case actions.CloseLink(link=link_id):
                hostname = self._by_link[link_id].info.hostname
                raise Refused(f"agent '{hostname}': the master does not admit it")
            case _:
                pass  # notes and views have no part in it

    def _settle(self, now_ms: int) -> None:
        """This moment is over: count, and see whether all is."""
        self.books.settle(self.master.allocator.cluster.totals, now_ms)
        waiting = finite = ended = 0
        for framework in self.frameworks:
            count = framework.waiting
            self.books.waiting[framework.name].set(count, now_ms)
            waiting += count
            running = 0
            for crew in framework.crews:
                running += crew.running
                ended += crew.finished + crew.lost
                finite += 0 if crew.job.runs_for_ever else crew.running
            self.books.running[framework.name].set(running, now_ms)
        counted = (waiting, finite, ended)
        if counted != self._counted:
            self._counted, self._changed_ms = counted, now_ms
        lived_ms = now_ms - START_MS
        if self._end_ms is None and not self._to_come and not finite and lived_ms >= LEAST_MS:
            self._is_over = not waiting or now_ms - self._changed_ms >= self._still_ms

    # The end

    def _result(self) -> Result:
        now_ms = self.time.now_ms
        books = self.books
        ends_ms = [one.last_end_ms for one in self.frameworks if one.last_end_ms is not None]
        return Result(
            span_ms=now_ms - START_MS,
            agents=len(self.agents),
            tasks_finished=sum(c.finished for one in self.frameworks for c in one.crews),
            last_end_ms=max(ends_ms) - START_MS if ends_ms else None,
            frameworks=[self._framework_result(one, now_ms) for one in self.frameworks],
            roles=[
                results.RoleResult(
                    name=role,
                    weight=self.master.allocator.weight(Role(role)),
                    share_mean=holder.share.mean(now_ms),
                    share_peak=holder.share.peak,
                )
                for role, holder in books.roles.items()
            ],
            resources=[
                one for one in results.resources_result(books, now_ms) if one.total or one.used_peak
            ],
            waiting=self._waiting_results(now_ms),
            course=results.course_of(books, now_ms),
            steps=self.steps,
        )

    def _framework_result(self, one: StudyFramework, now_ms: int) -> results.FrameworkResult:
        holder = self.books.frameworks[one.name]
        still = [now_ms - since_ms for crew in one.crews for since_ms, _ in crew.waiting]
        return results.FrameworkResult(
            name=one.name,
            role=one.described.role,
            finished=sum(crew.finished for crew in one.crews),
            running=sum(crew.running for crew in one.crews),
            waiting=len(still),
            to_come=sum(crew.to_come for crew in one.crews),
            lost=sum(crew.lost for crew in one.crews),
            waits=results.waits_of([ms for crew in one.crews for ms in crew.waits_ms], still),
            share_mean=holder.share.mean(now_ms),
            share_peak=holder.share.peak,
        )

    def _waiting_results(self, now_ms: int) -> list[results.WaitingResult]:
        found: list[results.WaitingResult] = []
        for framework in self.frameworks:
            for crew in framework.crews:
                if crew.waiting and len(found) < EXPLAINED_MAX:
                    found.append(self._why(framework, crew, now_ms))
        return found

    def _why(self, framework: StudyFramework, crew: Crew, now_ms: int) -> results.WaitingResult:
        wanted = Resources.of_scalars(**crew.wanted)
        known = framework.framework_id  # None: it has not subscribed yet
        framework_id = "" if known is None else known.value
        why = explain_framework(self.master, framework_id, now_ms, wanted)
        lines = why.lines
        if crew.job.constraints:
            shown = ", ".join(" ".join(one) for one in crew.job.constraints)
            allowed = sum(
                crew.may_run_on(where_of(agent.info.hostname, agent.info.attributes))
                for agent in self.agents
            )
            lines = (*lines, f"only where {shown}: {allowed} of {len(self.agents)} agents now")
        return results.WaitingResult(
            framework=framework.name,
            job=crew.name,
            tasks=len(crew.waiting),
            longest_ms=max(now_ms - since_ms for since_ms, _ in crew.waiting),
            summary=why.summary,
            lines=lines,
        )


def _settings(described: plan.Plan) -> Settings:
    """The master's flags. Where no agent dies, every ping is answered, and few are enough."""
    master = described.master
    dies = any(event.die is not None for event in described.events)
    ping_ms = parse_duration_ms(master.agent_ping_timeout) if dies else CALM_PING_MS
    settings = Settings(
        agent_ping_timeout_ms=ping_ms,
        max_agent_ping_timeouts=master.max_agent_ping_timeouts,
        offer_timeout_ms=None
        if master.offer_timeout is None
        else parse_duration_ms(master.offer_timeout),
        filter_gpu_resources=master.filter_gpu_resources,
        max_completed_tasks_per_framework=0,  # nobody asks for them
    )
    if master.min_allocatable_resources is None:
        return settings
    minimums = tuple(
        {name: milli(amount) for name, amount in one.items()}
        for one in master.min_allocatable_resources
    )
    return structs.replace(settings, min_allocatable=minimums)
