"""Which scenarios are played together, on which cluster, and what was done outside HTTP meanwhile.

Scenarios of one chain share their streams, as they did when they were recorded; chains of one lane share a cluster.
"""

from __future__ import annotations

import json

from msgspec import Struct

PLAIN = ("--isolation=posix/cpu,posix/mem", "--no-hostname_lookup")
RACK = (*PLAIN, "--attributes=rack:r1")
RICH = (*PLAIN, "--attributes=rack:r1;zone:a;num:5;rng:[1-3]")
RESOURCES = "--resources=cpus:4;mem:4096;disk:10240;ports:[31000-32000]"
WEB = f"{RESOURCES};cpus(web):1;mem(web):512"


def _domain(region: str, zone: str) -> str:
    domain = {"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}}
    return f"--domain={json.dumps(domain)}"


class Chain(Struct, frozen=True):
    """Scenarios played one after the other. `renamed`: what a later one calls names of the one before."""

    area: str
    scenarios: tuple[str, ...]
    renamed: tuple[tuple[str, dict[str, str]], ...] = ()
    # While these run another stream plays the other side: the executor of area E.
    beside: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its test."""
        return f"{self.area}/{'+'.join(self.scenarios)}"


class Lane(Struct, frozen=True):
    """A cluster, its agents in the order of their recorded ports, and what is played on it in turn."""

    name: str
    agents: tuple[tuple[str, ...], ...]
    chains: tuple[Chain, ...]
    master: tuple[str, ...] = ()
    masters: int = 1  # several have a ZooKeeper


def _alone(area: str, *names: str) -> tuple[Chain, ...]:
    return tuple(Chain(area, (name,)) for name in names)


def _keeping(names: tuple[str, ...], *kept: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """Of all names, these mean the same in each of the scenarios."""
    return tuple((name, {one: one for one in kept}) for name in names[1:])


# One framework lives from the first to the last but two.
OPERATED = (
    "subscribe-stream",
    "operator-valid-master",
    "operator-weights-and-quota",
    "operator-deactivate-reactivate-drain-errors",
    "operator-valid-agent",
    "operator-agent-files",
    "operator-agent-nested-containers",
    "operator-agent-standalone-containers",
    "operator-agent-attach-and-session",
    "master-get-with-tasks",
    "master-get-variants",
    "master-methods",
    "master-files",
    "agent-get-with-tasks",
    "agent-files",
    "subscribe-stream-end",
    "after-teardown",
    "drain-with-negative-grace-and-deactivated-agent",
)

LANES = (
    Lane(
        "attributes",
        ((*RICH, "--executor_registration_timeout=5secs"),),
        _alone(
            "A2",
            "subscribe-and-heartbeats",
            "command-task-finished",
            "command-task-exit-3",
            "command-task-killed-by-signal",
            "command-not-found-shell",
            "command-not-found-argv",
            "command-user-unknown",
            "command-uri-missing",
            "command-environment-and-labels",
            "kill-default",
            "kill-with-task-killing-state",
            "kill-policy-override-in-call",
            "kill-trap-exit-0",
            "kill-trap-exit-7",
            "kill-twice-and-after-the-end",
            "kill-right-after-launch",
            "health-check-passing",
            "health-check-failing",
            "health-check-turns-bad-then-good",
            "check-command",
            "check-tcp",
            "custom-executor-command-missing",
            "custom-executor-never-registers",
            "custom-executor-two-tasks-exits-1",
            "task-group-both-succeed",
            "task-group-one-fails",
            "task-group-kill-one",
            "task-group-shutdown-executor",
            "task-group-health-check",
            "task-group-custom-type",
            "task-group-empty",
            "task-group-executor-with-command",
            "task-group-docker-container",
            "task-group-one-invalid-task",
            "task-group-executor-without-disk",
            "default-executor-with-plain-LAUNCH",
            "acknowledge-wrong-uuid-and-retry",
            "task-group-duplicate-ids-crashes-the-master",
        ),
    ),
    Lane(
        "plain",
        ((*PLAIN, "--docker_registry=/nowhere"),),  # so that no image is looked for elsewhere
        (
            *_alone("A5", "raw-wire"),  # first: it shows all that the master knows
            *_alone(
                "A1",
                "http-head-errors",
                "subscribe-accept-variants",
                "subscribe-invalid-framework-info",
                "subscribe-offer-constraints-invalid",
            ),
            Chain(
                "A1",
                (
                    "call-sub-message-missing",
                    "call-fields-missing",
                    "call-unknown-fields-and-json-leniency",
                    "framework-id-and-stream-id-errors",
                ),
                renamed=(
                    (
                        "framework-id-and-stream-id-errors",
                        {
                            "<FRAMEWORK_2>": "<FRAMEWORK_1>",
                            "<UUID_3>": "<UUID_1>",
                            "<UUID_2>": "<UUID_2>",
                        },
                    ),
                ),
            ),
            *_alone("A1", "disconnected-framework-call"),
            *_alone("A3", "task-validation"),
            *_alone(
                "A5",
                "framework-completes-while-task-runs",
                "updates-without-acknowledgement",
                "ten-tasks-one-accept",
                "scalar-rounding",
            ),
            *_alone(
                "A4",
                "accept-an-offer-of-another-framework",
                "offer-filters-min-allocatable-resources",
            ),
        ),
    ),
    Lane(
        "reserved",
        ((*RICH, WEB),),
        (
            *_alone("A4", "offer-shapes-by-capability"),
            Chain(
                "A4",
                (
                    "reconcile-partition-aware",
                    "message-and-shutdown-unknown-executor",
                    "acknowledge-unknown",
                ),
            ),
            *_alone("A4", "update-framework", "offer-constraints"),
            Chain(
                "A4",
                (
                    "resubscribe-same-framework-id-while-connected",
                    "subscribe-with-torn-down-framework-id",
                ),
                renamed=(
                    ("subscribe-with-torn-down-framework-id", {"<FRAMEWORK_1>": "<FRAMEWORK_1>"}),
                ),
            ),
            *_alone(
                "A4",
                "framework-failover-timeout-passes",
                "subscribe-with-unknown-framework-id",
                "two-streams-same-id-offers-are-rescinded",
            ),
            Chain("A4", ("decline-with-filters", "suppress-revive")),
            *_alone("A4", "decline-and-accept-unknown-offer"),
        ),
        ("--max_completed_frameworks=5",),
    ),
    Lane(
        "pair",
        (PLAIN, PLAIN),
        (
            *_alone("A5", "multi-role-offers"),
            *_alone("A4", "one-offer-two-tasks-and-leftover"),
        ),
    ),
    Lane(
        "joined",
        (RICH, PLAIN),
        (
            Chain(
                "A4",
                ("two-offers-of-different-agents", "agent-process-killed-while-an-offer-is-held"),
                renamed=(
                    ("agent-process-killed-while-an-offer-is-held", {"<OFFER_1>": "<OFFER_4>"}),
                ),
            ),
        ),
    ),
    Lane(
        "domains",
        ((*RACK, _domain("eu", "z2")), (*PLAIN, _domain("us", "z9"))),
        _alone(
            "A6",
            "suppress-and-revive-by-role",
            "subscribe-suppressed",
            "protobuf-subscribe",
            "update-framework-while-task-runs-and-failover-timeout-0-disconnect",
            "updates-while-disconnected",
        ),
        (_domain("eu", "z1"),),
    ),
    Lane(
        "executors",
        (RACK,),
        (
            *_alone("E", "executor-api-errors-without-executor"),
            Chain(
                "E",
                ("executor-heartbeat-scheduler-side",),
                beside=("executor-heartbeat-executor-side",),
            ),
            Chain("E", ("executor-life-scheduler-side",), beside=("executor-life-executor-side",)),
            Chain(
                "E",
                ("executor-teardown-scheduler-side",),
                beside=("executor-teardown-executor-side",),
            ),
            Chain(
                "E",
                ("executor-agent-restart-scheduler-side",),
                beside=("executor-agent-restart-executor-side",),
            ),
            Chain(
                "E",
                ("executor-agent-restart-no-checkpoint-scheduler-side",),
                beside=("executor-agent-restart-no-checkpoint-executor-side",),
            ),
        ),
    ),
    Lane(
        "operators",
        (RACK,),
        (
            *_alone(
                "B",
                "operator-head-errors-master",
                "operator-sub-message-missing-master",
                "operator-empty-sub-message-master",
                "operator-head-errors-agent",
                "operator-sub-message-missing-agent",
                "operator-empty-sub-message-agent",
                "operator-call-UNKNOWN-agent",
                "idle-cluster",
            ),
            Chain(
                "B",
                OPERATED,
                renamed=(
                    *_keeping(OPERATED[:-2], "<FRAMEWORK_1>", "<AGENT_1>"),
                    (
                        "after-teardown",
                        {
                            "<FRAMEWORK_1>": "<FRAMEWORK_1>",
                            "<AGENT_1>": "<AGENT_2>",
                            "<AGENT_2>": "<AGENT_1>",
                        },
                    ),
                    *_keeping(OPERATED[-2:], "<AGENT_1>"),
                ),
            ),
            *_alone(
                "B-crashes",
                "remove-quota-of-a-new-role",
                "delete-quota-classic",
                "remove-quota-after-update-quota",
                "remove-quota-never-set",
                "update-quota-empty-config-then-get",
                "agent-remove-running-standalone-container",
                "agent-remove-ended-standalone-container",
            ),
        ),
        ("--allocation_interval=300ms",),
    ),
    Lane(
        "probes",
        (RACK,),
        (
            *_alone(
                "D",
                "command-task",
                "command-task-with-everything",
                "command-task-argv",
                "custom-executor-command",
                "work-dir-layout",
                "master-work-dir",
            ),
        ),
    ),
    Lane(
        "permitted",
        (PLAIN,),
        (
            *_alone("G", "subscribe-principals-and-roles"),
            Chain(
                "G",
                ("run-task-and-reserve-not-authorized", "views-with-and-without-permission"),
                renamed=_keeping(
                    ("", "views-with-and-without-permission"), "<FRAMEWORK_1>", "<AGENT_1>"
                ),
            ),
        ),
    ),
    Lane(
        "elected",
        (PLAIN,),
        _alone("F", "zookeeper-nodes", "standby-answers", "leader-killed"),
        masters=2,
    ),
    Lane(
        "restarts",  # without the ping timeout of those below: agents may take longer to be back
        (PLAIN,),
        _alone(
            "H",
            "agent-killed-and-restarted-at-once-checkpoint-true-unaware",
            "agent-killed-and-restarted-at-once-checkpoint-true-partition-aware",
            "agent-killed-and-restarted-at-once-checkpoint-false-unaware",
            "agent-killed-and-restarted-at-once-checkpoint-false-partition-aware",
            "agent-restarted-with-other-resources",
            "master-restart",
        ),
    ),
    Lane(
        "failures",
        (PLAIN,),
        _alone(
            "H",
            "agent-away-past-ping-timeout-and-back-checkpoint-true-unaware",
            "agent-away-past-ping-timeout-and-back-checkpoint-true-partition-aware",
            "agent-SIGSTOP-partition-partition-aware",
            "executor-process-killed",
            "drain-agent",
            "drain-agent-mark-gone",
            "mark-agent-gone-unaware",
            "mark-agent-gone-partition-aware",
            "mark-agent-gone-unreachable",
        ),
        ("--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=2"),
    ),
)
