"""When the firewall is written, and what: with a firewall that takes notes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tepui.agent.containers.networks.rules import (
    CHECK_EVERY_S,
    PortRule,
    Rules,
    added,
    chains_of,
    whole,
)
from tepui.base.errors import HostError

CHAINS = chains_of("/state")
WEB = PortRule("c1", "tcp", 31080, "10.9.0.2", 80)
DNS = PortRule("c2", "udp", 31053, "10.9.0.3", 53)


class Firewall:
    """Knows which jumps it has; fails what it is told to."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.jumps: set[tuple[str, ...]] = set()
        self.gone: list[tuple[str, ...]] = []  # chains that were flushed, or removed
        self.checks = 0
        self.broken: str | None = None
        self.now_s = 0.0

    def __call__(self, argv: Sequence[str], given: str) -> None:
        if argv[0] == "iptables-restore":
            if self.broken is not None and self.broken in given:
                raise HostError("change", "the firewall", "broken")
            self.texts.append(given)
            return
        table, action, jump = argv[4], argv[5], tuple(argv[6:])
        self.checks += action == "-C"
        if action == "-I":
            self.jumps.add((table, *jump))
        elif action in ("-F", "-X"):
            self.gone.append((table, action, *jump))
        elif action == "-D":
            self.jumps.remove((table, *jump))
        elif (table, *jump) not in self.jumps:
            raise HostError("change", "the firewall", "no such rule")

    def rules(self) -> Rules:
        return Rules(CHAINS, "br9", "10.9.0.0/24", self, lambda: self.now_s)


def test_the_first_container_brings_all_rules_and_the_next_its_ports() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.add("c1", (WEB,))
    assert firewall.texts == [whole(CHAINS, "br9", "10.9.0.0/24", (WEB,))]
    assert firewall.jumps == set(CHAINS.jumps())
    rules.add("c2", (DNS,))
    assert firewall.texts[1:] == [added(CHAINS, (DNS,))]
    rules.add("c3", ())
    assert len(firewall.texts) == 2
    rules.remove("c1")
    assert firewall.texts[2:] == [whole(CHAINS, "br9", "10.9.0.0/24", (DNS,))]
    rules.remove("c1")
    rules.remove("c3")
    assert len(firewall.texts) == 3


def test_rules_that_someone_took_away_are_written_again() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.add("c1", (WEB,))
    firewall.jumps.clear()
    firewall.now_s = CHECK_EVERY_S
    rules.add("c2", ())
    assert firewall.jumps == set()
    firewall.now_s = CHECK_EVERY_S + 0.1
    rules.add("c3", ())
    assert firewall.jumps == set(CHAINS.jumps())


def test_a_chain_that_is_gone_is_written_as_a_whole() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.add("c1", (WEB,))
    firewall.broken = "\n".join(("*nat", "-A"))  # additions fail, whole chains do not
    rules.add("c2", (DNS,))
    assert firewall.texts[1:] == [whole(CHAINS, "br9", "10.9.0.0/24", (WEB, DNS))]


def test_a_firewall_that_fails_is_told_and_tried_again() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    firewall.broken = "COMMIT"
    with pytest.raises(HostError, match="broken"):
        rules.add("c1", (WEB,))
    firewall.broken = None
    rules.add("c2", ())
    assert firewall.texts == [whole(CHAINS, "br9", "10.9.0.0/24", (WEB,))]
    rules.remove("c1")
    assert firewall.texts[1:] == [whole(CHAINS, "br9", "10.9.0.0/24", ())]


def test_a_removal_that_failed_is_done_again() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.add("c1", (WEB,))
    firewall.broken = "COMMIT"
    with pytest.raises(HostError, match="broken"):
        rules.remove("c1")
    firewall.broken = None
    rules.remove("c1")
    assert firewall.texts[1:] == [whole(CHAINS, "br9", "10.9.0.0/24", ())]


def test_what_an_earlier_agent_attached_is_written_again() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.expect({"c1": (WEB,), "c2": ()})
    assert firewall.texts == []
    rules.write()
    assert firewall.texts == [whole(CHAINS, "br9", "10.9.0.0/24", (WEB,))]


def test_an_agent_that_ends_for_good_leaves_no_chain_and_nothing_that_leads_to_one() -> None:
    firewall = Firewall()
    rules = firewall.rules()
    rules.add("c1", (WEB,))
    assert firewall.jumps
    rules.remove_chains()
    assert firewall.jumps == set()
    assert firewall.gone == [
        (table, action, chain)
        for table, chain in (
            ("filter", CHAINS.input),
            ("filter", CHAINS.forward),
            ("nat", CHAINS.ports),
            ("nat", CHAINS.masquerade),
        )
        for action in ("-F", "-X")
    ]


def test_agents_of_one_machine_have_chains_of_their_own() -> None:
    names = {*vars_of("/state"), *vars_of("/other")}
    assert len(names) == 8
    assert max(map(len, names)) <= 28  # of iptables


def vars_of(directory: str) -> set[str]:
    chains = chains_of(directory)
    return {chains.input, chains.forward, chains.ports, chains.masquerade}
