"""Builders of tasks, and the room of an offer."""

from __future__ import annotations

import pytest

from tepui.base.errors import Refused
from tepui.resources import Resources
from tepui.sdk import (
    Room,
    command,
    command_task,
    executor_info,
    executor_task,
    framework_info,
    is_terminal,
    resources,
)
from tepui.wire import mesos
from tepui.wire.mesos import TaskState
from tests.sdk.fake_master import offer, scalar


def test_a_command_task_has_its_fields() -> None:
    task = command_task("t1", "a1", "echo hi", cpus=0.5, mem_mib=64, env={"A": "b"}, ports=[31000])
    assert task.command == command("echo hi", env={"A": "b"})
    assert task.command is not None
    assert task.command.shell
    assert Resources.of(task.resources).quantities() == {"cpus": 500, "mem": 64000, "ports": 1000}


def test_a_command_of_words_needs_no_shell() -> None:
    words = command(["echo", "a b"])
    assert (words.shell, words.value, words.arguments) == (False, "echo", ("echo", "a b"))
    with pytest.raises(Refused, match="expected a program"):
        command([])


def test_amounts_below_zero_are_refused_and_zero_is_left_out() -> None:
    assert resources(cpus=0, mem_mib=0) == ()
    with pytest.raises(Refused, match="cpus -1"):
        resources(cpus=-1)
    with pytest.raises(Refused, match="mem nan"):
        resources(mem_mib=float("nan"))


def test_tasks_are_placed_until_the_offer_is_full() -> None:
    room = Room(offer(cpus=1.0, mem_mib=1000))
    task = command_task("t1", "a1", "true", cpus=0.4, mem_mib=10)
    assert [room.place(task) for _ in range(3)] == [True, True, False]
    assert room.left.scalar("cpus") == 200
    assert not room.fits(task)


def test_an_executor_is_counted_once() -> None:
    room = Room(offer(cpus=1.0, mem_mib=1000))
    task = executor_task("t1", "a1", executor_info("ex", "run", cpus=0.5), cpus=0.2)
    assert room.place(task)
    assert room.left.scalar("cpus") == 300
    assert room.place(task)
    assert room.left.scalar("cpus") == 100


def test_taking_prefers_reserved_resources_and_names_the_reservation() -> None:
    mixed = mesos.Offer(
        id=mesos.OfferID("o"),
        framework_id=mesos.FrameworkID("f"),
        agent_id=mesos.AgentID("a1"),
        hostname="h",
        resources=(scalar("cpus", 1.0), scalar("cpus", 0.5, role="web")),
    )
    room = Room(mixed)
    taken = room.take(cpus=0.75)
    assert taken is not None
    assert {(r.role, r.scalar.value) for r in taken if r.scalar} == {("web", 0.5), ("*", 0.25)}
    assert all(r.allocation_info is None for r in taken)
    assert room.left.scalar("cpus") == 750


def test_taking_too_much_takes_nothing() -> None:
    room = Room(offer(cpus=1.0))
    before = room.left
    assert room.take(cpus=0.5, mem_mib=10_000) is None
    assert room.take(cpus=0.5, ports=5) is None
    assert room.left == before


def test_taken_ports_are_different_ones() -> None:
    room = Room(offer())
    first, second = room.take(ports=2), room.take(ports=2)
    assert first is not None
    assert second is not None
    assert not Resources.of(first).ports() & Resources.of(second).ports()
    assert room.take(ports=1) is None


def test_a_framework_has_the_capabilities_of_today() -> None:
    info = framework_info("mine", user="me", framework_id="f", roles=["web"])
    assert (info.name, info.roles, info.failover_timeout) == ("mine", ("web",), 60.0)
    assert info.id == mesos.FrameworkID("f")


def test_ended_states_are_terminal_and_unreachable_is_not() -> None:
    assert is_terminal(TaskState.TASK_FINISHED)
    assert is_terminal(TaskState.TASK_GONE_BY_OPERATOR)
    assert not is_terminal(TaskState.TASK_UNREACHABLE)
    assert not is_terminal(TaskState.TASK_RUNNING)
