"""Flags, read as Mesos reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tepui.base.errors import Refused
from tepui.cli.flags import Flag, Group, Kind, Values, read_flags
from tepui.cli.flags_help import flags_help

GROUPS = (
    Group(
        "Some",
        (
            Flag("ip", Kind.TEXT, "127.0.0.1", "Address."),
            Flag("work_dir", Kind.PATH, None, "Directory."),
            Flag("port", Kind.INTEGER, "5050", "Port."),
            Flag("ping_timeout", Kind.DURATION, "15secs", "Time."),
            Flag("switch_user", Kind.SWITCH, "true", "Users."),
            Flag("share", Kind.NUMBER, None, "Share."),
            Flag("roles", Kind.TEXT, None, "Roles.", note="has no effect"),
        ),
    ),
)


def read(*arguments: str, env: Mapping[str, str] | None = None) -> Values:
    return read_flags(GROUPS, arguments, env or {}, ("TEPUI_MASTER_", "MESOS_"))


def refusal(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(Refused) as caught:
        read(*arguments, env=env)
    return caught.value.text


def test_flags_that_are_not_given_have_their_defaults() -> None:
    values = read()
    assert values.text("ip") == "127.0.0.1"
    assert values.integer("port") == 5050
    assert values.duration_ms("ping_timeout") == 15_000
    assert values.switch("switch_user") is True
    assert values.text("work_dir") is None
    assert values.number("share") is None
    assert values.notes == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--ping_timeout=500ms",),
        ("--ping-timeout=500ms",),
        ("--ping-timeout", "500ms"),
        ("--ping_timeout=1secs", "--ping-timeout=500ms"),
    ],
)
def test_dashes_underscores_and_both_forms_of_values_are_the_same(
    arguments: tuple[str, ...],
) -> None:
    assert read(*arguments).duration_ms("ping_timeout") == 500


@pytest.mark.parametrize(
    ("argument", "is_on"),
    [
        ("--switch_user", True),
        ("--no-switch_user", False),
        ("--no-switch-user", False),
        ("--no_switch_user", False),
        ("--switch_user=false", False),
        ("--switch_user=0", False),
        ("--switch_user=True", True),
        ("--switch_user=1", True),
    ],
)
def test_switches_take_every_form_of_mesos(argument: str, is_on: bool) -> None:
    assert read(argument).switch("switch_user") is is_on


def test_a_switch_does_not_take_the_next_argument() -> None:
    assert "unexpected argument 'false'" in refusal("--switch_user", "false")


def test_command_line_goes_before_own_variables_before_those_of_mesos() -> None:
    env = {"MESOS_PORT": "1", "MESOS_IP": "mesos", "TEPUI_MASTER_IP": "tepui"}
    values = read("--port=3", env=env)
    assert values.integer("port") == 3
    assert values.text("ip") == "tepui"
    assert read(env=env).integer("port") == 1


def test_variables_that_are_no_flags_are_left_alone() -> None:
    assert read(env={"MESOS_SANDBOX": "/x", "TEPUI_MASTER": "y"}).notes == []


@pytest.mark.parametrize("arguments", [("--quux=1",), ("--quux", "1"), ("--quux",), ("--no-quux",)])
def test_unknown_flag_is_named_and_ignored(arguments: tuple[str, ...]) -> None:
    values = read(*arguments, "--port=7")
    name = arguments[0].partition("=")[0].replace("-", "_")[2:]
    assert values.notes == [f"flag --{name} is not known here and is ignored"]
    assert values.integer("port") == 7


def test_flag_without_effect_is_noted_only_when_it_is_given() -> None:
    assert read("--roles=a,b").notes == ["flag --roles: has no effect"]


def test_value_may_stand_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ip"
    path.write_text("10.0.0.1\n")
    assert read(f"--ip=file://{path}").text("ip") == "10.0.0.1"
    assert read(env={"MESOS_IP": f"file://{path}"}).text("ip") == "10.0.0.1"


def test_path_is_never_read() -> None:
    assert read("--work_dir=file:///nowhere").text("work_dir") == "file:///nowhere"


def test_file_that_is_not_there_is_named() -> None:
    assert refusal("--ip=file:///no/where") == ("flag --ip: '/no/where': No such file or directory")


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--port=x", "flag --port: 'x': expected a whole number"),
        ("--share=x", "flag --share: 'x': expected a number"),
        ("--switch_user=maybe", "flag --switch_user: 'maybe': expected true or false"),
        ("--no-switch_user=1", "flag --no-switch_user takes no value, got '1'"),
        ("--port", "flag --port needs a value: Port."),
        ("stray", "unexpected argument 'stray': flags are written --name=value"),
        ("-x", "unexpected argument '-x': flags are written --name=value"),
    ],
)
def test_wrong_value_is_refused_with_flag_value_and_rule(argument: str, text: str) -> None:
    assert refusal(argument) == text


def test_wrong_duration_names_its_flag() -> None:
    assert refusal("--ping_timeout=5").startswith("flag --ping_timeout: duration '5': expected")


def test_flag_that_must_be_given_says_so() -> None:
    with pytest.raises(Refused, match="flag --work_dir is required: Directory"):
        read().required("work_dir")


def test_flags_for_those_who_ask_have_defaults_and_given_values() -> None:
    assert read("--port=1").as_text() == {
        "ip": "127.0.0.1",
        "port": "1",
        "ping_timeout": "15secs",
        "switch_user": "true",
    }


def test_help_names_each_flag_with_default_and_meaning() -> None:
    page = flags_help("tepui x", "What it is.", GROUPS, "TEPUI_X_")
    assert "Some:" in page
    assert "--port=N  (default: 5050)\n      Port." in page
    assert "--[no-]switch_user  (default: true)" in page
    assert "TEPUI_X_NAME or MESOS_NAME" in " ".join(page.split())
