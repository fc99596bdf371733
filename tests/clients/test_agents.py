"""What clients of Mesos rely on: how agents are named, and how soon one that died is inactive."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tepui.agent.daemon.options import AgentOptions
from tepui.cli import agent_flags
from tepui.cli.flags import read_flags
from tests.clients.framework import Framework
from tests.clients.raw import ask, get, post
from tests.real.cluster import Cluster

PID = re.compile(r"slave\([0-9]+\)@([0-9.]+:[0-9]+)")
INACTIVE_S = 5.0


def options(*flags: str) -> AgentOptions:
    given = ("--master=m:5050", "--work_dir=/w", *flags)
    return agent_flags.agent_options(read_flags(agent_flags.GROUPS, given, {}, ()), None)


@pytest.mark.real
def test_the_pid_is_slave_n_at_ip_and_port(cluster: Cluster) -> None:
    agent, master = cluster.agents[0].address, cluster.master_address
    listed = ask(master, post("/api/v1", {"type": "GET_AGENTS"})).json()["get_agents"]["agents"]
    pids = [
        get(agent, "/state").json()["pid"],
        get(master, "/state").json()["slaves"][0]["pid"],
        get(master, "/state-summary").json()["slaves"][0]["pid"],
        get(master, "/slaves").json()["slaves"][0]["pid"],
        listed[0]["pid"],
    ]
    for pid in pids:
        match = PID.fullmatch(pid)
        assert match is not None, pid
        assert match[1] == agent


def test_the_hostname_is_as_given_by_the_flag_or_the_machines() -> None:
    assert options("--ip=10.0.0.1", "--hostname=here").hostname == "here"
    assert options("--ip=127.0.0.1", "--hostname=here").hostname == "here"
    assert options("--ip=0.0.0.0").hostname == socket.gethostname()
    assert options("--ip=10.0.0.1").hostname == socket.gethostname()


@pytest.mark.real
def test_the_hostname_is_told_and_an_agent_that_died_is_inactive_within_five_seconds(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path, agents=0) as cluster:
        agent = cluster.start_agent("--hostname=localhost")
        cluster.wait_for_agents(1)
        master = cluster.master_address
        with Framework(master) as framework:
            offer = framework.offer()
            assert offer["hostname"] == "localhost"
            assert offer["url"]["address"]["hostname"] == "localhost"
        for address in (agent.address, master):
            state = get(address, "/state").json()
            assert state.get("slaves", [state])[0]["hostname"] == "localhost"
        agent.kill()

        def inactive(path: str) -> bool:
            return [one["active"] for one in get(master, path).json()["slaves"]] == [False]

        for path in ("/slaves", "/state", "/state-summary"):
            cluster.wait_until(lambda path=path: inactive(path), "it is inactive", INACTIVE_S)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        state = get(master, "/state").json()
        assert (state["activated_slaves"], state["deactivated_slaves"]) == (0, 1)
        listed = ask(master, post("/api/v1", {"type": "GET_AGENTS"})).json()
        assert [one["active"] for one in listed["get_agents"]["agents"]] == [False]
