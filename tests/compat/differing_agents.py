"""Differences in what tasks see, and in what comes of agents that fail: areas D and H."""

from __future__ import annotations

from tests.compat.listing import (
    DRAINING,
    Difference,
)

AGENTS: tuple[Difference, ...] = (
    # D
    Difference(
        "command-task*",
        (6,),
        ("stdout.parent*",),
        "the parent of a command is the agent's launcher; no executor is between them",
    ),
    Difference(
        "custom-executor-command",
        (6,),
        ("stdout.parent*", "stdout.processes"),
        "each executor is started by the agent's launcher and has a session of its own",
    ),
    Difference(
        "c*",
        (6,),
        ("stdout.fds[*",),
        "what a task writes goes through the launcher, which rotates it",
    ),
    Difference(
        "c*",
        (6,),
        ("stdout.environment.TEPUI_CONTAINER",),
        "by it the launcher finds every process of the task",
    ),
    Difference(
        "c*",
        (7,),
        ("kept",),
        "the log of Mesos's executor and fetcher, which do not exist",
    ),
    Difference(
        "*work-dir*",
        (),
        ("kept",),
        "what is kept is in one file of SQLite each: registry.db, meta/agent.db",
    ),
    # H
    Difference(
        "agent-killed-and-restarted-at-once-checkpoint-false-*",
        (12,),
        ("event UPDATE t1 by the master*",),
        "a lost connection alone costs no task: the agent that is back says that it has none",
    ),
    Difference(
        "executor-process-killed",
        (11,),
        ("event UPDATE t1.*",),
        "a command has no executor's process; what was killed is the command itself",
    ),
    Difference(
        "mark-agent-gone-unaware",
        (18,),
        ("body.get_tasks.unreachable_tasks[0]", "body.get_tasks.completed_tasks[+]"),
        "a task that is gone has ended; Mesos lists it as unreachable until its framework ends",
    ),
    Difference(
        "mark-agent-gone-unreachable", (14,), ("status", "body"), "agents are not drained", DRAINING
    ),
)
