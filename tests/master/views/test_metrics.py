"""The table of metrics and the snapshot agree; the numbers are right."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

from tepui.master.core import metrics
from tepui.master.core.actions import AnswerBody
from tepui.master.core.events import Asked, RequestId
from tepui.master.core.metrics_table import FAMILIES, OF_THE_CORE, TABLE
from tepui.master.core.views.questions import MetricsAsked, MetricsForm
from tepui.wire import master
from tepui.wire.json import decode
from tests.master.views.recorded import ops_cluster
from tests.master.world import TaskState, World


def snapshot(world: World) -> dict[str, float]:
    """What the master measures now."""
    return metrics.snapshot(world.state, world.now_ms)


def test_snapshot_is_the_table() -> None:
    world, _, _ = ops_cluster()
    found = set(snapshot(world))
    fixed = {metric.name for metric in OF_THE_CORE}
    assert found >= fixed
    families = [metric.name for metric in FAMILIES]
    for name in found - fixed:
        assert any(fnmatchcase(name, family) for family in families), name
    for family in families:
        assert any(fnmatchcase(name, family) for name in found), family


def test_names_occur_once_and_every_line_has_a_meaning() -> None:
    names = [metric.name for metric in TABLE]
    assert len(names) == len(set(names))
    assert all(metric.meaning and metric.unit for metric in TABLE)


def test_cluster_with_tasks_is_measured() -> None:
    world, ops, _ = ops_cluster()
    found = snapshot(world)
    expected = {
        "master/cpus_total": 4.0,
        "master/cpus_used": 0.3,
        "master/cpus_percent": 0.075,
        "master/mem_used": 96.0,
        "master/disk_used": 10.0,
        "master/gpus_total": 0.0,
        "master/tasks_running": 2.0,
        "master/tasks_finished": 1.0,
        "master/tasks_staging": 0.0,
        "master/slaves_active": 1.0,
        "master/slaves_connected": 1.0,
        "master/frameworks_active": 1.0,
        "master/outstanding_offers": 1.0,
        "master/messages_launch_tasks": 3.0,
        "master/valid_status_updates": 7.0,
        "master/messages_status_update_acknowledgement": 7.0,
        "master/uptime_secs": 2.6,
        "master/elected": 1.0,
        "allocator/mesos/resources/cpus/total": 4.0,
        "allocator/mesos/resources/cpus/offered_or_allocated": 4.0,
        "allocator/mesos/roles/web/shares/dominant": 1.0,
        f"master/frameworks/ops/{ops.framework_id}/tasks/active/task_running": 2.0,
        f"master/frameworks/ops/{ops.framework_id}/subscribed": 1.0,
    }
    assert {name: found[name] for name in expected} == expected


def test_lost_agent_moves_from_gauge_to_gauge_and_is_counted() -> None:
    world, _, agent = ops_cluster()
    agent.disconnect()
    assert snapshot(world)["master/slaves_disconnected"] == 1.0
    assert snapshot(world)["master/slaves_inactive"] == 1.0
    world.advance(100_000)
    found = snapshot(world)
    assert found["master/slaves_unreachable"] == 1.0
    assert found["master/slave_removals/reason_unhealthy"] == 1.0
    assert found["master/tasks_lost"] == 2.0  # the framework does not know partitions
    assert found["master/tasks_unreachable"] == 0.0
    assert found["master/slave_unreachable_scheduled"] == 1.0
    assert found["master/slave_unreachable_completed"] == 1.0
    assert found["master/tasks_running"] == 0.0
    assert found["master/cpus_total"] == 0.0


def test_ended_tasks_are_counted_by_how_they_ended() -> None:
    world = World()
    agent = world.add_agent()
    scheduler = world.subscribe()
    for state in (TaskState.TASK_FAILED, TaskState.TASK_KILLED, TaskState.TASK_KILLED):
        task_id = f"t{world.number()}"
        scheduler.launch(task_id, agent)
        agent.update(scheduler, task_id, state)
    found = snapshot(world)
    assert found["master/tasks_failed"] == 1.0
    assert found["master/tasks_killed"] == 2.0


def test_framework_names_are_escaped_in_names_of_metrics() -> None:
    world = World()
    scheduler = world.subscribe(name="a/b c")
    assert f"master/frameworks/a%2Fb%20c/{scheduler.framework_id}/subscribed" in snapshot(world)


def test_message_has_every_metric() -> None:
    world, _, _ = ops_cluster()
    kind = master.Call.Type.GET_METRICS
    answer = world.call(master.Call(type=kind, get_metrics=master.Call.GetMetrics()))
    assert isinstance(answer, AnswerBody)
    found = decode(master.Response, answer.body).get_metrics
    assert found is not None
    assert {metric.name for metric in found.metrics} == set(snapshot(world))


def test_snapshot_is_merged_with_what_the_shell_knows() -> None:
    world = World()
    found = json.loads(world.ask(MetricsAsked(more={"system/load_1min": 0.5})))
    assert found["system/load_1min"] == 0.5
    assert list(found) == sorted(found)


def test_prometheus_reads_every_line() -> None:
    world, ops, _ = ops_cluster()
    world.subscribe(name='quo"ted', roles=("web/dev", "db"))
    request = RequestId(world.number())
    world.put(Asked(request, MetricsAsked(MetricsForm.PROMETHEUS)))
    answer = world.answers[request]
    assert isinstance(answer, AnswerBody)
    sample = re.compile(r'^[a-z_]+(\{([a-z_]+="(\\.|[^"\\])*",?)+\})? [0-9.e+-]+$')
    lines = answer.body.decode().splitlines()
    for line in lines:
        assert line.startswith(("# HELP tepui_", "# TYPE tepui_")) or sample.match(line), line
    assert "tepui_master_tasks_running 2.0" in lines
    assert "# TYPE tepui_master_tasks_running gauge" in lines
    assert "# TYPE tepui_master_tasks_finished counter" in lines
    assert 'tepui_allocator_mesos_resources_total{resource="cpus"} 4.0' in lines
    labels = f'framework="ops",framework_id="{ops.framework_id}",role="web"'
    assert f"tepui_master_frameworks_roles_suppressed{{{labels}}} 0.0" in lines
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
