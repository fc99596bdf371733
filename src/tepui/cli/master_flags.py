"""The flags of `tepui master`, and the options they make. Names and defaults are Mesos's.

Source: Mesos docs/configuration/master.md.
"""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec

from tepui.allocator.terms import MIN_ALLOCATABLE, Minimums
from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.base.sizes import parse_bytes
from tepui.cli.daemon import AUTHENTICATION_NOTE, LOG_FLAGS
from tepui.cli.flags import Flag, Group, Kind, Values
from tepui.master.core.settings import RateLimits, Settings
from tepui.master.daemon.journal import JOURNAL_BYTES_MIN, JournalOptions
from tepui.master.daemon.options import MasterOptions
from tepui.resources import parse_resources
from tepui.wire import json as wire_json
from tepui.wire import mesos
from tepui.wire.errors import Malformed
from tepui.zookeeper.url import parse_zk_url

OPENING = (
    "A master offers the resources of agents to frameworks. It listens on this machine only, "
    "unless --ip says otherwise."
)
IN_MEMORY = "in_memory"
SQLITE = "sqlite"
REPLICATED_LOG = "replicated_log"  # Mesos's name for the one that is durable

HOSTNAME_LOOKUP = Flag(
    "hostname_lookup",
    Kind.SWITCH,
    "true",
    "Without --hostname: the name that the system has, not the address.",
)

GROUPS = (
    Group(
        "Address",
        (
            Flag("ip", Kind.TEXT, "127.0.0.1", "Address to listen on; 0.0.0.0: every one."),
            Flag("port", Kind.INTEGER, "5050", "Port to listen on; 0: any that is free."),
            Flag("hostname", Kind.TEXT, None, "Name told to others."),
            HOSTNAME_LOOKUP,
            Flag("advertise_ip", Kind.TEXT, None, "Address told to others, behind a NAT."),
            Flag("advertise_port", Kind.INTEGER, None, "Port told to others, behind a NAT."),
        ),
    ),
    Group(
        "Cluster",
        (
            Flag("cluster", Kind.TEXT, None, "Name of the cluster, for those who ask."),
            Flag("domain", Kind.TEXT, None, "Region and zone of the master: a DomainInfo in JSON."),
            Flag("work_dir", Kind.PATH, None, "Directory for what the master keeps."),
            Flag(
                "registry",
                Kind.TEXT,
                None,
                "Where admitted agents are kept: 'sqlite', in the work_dir, or 'in_memory'; sqlite "
                "if there is a work_dir.",
            ),
            Flag(
                "zk",
                Kind.TEXT,
                None,
                "Several masters, their election and registry in ZooKeeper: "
                "zk://host1:port1,host2:port2/path.",
            ),
            Flag(
                "zk_session_timeout",
                Kind.DURATION,
                "10secs",
                "A leader that ZooKeeper has not heard of for this time is replaced.",
            ),
            Flag("quorum", Kind.INTEGER, None, "Not needed: ZooKeeper knows how many agree."),
        ),
    ),
    Group(
        "Agents",
        (
            Flag("agent_ping_timeout", Kind.DURATION, "15secs", "An agent answers a ping in this."),
            Flag(
                "max_agent_ping_timeouts",
                Kind.INTEGER,
                "5",
                "Pings in a row an agent may miss before it counts as unreachable.",
            ),
            Flag(
                "agent_reregister_timeout",
                Kind.DURATION,
                "10mins",
                "After a change of master agents have this time to come back.",
            ),
            Flag(
                "agent_removal_rate_limit",
                Kind.TEXT,
                None,
                "So many agents may be marked unreachable in a time, such as 1/10mins.",
            ),
            Flag(
                "registry_gc_interval",
                Kind.DURATION,
                "15mins",
                "Time between two looks for agents that are away for too long.",
            ),
            Flag(
                "registry_max_agent_age",
                Kind.DURATION,
                "2weeks",
                "Unreachable and gone agents are forgotten after this time.",
            ),
            Flag(
                "registry_max_agent_count",
                Kind.INTEGER,
                "102400",
                "Unreachable, and gone, agents to remember at most.",
            ),
        ),
    ),
    Group(
        "Offers",
        (
            Flag("weights", Kind.TEXT, None, "Shares of roles: 'ads=2,web=1.5'. Others have 1."),
            Flag("offer_timeout", Kind.DURATION, None, "Offers are taken back after this time."),
            Flag(
                "filter_gpu_resources",
                Kind.SWITCH,
                "true",
                "Offer machines with GPUs only to frameworks with the capability GPU_RESOURCES.",
            ),
            Flag(
                "min_allocatable_resources",
                Kind.TEXT,
                None,
                "Least resources of an offer: 'cpus:1;mem:64|disk:1000', one of them all.",
            ),
            Flag(
                "rate_limits",
                Kind.TEXT,
                None,
                "Calls a second by principal, as in Mesos: "
                """'{"limits": [{"principal": "p", "qps": 5, "capacity": 100}]}'.""",
            ),
            Flag(
                "allocation_interval",
                Kind.DURATION,
                None,
                "Accepted for scripts.",
                note="has no effect: resources are offered as soon as they are free",
            ),
            Flag(
                "roles",
                Kind.TEXT,
                None,
                "Accepted for scripts.",
                note="has no effect: every role is allowed",
            ),
        ),
    ),
    Group(
        "Memory of what has ended",
        (
            Flag("max_completed_frameworks", Kind.INTEGER, "50", "Ended frameworks to remember."),
            Flag(
                "max_completed_tasks_per_framework",
                Kind.INTEGER,
                "1000",
                "Ended tasks to remember of each framework.",
            ),
            Flag(
                "max_unreachable_tasks_per_framework",
                Kind.INTEGER,
                "1000",
                "Tasks on unreachable agents to remember of each framework.",
            ),
        ),
    ),
    LOG_FLAGS,
    Group(
        "Journal",
        (
            Flag(
                "journal",
                Kind.PATH,
                None,
                "Directory in which all that happens is recorded, for 'tepui replay'.",
            ),
            Flag(
                "journal_size",
                Kind.TEXT,
                "1GB",
                "So much is kept of it: the oldest goes first.",
            ),
        ),
    ),
    Group(
        "Not yet",
        tuple(
            Flag(
                name,
                Kind.PATH if takes_value else Kind.SWITCH,  # what is ignored is not read
                None,
                "Access.",
                note=AUTHENTICATION_NOTE,
            )
            for name, takes_value in (
                ("authenticate", False),  # names of older versions: this one, and two below
                ("authenticate_agents", False),
                ("authenticate_slaves", False),
                ("authenticate_frameworks", False),
                ("authenticate_http", False),
                ("authenticate_http_frameworks", False),
                ("authenticate_http_readonly", False),
                ("authenticate_http_readwrite", False),
                ("acls", True),
                ("credentials", True),
            )
        ),
    ),
)


