"""What Mesos tests of launches, told again: names in brackets are those of its tests.

Source: Mesos tests/master_validation_tests.cpp. What is recorded of a real master is in test_launch.py.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.master.core.validation import task_error
from tepui.wire import mesos
from tests.master.validation.test_launch_rules import (
    CONTEXT,
    CUSTOM,
    EXECUTOR,
    TASK,
    group_error,
    named,
    scalar,
    sharing_cgroups,
)

Container = mesos.ContainerInfo
Executor = mesos.ExecutorInfo
Health = mesos.HealthCheck
Variable = mesos.Environment.Variable

NO_VALUE = mesos.CommandInfo(
    value="exit 0",
    environment=mesos.Environment(
        variables=(Variable(name="ENV_VAR_KEY", type=Variable.Type.VALUE),)
    ),
)
NO_VALUE_TEXT = (
    "`CommandInfo` is invalid: Environment variable 'ENV_VAR_KEY' of type 'VALUE'"
    " must have a value set"
)
DOCKER = Container(type=Container.Type.DOCKER, docker=Container.DockerInfo(image="alpine"))
OWN_NETWORK = Container(type=Container.Type.MESOS, network_infos=(mesos.NetworkInfo(),))
MEM = scalar("mem", 32.0)
CPUS = scalar("cpus", 0.1)
REVOCABLE = structs.replace(CPUS, revocable=mesos.Resource.RevocableInfo())
MIX = "Cannot use both revocable and non-revocable 'cpus' at the same time"


def on(executor: Executor, **changes: object) -> mesos.TaskInfo:
    """A task of LAUNCH on this executor."""
    return structs.replace(TASK, command=None, executor=executor, **changes)


def with_duration(nanoseconds: int) -> mesos.DurationInfo:
    return mesos.DurationInfo(nanoseconds=nanoseconds)


# LAUNCH


def test_an_executor_names_the_framework_that_launches_it() -> None:
    """[TaskValidationTest.ExecutorUsesInvalidFrameworkID, .ExecutorMissingFrameworkID]"""
    other = structs.replace(CUSTOM, framework_id=mesos.FrameworkID("other"))
    assert task_error(on(other), CONTEXT) == (
        "ExecutorInfo has an invalid FrameworkID (Actual: other vs Expected: framework)"
    )
    missing = structs.replace(CUSTOM, framework_id=None)
    assert task_error(on(missing), CONTEXT) == "'ExecutorInfo.framework_id' must be set"
    assert task_error(on(CUSTOM), CONTEXT) is None


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (structs.replace(TASK, command=NO_VALUE), f"Task's {NO_VALUE_TEXT}"),
        (on(structs.replace(CUSTOM, command=NO_VALUE)), f"Executor's {NO_VALUE_TEXT}"),
    ],
)
def test_a_variable_without_a_value_is_refused(task: mesos.TaskInfo, error: str) -> None:
    """[TaskValidationTest.TaskEnvironmentInvalid, .ExecutorEnvironmentInvalid]"""
    assert task_error(task, CONTEXT) == error


def test_a_task_has_a_command_or_an_executor() -> None:
    """[TaskValidationTest.TaskUsesCommandInfoAndExecutorInfo]"""
    error = "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    both = structs.replace(TASK, executor=CUSTOM)
    assert task_error(both, CONTEXT) == error
    assert task_error(structs.replace(TASK, command=None), CONTEXT) == error


def test_an_executor_that_is_launched_with_its_task_has_a_command() -> None:
    """[TaskValidationTest.TaskUsesExecutorInfoWithoutCommandInfo]"""
    untyped = structs.replace(CUSTOM, type=None, command=None)
    assert task_error(on(untyped), CONTEXT) == "'ExecutorInfo.command' must be set"


def test_the_default_executor_runs_groups_only() -> None:
    """[TaskValidationTest.TaskUsesDefaultExecutor]"""
    assert task_error(on(EXECUTOR), CONTEXT) == "'ExecutorInfo.type' must be 'CUSTOM'"


@pytest.mark.parametrize(
    ("executor", "error"),
    [
        (
            structs.replace(EXECUTOR, command=mesos.CommandInfo(value="exit 0")),
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor",
        ),
        (
            structs.replace(EXECUTOR, container=DOCKER),
            "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor",
        ),
        (
            structs.replace(
                EXECUTOR,
                container=Container(
                    type=Container.Type.MESOS,
                    mesos=Container.MesosInfo(image=mesos.Image(type=mesos.Image.Type.DOCKER)),
                ),
            ),
            "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor",
        ),
        (structs.replace(EXECUTOR, container=Container(type=Container.Type.MESOS)), None),
        (
            structs.replace(CUSTOM, command=None),
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
    ],
)
def test_what_an_executor_may_have_depends_on_its_type(
    executor: Executor, error: str | None
) -> None:
    """[ExecutorValidationTest.ExecutorType, TaskGroupValidationTest.ExecutorUsesDockerContainerInfo]"""
    assert group_error(TASK, executor=executor) == error


@pytest.mark.parametrize("executor_id", ["", ".", "..", "a/b", "a\\b", "a\x7fb", "x" * 256])
def test_an_executor_is_named_as_a_directory_may_be(executor_id: str) -> None:
    """[ExecutorValidationTest.ExecutorID]"""
    wrong = structs.replace(CUSTOM, executor_id=mesos.ExecutorID(executor_id))
    assert task_error(on(wrong), CONTEXT) is not None


def test_two_executors_of_one_id_on_one_agent_are_the_same() -> None:
    """[TaskValidationTest.ExecutorInfoDiffersOnSameSlave, .ExecutorInfoDiffersOnDifferentSlaves]"""
    running = structs.replace(CONTEXT, executors={"e": CUSTOM})
    other = structs.replace(CUSTOM, command=mesos.CommandInfo(value="exit 1"))
    error = task_error(on(other), running)
    assert error is not None
    assert error.startswith(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n"
    )
    assert task_error(on(other), CONTEXT) is None


@pytest.mark.parametrize(
    ("of_task", "of_executor", "error"),
    [
        (CPUS, CPUS, None),
        (REVOCABLE, REVOCABLE, "more"),
        (
            REVOCABLE,
            CPUS,
            f"Task and its executor mix revocable and non-revocable resources: {MIX}",
        ),
        (
            CPUS,
            REVOCABLE,
            f"Task and its executor mix revocable and non-revocable resources: {MIX}",
        ),
    ],
)
def test_a_task_and_its_executor_are_both_revocable_or_not(
    of_task: mesos.Resource, of_executor: mesos.Resource, error: str | None
) -> None:
    """[TaskValidationTest.TaskAndExecutorUseRevocableResources]"""
    executor = structs.replace(CUSTOM, resources=(of_executor, MEM))
    found = task_error(on(executor, resources=(of_task, MEM)), CONTEXT)
    assert found == error or (error == "more" and found is not None and "available" in found)


def test_a_task_is_revocable_or_not_in_each_resource() -> None:
    """[TaskValidationTest.TaskUsesRevocableResources]"""
    mixed = structs.replace(TASK, resources=(CPUS, REVOCABLE, MEM))
    error = f"Task mixes revocable and non-revocable resources: {MIX}"
    assert task_error(mixed, CONTEXT) == error


@pytest.mark.parametrize(
    ("task", "error"),
    [
        (
            structs.replace(TASK, kill_policy=mesos.KillPolicy(grace_period=with_duration(-1))),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            structs.replace(TASK, kill_policy=mesos.KillPolicy(grace_period=with_duration(0))),
            None,
        ),
        (
            structs.replace(TASK, max_completion_time=with_duration(-1)),
            "Task's `max_completion_time` must be non-negative",
        ),
        (structs.replace(TASK, max_completion_time=with_duration(0)), None),
        (
            on(structs.replace(CUSTOM, shutdown_grace_period=with_duration(-1))),
            "ExecutorInfo's 'shutdown_grace_period' must be non-negative",
        ),
        (on(structs.replace(CUSTOM, shutdown_grace_period=with_duration(0))), None),
    ],
)
def test_no_time_is_negative(task: mesos.TaskInfo, error: str | None) -> None:
    """[TaskValidationTest.KillPolicyGracePeriodIsNonNegative, .ExecutorShutdownGracePeriodIsNonNegative]"""
    assert task_error(task, CONTEXT) == error


def test_a_docker_container_says_which_and_is_not_named() -> None:
    """[TaskValidationTest.TaskMissingDockerInfo, .TaskSettingDockerParameterName]"""
    missing = structs.replace(TASK, container=Container(type=Container.Type.DOCKER))
    assert task_error(missing, CONTEXT) == (
        "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed"
        " ContainerInfo"
    )
    parameters = (mesos.Parameter(key="name", value="x"),)
    docker = structs.replace(Container.DockerInfo(image="alpine"), parameters=parameters)
    named_so = structs.replace(TASK, container=structs.replace(DOCKER, docker=docker))
    assert task_error(named_so, CONTEXT) == (
        "Task's `ContainerInfo` is invalid: Parameter in DockerInfo must not be 'name'"
    )
    assert task_error(structs.replace(TASK, container=DOCKER), CONTEXT) is None


# LAUNCH_GROUP


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        ((CPUS, CPUS), None),
        ((REVOCABLE, REVOCABLE), "mix"),  # the executor's are not
        ((CPUS, REVOCABLE), "mix"),
    ],
)
def test_tasks_of_a_group_are_all_revocable_as_their_executor_is(
    resources: tuple[mesos.Resource, mesos.Resource], error: str | None
) -> None:
    """[TaskGroupValidationTest.TaskGroupUsesRevocableResources, .TaskGroupAndExecutorUsesRevocableResources]"""
    first, second = resources
    found = group_error(named("a", resources=(first, MEM)), named("b", resources=(second, MEM)))
    expected = f"Task group and executor mix revocable and non-revocable resources: {MIX}"
    assert found == (error and expected)


def test_a_task_of_a_group_is_no_docker_container() -> None:
    """[TaskGroupValidationTest.TaskUsesDockerContainerInfo]"""
    assert group_error(structs.replace(TASK, container=DOCKER)) == (
        "Task 't' is invalid: Docker ContainerInfo is not supported on the task"
    )


@pytest.mark.parametrize(
    "check",
    [
        Health(type=Health.Type.HTTP, http=Health.HTTPCheckInfo(port=80)),
        Health(type=Health.Type.TCP, tcp=Health.TCPCheckInfo(port=80)),
        Health(type=Health.Type.COMMAND, command=mesos.CommandInfo(value="true")),
    ],
)
def test_a_task_on_a_network_of_its_own_is_not_asked_over_that_of_its_pod(check: Health) -> None:
    """[TaskGroupValidationTest.TaskWithNetworkInfosDoesNotHaveHTTPHealthChecks, …TCPHealthChecks]"""
    task = structs.replace(TASK, health_check=check)
    assert group_error(task) is None
    error = group_error(structs.replace(task, container=OWN_NETWORK))
    assert error == (
        None
        if check.type is Health.Type.COMMAND
        else "Task 't' is invalid: HTTP and TCP health checks are not supported for nested"
        " containers not joining parent's network"
    )


def test_variables_of_a_group_have_values() -> None:
    """[TaskGroupValidationTest.TaskEnvironmentInvalid, .ExecutorEnvironmentInvalid]"""
    assert group_error(structs.replace(TASK, command=NO_VALUE)) == (
        f"Task 't' is invalid: Task's {NO_VALUE_TEXT}"
    )
    custom = structs.replace(CUSTOM, command=NO_VALUE)
    assert group_error(TASK, executor=custom) == f"Executor's {NO_VALUE_TEXT}"


def test_what_is_wrong_with_a_task_is_said_before_what_is_with_its_executor() -> None:
    bad = structs.replace(EXECUTOR, resources=())
    task = structs.replace(TASK, kill_policy=mesos.KillPolicy(grace_period=with_duration(-1)))
    assert group_error(task, executor=bad) == (
        "Task 't' is invalid: Task's 'kill_policy.grace_period' must be non-negative"
    )


def test_limits_of_a_task_of_a_group_are_not_below_what_it_asks_for() -> None:
    """[TaskGroupValidationTest.ResourceLimits, TaskValidationTest.ResourceLimitLessThanRequest]"""
    limits = {"cpus": mesos.Value.Scalar(0.05)}
    task = structs.replace(TASK, limits=limits, container=sharing_cgroups(False))
    assert group_error(task) == (
        "Task 't' is invalid: The cpu limit must be greater than or equal to the cpu request"
    )
    other = structs.replace(task, limits={"disk": mesos.Value.Scalar(20.0)})
    assert group_error(other) == (
        "Task 't' is invalid: Only cpus and mem may be included in a task's resource limits"
    )


def test_all_tasks_of_an_executor_share_cgroups_or_none_does() -> None:
    """[TaskGroupValidationTest.ShareCgroup]"""
    own, shared = sharing_cgroups(False), sharing_cgroups(True)
    assert group_error(named("a", container=own), named("b", container=own)) is None
    assert group_error(named("a", container=shared), named("b")) is None
    assert group_error(named("a", container=own), named("b", container=shared)) is not None
