"""The last value that is accepted and the first that is refused."""

from __future__ import annotations

import pytest

from tepui.agent.core.validation import (
    CONTAINER_ID_BYTES_MAX,
    NESTED_MAX,
    container_id_error,
    executor_call_error,
    operator_call_error,
)
from tepui.wire import agent, executor, mesos

Type = agent.Call.Type
Attach = agent.Call.AttachContainerInput


def chain(length: int) -> mesos.ContainerID:
    """Containers within each other."""
    found = mesos.ContainerID(value="0")
    for number in range(1, length):
        found = mesos.ContainerID(value=str(number), parent=found)
    return found


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x" * CONTAINER_ID_BYTES_MAX, None),
        ("x" * (CONTAINER_ID_BYTES_MAX + 1), "exceeds the maximum length (242)"),
        ("é" * (CONTAINER_ID_BYTES_MAX // 2 + 1), "exceeds the maximum length (242)"),
        ("x" * 256, "ID must not be greater than 255 characters"),
        ("x-y_z", None),
        ("x.y", "'ContainerID.value' 'x.y' contains invalid characters"),
        ("x y", "'ContainerID.value' 'x y' contains invalid characters"),
        ("x/y", "'x/y' contains invalid characters"),
    ],
)
def test_a_container_id_is_a_short_name_of_a_directory(text: str, error: str | None) -> None:
    found = container_id_error(mesos.ContainerID(value=text))
    assert found is None if error is None else found is not None and found.endswith(error)


def test_parents_are_held_to_the_same_rules() -> None:
    within = mesos.ContainerID(value="x", parent=mesos.ContainerID(value="a.b"))
    assert container_id_error(within) == (
        "'ContainerID.parent' is invalid: 'ContainerID.value' 'a.b' contains invalid characters"
    )


def test_containers_nest_so_deep_and_no_deeper() -> None:
    assert container_id_error(chain(NESTED_MAX)) is None
    deeper = container_id_error(chain(NESTED_MAX + 1))
    assert deeper == f"containers nest at most {NESTED_MAX} deep"


def test_a_nested_container_has_a_parent() -> None:
    kill = agent.Call.KillNestedContainer(container_id=chain(1))
    call = agent.Call(type=Type.KILL_NESTED_CONTAINER, kill_nested_container=kill)
    expected = "Expecting 'kill_nested_container.container_id.parent' to be present"
    assert operator_call_error(call) == expected


def test_input_is_attached_to_a_container_that_is_named() -> None:
    attach = Attach(type=Attach.Type.CONTAINER_ID)
    call = agent.Call(type=Type.ATTACH_CONTAINER_INPUT, attach_container_input=attach)
    expected = "'attach_container_input.container_id' is invalid: ID must not be empty"
    assert operator_call_error(call) == expected


def test_a_resource_provider_gets_its_id_from_the_agent() -> None:
    info = mesos.ResourceProviderInfo(type="t", name="n", id=mesos.ResourceProviderID("p"))
    add = agent.Call.AddResourceProviderConfig(info=info)
    call = agent.Call(type=Type.ADD_RESOURCE_PROVIDER_CONFIG, add_resource_provider_config=add)
    expected = "Expecting 'add_resource_provider_config.info.id' to be unset"
    assert operator_call_error(call) == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (mesos.CheckStatusInfo(), "CheckStatusInfo must specify 'type'"),
        (
            mesos.CheckStatusInfo(type=mesos.CheckInfo.Type.HTTP),
            "Expecting 'http' to be set for HTTP check's status",
        ),
        (
            mesos.CheckStatusInfo(
                type=mesos.CheckInfo.Type.TCP, tcp=mesos.CheckStatusInfo.Tcp(succeeded=True)
            ),
            None,
        ),
    ],
)
def test_the_status_of_a_check_says_what_its_type_says(
    status: mesos.CheckStatusInfo, error: str | None
) -> None:
    update = mesos.TaskStatus(
        task_id=mesos.TaskID("t"),
        state=mesos.TaskState.TASK_RUNNING,
        source=mesos.TaskStatus.Source.SOURCE_EXECUTOR,
        uuid=bytes(6) + b"\x40" + bytes(9),
        check_status=status,
    )
    call = executor.Call(
        type=executor.Call.Type.UPDATE,
        executor_id=mesos.ExecutorID("e"),
        framework_id=mesos.FrameworkID("F"),
        update=executor.Call.Update(status=update),
    )
    assert executor_call_error(call) == error
