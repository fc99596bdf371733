"""Why an agent refuses to give containers users of their own: one sentence that names the flag and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tepui.agent.containers.isolation.user_support import refuse_without_users
from tepui.agent.containers.oci.finding import OciProgram
from tepui.base.errors import Refused

FIRST = 1_900_000_000
FLAG = "flag --isolation: 'namespaces/user': "


def refusal(program: OciProgram | None, missing: str, place: Path) -> str:
    with pytest.raises(Refused) as refused:
        refuse_without_users(program, missing, str(place / "containers"), str(place), FIRST)
    assert str(refused.value).startswith(FLAG)
    return str(refused.value).removeprefix(FLAG)


def test_what_containers_need_at_all_is_said_first(tmp_path: Path) -> None:
    missing = "containers with an image need an OCI runtime: crun or runc"
    assert refusal(None, missing, tmp_path) == missing


def test_it_needs_root_and_crun(tmp_path: Path) -> None:
    without_root = OciProgram("/usr/bin/crun", True, is_rootless=True)
    assert refusal(without_root, "", tmp_path) == "it needs root, and this agent has none"
    runc = OciProgram("/usr/sbin/runc", False)
    assert refusal(runc, "", tmp_path) == "it needs crun, and this machine has only runc"


def test_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "containers").write_text("a file")
    said = refusal(OciProgram("/usr/bin/crun", True), "", tmp_path)
    assert said.startswith("it could not be tried out: ")
    assert f"{tmp_path}/containers" in said
