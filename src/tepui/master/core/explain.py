"""Why a framework gets no offers, and why a task does not run: data, and a few plain lines.

The funnel over the agents is the allocator's own; what lies with the framework and with the task
is said here. Nothing is recorded beforehand.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.allocator import Dropped as Pile
from tepui.allocator import Funnel, Reason, Shortage, explain
from tepui.base.names import FrameworkId, TaskId
from tepui.master.core.state import Framework, State, Task
from tepui.resources import Resources
from tepui.resources.scalars import format_milli

# How each reason goes on after "3 agents: ".
REASONS: dict[Reason, str] = {
    Reason.UNKNOWN_FRAMEWORK: "the framework is not known to this master",
    Reason.NOT_IN_ROLE: "the framework is not in the role",
    Reason.DISCONNECTED: "no scheduler of the framework is connected",
    Reason.SUPPRESSED: "the framework has suppressed offers in the role",
    Reason.AGENT_INACTIVE: "disconnected, deactivated, or takes no tasks",
    Reason.TOO_SMALL: "too small, even if all of it were free",
    Reason.IN_USE: "what is wanted is in use or offered",
    Reason.CONSTRAINT: "excluded by the framework's offer constraints",
    Reason.GPU: "has GPUs, and the framework does not say that it can use them",
    Reason.REGION: "in another region, and the framework is not region-aware",
    Reason.NOT_ENOUGH: "what is free is less than the smallest offer",
    Reason.NOT_UNDERSTOOD: "what is free needs capabilities that the framework does not have",
    Reason.DECLINED: "declined by the framework",
}


class Dropped(Struct, frozen=True):
    """So many agents are out for one reason."""

    reason: str
    count: int
    examples: tuple[str, ...]
    role: str


class Explanation(Struct, frozen=True):
    """The answer in one sentence, in a few lines, and as numbers."""

    summary: str
    lines: tuple[str, ...]
    agents: int
    dropped: tuple[Dropped, ...] = ()


def explain_framework(
    state: State, framework_id: str, now_ms: int, wanted: Resources | None
) -> Explanation:
    """Why the framework gets no offers, or none that has `wanted`."""
    framework = state.frameworks.get(FrameworkId(framework_id))
    if framework is None:
        return _unknown_framework(state, framework_id, now_ms)
    funnels = explain(state.allocator, framework.id, wanted)
    return Explanation(
        summary=_summary(framework, funnels, wanted),
        lines=(*_state_lines(framework, now_ms), *_funnel_lines(funnels, now_ms)),
        agents=len(state.agents),
        dropped=tuple(
            Dropped(pile.reason, pile.agents, pile.examples, funnel.role)
            for funnel in funnels
            for pile in funnel.dropped
        ),
    )


def explain_task(state: State, framework_id: str, task_id: str, now_ms: int) -> Explanation:
    """Why the task does not run, or that it does."""
    agents = len(state.agents)
    framework = _known(state, framework_id)
    if framework is None:
        return _unknown_framework(state, framework_id, now_ms)
    task = _task(framework, TaskId(task_id))
    if task is None:
        whole = explain_framework(state, framework_id, now_ms, None)
        summary = (
            f"task '{task_id}' was never launched, or is forgotten:"
            " a task exists from the moment its framework accepts an offer for it"
        )
        return Explanation(summary, (whole.summary, *whole.lines), whole.agents, whole.dropped)
    summary = _task_summary(state, framework, task, now_ms)
    return Explanation(summary, _task_lines(task, now_ms), agents)


def _unknown_framework(state: State, framework_id: str, now_ms: int) -> Explanation:
    agents = len(state.agents)
    gone = state.completed_frameworks.get(FrameworkId(framework_id))
    if gone is None:
        return Explanation(f"framework '{framework_id}' is not known to this master", (), agents)
    assert gone.unregistered_ms is not None
    ago = _seconds(now_ms - gone.unregistered_ms)
    return Explanation(
        f"framework '{gone.info.name}' was removed {ago} ago",
        ("it was torn down, or did not come back within its failover timeout",),
        agents,
    )


# Frameworks


def _summary(framework: Framework, funnels: tuple[Funnel, ...], wanted: Resources | None) -> str:
    name = f"framework '{framework.info.name}'"
    if framework.subscription is None:
        return f"{name} gets no offers: its scheduler is not connected"
    if set(framework.roles) <= framework.suppressed:
        return f"{name} gets no offers: it has suppressed them in all its roles"
    if funnels and not funnels[0].agents:
        return f"{name} gets no offers: there are no agents"
    what = "offers" if wanted is None else f"offers with {wanted}"
    if any(funnel.left for funnel in funnels):
        return f"{name} gets {what}: {_agents(max(f.left for f in funnels))} can be offered now"
    if framework.offers and wanted is None:
        return f"{name} holds {_offers(framework)} that it has not answered"
    if (short := _nowhere(funnels)) is not None:
        return f"{name} gets no {what}: {_shortage(short)}"
    return f"{name} gets no {what} now"


def _nowhere(funnels: tuple[Funnel, ...]) -> Shortage | None:
    """What no agent has enough of, even if it were empty."""
    for funnel in funnels:
        for pile in funnel.dropped:
            if pile.reason is Reason.TOO_SMALL and pile.agents == funnel.agents:
                return pile.shortages[0] if pile.shortages else None
    return None


def _state_lines(framework: Framework, now_ms: int) -> list[str]:
    lines = []
    if framework.subscription is None:
        since_ms = framework.disconnected_ms or framework.registered_ms
        lines.append(f"its scheduler has been away for {_seconds(now_ms - since_ms)}")
    if framework.suppressed:
        lines.append(f"offers are suppressed in {', '.join(sorted(framework.suppressed))}")
    if framework.offers:
        lines.append(f"it holds {_offers(framework)} that it has not answered")
    return lines


def _funnel_lines(funnels: tuple[Funnel, ...], now_ms: int) -> list[str]:
    lines = []
    for funnel in funnels:
        lines.append(f"role {funnel.role}: {_agents(funnel.agents)}, {funnel.left} can be offered")
        lines += [_pile_line(pile, now_ms) for pile in funnel.dropped]
    return lines


def _pile_line(pile: Pile, now_ms: int) -> str:
    line = f"- {pile.agents}: {REASONS[pile.reason]}"
    if pile.shortages:
        line += " (" + "; ".join(_shortage(short) for short in pile.shortages) + ")"
    if pile.until_ms is not None:
        line += f" (the first filter ends in {_seconds(pile.until_ms - now_ms)})"
    return line


def _shortage(short: Shortage) -> str:
    wanted, most = format_milli(short.wanted), format_milli(short.most)
    return f"needs {short.name} {wanted}, the largest agent has {most}"


def _agents(count: int) -> str:
    return "1 agent" if count == 1 else f"{count} agents"


def _offers(framework: Framework) -> str:
    count = len(framework.offers)
    return "1 offer" if count == 1 else f"{count} offers"


# Tasks


def _known(state: State, framework_id: str) -> Framework | None:
    known = FrameworkId(framework_id)
    return state.frameworks.get(known) or state.completed_frameworks.get(known)


def _task(framework: Framework, task_id: TaskId) -> Task | None:
    task = framework.tasks.get(task_id) or framework.unreachable_tasks.get(task_id)
    if task is not None:
        return task
    return next((t for t in reversed(framework.completed_tasks) if t.id == task_id), None)


def _task_summary(state: State, framework: Framework, task: Task, now_ms: int) -> str:
    name = f"task '{task.id}'"
    agent = state.agents.get(task.agent_id)
    if task.id in framework.unreachable_tasks:  # TASK_LOST for some frameworks, and yet not ended
        ago = _seconds(now_ms - (task.unreachable_ms or now_ms))
        return f"{name} may run, but its agent {task.agent_id} was lost sight of {ago} ago"
    if task.terminal:
        last = task.statuses[-1] if task.statuses else None
        why = f": {last.message}" if last and last.message else ""
        return f"{name} has ended as {task.state}{why}"
    if agent is not None and not agent.connected:
        return f"{name} is {task.state}, but its agent {task.agent_id} is disconnected"
    if task.kill_wanted:
        return f"{name} is {task.state} and being killed"
    if not task.statuses:
        return f"{name} was sent to agent {task.agent_id}, which has said nothing of it yet"
    return f"{name} is {task.state} on agent {task.agent_id}"


def _task_lines(task: Task, now_ms: int) -> tuple[str, ...]:
    lines = []
    for status in task.statuses:
        ago = (
            "" if status.timestamp is None else f" {_seconds(now_ms - status.timestamp * 1000)} ago"
        )
        text = f": {status.message}" if status.message else ""
        reason = f" ({status.reason})" if status.reason else ""
        lines.append(f"{status.state}{ago}{reason}{text}")
    if task.update is not None:
        lines.append(f"the scheduler has not acknowledged {task.update.state} yet")
    return tuple(lines)


def _seconds(span_ms: float) -> str:
    return f"{max(0.0, span_ms) / 1000:.0f} s"
