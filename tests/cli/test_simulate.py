"""`tepui simulate`: what it prints, and what it says about files that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tepui.cli import main

PLAN = """
agents:
  - {count: 2, resources: "cpus:2;mem:20480"}
frameworks:
  - name: batch
    role: reports
    jobs:
      - {name: small, count: 9, cpus: 1, mem: 512, duration: 10mins}
      - {name: huge, count: 1, cpus: 64, duration: 10mins}
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path)


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(["simulate", *arguments])
    found = capfd.readouterr()
    return code, found.out, found.err


def test_the_tables_say_who_waited_what_was_used_and_why_something_waits(
    plan: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capfd, plan)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "of 2 agents: 9 tasks finished, the last after 30.0 min" in lines[0]
    assert "x real time" in lines[0]
    assert lines[2].startswith("FRAMEWORK ROLE FINISHED RUNNING WAITING WAIT P50")
    assert lines[3].startswith("batch reports 9 0 1 10.0 min")
    assert any(line.startswith("cpus 4 ") for line in lines)
    assert any(line.startswith("mem 40 GiB ") for line in lines)
    assert any(line.startswith("cpus used |█") for line in lines)
    assert any(line.startswith("batch, huge: 1 task waits, the first for") for line in lines)
    assert any("needs cpus 64, the largest agent has 2" in line for line in lines)


def test_a_change_is_compared_with_what_was(plan: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, plan, "--change", "agents.0.count=5")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert ["FIGURE", "BEFORE", "AFTER"] in lines
    assert ["agents", "2", "5", "*"] in lines
    assert ["tasks", "finished", "9", "9"] in lines
    assert ["last", "end", "30.0", "min", "10.0", "min", "*"] in lines


def test_json_has_every_figure(plan: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, plan, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["speed"] > 0
    assert found["result"]["frameworks"][0]["finished"] == 9
    assert found["result"]["course"]["used"]["cpus"][0] == 1
    code, out, _ = run(capfd, plan, "--json", "--change", "agents.0.count=5")
    both = json.loads(out)
    assert [both[name]["result"]["agents"] for name in ("before", "after")] == [2, 5]


def test_pictures_are_files(plan: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.svg"
    code, _, err = run(capfd, plan, "--picture", str(path), "--change", "seed=2")
    assert code == 0
    assert err.splitlines() == [f"picture: {path}", f"picture: {tmp_path / 'p-after.svg'}"]
    assert all("<svg" in (tmp_path / name).read_text() for name in ("p.svg", "p-after.svg"))


def test_a_saved_state_is_a_cluster(
    plan: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.json"
    state.write_text(
        '{"slaves": [{"id": "S0", "hostname": "h", "resources": {"cpus": 64}}], "frameworks": []}'
    )
    code, out, _ = run(capfd, plan, "--from", str(state), "--json")
    assert code == 0
    assert json.loads(out)["result"]["frameworks"][0]["finished"] == 10
    code, out, err = run(capfd, "--from", str(state))
    assert code == 0
    assert "of 1 agent: 0 tasks finished" in out
    assert "no frameworks" in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "give a FILE, or --from"),
        (["nosuch.yaml"], 1, "'nosuch.yaml': No such file"),
        (["PLAN", "--change", "agents.7.count=1"], 1, "'7' is none of the 1 there are"),
        (
            ["PLAN", "--change", "agents.0.count=x"],
            1,
            "agents[0].count 'x': expected a whole number",
        ),
        (["PLAN", "--picture", "/nosuch/p.svg"], 1, "picture '/nosuch/p.svg': No such file"),
        (["PLAN", "--picture", "p.png"], 2, "'p.png': expected a name that ends in .svg"),
        (["--from", "nosuch.json"], 1, "there is no such file, and a master is HOST:PORT"),
        (["--from", "127.0.0.1:1"], 1, "no master answers at 127.0.0.1:1"),
        (["PLAN", "--from", "PLAN"], 1, "not the /state of a master"),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str],
    code: int,
    text: str,
    plan: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    given = [plan if one == "PLAN" else one for one in arguments]
    found, _, err = run(capfd, *given)
    assert (found, len(err.splitlines())) == (code, 1)
    assert text in err
