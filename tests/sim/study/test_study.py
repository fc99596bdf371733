"""Studies: small clusters of which one can say beforehand what must come out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

from tepui.base.errors import Refused
from tepui.base.names import FrameworkId
from tepui.master.core.invariants import check
from tepui.resources import Resources
from tepui.sim.study.plan import Plan
from tepui.sim.study.plan_file import plan_of, read_file
from tepui.sim.study.results import FrameworkResult, Result
from tepui.sim.study.study import Study, study

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "simulate").glob("*.yaml"))
MINUTE_MS = 60_000

Value = dict[str, object]


def job(count: int | None = 1, **fields: object) -> Value:
    return {"count": count, "cpus": 1, "duration": "10mins", **fields}


def framework(name: str, *jobs: Value, **fields: object) -> Value:
    return {"name": name, "jobs": list(jobs), **fields}


def plan(*frameworks: Value, agents: object = None, **fields: object) -> Plan:
    default = [{"resources": "cpus:2;mem:1024"}]
    return plan_of({"agents": agents or default, "frameworks": list(frameworks), **fields})


def result(*frameworks: Value, agents: object = None, **fields: object) -> Result:
    """The result; whatever it is, the master's state is sound and the books agree with it."""
    played = Study(plan(*frameworks, agents=agents, **fields))
    found = played.run()
    check(played.master)
    for one in played.frameworks:
        held = {name: n for name, n in played.books.frameworks[one.name].amounts.items() if n}
        if one.framework_id is not None and not played.master.offers:
            framework_id = FrameworkId(one.framework_id.value)
            allocated = played.master.allocator.allocation(framework_id).values()
            assert held == Resources.total(allocated).quantities()
    return found


def of(found: Result, name: str) -> FrameworkResult:
    return next(one for one in found.frameworks if one.name == name)


def test_tasks_that_do_not_fit_at_once_wait_for_those_before_them() -> None:
    found = result(framework("f", job(5)))
    f = of(found, "f")
    assert (f.finished, f.running, f.waiting) == (5, 0, 0)
    assert found.span_ms == 30 * MINUTE_MS  # two at a time: 2 + 2 + 1
    assert found.last_end_ms == 30 * MINUTE_MS
    assert f.waits is not None
    assert (f.waits.p50_ms, f.waits.max_ms) == (10 * MINUTE_MS, 20 * MINUTE_MS)


def test_use_and_shares_are_weighted_by_time() -> None:
    found = result(framework("f", job(5)))
    cpus = next(one for one in found.resources if one.name == "cpus")
    assert cpus.used_mean == pytest.approx(5 / 6)
    assert cpus.used_peak == 1
    assert cpus.full_fraction == pytest.approx(2 / 3)
    assert (cpus.full_first_ms, cpus.full_longest_ms) == (0, 20 * MINUTE_MS)
    assert of(found, "f").share_mean == pytest.approx(5 / 6)
    assert found.roles[0].share_mean == pytest.approx(5 / 6)
    assert sum(found.course.used["cpus"]) / len(found.course.used["cpus"]) == pytest.approx(
        5 / 6, rel=0.02
    )


def test_a_study_with_an_end_stops_there() -> None:
    found = result(framework("f", job(5)), until="15mins")
    f = of(found, "f")
    assert found.span_ms == 15 * MINUTE_MS
    assert (f.finished, f.running, f.waiting) == (2, 2, 1)
    assert f.waits is not None
    assert f.waits.max_open
    assert f.waits.max_ms == 15 * MINUTE_MS


def test_two_roles_share_by_their_weights() -> None:
    agents = [{"count": 40, "resources": "cpus:1"}]
    endless = job(1_000, duration={"exponential": {"mean": "1mins"}})
    found = result(
        framework("a", endless, role="a"),
        framework("b", endless, role="b"),
        agents=agents,
        roles={"a": 3},
        until="20mins",
    )
    assert of(found, "a").share_mean == pytest.approx(0.75, abs=0.05)
    assert of(found, "b").share_mean == pytest.approx(0.25, abs=0.05)


def test_small_tasks_pass_a_large_one_that_finds_no_room() -> None:
    found = result(framework("f", job(1, cpus=2), job(2)), framework("g", job(1, duration="1hrs")))
    assert of(found, "f").finished == 3


def test_a_task_no_agent_can_hold_is_explained_and_does_not_keep_the_study_from_its_end() -> None:
    found = result(framework("f", job(1, cpus=4), job(1)))
    assert found.span_ms < 60 * MINUTE_MS
    (waiting,) = found.waiting
    assert (waiting.framework, waiting.job, waiting.tasks) == ("f", "job1", 1)
    assert "needs cpus 4, the largest agent has 2" in waiting.summary


def test_constraints_decide_where_tasks_may_run() -> None:
    agents = [
        {"name": "a", "count": 3, "resources": "cpus:4", "attributes": "rack:r1"},
        {"name": "b", "count": 3, "resources": "cpus:4", "attributes": {"rack": "r2"}},
    ]

    def running(*constraints: list[str]) -> int:
        services = job(9, duration="forever", constraints=list(constraints))
        return of(result(framework("f", services), agents=agents, until="1hrs"), "f").running

    assert running() == 9
    assert running(["hostname", "UNIQUE"]) == 6
    assert running(["rack", "UNIQUE"]) == 2
    assert running(["rack", "IS", "r2"], ["hostname", "UNIQUE"]) == 3
    assert running(["rack", "IS", "r3"]) == 0
    assert running(["nosuch", "UNIQUE"]) == 0
    assert running(["hostname", "IS", "a-2"]) == 4


