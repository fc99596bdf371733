"""Where Tepui answers otherwise than the recorded Mesos, on purpose or because a feature is still to come.

An entry names a scenario, its steps (none: all), and the place in the answer as a failing test prints it; scenario
and place may hold `*`. An entry that no longer fits anything fails the tests, so this list stays true.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from tests.compat.recorded import Step, scenario


class Difference(Struct, frozen=True):
    """One place that differs; `feature`: the feature it waits for, otherwise it is meant to differ."""

    scenario: str
    steps: tuple[int, ...]
    paths: tuple[str, ...]
    reason: str
    feature: str | None = None

    def fits(self, step: Step, path: str) -> bool:
        """Whether this entry is about that place."""
        return (
            fnmatchcase(step.name, self.scenario)
            and (not self.steps or step.step in self.steps)
            and any(fnmatchcase(path, _literal(pattern)) for pattern in self.paths)
        )


class Waiting(Struct, frozen=True):
    """A scenario that can't be played before a feature is there: not at all, not beyond the step `after`,
    or not these `steps`.
    """

    area: str
    scenario: str
    feature: str
    after: int = 0
    steps: tuple[int, ...] = ()

    def holds(self, step: Step) -> bool:
        """Whether that step waits."""
        if step.name != self.scenario:
            return False
        return step.step in self.steps if self.steps else step.step > self.after


# The features that are waited for.
GROUPS = "task groups"
NESTED = "nested and standalone containers"
IMAGES = "images and Docker containers"
QUOTA = "quota"
RESERVATIONS = "reservations and volumes"
MAINTENANCE = "maintenance"
DRAINING = "draining"
RECOVERY = "agent recovery"
REGISTRY = "a registry that lasts"
ELECTION = "election by ZooKeeper"
AUTHENTICATION = "authentication and permissions"
PROVIDERS = "resource providers"
MACHINE = "metrics of the machine"
SITE = "a web interface"
COMPRESSION = "compressed answers"

OLD_NAMES = "the names with .json, of Mesos before 0.20, are still answered"

REDIRECTED = (*range(2, 11), 14, 15, 16, 17, 20, 21, *range(24, 54))  # 307
FORBIDDEN = (  # 403
    *(10, 12, 13, 25, 27, 29, 33, 35, 47, *range(53, 58), 59, 60, 63, 64, 66, *range(70, 74)),
)

WAITING = (
    *(
        Waiting("A2", name, GROUPS)
        for name in (
            "task-group-both-succeed",
            "task-group-one-fails",
            "task-group-kill-one",
            "task-group-shutdown-executor",
            "task-group-custom-type",
            "task-group-health-check",
        )
    ),
    Waiting(
        "A4",
        "operations-reserve-create-destroy-unreserve-with-reservation-refinement",
        RESERVATIONS,
    ),
    Waiting(
        "A4", "operations-reserve-create-destroy-unreserve-pre-refinement-format", RESERVATIONS
    ),
    Waiting("A4", "offers-under-quota-limit", QUOTA),
    Waiting("A4", "inverse-offers", MAINTENANCE),
    Waiting("E", "executor-agent-restart-scheduler-side", RECOVERY),
    Waiting("E", "executor-agent-restart-executor-side", RECOVERY),
    Waiting("B", "operator-reservations-and-volumes", RESERVATIONS),
    Waiting("B", "operator-agent-nested-containers", NESTED),
    Waiting("B", "operator-agent-standalone-containers", NESTED),
    Waiting("B", "operator-agent-attach-and-session", NESTED),
    Waiting("D", "work-dir-layout", RECOVERY),
    Waiting("D", "master-work-dir", REGISTRY),
    Waiting("F", "zookeeper-nodes", ELECTION),
    Waiting("F", "standby-answers", ELECTION, steps=REDIRECTED),
    Waiting("F", "leader-killed", ELECTION, after=9),
    Waiting("G", "setup", AUTHENTICATION),
    Waiting("G", "scheduler-unauthenticated-principal-in-info", AUTHENTICATION),
    Waiting("G", "subscribe-principals-and-roles", AUTHENTICATION, steps=(*range(4, 13), 16)),
    Waiting(
        "G",
        "run-task-and-reserve-not-authorized",
        AUTHENTICATION,
        steps=(*range(4, 14), 17, 18, 19),
    ),
    Waiting("G", "views-with-and-without-permission", AUTHENTICATION, steps=FORBIDDEN),
    *(
        Waiting("H", f"agent-killed-and-restarted-at-once-checkpoint-{rest}", RECOVERY, after=10)
        for rest in (
            "true-unaware",
            "true-partition-aware",
            "false-unaware",
            "false-partition-aware",
        )
    ),
    *(
        Waiting(
            "H", f"agent-away-past-ping-timeout-and-back-checkpoint-true-{rest}", RECOVERY, after=25
        )
        for rest in ("unaware", "partition-aware")
    ),
    Waiting("H", "drain-agent", DRAINING, after=10),
    Waiting("H", "drain-agent-mark-gone", DRAINING, after=10),
    Waiting("H", "agent-restarted-with-other-resources", RECOVERY),
    Waiting("H", "master-restart", REGISTRY, after=9),
)

BUILD = Difference(
    "*",
    (),
    ("body*.build_date", "body*.git_*"),
    "a build is known by its version; there is no date, user or commit of a compilation",
)
CAPABILITIES = Difference(
    "*",
    (),
    (
        "*.capabilities[*].type",
        "body.capabilities[*",
        "*.capabilities.length",
        "*.slaves[*].capabilities[*",
    ),
    "agents name the features they have",
    RESERVATIONS,
)

DIFFERENCES: tuple[Difference, ...] = (
    BUILD,
    CAPABILITIES,
    Difference(
        "*",
        (),
        ("*.flags.*",),
        "the flags that this daemon has are shown, with its own defaults",
    ),
    # Metrics
    Difference(
        "*",
        (),
        (
            "metric allocator/event_queue_dispatches",
            "metric allocator/mesos/event_queue_dispatches",
            "metric allocator/mesos/allocation_run*",
            "metric master/event_queue_*",
            "metric master/dropped_messages",
            "metric master/http_cache_hits",
        ),
        "there are no actors with queues, no cached answers and no allocation runs to measure",
    ),
    Difference(
        "*",
        (),
        (
            "metric master/messages_authenticate",
            "metric master/messages_deactivate_framework",
            "metric master/messages_exited_executor",
            "metric master/messages_reregister_framework",
            "metric master/messages_unregister_framework",
            "metric master/messages_update_slave",
        ),
        "messages of the drivers before the v1 API, which do not exist",
    ),
    Difference(
        "*",
        (),
        ("metric master/*operation*",),
        "no operations are made",
        RESERVATIONS,
    ),
    Difference("*", (), ("metric allocator/mesos/quota/*",), "no quota is kept", QUOTA),
    Difference(
        "*",
        (),
        (
            "metric registrar/*",
            "metric master/recovery_slave_removals",
            "metric master/slave_shutdowns_*",
            "metric master/slave_unreachable_*",
        ),
        "agents are kept in memory",
        REGISTRY,
    ),
    Difference("*", (), ("metric system/*",), "the master does not measure its machine", MACHINE),
    Difference("*", (), ("metric containerizer/*",), "containers are plain processes", IMAGES),
    Difference("*", (), ("metric resource_provider_manager/*",), "there are none", PROVIDERS),
    Difference("*", (), ("metric slave/recovery_time_secs",), "nothing is recovered", RECOVERY),
    Difference(
        "*", (), ("*.agent_info.checkpoint",), "an agent that restarts knows nothing", RECOVERY
    ),
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
        "subscribe-stream",
        (17, 19, 21, 30),
        ("event UPDATE g1*", "event TASK_UPDATED g1*", "offer*"),
        "the group's executor does not run",
        GROUPS,
    ),
    Difference(
        "subscribe-stream-end",
        (4,),
        ("event TASK_UPDATED g1",),
        "the group's executor does not run",
        GROUPS,
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
        "agents are kept in memory",
        REGISTRY,
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
    Difference(
        "operator-agent-files",
        (7, 8, 9, 10),
        ("status", "header content-type", "body"),
        "the file of a group's task",
        GROUPS,
    ),
    Difference(
        "agent-files",
        (*range(16, 22), 25, 26, 29, 30, *range(33, 36)),
        ("status", "header *", "body"),
        "the file of a group's task",
        GROUPS,
    ),
    Difference(
        "after-teardown",
        (8,),
        ("body.frameworks[0]", "body.completed_frameworks[+]"),
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
            ("agent-remove-*", "there are no standalone containers", NESTED),
        )
    ),
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
    # F
    Difference(
        "standby-answers", (18,), ("metric master/*",), "the master that is asked leads", ELECTION
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
    # H
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
    Difference(
        "operator-valid-*",
        (),
        (
            "*offered_resources*",
            "*allocated_resources*",
            "*.offers[*",
            "*.tasks[*",
            "*_tasks[*",
            "*_tasks.length",
            "*.executors[*",
            "*.containers*",
            "metric master/*",
            "metric slave/*",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "operator-deactivate-*",
        (),
        (
            "*allocated_resources*",
            "offer*",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "master-get-*",
        (),
        (
            "*used_resources*",
            "*offered_resources*",
            "*.offers[*",
            "*.frameworks[0].resources.*",
            "*.tasks[*",
            "*_tasks[*",
            "*.executors[*",
            "*.TASK_RUNNING",
            "*.TASK_FAILED",
            "metric master/*",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "master-methods",
        (),
        (
            "*used_resources*",
            "*offered_resources*",
            "*.offers[*",
            "*.frameworks[0].resources.*",
            "*.tasks[*",
            "*_tasks[*",
            "*.executors[*",
            "*.TASK_RUNNING",
            "*.TASK_FAILED",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "agent-get-with-tasks",
        (),
        (
            "*unreserved_resources_allocated*",
            "*.executors[*",
            "body.length",
            "body./*/executors/ex/runs/*",
            "metric slave/*",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "after-teardown",
        (),
        (
            "*unreserved_resources_allocated*",
            "*.tasks[*",
            "*_tasks[*",
        ),
        "a task of a group runs there",
        GROUPS,
    ),
    Difference(
        "operator-deactivate-*",
        (),
        ("*total_resources*",),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "master-get-*",
        (),
        (
            "*reserved_resources*",
            "*roles*",
        ),
        "resources were reserved before",
        RESERVATIONS,
    ),
    Difference(
        "master-methods",
        (),
        ("*reserved_resources*",),
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
        (
            "*reserved_resources*",
            "*roles*",
        ),
        "resources were reserved before",
        RESERVATIONS,
    ),
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
        "images and Docker containers",
        IMAGES,
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
        RECOVERY,
    ),
)


def playable(name: str) -> tuple[Step, ...]:
    """The steps of a scenario that do not wait as a whole."""
    return tuple(step for step in scenario(name) if not waits(step))


def waits(step: Step) -> bool:
    """The step is not played yet."""
    return any(one.holds(step) for one in WAITING)


def fitting(step: Step, path: str) -> Difference | None:
    """The entry about a place; None when the place must be as recorded."""
    return next((one for one in DIFFERENCES if one.fits(step, path)), None)


def unused(found: Sequence[tuple[Step, str]]) -> list[Difference]:
    """Entries that no difference found belongs to."""
    return [one for one in DIFFERENCES if not any(one.fits(step, path) for step, path in found)]


def _literal(pattern: str) -> str:
    """Brackets of JSON paths mean themselves."""
    return pattern.replace("[", "[[]")
