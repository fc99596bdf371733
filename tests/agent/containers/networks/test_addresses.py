"""Who has which address of the bridge."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tepui.agent.containers.networks.addresses import release, take
from tepui.base.errors import HostError

SMALL = IPv4Network("10.9.0.0/29")  # a gateway, and five addresses for containers


def test_addresses_go_round_and_are_given_once(tmp_path: Path) -> None:
    directory = str(tmp_path / "addresses")

    def given(container_id: str) -> str:
        return str(take(directory, SMALL, container_id, None))

    assert [given(f"c{at}") for at in range(4)] == [f"10.9.0.{at}" for at in (2, 3, 4, 5)]
    release(directory, "c0")
    assert given("c4") == "10.9.0.6"
    assert given("c5") == "10.9.0.2"
    with pytest.raises(HostError, match=r"address of '10\.9\.0\.0/29': all 5 are given"):
        given("c6")
    release(directory, "c2")
    assert given("c7") == "10.9.0.4"


def test_a_wished_address_is_given_when_it_is_free(tmp_path: Path) -> None:
    directory = str(tmp_path)
    assert take(directory, SMALL, "c1", "10.9.0.6") == IPv4Address("10.9.0.6")
    assert take(directory, SMALL, "c2", "10.9.0.2") == IPv4Address("10.9.0.2")
    assert take(directory, SMALL, "c3", None) == IPv4Address("10.9.0.3")
    with pytest.raises(HostError, match=r"'10\.9\.0\.6': another container has it"):
        take(directory, SMALL, "c4", "10.9.0.6")
    release(directory, "c1")
    assert take(directory, SMALL, "c4", "10.9.0.6") == IPv4Address("10.9.0.6")


@pytest.mark.parametrize("wished", ["10.9.0.0", "10.9.0.1", "10.9.0.7", "10.9.1.2", "fd00::2", "x"])
def test_a_wished_address_may_not_be(tmp_path: Path, wished: str) -> None:
    with pytest.raises(HostError, match=f"take the address '{wished}': it is n"):
        take(str(tmp_path), SMALL, "c1", wished)
    assert list(tmp_path.iterdir()) == []


def test_what_was_never_taken_may_be_released(tmp_path: Path) -> None:
    release(str(tmp_path / "none"), "c1")
    assert not (tmp_path / "none").exists()
    take(str(tmp_path), SMALL, "c1", None)
    release(str(tmp_path), "c2")
    release(str(tmp_path), "c1")
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


def test_another_subnet_begins_anew(tmp_path: Path) -> None:
    take(str(tmp_path), SMALL, "c1", None)
    other = IPv4Network("10.8.0.0/24")
    assert take(str(tmp_path), other, "c2", None) == IPv4Address("10.8.0.2")