def test_a_host_that_is_free_again_is_used_again() -> None:
    alone = job(3, constraints=[["hostname", "UNIQUE"]])
    assert result(framework("f", alone)).span_ms == 30 * MINUTE_MS


def test_tasks_of_an_agent_that_dies_run_elsewhere_when_the_master_has_noticed() -> None:
    found = result(
        framework("f", job(2, duration="forever", cpus=2)),
        agents=[{"count": 2, "resources": "cpus:2"}],
        until="1hrs",
        events=[{"at": "10mins", "die": 1}, {"at": "20mins", "join": 1, "agents": "agent"}],
    )
    f = of(found, "f")
    assert (f.lost, f.running, f.waiting, found.agents) == (1, 2, 0, 2)
    assert f.waits is not None
    noticed_ms = 20 * MINUTE_MS - f.waits.max_ms - 10 * MINUTE_MS
    assert 75_000 <= noticed_ms <= 90_000


def test_a_framework_that_keeps_offers_keeps_others_waiting_until_they_are_taken_back() -> None:
    def waited_ms(**master: str) -> int:
        # The one that keeps them suppresses offers when it answers: it has nothing to run.
        found = result(
            framework("keeps", role="a", answers_after="30mins"),
            framework("wants", job(1), role="b", start="1secs"),
            until="1hrs",
            master=master,
        )
        waits = of(found, "wants").waits
        assert waits is not None
        assert not waits.max_open
        return waits.max_ms

    assert waited_ms() == 30 * MINUTE_MS
    assert waited_ms(offer_timeout="1mins") == MINUTE_MS


def test_a_framework_that_comes_late_is_waited_for() -> None:
    found = result(framework("f", job(1), start="5hrs"))
    assert of(found, "f").finished == 1
    assert found.span_ms == 5 * 60 * MINUTE_MS + 10 * MINUTE_MS


def test_gpus_are_offered_to_frameworks_that_say_so() -> None:
    agents = [{"resources": "cpus:4;gpus:2"}]
    wants = job(1, gpus=1)
    assert of(result(framework("f", wants), agents=agents), "f").finished == 0
    capable = framework("f", wants, capabilities=["GPU_RESOURCES"])
    assert of(result(capable, agents=agents), "f").finished == 1


def test_reserved_resources_are_for_their_role() -> None:
    agents = [{"resources": "cpus(a):2;cpus:1"}]
    found = result(
        framework("a", job(4, duration="forever"), role="a"),
        framework("b", job(4, duration="forever"), role="b"),
        agents=agents,
        until="1hrs",
    )
    assert (of(found, "a").running, of(found, "b").running) == (3, 0)


def test_what_begins_on_a_host_is_there_whoever_comes_first() -> None:
    agents = [{"count": 2, "resources": "cpus:2"}]
    found = result(
        framework("greedy", job(2, duration="forever"), start="1secs"),
        framework("settled", job(2, duration="forever", hosts={"agent-2": 2})),
        agents=agents,
        until="1hrs",
        events=[{"at": "30mins", "die": 1}],
    )
    assert of(found, "greedy").running + of(found, "settled").running == 2
    elsewhere = job(1, duration="forever", hosts={"nosuch": 1})
    assert of(result(framework("f", elsewhere), until="1mins"), "f").running == 1


def test_services_alone_have_a_moment_to_settle() -> None:
    found = result(framework("f", job(2, duration="forever")))
    assert found.span_ms >= MINUTE_MS
    assert found.resources[0].used_mean == 1


@pytest.mark.parametrize("agents", [[], [{"resources": ""}], [{"count": 0, "resources": "cpus:1"}]])
def test_a_cluster_without_anything_ends_and_says_why(agents: object) -> None:
    value = {"agents": agents, "frameworks": [framework("f", job(1))]}
    found = study(plan_of(value))
    assert of(found, "f").waiting == 1
    assert found.waiting[0].summary


def test_what_the_master_refuses_is_said() -> None:
    with pytest.raises(Refused, match="framework 'f'"):
        study(plan(framework("f", job(1), role="a" * 100_000)))


def test_arrivals_draws_and_lengths_do_not_depend_on_the_size_of_the_cluster() -> None:
    draws = job(200, duration={"exponential": {"mean": "10mins"}})
    spent = []
    for count in (1, 5):
        found = result(framework("f", draws), agents=[{"count": count, "resources": "cpus:4"}])
        spent.append(found.resources[0].used_mean * found.span_ms * count)
    assert spent[0] == pytest.approx(spent[1])


PLAY = """
import sys
from pathlib import Path
import msgspec
from tepui.sim.study.plan_file import plan_of, read_file
from tepui.sim.study.study import study
found = study(plan_of(read_file(Path(sys.argv[1]))))
print(msgspec.json.encode(msgspec.structs.replace(found, took_s=0.0)))
"""


def test_the_same_plan_has_the_same_result_in_any_process() -> None:
    played = {
        subprocess.run(
            [sys.executable, "-c", PLAY, str(EXAMPLES[-1])],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(played) == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_come_to_an_end_with_a_sound_master(path: Path) -> None:
    played = Study(plan_of(read_file(path)))
    found = played.run()
    check(played.master)
    assert found.tasks_finished > 0
    assert found.waiting == []
    assert structs.asdict(found)


def test_ten_thousand_tasks_take_few_steps_each() -> None:
    found = result(
        framework("f", job(1_000, arrival={"every": "1mins"})),
        agents=[{"count": 20, "resources": "cpus:4"}],
    )
    assert of(found, "f").finished == 1_000
    assert found.steps < 12 * 1_000
