"""Differences in what operators are answered: areas B, C, F and G.

Of two entries that fit, the first counts: what is meant to differ stands before what waits.
"""

from __future__ import annotations

from tests.compat.listing import (
    AUTHENTICATION,
    COMPRESSION,
    DRAINING,
    FRAMEWORK_METRICS,
    MAINTENANCE,
    QUOTA,
    RESERVATIONS,
    SITE,
    Difference,
)

OLD_NAMES = "the names with .json, of Mesos before 0.20, are still answered"

OPERATORS: tuple[Difference, ...] = (
    # B and C, first what is of command tasks
    Difference(
        "*",
        (),
        ("body.master_hostname",),
        "the agent shows the master's address as it was given",
    ),
    Difference(
        "*",
        (),
        (
            "*.executors[0].executor_info.command.*",
            "*.executors[0].executor_info.resources",
            "*.completed_executors[0].executor_info.command.*",
            "*.completed_executors[0].executor_info.resources",
            "body.frameworks[0].executors[0].resources.*",
            "body.frameworks[0].completed_executors[0].resources.*",
            "metric slave/cpus_percent",
            "metric slave/cpus_used",
            "metric slave/mem_percent",
            "metric slave/mem_used",
            "*statistics.cpus_soft_limit",
            "*statistics.mem_limit_bytes",
            "*statistics.mem_soft_limit_bytes",
        ),
        "a command runs without an executor's process beside it, and without resources for one",
    ),
    Difference(
        "*",
        (),
        (
            "*statistics.processes",
            "*statistics.threads",
            "*statistics.cpus_limit",
            "*statistics.mem_total_bytes",
        ),
        "more is measured than Mesos measures without cgroups",
    ),
    Difference(
        "subscribe-stream",
        (29,),
        ("event FRAMEWORK_UPDATED.*",),
        "operators are told as well when a scheduler leaves, not only when it is back",
    ),
    Difference(
        "master-get-with-tasks",
        (3, 5, 11, 13),
        ("status", "header content-type", "body"),
        OLD_NAMES,
    ),
    Difference(
        "agent-get-with-tasks", (2, 9), ("status", "header content-type", "body"), OLD_NAMES
    ),
    Difference("master-files", (15, 18, 19), ("status", "header content-type", "body"), OLD_NAMES),
    Difference(
        "views-with-and-without-permission",
        (31, 32),
        ("status", "header content-type", "body"),
        OLD_NAMES,
    ),
    Difference(
        "master-get-with-tasks",
        (31, 32, 33),
        ("status", "header content-type", "body"),
        "there are no help pages and nothing of Mesos's actors",
    ),
    Difference(
        "agent-get-with-tasks",
        (19,),
        ("status", "header content-type", "body"),
        "there are no help pages",
    ),
    # B and C, then what waits
    Difference(
        "subscribe-stream-end",
        (4,),
        ("event TASK_UPDATED g1.task_updated.status.executor_id",),
        "the end of a task of an executor always names the executor",
    ),
    Difference(
        "agent-get-with-tasks",
        (1, 3, 29, 30),
        ("body.unreserved_resources_allocated.*",),
        "a command runs without an executor's process beside it, and without resources for one",
    ),
    Difference(
        "*",
        (),
        (
            "*statistics.mem_anon_bytes",
            "*statistics.disk_limit_bytes",
            "*statistics.disk_used_bytes",  # once it was measured, which happens now and then
            "body.get_containers.containers[2].resource_statistics.cpus_*_time_secs",
            "body.get_containers.containers[2].resource_statistics.mem_rss_bytes",
        ),
        "more of what containers use is told than Mesos told on its machine",
    ),
    Difference(
        "*",
        (),
        ("body[1].status.executor_pid", "*.containers[1].container_status.executor_pid"),
        "a pod has no process of its own",
    ),
    Difference(
        "*",
        (),
        tuple(
            f"{place}.container_status.{one}"
            for place in ("event UPDATE g1.*", "event TASK_UPDATED g1.*", "*.statuses[0]")
            for one in ("network_infos", "executor_pid")
        ),
        "what is known of a container is told with each update, not only while Mesos could ask it",
    ),
    Difference(
        "operator-valid-agent",
        (15,),
        ("body.get_containers.containers[2].container_id.parent",),
        "the id of a container within another names that as well, as it does in all calls",
    ),
    Difference(
        "operator-agent-nested-containers",
        (26,),
        ("body.wait_container.exit_status",),
        "a container that gets a signal ends as its program does; Mesos killed it all the same",
    ),
    Difference(
        "operator-agent-attach-and-session",
        (2, 3, 10),
        ("status", "body"),
        "there is no I/O switchboard; who asks wrongly is told so, and nothing is wrong here (400)",
    ),
    Difference(
        "agent-get-with-tasks",
        (14,),
        ("body./containers/s?", "body./*/sandboxes/s?/*"),
        "sandboxes of standalone containers can be read, as those of tasks",
    ),
    Difference(
        "operator-weights-and-quota",
        (),
        ("status", "header content-type", "body"),
        "no quota is kept",
        QUOTA,
    ),
    Difference(
        "*",
        (),
        ("body.get_quota.status.*", "body.infos", "body.configs", "*.quota.limit.*"),
        "no quota is kept",
        QUOTA,
    ),
    Difference(
        "operator-deactivate-*", (3,), ("status", "body"), "agents are not drained", DRAINING
    ),
    Difference("drain-with-*", (), ("*",), "agents are not drained", DRAINING),
    Difference(
        "operator-empty-sub-message-master",
        (14, 15),
        ("status", "body"),
        "no schedule is kept",
        MAINTENANCE,
    ),
    Difference(
        "operator-empty-sub-message-master",
        (19,),
        ("status", "header content-type", "body"),
        "no quota is kept",
        QUOTA,
    ),
    Difference(
        "operator-head-errors-*",
        (5,),
        ("body",),
        "a build is known by its version; there is no date or user of a compilation",
    ),
    *(
        Difference(
            scenario,
            (step,),
            ("status", "header content-type", "body"),
            "no pages are served",
            SITE,
        )
        for scenario, step in (
            ("idle-cluster", 13),
            ("standby-answers", 22),
            ("master-get-with-tasks", 35),
        )
    ),
    Difference(
        "master-get-with-tasks",
        (36,),
        ("status", "header content-type", "body"),
        "the registry has no page; `tepui registry show` shows it",
    ),
    Difference(
        "master-get-with-tasks",
        (38, 39, 40, 41),
        ("status", "header allow", "body"),
        "there are no such routes yet",
        RESERVATIONS,
    ),
    Difference(
        "master-get-with-tasks",
        (43, 44),
        ("status", "header allow", "body"),
        "there are no such routes yet",
        MAINTENANCE,
    ),
    Difference(
        "master-get-variants",
        (16,),
        ("status", "header content-type", "body"),
        "the bytes of a path may be written as %XX (RFC 3986)",
    ),
    Difference(
        "master-get-variants",
        (26,),
        ("status",),
        "a query that cannot be decoded is taken as it stands; Mesos closes the connection",
    ),
    Difference("master-methods", (1, 3, 4), ("body",), "the answer to HEAD has no body (RFC 9110)"),
    Difference(
        "master-methods", (23,), ("header connection",), "the end of a connection is announced"
    ),
    Difference(
        "master-methods",
        (25,),
        ("header content-encoding", "body"),
        "answers are not compressed",
        COMPRESSION,
    ),
    Difference(
        "*agent-files",
        (),
        ("*.size", "body[0].size"),
        "no log of an executor is among what the task writes",
    ),
    Difference("agent-files", (34,), ("body",), "the answer to HEAD has no body (RFC 9110)"),
    Difference(
        "after-teardown",
        (8,),
        (
            "body.frameworks[0]",
            "body.completed_frameworks[+]",
            "body.unreserved_resources_allocated.*",
        ),
        "the framework's tasks are gone from the agent when it is asked; they still end in Mesos",
    ),
    Difference(
        "agent-files",
        (13,),
        ("status", "header content-type", "body"),
        "no file has a path with a NUL byte; Mesos lists what is before it",
    ),
    # B-crashes
    *(
        Difference(
            scenario,
            (),
            ("status", "header content-type", "body*"),
            reason,
            feature,
        )
        for scenario, reason, feature in (
            ("remove-quota-*", "no quota is kept", QUOTA),
            ("delete-quota-classic", "no quota is kept", QUOTA),
            ("update-quota-*", "no quota is kept", QUOTA),
        )
    ),
    Difference(
        "agent-remove-*",
        (3, 4),
        ("status",),
        "Mesos ends there; here what runs is not removed (500), and what has exited is (200)",
    ),
    # F
    *(
        Difference(
            scenario,
            steps,
            ("znode",),
            "replicas of Mesos's log; here the registry is in ZooKeeper, below the same node",
        )
        for scenario, steps in (("zookeeper-nodes", (6, 7)), ("leader-killed", (25,)))
    ),
    # G
    Difference(
        "views-with-and-without-permission",
        (3, 7, 8, 9, 15, 16, 43),
        (
            "*offered_resources*",
            "body.frameworks[0].resources.*",
            "body.frameworks[0].offers[+]",
            "body.roles[0].offered.*",
            "body.roles[0].resources.*",
        ),
        "what a task leaves of an offer is offered again at once",
    ),
    Difference(
        "views-with-and-without-permission",
        (75,),
        ("event RESCIND <OFFER_1>",),
        "what a task leaves of an offer is offered again at once",
    ),
    Difference(
        "views-with-and-without-permission",
        (50,),
        ("status", "header content-type", "body"),
        "no schedule is kept",
        MAINTENANCE,
    ),
    Difference(
        "views-with-and-without-permission",
        (51, 52, 65),
        ("status", "body"),
        "no schedule is kept",
        MAINTENANCE,
    ),
    Difference(
        "views-with-and-without-permission",
        (61, 62),
        ("status", "header content-type", "body"),
        "there are no such routes yet",
        RESERVATIONS,
    ),
    Difference(
        "views-with-and-without-permission",
        (),
        ("body*",),
        "everybody sees everything",
        AUTHENTICATION,
    ),
    # of a cluster in which resources were reserved
    Difference(
        "operator-deactivate-*",
        (),
        ("*total_resources*", "*allocated_resources*", "offer*"),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "master-get-*",
        (),
        (
            "*reserved_resources*",
            "*roles*",
            "*offered_resources*",
            "*.offers[*",
            "*.frameworks[0].resources.*",
        ),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "master-methods",
        (),
        (
            "*reserved_resources*",
            "*offered_resources*",
            "*.offers[*",
            "*.frameworks[0].resources.*",
        ),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "agent-get-with-tasks",
        (),
        ("*reserved_resources*",),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "after-teardown",
        (),
        ("*reserved_resources*", "*roles*"),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "*",
        (),
        ("metric master/frameworks/*",),
        "of single frameworks only what they have at the moment is measured",
        FRAMEWORK_METRICS,
    ),
)
