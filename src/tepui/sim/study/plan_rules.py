"""What a plan may not say although each of its parts is right by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.base.names import Role
from tepui.resources.roles import validate_role
from tepui.sim.study.plan import (
    AGENTS_MAX,
    PING_MS_MIN,
    SPAN_MS_MAX,
    TASKS_MAX,
    Agents,
    Capability,
    Framework,
    Happening,
    Job,
    Plan,
    Spread,
    attributes_of,
    resources_of,
)

VALUE_SHOWN_MAX = 60  # characters of a wrong value that are shown


def faults(plan: Plan) -> Iterator[str]:
    """What cannot be, path, value and rule of each; types and ranges are right already."""
    until_ms = plan.until_ms
    if until_ms is not None and not 0 < until_ms <= SPAN_MS_MAX:
        yield f"until '{plan.until}': expected more than nothing and at most 3660days"
    ping = plan.master.agent_ping_timeout
    if parse_duration_ms(ping) < PING_MS_MIN:
        yield f"master.agent_ping_timeout '{ping}': expected at least 1secs"
    if sum(group.count for group in plan.agents) > AGENTS_MAX:
        yield f"agents: more than {AGENTS_MAX} together"
    for index, group in enumerate(plan.agents):
        yield from _agents_faults(f"agents[{index}]", group, plan)
    for role, weight in plan.roles.items():
        yield from _role_faults(f"roles.{role}", role)
        if not 0 < weight < math.inf:
            yield f"roles.{role} {weight:g}: expected a weight above 0"
    names = [framework.name for framework in plan.frameworks]
    for index, framework in enumerate(plan.frameworks):
        path = f"frameworks[{index}]"
        if names.index(framework.name) != index:
            yield f"{path}.name '{framework.name}': another framework has this name"
        yield from _framework_faults(path, framework, has_end=until_ms is not None)
    span_ms = SPAN_MS_MAX if until_ms is None else until_ms
    jobs = [job for framework in plan.frameworks for job in framework.jobs]
    if sum(_tasks(job, span_ms) for job in jobs) > TASKS_MAX:
        yield f"frameworks: more than {TASKS_MAX} tasks together"
    for index, event in enumerate(plan.events):
        yield from _event_faults(f"events[{index}]", event, plan)


def _agents_faults(path: str, group: Agents, plan: Plan) -> Iterator[str]:
    for name, read in (("resources", resources_of), ("attributes", attributes_of)):
        try:
            read(group)
        except Refused as refused:
            yield f"{path}.{name} '{short(getattr(group, name))}': {refused.text}"
    if [one.name for one in plan.agents].count(group.name) > 1:
        yield f"{path}.name '{group.name}': another group has this name"


def _framework_faults(path: str, framework: Framework, *, has_end: bool) -> Iterator[str]:
    yield from _role_faults(f"{path}.role", framework.role)
    for one in framework.capabilities:
        if one not in Capability.__members__:
            known = ", ".join(name for name in Capability.__members__ if name != "UNKNOWN")
            yield f"{path}.capabilities '{one}': expected some of {known}"
    for index, job in enumerate(framework.jobs):
        yield from _job_faults(f"{path}.jobs[{index}]", job, has_end=has_end)


def _job_faults(path: str, job: Job, *, has_end: bool) -> Iterator[str]:
    if not job.amounts:
        yield f"{path}: expected cpus, mem, disk or gpus above 0"
    if job.gpus != int(job.gpus):
        yield f"{path}.gpus {job.gpus:g}: expected a whole number"
    yield from _duration_faults(f"{path}.duration", job.duration)
    arrival = job.arrival
    ways = [arrival.every, arrival.poisson, arrival.at]
    if sum(way is not None for way in ways) > 1:
        yield f"{path}.arrival: expected one of every, poisson, at"
    if arrival.every is not None and parse_duration_ms(arrival.every) == 0:
        yield f"{path}.arrival.every '{arrival.every}': expected more than nothing"
    if job.count is None and all(way is None for way in ways):
        yield f"{path}.count: expected a number, for all tasks arrive at once"
    if job.count is None and arrival.at is None and not has_end:
        yield f"{path}.count: expected a number, or the plan an end (until)"
    for index, constraint in enumerate(job.constraints):
        shown = " ".join(constraint)
        match constraint:
            case (_, "IS", _) | (_, "UNIQUE"):
                pass
            case _:
                yield (
                    f"{path}.constraints[{index}] '{shown}': expected [ATTRIBUTE, IS, VALUE] or "
                    "[ATTRIBUTE, UNIQUE], where hostname is an attribute"
                )
    first = sum(job.hosts.values())
    if any(count < 1 for count in job.hosts.values()) or (job.hosts and first > (job.count or 0)):
        yield f"{path}.hosts: expected numbers from 1, together at most count ({job.count})"


def _duration_faults(path: str, duration: str | Spread) -> Iterator[str]:
    if isinstance(duration, str):
        return
    given = [duration.uniform, duration.exponential, duration.lognormal]
    if sum(one is not None for one in given) != 1:
        yield f"{path}: expected one of uniform, exponential, lognormal"
    uniform = duration.uniform
    if uniform and parse_duration_ms(uniform.min) > parse_duration_ms(uniform.max):
        yield f"{path}.uniform.max '{uniform.max}': less than min, {uniform.min}"
    if duration.exponential and not parse_duration_ms(duration.exponential.mean):
        yield f"{path}.exponential.mean '{duration.exponential.mean}': expected more than nothing"
    if duration.lognormal and not parse_duration_ms(duration.lognormal.median):
        yield f"{path}.lognormal.median '{duration.lognormal.median}': expected more than nothing"


def _event_faults(path: str, event: Happening, plan: Plan) -> Iterator[str]:
    if (event.die is None) == (event.join is None):
        yield f"{path}: expected one of die, join"
    names = [group.name for group in plan.agents]
    if event.agents is not None and event.agents not in names:
        yield f"{path}.agents '{event.agents}': expected a group's name: {', '.join(names)}"
    if event.join is not None and event.agents is None and len(names) != 1:
        yield f"{path}.agents: expected the name of the group that joins"


def _role_faults(path: str, role: str) -> Iterator[str]:
    try:
        validate_role(Role(role))
    except Refused as refused:
        yield f"{path} '{role}': {refused.text}"


def _tasks(job: Job, span_ms: int) -> float:
    """How many tasks of it arrive, or may be expected to."""
    arrival = job.arrival
    if arrival.at is not None:
        return len(arrival.at) * (1 if job.count is None else job.count)
    if job.count is not None:
        return job.count
    if arrival.every is not None:
        return arrival.batch * span_ms / max(1, parse_duration_ms(arrival.every))
    if arrival.poisson is not None:
        return arrival.batch * span_ms / 3_600_000 * arrival.poisson.per_hour
    return 0


def short(value: object) -> str:
    """The value, or its beginning."""
    text = str(value)
    return text if len(text) <= VALUE_SHOWN_MAX else text[: VALUE_SHOWN_MAX - 3] + "..."
