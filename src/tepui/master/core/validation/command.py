"""Commands and their environment (Mesos: common/validation.cpp, validateCommandInfo)."""

from __future__ import annotations

from tepui.wire import mesos

_VariableType = mesos.Environment.Variable.Type


def command_error(command: mesos.CommandInfo) -> str | None:
    """What is wrong with the command: little can be, it is the agent's to run it."""
    # Differs from Mesos, which cuts such texts off: the kernel takes no null bytes.
    if any("\0" in text for text in (command.value or "", command.user or "", *command.arguments)):
        return "The command contains a null byte"
    if command.environment is None:
        return None
    for variable in command.environment.variables:
        if error := _variable_error(variable):
            return error
    return None


def _variable_error(variable: mesos.Environment.Variable) -> str | None:
    subject = f"Environment variable '{variable.name}'"
    match variable.type:
        case _VariableType.VALUE:
            if variable.value is None:
                return f"{subject} of type 'VALUE' must have a value set"
            if variable.secret is not None:
                return f"{subject} of type 'VALUE' must not have a secret set"
            if "\0" in variable.value or "\0" in variable.name:  # differs as well
                return f"{subject} contains a null byte"
            return None
        case _VariableType.SECRET:
            if variable.secret is None:
                return f"{subject} of type 'SECRET' must have a secret set"
            if variable.value is not None:
                return f"{subject} of type 'SECRET' must not have a value set"
            if error := secret_error(variable.secret):
                return f"{subject} specifies an invalid secret: {error}"
            value = variable.secret.value
            if value is not None and b"\0" in value.data:
                return (
                    f"{subject} specifies a secret containing null bytes,"
                    " which is not allowed in the environment"
                )
            return None
        case _:
            return "Environment variable of type 'UNKNOWN' is not allowed"


def secret_error(secret: mesos.Secret) -> str | None:
    """What is wrong with a secret: exactly what its type says must be set."""
    match secret.type:
        case mesos.Secret.Type.REFERENCE:
            if secret.reference is None:
                return "Secret of type REFERENCE must have the 'reference' field set"
            if secret.value is not None:
                return (
                    f"Secret '{secret.reference.name}' of type REFERENCE"
                    " must not have the 'value' field set"
                )
        case mesos.Secret.Type.VALUE:
            if secret.value is None:
                return "Secret of type VALUE must have the 'value' field set"
            if secret.reference is not None:
                return "Secret of type VALUE must not have the 'reference' field set"
    return None
