"""Checks and health checks (Mesos: common/validation.cpp)."""

from __future__ import annotations

from msgspec import structs

from tepui.master.core.validation.command import command_error
from tepui.wire import mesos

_CheckType = mesos.CheckInfo.Type
_HealthType = mesos.HealthCheck.Type


def typed_health_check(check: mesos.HealthCheck) -> mesos.HealthCheck:
    """`check` with the type that its only field says, when it has no type (an old form)."""
    if check.type is not None or (check.command is None) == (check.http is None):
        return check
    kind = _HealthType.HTTP if check.command is None else _HealthType.COMMAND
    return structs.replace(check, type=kind)


def check_error(check: mesos.CheckInfo) -> str | None:
    """What is wrong with a check."""
    match check.type:
        case None:
            return "CheckInfo must specify 'type'"
        case _CheckType.COMMAND:
            if check.command is None:
                return "Expecting 'command' to be set for COMMAND check"
            command = check.command.command
            if command.value is None:
                return f"Command check must contain {_missing(command)}"
            if error := command_error(command):
                return f"Check's `CommandInfo` is invalid: {error}"
        case _CheckType.HTTP:
            if check.http is None:
                return "Expecting 'http' to be set for HTTP check"
            if error := _path_error(check.http.path, "HTTP check"):
                return error
        case _CheckType.TCP:
            if check.tcp is None:
                return "Expecting 'tcp' to be set for TCP check"
        case _:
            return f"'{check.type.value}' is not a valid check type"
    return (
        _negative("delay_seconds", check.delay_seconds)
        or _negative("interval_seconds", check.interval_seconds)
        or _negative("timeout_seconds", check.timeout_seconds)
    )


def health_check_error(check: mesos.HealthCheck) -> str | None:
    """What is wrong with a health check."""
    match check.type:
        case None:
            return "HealthCheck must specify 'type'"
        case _HealthType.COMMAND:
            if check.command is None:
                return "Expecting 'command' to be set for COMMAND health check"
            if check.command.value is None:
                return f"Command health check must contain {_missing(check.command)}"
            if error := command_error(check.command):
                return f"Health check's `CommandInfo` is invalid: {error}"
        case _HealthType.HTTP:
            if check.http is None:
                return "Expecting 'http' to be set for HTTP health check"
            if check.http.scheme not in (None, "http", "https"):
                return f"Unsupported HTTP health check scheme: '{check.http.scheme}'"
            if error := _path_error(check.http.path, "HTTP health check"):
                return error
        case _HealthType.TCP:
            if check.tcp is None:
                return "Expecting 'tcp' to be set for TCP health check"
        case _:
            return f"'{check.type.value}' is not a valid health check type"
    return (
        _negative("delay_seconds", check.delay_seconds)
        or _negative("grace_period_seconds", check.grace_period_seconds)
        or _negative("interval_seconds", check.interval_seconds)
        or _negative("timeout_seconds", check.timeout_seconds)
    )


def _missing(command: mesos.CommandInfo) -> str:
    return "'shell command'" if command.shell else "'executable path'"


def _path_error(path: str | None, subject: str) -> str | None:
    if path is None or path.startswith("/"):
        return None
    return f"The path '{path}' of {subject} must start with '/'"


def _negative(name: str, value: float) -> str | None:
    # Written so that NaN, which only protobuf can carry, is refused too; Mesos lets it pass.
    return None if value >= 0 else f"Expecting '{name}' to be non-negative"
