"""What clients of Mesos rely on: the flags that their scripts pass to the daemons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.cli import agent_flags, master_flags
from tepui.cli.flags import Values, read_flags
from tests.clients.framework import Framework
from tests.clients.raw import get
from tests.real.cluster import Cluster

# Those that each daemon needs to run in a test (--ip, --port, --work_dir, --master) come from there.
MASTER = (
    "--quorum=1",
    "--registry=in_memory",
    "--allocation_interval=500ms",
    "--hostname=localhost",
    "--roles=web,ads",
    "--weights=web=2,ads=1.5",
    "--no-authenticate",
    "--authenticate_http",
    "--no-authenticate_agents",
    "--authenticate_slaves=false",
    "--authenticate_frameworks=false",
    "--no-authenticate_http_frameworks",
    "--authenticate_http_readonly=false",
    "--authenticate_http_readwrite=false",
    "--authenticators=crammd5",
    '--acls={"permissive": true}',
    "--credentials=file:///nowhere/credentials",
    "--cluster=of scripts",
    "--zk_session_timeout=10secs",
    "--some_master_flag=1",
    "--no-some_master_switch",
)
AGENT = (
    "--resources=cpus(*):4;mem(*):2048;ports(role):[1-2]",
    "--attributes=k:v;k2:v2",
    "--containerizers=docker,mesos",
    "--isolation=posix/cpu,posix/mem",
    "--launcher=posix",
    "--image_providers=docker",
    "--no-switch_user",
    "--no-hostname_lookup",
    "--no-systemd_enable_support",
    "--executor_registration_timeout=5mins",
    "--hostname=localhost",
    "--default_role=web",
    "--docker_registry=https://registry-1.docker.io",
    "--some_agent_flag=1",
    "--no-some_agent_switch",
)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master and an agent that were given all of these."""
    directory = tmp_path_factory.mktemp("flags")
    with Cluster(directory, agents=1, master_flags=MASTER, agent_flags=AGENT) as cluster:
        yield cluster


def master_values(*flags: str) -> Values:
    return read_flags(master_flags.GROUPS, flags, {}, ())


def agent_values(*flags: str) -> Values:
    return read_flags(agent_flags.GROUPS, ("--master=m:1", "--work_dir=/w", *flags), {}, ())


def names(flags: tuple[str, ...]) -> list[str]:
    """The flags' names, without the `no-` of a switch."""
    return [one.partition("=")[0].removeprefix("--").removeprefix("no-") for one in flags]


@pytest.mark.parametrize("flag", MASTER)
def test_a_master_takes_each_flag_of_scripts(flag: str) -> None:
    master_flags.master_options(master_values(flag), None)


@pytest.mark.parametrize("flag", AGENT)
def test_an_agent_takes_each_flag_of_scripts(flag: str) -> None:
    agent_flags.agent_options(agent_values(flag), None)


def test_flags_of_scripts_say_what_they_say_in_mesos() -> None:
    options = master_flags.master_options(
        master_values("--ip=10.0.0.1", "--port=15050", "--work_dir=/w", *MASTER), None
    )
    assert (options.ip, options.port, options.registry) == ("10.0.0.1", 15050, None)
    assert (options.hostname, options.cluster) == ("localhost", "of scripts")
    assert options.weights == {"web": 2.0, "ads": 1.5}
    agent = agent_flags.agent_options(agent_values("--ip=10.0.0.2", "--port=15051", *AGENT), None)
    assert (agent.master, agent.ip, agent.port) == ("m:1", "10.0.0.2", 15051)
    assert (agent.work_dir, agent.hostname) == ("/w", "localhost")
    assert (agent.default_role, agent.switch_user) == ("web", False)
    assert agent.executor_registration_timeout_ms == 300_000


@pytest.mark.parametrize("flag", ["some_flag", "some-flag"])
@pytest.mark.parametrize("form", ["--{}=1", "--{}", "--no-{}", "--{}=a=b,c:d"])
def test_an_unknown_flag_is_named_in_a_warning_and_is_no_error(flag: str, form: str) -> None:
    given = form.format(flag)
    for values in (master_values(given), agent_values(given)):
        (note,) = values.notes
        assert "some_flag" in note
    master_flags.master_options(master_values(given), None)
    agent_flags.agent_options(agent_values(given), None)


def test_flags_that_have_no_effect_are_named_in_a_warning() -> None:
    notes = " ".join(master_values(*MASTER).notes + agent_values(*AGENT).notes)
    for name in ("allocation_interval", "roles", "acls", "credentials"):
        assert f"--{name}:" in notes
    for name in (one for one in names(MASTER) if one.startswith("authenticate_")):
        assert f"--{name}: there is no authentication" in notes


def test_known_flags_with_a_wrong_value_are_still_refused() -> None:
    with pytest.raises(Refused, match="--port"):
        master_values("--port=many")
    with pytest.raises(Refused, match="--weights"):
        master_flags.master_options(master_values("--weights=web=-1"), None)


@pytest.mark.real
def test_daemons_with_the_flags_of_scripts_run_and_warn_of_unknown_ones(started: Cluster) -> None:
    master, agent = started.master.log_end(), started.agents[0].log_end()
    for name in ("some_master_flag", "some_master_switch", "authenticators"):
        assert f"warning: flag --{name}" in master or f"warning: flag --no_{name}" in master
    for name in ("some_agent_flag", "some_agent_switch"):
        assert f"warning: flag --{name}" in agent or f"warning: flag --no_{name}" in agent


@pytest.mark.real
def test_the_flags_of_an_agent_are_seen_in_what_it_offers(started: Cluster) -> None:
    (slave,) = get(started.master_address, "/slaves").json()["slaves"]
    assert slave["hostname"] == "localhost"
    assert slave["attributes"] == {"k": "v", "k2": "v2"}
    assert slave["reserved_resources"]["role"]["ports"] == "[1-2]"
    assert slave["unreserved_resources"]["cpus"] == 4.0
    assert slave["unreserved_resources"]["mem"] == 2048.0
    with Framework(started.master_address, role="role") as framework:
        found = {one["name"]: one for one in framework.offer()["resources"]}
    assert (found["cpus"]["role"], found["ports"]["role"]) == ("*", "role")
    assert found["cpus"]["scalar"] == {"value": 4.0}


@pytest.mark.real
@pytest.mark.parametrize("which", ["master", "agent"])
def test_all_known_flags_are_shown_with_what_they_say(started: Cluster, which: str) -> None:
    address, given = {
        "master": (started.master_address, MASTER),
        "agent": (started.agents[0].address, AGENT),
    }[which]
    shown = get(address, "/flags").json()["flags"]
    known = [one for one in given if names((one,))[0] in shown]
    assert len(known) >= 12
    for one in known:
        name, equals, value = one.removeprefix("--").partition("=")
        switched = "false" if name.startswith("no-") else "true"
        assert shown[name.removeprefix("no-")] == (value if equals else switched)
    assert Path(shown["work_dir"]).is_dir()
