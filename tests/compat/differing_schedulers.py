"""Differences in what schedulers and executors are answered: areas A1 to A6 and E."""

from __future__ import annotations

from tests.compat.listing import Difference

SCHEDULERS: tuple[Difference, ...] = (
    # A1
    Difference(
        "http-head-errors",
        (22,),
        ("body",),
        "bytes that are no UTF-8 come back as U+FFFD, since the answer is declared to be UTF-8",
    ),
    Difference("http-head-errors", (37,), ("body",), "the answer to HEAD has no body (RFC 9110)"),
    Difference(
        "http-head-errors",
        (50,),
        ("header connection", "body"),
        "the transfer coding `identity` is no longer part of HTTP/1.1 and is refused (RFC 9112)",
    ),
    Difference(
        "subscribe-invalid-framework-info",
        (67,),
        ("event SUBSCRIBED",),
        "the name of a role has a limit",
    ),
    # A2
    Difference(
        "command-not-found-argv",
        (),
        ("event UPDATE t1", "event UPDATE t1.*", "scenario"),
        "a program that cannot be started is one TASK_FAILED that says why, not three updates",
    ),
    Difference(
        "command-uri-missing",
        (6,),
        ("event UPDATE t1.update.status.message",),
        "the message names the URI and what is wrong with it; no separate process has a status",
    ),
    Difference(
        "kill-*",
        (),
        ("event UPDATE t1.update.status.message",),
        "the message tells how the command itself ended, not how a wrapper around it did",
    ),
    Difference(
        "task-group-empty",
        (5,),
        ("offer", "offer.*"),
        "no executor is started for a group without tasks, so nothing is missing in the next offer",
    ),
    Difference(
        "task-group-*",
        (),
        tuple(
            f"event UPDATE ?.update.status.container_status.{one}"
            for one in ("network_infos", "executor_pid")
        ),
        "what is known of a container is told with each update, not only while Mesos could ask it",
    ),
    Difference(
        "task-group-one-fails",
        (17,),
        ("offer.*",),
        "a pod ends with the last of its tasks; in Mesos its executor lingers for a second",
        by_chance=True,
    ),
    Difference(
        "task-group-kill-one",
        (18,),
        ("offer.*",),
        "a pod ends with the last of its tasks; in Mesos its executor lingers for a second",
    ),
    Difference(
        "task-group-duplicate-ids-crashes-the-master",
        (),
        ("status", "end of stream", "stream1 event UPDATE a*", "header *"),
        "Mesos ends there; here both tasks are TASK_ERROR",
    ),
    # A3
    Difference(
        "task-validation",
        (194,),
        ("event UPDATE t34*.update.status.message",),
        "the task before had ended when the offer was made, so more is available",
    ),
    Difference(
        "task-validation",
        (482, 601),
        ("event UPDATE t112", "stream1 event UPDATE t112*"),
        "a limit below the request is an error whatever the agent can do",
    ),
    Difference(
        "task-validation",
        (486, 504, 601),
        ("event UPDATE t113.*", "event UPDATE t118*", "stream1 event UPDATE t113"),
        "an infinite limit asks for nothing that an agent could not do",
    ),
    Difference(
        "task-validation",
        (515, 520, 565, 601),
        ("event UPDATE dup.*", "stream1 event UPDATE dup", "offer.*", "event UPDATE t130*"),
        "the id of a task that ended can be used at once; in Mesos its executor lingers for a second",
    ),
    Difference(
        "task-validation",
        (262, 273),
        ("event UPDATE t5?", "event UPDATE t5?.*"),
        "a command without anything to run is one TASK_FAILED that says so, not two updates",
    ),
    Difference(
        "task-validation",
        (460, 466),
        ("event UPDATE t10?", "event UPDATE t10?.*"),
        "resource limits are always applied here, and half a limit cannot be",
    ),
    Difference(
        "task-validation",
        (432, 448),
        ("event UPDATE t10?.update.status.*",),
        "the agent knows images of Docker and OCI, and runs those of DOCKER containers itself",
    ),
    # A4
    Difference(
        "accept-an-offer-of-another-framework",
        (),
        ("offer", "event UPDATE mine*", "scenario", "* event *"),
        "an offer that another framework accepts stays with its owner, who can use it",
    ),
    # A5
    Difference(
        "scalar-rounding",
        (),
        ("body*.resources.cpus", "body*.resources.mem", "body*_resources.cpus"),
        "quantities are kept in thousandths, as they are offered and counted",
    ),
    Difference(
        "raw-wire",
        (3,),
        ("*.get_frameworks.*", "*.offered_resources", "event FRAMEWORK_REMOVED"),
        "when the cut stream of the step before is noticed is a matter of time",
        by_chance=True,
    ),
    Difference("raw-wire", (5, 6), ("header connection",), "the end of a connection is announced"),
    Difference(
        "raw-wire",
        (13, 14, 15, 20),
        ("answers",),
        "what is not HTTP is answered 400 before the connection is closed",
    ),
    Difference("raw-wire", (17,), ("body",), "the answer to HEAD has no body (RFC 9110)"),
    Difference(
        "raw-wire",
        (23,),
        ("server closed",),
        "bytes after the body that are no request make the connection unusable",
    ),
    # A6
    Difference(
        "update-framework-while-task-runs-and-failover-timeout-0-disconnect",
        (12,),
        ("body.unreserved_resources_allocated*", "body.frameworks*", "body.completed_frameworks*"),
        "the framework's task is gone from the agent when it is asked; it is still ending in Mesos",
    ),
    # E
    Difference(
        "executor-agent-restart-no-checkpoint-scheduler-side",
        (10,),
        ("event UPDATE t1*", "offer*", "stream1 event FAILURE", "stream1 event UPDATE t1*"),
        "an agent that restarts comes back as itself",
    ),
)