def master_options(values: Values, log_file: str | None) -> MasterOptions:
    """The options; raises Refused for a flag whose value cannot be."""
    port, zk = values.set_integer("port"), values.text("zk")
    return MasterOptions(
        ip=values.required("ip"),
        port=checked_port("port", port),
        hostname=hostname_of(values),
        advertise_ip=values.text("advertise_ip"),
        advertise_port=values.integer("advertise_port"),
        registry=None if zk else _registry(values),
        zk=parse_zk_url(zk) if zk else None,
        zk_session_timeout_ms=values.set_duration_ms("zk_session_timeout"),
        cluster=values.text("cluster"),
        domain=parse_domain(values.text("domain")),
        settings=Settings(
            agent_ping_timeout_ms=values.set_duration_ms("agent_ping_timeout"),
            max_agent_ping_timeouts=_at_least(values, "max_agent_ping_timeouts", 1),
            agent_reregister_timeout_ms=values.set_duration_ms("agent_reregister_timeout"),
            agent_removal_interval_ms=parse_removal_rate(values.text("agent_removal_rate_limit")),
            registry_gc_interval_ms=values.set_duration_ms("registry_gc_interval"),
            registry_max_agent_age_ms=values.set_duration_ms("registry_max_agent_age"),
            registry_max_agent_count=_at_least(values, "registry_max_agent_count", 0),
            offer_timeout_ms=values.duration_ms("offer_timeout"),
            max_completed_frameworks=_at_least(values, "max_completed_frameworks", 0),
            max_completed_tasks_per_framework=_at_least(
                values, "max_completed_tasks_per_framework", 0
            ),
            max_unreachable_tasks_per_framework=_at_least(
                values, "max_unreachable_tasks_per_framework", 0
            ),
            filter_gpu_resources=values.switch("filter_gpu_resources"),
            min_allocatable=parse_minimums(values.text("min_allocatable_resources")),
            rate_limits=parse_rate_limits(values.text("rate_limits")),
        ),
        weights=parse_weights(values.text("weights")),
        flags=values.as_text(),
        journal=_journal(values),
        log_file=log_file,
    )


