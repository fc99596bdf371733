"""The command line as a whole: help, errors in one line, nothing heavy before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tepui import __version__
from tepui.cli import main

HEAVY = ("rich", "aiohttp", "msgspec", "uvloop", "asyncio", "tepui.sdk", "tepui.wire")


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.run(list(arguments))
    found = capfd.readouterr()
    return code, found.out, found.err


def test_help_lists_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "--help")
    assert code == 0
    for name, meaning in main.COMMANDS.items():
        assert name in out
        assert meaning in out


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_has_help(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, name, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: tepui {name}" in out


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from tepui.cli.main import run; run(['--help'])\n"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["nosuch"], 2, "No such command 'nosuch'"),
        (["run", "--nosuch"], 2, "No such option"),
        (["run"], 2, "give a command, after '--', or --file"),
        (["run", "--env", "x", "true"], 1, "--env 'x': expected name=value"),
        (["run", "--cpus", "-1", "true"], 1, "cpus -1.0: expected a finite number"),
        (["run", "--master", "zk://x@y", "true"], 1, "must have the form user:password"),
        (
            ["run", "--master", "zk://127.0.0.1:1/mesos", "true"],
            1,
            "no leading master within 2 s: ZooKeeper at 127.0.0.1:1 cannot be reached: does --master",
        ),
        (["node", "ls", "--master", "127.0.0.1:1"], 1, "no master answers at 127.0.0.1:1"),
        (["task", "kill", "--master", "127.0.0.1:1", "x"], 1, "no master answers"),
        (["run", "--entrypoint", "--", "true"], 2, "--entrypoint goes with an --image"),
        (["run", "--pull", "--", "true"], 2, "--pull goes with an --image"),
        (["up", "--port", "65535"], 1, "2 ports are needed from there"),
        (["up", "--ip", "192.0.2.1"], 1, "cannot listen on 192.0.2.1"),
        (["master", "--port=x"], 2, "flag --port: 'x': expected a whole number"),
        (["agent"], 1, "flag --master is required"),
    ],
)
def test_error_is_one_line_on_stderr(
    arguments: list[str], code: int, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capfd, *arguments)
    assert found == code
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tepui: ")
    assert text in err


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEPUI_DEBUG", "1")
    with pytest.raises(Exception, match="--env 'x'"):
        main.run(["run", "--env", "x", "true"])


def test_version_is_an_option_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "--version") == (0, f"tepui {__version__}\n", "")


def test_version_is_said_in_words_and_in_json(capfd: pytest.CaptureFixture[str]) -> None:
    _, words, _ = run(capfd, "version")
    _, text, _ = run(capfd, "version", "--json")
    assert f"tepui {json.loads(text)['version']} " in words
    assert run(capfd, "master", "--version")[1].startswith("tepui ")
