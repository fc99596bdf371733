"""The rules by which the agent accepts the calls of executors and operators.

Pure functions, for calls that are decoded. Each answers the text of the first rule that fails, or
None. (Mesos: slave/validation.cpp and common/validation.cpp; texts are its texts.)
"""

from __future__ import annotations

from typing import Final

from tepui.agent.core import updates
from tepui.agent.core.state import UPDATE_BYTES_MAX
from tepui.base.errors import Refused
from tepui.base.ids import is_uuid
from tepui.resources.validation import validate_id
from tepui.wire import agent, executor, mesos

CONTAINER_ID_BYTES_MAX: Final = 242  # Mesos: MAX_CONTAINER_ID_LENGTH, so that a name fits with it
NESTED_MAX: Final = 32  # containers within each other; Mesos has no limit and no use for so many

_EXECUTOR_PARTS: Final = {
    executor.Call.Type.SUBSCRIBE: "subscribe",
    executor.Call.Type.UPDATE: "update",
    executor.Call.Type.MESSAGE: "message",
}
_CHECKED: Final = {  # what a check's status of that type holds
    mesos.CheckInfo.Type.COMMAND: "command",
    mesos.CheckInfo.Type.HTTP: "http",
    mesos.CheckInfo.Type.TCP: "tcp",
}

_Type = agent.Call.Type
_WITHOUT_PART: Final = frozenset(
    {
        _Type.UNKNOWN,
        _Type.GET_HEALTH,
        _Type.GET_FLAGS,
        _Type.GET_VERSION,
        _Type.GET_LOGGING_LEVEL,
        _Type.GET_STATE,
        _Type.GET_CONTAINERS,
        _Type.GET_FRAMEWORKS,
        _Type.GET_EXECUTORS,
        _Type.GET_OPERATIONS,
        _Type.GET_TASKS,
        _Type.GET_AGENT,
        _Type.GET_RESOURCE_PROVIDERS,
        _Type.PRUNE_IMAGES,
    }
)
_NESTED: Final = frozenset(  # whose container always lies within another
    {
        _Type.LAUNCH_NESTED_CONTAINER,
        _Type.LAUNCH_NESTED_CONTAINER_SESSION,
        _Type.WAIT_NESTED_CONTAINER,
        _Type.KILL_NESTED_CONTAINER,
        _Type.REMOVE_NESTED_CONTAINER,
    }
)


# Executors


def executor_call_error(call: executor.Call) -> str | None:
    """What is wrong with the call, whoever makes it; without a prefix."""
    if call.type is None:
        return "Expecting 'type' to be present"
    part = _EXECUTOR_PARTS.get(call.type)
    if part is not None and getattr(call, part) is None:
        return f"Expecting '{part}' to be present"
    if call.type is executor.Call.Type.UPDATE and call.update is not None:
        return update_error(call, call.update.status)
    return None


def update_error(call: executor.Call, status: mesos.TaskStatus) -> str | None:
    """What is wrong with an update that the call carries, itself or among others."""
    executor_id, framework_id = call.executor_id.value, call.framework_id.value
    caller = f"executor {executor_id} of framework {framework_id}"
    if status.uuid is None:
        return "Expecting 'uuid' to be present"
    if not is_uuid(status.uuid):  # the master would refuse its acknowledgement
        return "Not a valid UUID"
    if status.executor_id is not None and status.executor_id.value != executor_id:
        return (
            f"ExecutorID in Call: {executor_id} does not match ExecutorID in TaskStatus:"
            f" {status.executor_id.value}"
        )
    if status.source is not updates.SOURCE_EXECUTOR:
        return f"Received Call from {caller} with invalid source, expecting 'SOURCE_EXECUTOR'"
    if status.state is mesos.TaskState.TASK_STAGING:
        return f"Received TASK_STAGING from {caller} which is not allowed"
    if status.check_status is not None and (error := _check_error(status.check_status)):
        return error
    if (size := updates.size_bytes(status)) > UPDATE_BYTES_MAX:
        task_id = status.task_id.value[:64]
        return f"the update of task '{task_id}' has {size} bytes, more than {UPDATE_BYTES_MAX}"
    return None


def _check_error(status: mesos.CheckStatusInfo) -> str | None:
    if status.type is None:
        return "CheckStatusInfo must specify 'type'"
    part = _CHECKED.get(status.type)
    if part is None:
        return f"'{status.type.value}' is not a valid check's status type"
    if getattr(status, part) is None:
        return f"Expecting '{part}' to be set for {status.type.value} check's status"
    return None


# Operators


def operator_call_error(call: agent.Call) -> str | None:
    """What is wrong with the call; without a prefix."""
    if call.type is None:
        return "Expecting 'type' to be present"
    if call.type in _WITHOUT_PART:
        return None
    name = call.type.name.lower()
    part = getattr(call, name)
    if part is None:
        return f"Expecting '{name}' to be present"
    if call.attach_container_input is not None and name == "attach_container_input":
        return _attach_error(call.attach_container_input)
    container_id = getattr(part, "container_id", None)
    if container_id is not None:
        if error := container_id_error(container_id):
            return f"'{name}.container_id' is invalid: {error}"
        if call.type in _NESTED and container_id.parent is None:
            return f"Expecting '{name}.container_id.parent' to be present"
    session = call.launch_nested_container_session
    if call.type is _Type.LAUNCH_NESTED_CONTAINER_SESSION and session is not None:
        linux = None if session.container is None else session.container.linux_info
        if linux is not None and linux.share_cgroups is False:
            return (
                f"'{name}.container.linux_info' is invalid: 'share_cgroups' cannot be set to"
                " 'false' for nested container sessions"
            )
    if call.type in (_Type.ADD_RESOURCE_PROVIDER_CONFIG, _Type.UPDATE_RESOURCE_PROVIDER_CONFIG):
        info: mesos.ResourceProviderInfo = part.info
        return None if info.id is None else f"Expecting '{name}.info.id' to be unset"
    return None


def container_id_error(container_id: mesos.ContainerID) -> str | None:
    """Why it cannot be the id of a container; those of its parents are held to the same rules."""
    prefix = ""
    link: mesos.ContainerID | None = container_id
    for _ in range(NESTED_MAX):
        if link is None:
            return None
        if error := _own_id_error(link.value):
            return prefix + error
        prefix += "'ContainerID.parent' is invalid: "
        link = link.parent
    return None if link is None else f"containers nest at most {NESTED_MAX} deep"


def _own_id_error(text: str) -> str | None:
    try:
        validate_id(text)
    except Refused as refused:
        return refused.text
    if len(text.encode()) > CONTAINER_ID_BYTES_MAX:
        return f"'ContainerID.value' '{text}' exceeds the maximum length ({CONTAINER_ID_BYTES_MAX})"
    if "." in text or " " in text:  # dots join the ids of nested containers, spaces confuse logs
        return f"'ContainerID.value' '{text}' contains invalid characters"
    return None


def _attach_error(attach: agent.Call.AttachContainerInput) -> str | None:
    kinds = agent.Call.AttachContainerInput.Type
    match attach.type:
        case None:
            return "Expecting 'attach_container_input.type' to be present"
        case kinds.UNKNOWN:
            return "'attach_container_input.type' is unknown"
        case kinds.CONTAINER_ID:
            found = attach.container_id or mesos.ContainerID(value="")
            error = container_id_error(found)
            return error and f"'attach_container_input.container_id' is invalid: {error}"
        case _:
            return None
