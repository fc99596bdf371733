"""The flags of `tepui agent`, and the options they make. Names and defaults are Mesos's.

Source: Mesos docs/configuration/agent.md.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from tepui.agent.core.reconfiguration import Policy
from tepui.agent.daemon.options import AgentOptions, Recover
from tepui.base.durations import format_duration_ms
from tepui.base.errors import Refused
from tepui.cli.container_flags import CONTAINERS, container_options
from tepui.cli.daemon import AUTHENTICATION_NOTE, LOG_FLAGS
from tepui.cli.fetcher_flags import FETCHER, fetcher_options
from tepui.cli.flags import Flag, Group, Kind, Values
from tepui.cli.master_flags import HOSTNAME_LOOKUP, checked_port, hostname_of, parse_domain

C = TypeVar("C", bound=StrEnum)

REREGISTRATION_MS_MAX = 15_000  # Mesos: slave/constants.hpp

OPENING = (
    "An agent offers this machine's resources to the master and runs the tasks. It listens on "
    "this machine only, unless --ip says otherwise."
)

GROUPS = (
    Group(
        "Address",
        (
            Flag(
                "master",
                Kind.TEXT,
                None,
                "The masters: host:port, with commas, or zk://host:port,.../path.",
            ),
            Flag("ip", Kind.TEXT, "127.0.0.1", "Address to listen on; 0.0.0.0: every one."),
            Flag("port", Kind.INTEGER, "5051", "Port to listen on; 0: any that is free."),
            Flag("hostname", Kind.TEXT, None, "Name of the machine in offers."),
            HOSTNAME_LOOKUP,
            Flag("advertise_ip", Kind.TEXT, None, "Address told to others, behind a NAT."),
            Flag("advertise_port", Kind.INTEGER, None, "Port told to others, behind a NAT."),
        ),
    ),
    Group(
        "What is offered",
        (
            Flag(
                "resources",
                Kind.TEXT,
                None,
                "Such as 'cpus:4;mem:2048;disk(ads):512;ports:[31000-32000]', or JSON. What is "
                "left out is found out.",
            ),
            Flag(
                "attributes", Kind.TEXT, None, "What frameworks may choose by: 'rack:r1;ssd:yes'."
            ),
            Flag("default_role", Kind.TEXT, "*", "Role of resources that name none."),
            Flag(
                "domain", Kind.TEXT, None, "Region and zone of the machine: a DomainInfo in JSON."
            ),
        ),
    ),
    Group(
        "Directories",
        (
            Flag("work_dir", Kind.PATH, None, "Sandboxes of tasks and what the agent keeps."),
            Flag(
                "runtime_dir",
                Kind.PATH,
                None,
                "What is gone after a reboot; without it 'runtime' in the work_dir.",
            ),
            Flag("gc_delay", Kind.DURATION, "1weeks", "Sandboxes are kept for this time."),
            Flag(
                "gc_disk_headroom",
                Kind.NUMBER,
                "0.1",
                "The less of the disk is free beyond this share, the earlier sandboxes go.",
            ),
            Flag(
                "disk_watch_interval",
                Kind.DURATION,
                "10secs",
                "How often the disk of the work_dir is looked at.",
            ),
        ),
    ),
    Group(
        "Tasks",
        (
            Flag("switch_user", Kind.SWITCH, "true", "Run tasks as the user they name."),
            Flag(
                "cgroups_enable_cfs",
                Kind.SWITCH,
                "false",
                "Hold tasks to their cpus even when the machine is idle.",
            ),
            Flag("cgroups_root", Kind.TEXT, "", "Parent of the tasks' cgroups."),
            Flag(
                "isolation",
                Kind.TEXT,
                None,
                "Kinds of isolation, with commas; with cgroups/... tasks are held to their memory.",
            ),
            Flag(
                "executor_registration_timeout",
                Kind.DURATION,
                "1mins",
                "An executor must answer within this time of its start.",
            ),
            Flag(
                "executor_shutdown_grace_period",
                Kind.DURATION,
                "5secs",
                "What is ended has this time to do it itself.",
            ),
            Flag(
                "recovery_timeout",
                Kind.DURATION,
                "15mins",
                "Executors wait this long for an agent that is away.",
            ),
            Flag(
                "executor_reregistration_timeout",
                Kind.DURATION,
                "15secs",
                "An executor must answer an agent that is back within this time.",
            ),
            Flag(
                "recover",
                Kind.TEXT,
                "reconnect",
                "Tasks of the agent before: 'reconnect' takes them over, 'cleanup' ends them.",
            ),
            Flag(
                "strict",
                Kind.SWITCH,
                "true",
                "Do not start when a part of the checkpoint can't be read.",
            ),
            Flag(
                "reconfiguration_policy",
                Kind.TEXT,
                "equal",
                "What may be another after a restart: nothing ('equal'), or more ('additive').",
            ),
            Flag(
                "max_completed_executors_per_framework",
                Kind.INTEGER,
                "150",
                "Ended executors to remember of each framework.",
            ),
        ),
    ),
    Group(
        "Link to the master",
        (
            Flag(
                "registration_backoff_factor",
                Kind.DURATION,
                "1secs",
                "First wait before the master is asked again; it grows.",
            ),
            Flag(
                "http_heartbeat_interval",
                Kind.DURATION,
                "30secs",
                "Time between signs of life on streams.",
            ),
        ),
    ),
    CONTAINERS,
    FETCHER,
    LOG_FLAGS,
    Group(
        "Accepted for scripts",
        (
            Flag("launcher", Kind.TEXT, None, "How tasks are started; there is one way here."),
            Flag("launcher_dir", Kind.PATH, None, "Where Mesos has its helpers."),
            Flag("image_providers", Kind.TEXT, None, "Kinds of images; there is one here."),
            Flag("image_provisioner_backend", Kind.TEXT, None, "How layers become a root."),
            Flag("docker", Kind.TEXT, None, "Docker's program; its socket is used."),
            Flag("systemd_enable_support", Kind.SWITCH, None, "Units for executors."),
            Flag("credential", Kind.PATH, None, "Access.", note=AUTHENTICATION_NOTE),
            Flag("acls", Kind.PATH, None, "Access.", note=AUTHENTICATION_NOTE),
            Flag("http_credentials", Kind.PATH, None, "Access.", note=AUTHENTICATION_NOTE),
            Flag(
                "authenticate_http_readonly", Kind.SWITCH, None, "Access.", note=AUTHENTICATION_NOTE
            ),
            Flag(
                "authenticate_http_readwrite",
                Kind.SWITCH,
                None,
                "Access.",
                note=AUTHENTICATION_NOTE,
            ),
        ),
    ),
)


def agent_options(values: Values, log_file: str | None) -> AgentOptions:
    """The options; raises Refused for a flag whose value cannot be."""
    master = values.required("master")
    work_dir = values.required("work_dir")
    cgroups = values.text("isolation")
    return AgentOptions(
        master=master,
        work_dir=work_dir,
        runtime_dir=values.text("runtime_dir") or f"{work_dir.rstrip('/')}/runtime",
        ip=values.required("ip"),
        port=checked_port("port", values.set_integer("port")),
        advertise_ip=values.text("advertise_ip"),
        advertise_port=values.integer("advertise_port"),
        hostname=hostname_of(values),
        resources=values.text("resources"),
        attributes=values.text("attributes") or "",
        default_role=values.required("default_role"),
        domain=parse_domain(values.text("domain")),
        switch_user=values.switch("switch_user"),
        cgroups=cgroups is None or "cgroups" in cgroups,
        cgroups_root=values.text("cgroups_root") or "",
        cgroups_enable_cfs=values.switch("cgroups_enable_cfs"),
        registration_backoff_factor_ms=values.set_duration_ms("registration_backoff_factor"),
        executor_registration_timeout_ms=values.set_duration_ms("executor_registration_timeout"),
        executor_reregistration_timeout_ms=_reregistration_ms(values),
        recover=_choice(values, "recover", Recover),
        strict=values.switch("strict"),
        reconfiguration_policy=_choice(values, "reconfiguration_policy", Policy),
        executor_shutdown_grace_period_ms=values.set_duration_ms("executor_shutdown_grace_period"),
        recovery_timeout_ms=values.set_duration_ms("recovery_timeout"),
        gc_delay_ms=values.set_duration_ms("gc_delay"),
        gc_disk_headroom=_headroom(values),
        disk_watch_interval_ms=max(1, values.set_duration_ms("disk_watch_interval")),
        http_heartbeat_interval_ms=values.set_duration_ms("http_heartbeat_interval"),
        max_completed_executors_per_framework=values.set_integer(
            "max_completed_executors_per_framework"
        ),
        log_file=log_file,
        containers=container_options(values),
        fetcher=fetcher_options(values),
        flags=values.as_text(),
    )


def _headroom(values: Values) -> float:
    share = values.number("gc_disk_headroom")
    if share is None or not 0 <= share <= 1:
        raise Refused(f"flag --gc_disk_headroom: '{share}': a share of the disk, from 0 to 1")
    return share


def _reregistration_ms(values: Values) -> int:
    name = "executor_reregistration_timeout"
    timeout_ms = values.set_duration_ms(name)
    if timeout_ms > REREGISTRATION_MS_MAX:
        text = format_duration_ms(REREGISTRATION_MS_MAX)
        raise Refused(f"flag --{name}: '{values.text(name)}': not more than {text}")
    return timeout_ms


def _choice(values: Values, name: str, choices: type[C]) -> C:
    given = values.required(name)
    try:
        return choices(given)
    except ValueError:
        known = " or ".join(f"'{one}'" for one in choices)
        raise Refused(f"flag --{name}: '{given}': {known}") from None