def notes_on(values: Values) -> list[str]:
    """What to say of values that mean something else here."""
    if values.text("registry") == REPLICATED_LOG:
        return [f"flag --registry={REPLICATED_LOG}: it is kept in SQLite, in the work_dir"]
    return []


def checked_port(name: str, port: int) -> int:
    """The port; raises Refused when it cannot be one."""
    if not 0 <= port <= 65535:
        raise Refused(f"flag --{name}: '{port}': expected 0 to 65535")
    return port


def hostname_of(values: Values) -> str | None:
    """The given name, or the machine's; None means the address.

    On loopback the machine's name would lead others to an address that does not listen.
    """
    if given := values.text("hostname"):
        return given
    ip = values.text("advertise_ip") or values.required("ip")
    if not values.switch("hostname_lookup") or ip.startswith("127.") or ip == "::1":
        return None
    return socket.gethostname()


def parse_domain(text: str | None) -> mesos.DomainInfo | None:
    """A DomainInfo in JSON."""
    if not text:
        return None
    try:
        return wire_json.decode(mesos.DomainInfo, text.encode())
    except Malformed as malformed:
        raise Refused(f"flag --domain: '{text}': {malformed}") from None


def parse_minimums(text: str | None) -> Minimums:
    """Alternatives of `cpus:0.01|mem:32`, each in milli-units by name."""
    if text is None:
        return MIN_ALLOCATABLE
    try:
        return tuple(parse_resources(part).quantities() for part in text.split("|") if part.strip())
    except Refused as refused:
        raise Refused(f"flag --min_allocatable_resources: {refused.text}") from None


def parse_rate_limits(text: str | None) -> RateLimits | None:
    """The JSON of Mesos's docs/framework-rate-limiting.md."""
    if not text:
        return None
    try:
        limits = msgspec.json.decode(text, type=RateLimits)
    except msgspec.MsgspecError as error:
        raise Refused(f"flag --rate_limits: '{text}': {error}") from None
    rates = [limits.aggregate_default_qps, *(limit.qps for limit in limits.limits)]
    if any(rate is not None and not rate > 0 for rate in rates):
        raise Refused(f"flag --rate_limits: '{text}': a rate is above 0")
    return limits


def parse_weights(text: str | None) -> dict[str, float]:
    """Weights by role of `ads=2,web=1.5`."""
    weights: dict[str, float] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        role, _, number = part.partition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = 0.0
        if not role.strip() or not 0 < weight < float("inf"):
            raise Refused(f"flag --weights: '{part}': expected role=number, the number above 0")
        weights[role.strip()] = weight
    return weights


def _registry(values: Values) -> Path | None:
    """The file of the registry; None: it is kept in memory."""
    kind, work_dir = values.text("registry"), values.text("work_dir")
    if kind not in (None, IN_MEMORY, SQLITE, REPLICATED_LOG):
        raise Refused(f"flag --registry: '{kind}': expected {SQLITE} or {IN_MEMORY}")
    if kind == IN_MEMORY or (kind is None and work_dir is None):
        return None
    if work_dir is None:
        raise Refused(f"flag --registry: '{kind}': needs a --work_dir")
    return Path(work_dir) / "registry.db"


def _journal(values: Values) -> JournalOptions | None:
    """Where what happens is recorded; None: nowhere."""
    try:
        bytes_max = parse_bytes(values.required("journal_size"))
    except Refused as refused:
        raise Refused(f"flag --journal_size: {refused.text}") from None
    if bytes_max < JOURNAL_BYTES_MIN:
        raise Refused(
            f"flag --journal_size: '{values.text('journal_size')}':"
            f" expected at least {JOURNAL_BYTES_MIN >> 20}MB"
        )
    directory = values.text("journal")
    return JournalOptions(Path(directory), bytes_max) if directory else None


def parse_removal_rate(text: str | None) -> int:
    """Milliseconds between two agents that are marked unreachable, from `1/10mins`; 0 without."""
    if text is None:
        return 0
    count, _, duration = text.partition("/")
    try:
        return parse_duration_ms(duration) // int(count)
    except (Refused, ValueError, ZeroDivisionError):
        raise Refused(
            f"flag --agent_removal_rate_limit: '{text}':"
            " expected <number of agents>/<duration>, such as 1/10mins"
        ) from None


def _at_least(values: Values, name: str, least: int) -> int:
    value = values.set_integer(name)
    if value < least:
        raise Refused(f"flag --{name}: '{value}': expected at least {least}")
    return value
