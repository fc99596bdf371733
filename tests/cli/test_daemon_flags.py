"""The flags of master and agent become their options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.daemon.options import AgentOptions, settings_of
from tepui.base.errors import Refused
from tepui.cli import agent_flags, master_flags
from tepui.cli.flags import Values, read_flags
from tepui.master.daemon.options import MasterOptions


def master_values(*arguments: str) -> Values:
    return read_flags(master_flags.GROUPS, arguments, {}, ("TEPUI_MASTER_", "MESOS_"))


def master(*arguments: str) -> MasterOptions:
    return master_flags.master_options(master_values(*arguments), None)


def agent(*arguments: str) -> AgentOptions:
    given = ("--master=m:5050", "--work_dir=/w", *arguments)
    values = read_flags(agent_flags.GROUPS, given, {}, ("TEPUI_AGENT_", "MESOS_"))
    return agent_flags.agent_options(values, None)


def test_master_without_flags_has_the_defaults_of_its_options() -> None:
    options = master()
    assert options.settings == MasterOptions().settings
    assert (options.ip, options.port) == (MasterOptions().ip, MasterOptions().port)
    assert options.flags["agent_ping_timeout"] == "15secs"


def test_master_flags_reach_the_settings() -> None:
    options = master(
        "--agent_ping_timeout=3secs",
        "--max_agent_ping_timeouts=2",
        "--agent-reregister-timeout=20mins",
        "--offer_timeout=1hrs",
        "--max_completed_frameworks=0",
        "--no-filter_gpu_resources",
        "--weights=ads=2, web=1.5",
        "--cluster=here",
        "--port=0",
        '--domain={"fault_domain":{"region":{"name":"r"},"zone":{"name":"z"}}}',
    )
    settings = options.settings
    assert settings.agent_ping_timeout_ms == 3_000
    assert settings.max_agent_ping_timeouts == 2
    assert settings.agent_reregister_timeout_ms == 1_200_000
    assert settings.offer_timeout_ms == 3_600_000
    assert settings.max_completed_frameworks == 0
    assert settings.filter_gpu_resources is False
    assert options.weights == {"ads": 2.0, "web": 1.5}
    assert options.port == 0
    assert options.domain is not None
    assert options.domain.fault_domain is not None
    assert options.domain.fault_domain.zone.name == "z"


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--zk=a:2181/mesos", "a ZooKeeper URL must have the form zk://"),
        ("--port=65536", "flag --port: '65536': expected 0 to 65535"),
        ("--weights=ads", "flag --weights: 'ads': expected role=number"),
        ("--weights=ads=0", "flag --weights: 'ads=0': expected role=number"),
        ("--max_agent_ping_timeouts=0", "flag --max_agent_ping_timeouts: '0': expected at least 1"),
        ("--domain={", "flag --domain: '{'"),
    ],
)
def test_master_flag_that_cannot_be_is_refused(argument: str, text: str) -> None:
    with pytest.raises(Refused) as caught:
        master(argument)
    assert caught.value.text.startswith(text)


def test_flags_that_scripts_give_a_mesos_master_are_taken() -> None:
    values = master_values(
        "--ip=0.0.0.0",
        "--quorum=1",
        "--registry=replicated_log",
        "--work_dir=/w",
        "--allocation_interval=500ms",
        "--roles=a,b",
        "--no-authenticate_agents",
        "--authenticate_frameworks",
        "--acls={}",
        "--credentials=/secret",
    )
    assert master_flags.master_options(values, None).ip == "0.0.0.0"
    noted = " ".join(values.notes)
    for name in ("allocation_interval", "roles", "acls", "credentials", "authenticate_frameworks"):
        assert f"flag --{name}: " in noted
    assert master_flags.notes_on(values)[0].startswith("flag --registry=replicated_log: it is kept")
    assert master_flags.notes_on(master_values("--registry=in_memory")) == []


def test_agent_without_flags_has_the_defaults_of_its_options() -> None:
    options = agent()
    plain = AgentOptions(master="m:5050", work_dir="/w", runtime_dir="/w/runtime")
    for name in AgentOptions.__struct_fields__:
        if name != "flags":
            assert getattr(options, name) == getattr(plain, name), name


def test_flags_that_scripts_give_a_mesos_agent_are_taken() -> None:
    options = agent(
        "--ip=127.0.0.1",
        "--port=5059",
        "--resources=cpus(*):4;mem(*):2048;ports(role):[1-2]",
        "--attributes=k:v;k2:v2",
        "--containerizers=mesos,docker",
        "--isolation=posix/cpu,posix/mem",
        "--launcher=posix",
        "--image_providers=docker",
        "--no-switch_user",
        "--no-hostname_lookup",
        "--no-systemd_enable_support",
        "--executor_registration_timeout=2mins",
        "--hostname=here",
        "--default_role=web",
        "--docker_registry=/images",
    )
    assert options.resources == "cpus(*):4;mem(*):2048;ports(role):[1-2]"
    assert options.attributes == "k:v;k2:v2"
    assert options.switch_user is False
    assert options.cgroups is False
    assert options.executor_registration_timeout_ms == 120_000
    assert options.hostname == "here"
    assert options.default_role == "web"


def test_a_default_container_is_what_executors_without_one_have() -> None:
    text = (
        '{"type": "MESOS", "volumes": [{"host_path": ".t", "container_path": "/t", "mode": "RW"}]}'
    )
    options = agent(f"--default_container_info={text}")
    found = settings_of(options, "127.0.0.1", 5051, "here").default_container_info
    assert found is not None
    assert [one.container_path for one in found.volumes] == ["/t"]
    with pytest.raises(Refused, match="flag --default_container_info: 'no'"):
        agent("--default_container_info=no")


def test_agent_on_loopback_is_named_by_its_address() -> None:
    assert agent("--ip=127.0.0.1").hostname is None
    assert agent("--ip=10.0.0.1", "--no-hostname_lookup").hostname is None
    assert agent("--ip=10.0.0.1").hostname


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "flag --master is required"),
        (("--master=m:1",), "flag --work_dir is required"),
        (("--recover=never", "--master=m:1", "--work_dir=/w"), "flag --recover: 'never'"),
        (
            ("--executor_reregistration_timeout=16secs", "--master=m:1", "--work_dir=/w"),
            "flag --executor_reregistration_timeout: '16secs': not more than 15secs",
        ),
    ],
)
def test_agent_flag_that_is_missing_or_wrong_is_named(
    arguments: tuple[str, ...], text: str
) -> None:
    values = read_flags(agent_flags.GROUPS, arguments, {}, ("TEPUI_AGENT_", "MESOS_"))
    with pytest.raises(Refused) as caught:
        agent_flags.agent_options(values, None)
    assert caught.value.text.startswith(text)


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ((), None),
        (("--work_dir=/w",), Path("/w/registry.db")),
        (("--work_dir=/w", "--registry=sqlite"), Path("/w/registry.db")),
        (("--work_dir=/w", "--registry=in_memory"), None),
    ],
)
def test_the_registry_is_in_the_work_dir_if_there_is_one(
    given: tuple[str, ...], file: Path | None
) -> None:
    assert master_flags.master_options(master_values(*given), None).registry == file


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("--registry=sqlite", "flag --registry: 'sqlite': needs a --work_dir"),
        ("--registry=etcd", "flag --registry: 'etcd': expected sqlite or in_memory"),
        (
            "--agent_removal_rate_limit=1",
            "flag --agent_removal_rate_limit: '1':"
            " expected <number of agents>/<duration>, such as 1/10mins",
        ),
    ],
)
def test_a_registry_that_cannot_be_is_refused(given: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        master_flags.master_options(master_values(given), None)
    assert refused.value.text == text


def test_a_removal_rate_is_a_number_of_agents_in_a_time() -> None:
    assert master_flags.parse_removal_rate(None) == 0
    assert master_flags.parse_removal_rate("1/10mins") == 600_000
    assert master_flags.parse_removal_rate("2/3hrs") == 5_400_000
