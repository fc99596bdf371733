"""What a plan may say, and what is said about one that cannot be."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tepui.base.errors import Refused
from tepui.sim.study.plan import Job, arrivals, lifetime_ms, resources_of
from tepui.sim.study.plan_file import changed, plan_of, read_file

GOOD: dict[str, object] = {
    "agents": [{"count": 2, "resources": "cpus:4;mem:1024"}],
    "frameworks": [{"name": "f", "jobs": [{"count": 3, "cpus": 1, "duration": "10mins"}]}],
}
HOUR_MS = 3_600_000


def test_a_small_plan_has_the_defaults_that_the_guide_names() -> None:
    plan = plan_of(GOOD)
    assert (plan.seed, plan.until_ms) == (1, None)
    assert plan.frameworks[0].role == "*"
    assert plan.frameworks[0].refuse_seconds == 120
    assert plan.agents[0].name == "agent"


def test_resources_by_name_are_those_of_the_flag() -> None:
    by_name = plan_of(changed(GOOD, 'agents.0.resources={"cpus": 4, "mem": 1024}'))
    assert resources_of(by_name.agents[0]) == resources_of(plan_of(GOOD).agents[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("nosuch=1", "the plan: contains unknown field 'nosuch'"),
        ("until=5x", "until '5x': expected a number and a unit (ns, us, ms, secs"),
        ("until=0secs", "until '0secs': expected more than nothing"),
        ("seed=-1", "seed '-1': expected a whole number >= 0"),
        ("agents.0.count=x", "agents[0].count 'x': expected a whole number, got text"),
        ("agents.0.count=20001", "agents[0].count '20001': expected a whole number <= 20000"),
        ("agents.0.resources=cpus", "agents[0].resources 'cpus': Bad value for resources"),
        ('agents.0.resources={"cpus": -1}', "agents[0].resources '{'cpus': -1.0}': Bad type"),
        ("agents.0.attributes=rack", "agents[0].attributes 'rack': Invalid attribute"),
        ('roles={"a": 0}', "roles.a 0: expected a weight above 0"),
        ('roles={"a b": 1}', "roles.a b 'a b'"),
        ("frameworks.0.role=/a", "frameworks[0].role '/a'"),
        ('frameworks.0.capabilities=["X"]', "frameworks[0].capabilities 'X': expected some of"),
        ("frameworks.0.jobs.0.cpus=-1", "frameworks[0].jobs[0].cpus '-1': expected a number >= 0"),
        ("frameworks.0.jobs.0.cpus=0", "frameworks[0].jobs[0]: expected cpus, mem, disk or gpus"),
        ("frameworks.0.jobs.0.gpus=0.5", "frameworks[0].jobs[0].gpus 0.5: expected a whole"),
        ("frameworks.0.jobs.0.duration=soon", "frameworks[0].jobs[0].duration 'soon': expected"),
        ("frameworks.0.jobs.0.duration={}", "expected one of uniform, exponential, lognormal"),
        (
            'frameworks.0.jobs.0.duration={"uniform": {"min": "2secs", "max": "1secs"}}',
            "frameworks[0].jobs[0].duration.uniform.max '1secs': less than min, 2secs",
        ),
        (
            'frameworks.0.jobs.0.duration={"exponential": {"mean": "0secs"}}',
            "duration.exponential.mean '0secs': expected more than nothing",
        ),
        (
            'frameworks.0.jobs.0.duration={"exponential": {"meen": "1secs"}}',
            "frameworks[0].jobs[0].duration.exponential: contains unknown field 'meen'",
        ),
        ("frameworks.0.jobs.0.count=null", "frameworks[0].jobs[0].count: expected a number"),
        (
            'frameworks.0.jobs.0.arrival={"every": "1secs", "at": ["1secs"]}',
            "frameworks[0].jobs[0].arrival: expected one of every, poisson, at",
        ),
        ('frameworks.0.jobs.0.arrival={"every": "0secs"}', "arrival.every '0secs': expected more"),
        (
            'frameworks.0.jobs.0.constraints=[["rack", "LIKE", "r"]]',
            "constraints[0] 'rack LIKE r': expected [ATTRIBUTE, IS, VALUE]",
        ),
        ('frameworks.0.jobs.0.hosts={"h": 4}', "jobs[0].hosts: expected numbers from 1, together"),
        (
            "frameworks.0.refuse_seconds=0",
            "frameworks[0].refuse_seconds '0': expected a number >= 1",
        ),
        (
            'master={"agent_ping_timeout": "999ms"}',
            "master.agent_ping_timeout '999ms': expected at least 1secs",
        ),
        ('events=[{"at": "1secs"}]', "events[0]: expected one of die, join"),
        ('events=[{"at": "1secs", "die": 1, "agents": "x"}]', "events[0].agents 'x': expected a"),
        (
            "frameworks.0.jobs.0.count=5000001",
            "jobs[0].count '5000001': expected a whole number <= 5000000",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_path_value_and_rule(change: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        plan_of(changed(GOOD, change))
    assert text in refused.value.text


def test_jobs_without_a_count_need_an_end_and_may_not_flood_it() -> None:
    endless = changed(
        changed(GOOD, "frameworks.0.jobs.0.count=null"),
        'frameworks.0.jobs.0.arrival={"every": "1ms"}',
    )
    with pytest.raises(Refused, match=r"or the plan an end \(until\)"):
        plan_of(endless)
    assert plan_of(changed(endless, "until=5000secs")).until_ms == 5_000_000
    with pytest.raises(Refused, match="more than 5000000 tasks together"):
        plan_of(changed(endless, "until=5001secs"))


@pytest.mark.parametrize("change", ["agents.0.count", "agents.1.count=2", "seed.x=1", "agents.x=1"])
def test_a_change_of_what_is_not_there_is_refused(change: str) -> None:
    with pytest.raises(Refused, match="change '"):
        changed({**GOOD, "seed": 1}, change)


def test_a_change_leaves_what_it_is_made_of_as_it_was() -> None:
    assert plan_of(changed(GOOD, "agents.0.count=7")).agents[0].count == 7
    assert plan_of(GOOD).agents[0].count == 2


def job(arrival: dict[str, object], count: int | None = 3) -> Job:
    plan = plan_of(
        {
            **GOOD,
            "until": "1hrs",
            "frameworks": [
                {
                    "name": "f",
                    "jobs": [{"cpus": 1, "duration": "1secs", "arrival": arrival, "count": count}],
                }
            ],
        }
    )
    return plan.frameworks[0].jobs[0]


@pytest.mark.parametrize(
    ("arrival", "count", "expected"),
    [
        ({}, 3, [(0, 3)]),
        ({"after": "5secs"}, 3, [(5_000, 3)]),
        ({"every": "10secs"}, 3, [(0, 1), (10_000, 1), (20_000, 1)]),
        ({"every": "10secs", "batch": 2}, 3, [(0, 2), (10_000, 1)]),
        ({"every": "30mins"}, None, [(0, 1), (1_800_000, 1), (3_600_000, 1)]),
        ({"at": ["10secs", "2secs"]}, 3, [(2_000, 3), (10_000, 3)]),
        ({"at": ["2hrs"]}, 3, []),
    ],
)
def test_tasks_arrive_when_the_file_says(
    arrival: dict[str, object], count: int | None, expected: list[tuple[int, int]]
) -> None:
    assert list(arrivals(job(arrival, count), Random(1), HOUR_MS)) == expected


def test_poisson_arrivals_have_the_rate_that_is_named() -> None:
    many = job({"poisson": {"per_hour": 600}}, 100_000)
    found = list(arrivals(many, Random(1), 100 * HOUR_MS))
    assert 0.95 < len(found) / 60_000 < 1.05


@pytest.mark.parametrize(
    ("duration", "mean_ms"),
    [
        ('{"uniform": {"min": "5mins", "max": "15mins"}}', 600_000),
        ('{"exponential": {"mean": "10mins"}}', 600_000),
        ('{"lognormal": {"median": "10mins", "sigma": 0.5}}', 679_900),
    ],
)
def test_lengths_are_drawn_from_the_distribution_that_is_named(
    duration: str, mean_ms: float
) -> None:
    plan = plan_of(changed(GOOD, f"frameworks.0.jobs.0.duration={duration}"))
    random = Random(1)
    drawn = [lifetime_ms(plan.frameworks[0].jobs[0].duration, random) for _ in range(20_000)]
    assert 0.97 < sum(one for one in drawn if one) / len(drawn) / mean_ms < 1.03


def test_files_are_yaml_or_json_and_no_name_stands_twice(tmp_path: Path) -> None:
    file = tmp_path / "plan"
    file.write_text('{"until": "1hrs"}')
    assert read_file(file) == {"until": "1hrs"}
    file.write_text("until: 1hrs\nroles: {a: 2}\n")
    assert read_file(file) == {"until": "1hrs", "roles": {"a": 2}}
    file.write_text("until: 1hrs\nuntil: 2hrs\n")
    with pytest.raises(Refused, match="'until' stands twice"):
        read_file(file)
    file.write_text("a: [1\n")
    with pytest.raises(Refused, match="expected"):
        read_file(file)
    with pytest.raises(Refused, match="No such file"):
        read_file(tmp_path / "nosuch")
