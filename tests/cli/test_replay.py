"""`tepui replay`: what happened, in tables and in JSON, and one line for what can't be said."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.cli import main
from tepui.cli.flags import read_flags
from tepui.cli.master_flags import GROUPS, master_options
from tepui.master.daemon.journal import JournalOptions, Recorder
from tests.master.journals import record
from tests.master.world import TaskState, World

GUIDE = Path(__file__).parents[2] / "docs" / "replay.md"


async def a_morning(world: World, recorder: Recorder) -> None:
    """It begins at 22:13:20; a task runs from 22:13:30 on, and has failed at 22:13:40."""
    agent = world.add_agent(hostname="h1")
    scheduler = world.subscribe(name="shop", roles=("web",))
    world.advance(10_000)
    scheduler.launch("t1", agent)
    agent.update(scheduler, "t1", TaskState.TASK_RUNNING)
    world.advance(10_000)
    agent.update(scheduler, "t1", TaskState.TASK_FAILED, message="exit code 1")
    world.advance(5_000)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return record(tmp_path / "journal", a_morning).directory


def replay(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main.run(["replay", *map(str, arguments)])
    found = capfd.readouterr()
    return code, found.out, found.err


def test_it_says_what_there_is(recorded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capfd, recorded)
    assert (code, err) == (0, "")
    columns = "FROM TO BATCHES EVENTS SIZE STATE TERM NOTE"
    assert out.splitlines()[0].split() == columns.split()
    assert "2023-11-14T22:13:20.000Z to 2023-11-14T22:13:40.000Z: 7 events in " in out
    code, out, _ = replay(capfd, recorded, "--json")
    (segment,) = json.loads(out)
    assert (segment["events"], segment["has_state"], segment["is_torn"]) == (7, True, False)


def test_it_shows_a_moment(recorded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capfd, recorded, "--at", "22:13:35")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][0] == "2023-11-14T22:13:35.000Z,"
    assert rows[3][:1] + rows[3][2:7] == ["h1", "active", "1", "1", "0.1/4", "32M/4.0G"]
    assert rows[6][:5] == ["shop", "active", "web", "RUNNING:1", "1"]
    code, out, _ = replay(capfd, recorded, "--at", "+5", "--json")
    found = json.loads(out)
    assert [(one["hostname"], one["tasks"]) for one in found["agents"]] == [("h1", 0)]
    assert [(one["name"], one["tasks"]) for one in found["frameworks"]] == [("shop", {})]


def test_it_answers_what_the_master_would_have(
    recorded: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for at, running in (("22:13:29", 0), ("22:13:31", 1), ("22:13:41", 0)):
        code, out, _ = replay(capfd, recorded, "--at", at, "--state")
        state = json.loads(out)
        assert (code, len(state["frameworks"][0]["tasks"])) == (0, running)
    code, out, _ = replay(capfd, recorded, "--get", "/tasks?limit=5")
    assert [task["state"] for task in json.loads(out)["tasks"]] == ["TASK_FAILED"]
    code, out, _ = replay(capfd, recorded, "--get", "slaves")
    assert [one["hostname"] for one in json.loads(out)["slaves"]] == ["h1"]


def test_it_explains(recorded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    framework = "11111111-2222-4333-8444-555555555555-0000"
    code, out, _ = replay(capfd, recorded, "--at", "22:13:45", "--explain", framework)
    assert code == 0
    assert "shop" in out
    code, out, _ = replay(capfd, recorded, "--explain", framework, "--task", "t1")
    assert (code, "TASK_FAILED" in out) == (0, True)
    for given in ("shop", "0000"):
        assert replay(capfd, recorded, "--explain", given, "--task", "t1") == (0, out, "")
    _, out, _ = replay(capfd, recorded, "--explain", framework, "--task", "t1", "--json")
    assert "TASK_FAILED" in json.loads(out)["summary"]


def test_it_says_what_differs(recorded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capfd, recorded, "--from", "22:13:25", "--to", "22:13:50")
    assert (code, err.splitlines()) == (
        0,
        [
            "no agent came, went or changed",
            "note: the journal ends at 2023-11-14T22:13:40.000Z",
        ],
    )
    row = out.splitlines()[-1].split()
    assert row[:4] == ["shop", "1", "FAILED:1", "0"]
    code, out, _ = replay(capfd, recorded, "--from", "+0", "--json")
    assert json.loads(out)["frameworks"][0]["ended"] == {"TASK_FAILED": 1}
    code, out, _ = replay(capfd, recorded, "--to", "22:13:29", "--json")
    found = json.loads(out)
    assert [one["change"] for one in (*found["agents"], *found["frameworks"])] == ["came", "came"]


def test_it_lists_what_happened(recorded: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = replay(capfd, recorded, "--events", "--task", "t1")
    assert (code, err) == (0, "")
    kinds = [line.split()[:3] for line in out.splitlines()]
    assert kinds[0] == ["2023-11-14T22:13:30.000Z", "<", "ACCEPT"]
    assert kinds[-2:] == [
        ["2023-11-14T22:13:40.000Z", "<", "ACKNOWLEDGE"],
        ["2023-11-14T22:13:40.000Z", ">", "AcknowledgeUpdate"],
    ]
    code, out, _ = replay(capfd, recorded, "--events", "--from", "22:13:40", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["at"] for line in lines} == {"2023-11-14T22:13:40.000Z"}
    assert any(line["content"].endswith("'exit code 1'") for line in lines)
    code, out, err = replay(capfd, recorded, "--events", "--agent", "nowhere")
    assert (code, out, err) == (0, "", "nothing of that kind happened\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--at", "noon"], 1, "moment 'noon': expected 2026-11-21T03:12:00Z"),
        (["--at", "2020-01-01"], 1, "the journal begins at 2023-11-14T22:13:20.000Z"),
        (["--from", "22:13:40", "--to", "22:13:30"], 2, "--to '22:13:30' is before --from"),
        (["--get", "/nothing"], 1, "GET '/nothing': expected one of /health, /state"),
        (["--get", "/explain"], 1, "missing 'framework_id' in the query"),
        (["--state", "--get", "/state"], 2, "give one of them"),
        (["--at", "+1", "--events"], 2, "--from, --to and --events are about a time"),
        (["--from", "23:59"], 2, "--from '23:59' is after the journal's end"),
        (["--explain", "nobody"], 1, "no framework 'nobody'"),
        (["--task", "t1"], 2, "--task is for --events and --explain"),
        (["--agent", "a"], 2, "--agent and --framework are for --events"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str],
    code: int,
    text: str,
    recorded: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    found, out, err = replay(capfd, recorded, *arguments)
    assert (found, out) == (code, "")
    assert text in err
    assert err.count("\n") == 1


def test_what_is_no_journal_is_one_line(
    tmp_path: Path, recorded: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events = next(recorded.glob("*.events"))
    for prepare, text in (
        (lambda: None, "holds no journal: a master writes one with --journal"),
        (lambda: (tmp_path / events.name).write_text("{}\n"), "is not part of a journal"),
        (lambda: (tmp_path / events.name).write_bytes(b""), "holds nothing yet"),
    ):
        prepare()
        code, out, err = replay(capfd, tmp_path)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert text in err
    assert replay(capfd, tmp_path / "nowhere")[2].endswith("No such file or directory\n")


def test_every_command_of_the_guide_works(
    recorded: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = 0
    for line in GUIDE.read_text().splitlines():
        if not line.startswith("    tepui replay "):
            continue
        for written, meant in (
            ("/var/lib/tepui/journal", str(recorded)),
            ("2026-11-21T03:12:00Z", "2023-11-14T22:13:35Z"),
            ("03:00", "22:13:25"),
            ("03:12", "22:13:35"),
            ("03:13", "22:13:36"),
            ("03:30", "22:13:40"),
            ("FRAMEWORK_ID", "11111111-2222-4333-8444-555555555555-0000"),
            ("AGENT_ID", "11111111-2222-4333-8444-555555555555-S0"),
            ("TASK_ID", "t1"),
        ):
            line = line.replace(written, meant)
        code, out, err = replay(capfd, *shlex.split(line)[2:])
        assert (code, bool(out) or "nothing of that kind" in err) == (0, True), line
        ran += 1
    assert ran == 8


# The flags of the master


def options_of(*arguments: str) -> JournalOptions | None:
    return master_options(read_flags(GROUPS, arguments, {}, ()), None).journal


def test_the_journal_is_off_unless_it_has_a_directory() -> None:
    assert options_of() is None
    assert options_of("--journal_size=8MB") is None
    assert options_of("--journal=/j") == JournalOptions(Path("/j"), 1 << 30)
    assert options_of("--journal=/j", "--journal_size=8MB") == JournalOptions(Path("/j"), 8 << 20)


@pytest.mark.parametrize("text", ["7MB", "8388607B", "0B", "1", "1GiB", "-1GB", "1.5GB", ""])
def test_a_journal_of_no_size_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="journal_size"):
        options_of("--journal=/j", f"--journal_size={text}")
