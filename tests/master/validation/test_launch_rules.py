"""Rules for launches at the edges that no recorded launch reaches."""

from __future__ import annotations

import pytest
from msgspec import structs

from tepui.master.core.validation import (
    LaunchContext,
    completed_group,
    completed_task,
    operation_error,
    task_error,
    task_group_error,
)
from tepui.master.core.validation.checks import check_error
from tepui.master.core.validation.command import command_error, secret_error
from tepui.master.core.validation.container import container_error
from tepui.master.core.validation.debug_text import debug_text
from tepui.resources import parse_resources
from tepui.wire import mesos

Container = mesos.ContainerInfo
Executor = mesos.ExecutorInfo
Operation = mesos.Offer.Operation
Source = mesos.Volume.Source
Value = mesos.Value
Variable = mesos.Environment.Variable


def scalar(name: str, value: float, role: str | None = None) -> mesos.Resource:
    allocation = None if role is None else mesos.Resource.AllocationInfo(role=role)
    return mesos.Resource(
        name=name, type=Value.Type.SCALAR, scalar=Value.Scalar(value), allocation_info=allocation
    )


def ports(begin: int, end: int) -> mesos.Resource:
    ranges = Value.Ranges(range=(Value.Range(begin=begin, end=end),))
    return mesos.Resource(name="ports", type=Value.Type.RANGES, ranges=ranges)


SMALL = (scalar("cpus", 0.1), scalar("mem", 32.0))

TASK = mesos.TaskInfo(
    name="t",
    task_id=mesos.TaskID("t"),
    agent_id=mesos.AgentID("agent"),
    resources=SMALL,
    command=mesos.CommandInfo(value="true"),
)

EXECUTOR = Executor(
    type=Executor.Type.DEFAULT,
    executor_id=mesos.ExecutorID("e"),
    framework_id=mesos.FrameworkID("framework"),
    resources=(*SMALL, scalar("disk", 10.0)),
)

CUSTOM = structs.replace(
    EXECUTOR, type=Executor.Type.CUSTOM, command=mesos.CommandInfo(value="run")
)

CONTEXT = LaunchContext(
    framework_id="framework",
    agent_id="agent",
    role="web",
    offered=parse_resources("ports:[31000-32000];cpus:4;mem:4096;disk:10240"),
    task_known=frozenset(("running",)).__contains__,
    task_unreachable=frozenset(("gone",)).__contains__,
)


def named(task_id: str, **changes: object) -> mesos.TaskInfo:
    return structs.replace(TASK, task_id=mesos.TaskID(task_id), **changes)


def group_error(
    *tasks: mesos.TaskInfo,
    executor: Executor = EXECUTOR,
    context: LaunchContext = CONTEXT,
) -> str | None:
    group = completed_group(mesos.TaskGroupInfo(tasks=tasks), executor)
    return task_group_error(group, executor, context)


def sharing_cgroups(shared: bool) -> Container:
    linux = mesos.LinuxInfo(share_cgroups=shared)
    return Container(type=Container.Type.MESOS, linux_info=linux)


# Tasks


def test_id_of_an_unreachable_task_is_not_used_again() -> None:
    assert task_error(named("running"), CONTEXT) == "Task has duplicate ID: running"
    expected = "Task reuses the ID of an unreachable task: gone"
    assert task_error(named("gone"), CONTEXT) == expected


def test_all_that_was_offered_can_be_taken_and_no_more() -> None:
    everything = (scalar("cpus", 4.0), scalar("mem", 4096.0))
    assert task_error(structs.replace(TASK, resources=everything), CONTEXT) is None
    error = task_error(structs.replace(TASK, resources=(scalar("cpus", 4.001),)), CONTEXT)
    assert error is not None
    assert error.startswith("Total resources cpus(allocated: web):4.001 required by task and its")


def test_resources_of_one_task_are_of_one_role() -> None:
    mixed = (scalar("cpus", 0.1), scalar("mem", 32.0, role="db"))
    assert task_error(structs.replace(TASK, resources=mixed), CONTEXT) == (
        "Invalid task resources: The resources have multiple allocation roles ('db' and 'web')"
        " but only one allocation role is allowed"
    )


def test_task_and_executor_do_not_share_ports() -> None:
    executor = structs.replace(CUSTOM, resources=(ports(31005, 31006),))
    task = structs.replace(TASK, command=None, executor=executor, resources=(ports(31000, 31005),))
    assert task_error(task, CONTEXT) == (
        "There are overlapping resources in the task resources"
        " ports(allocated: web):[31000-31005] and executor resources"
        " ports(allocated: web):[31005-31006]"
    )
    apart = structs.replace(task, resources=(ports(31000, 31004),))
    assert task_error(apart, CONTEXT) is None


def test_running_executor_is_not_paid_for_again() -> None:
    executor = structs.replace(CUSTOM, resources=(scalar("cpus", 4.0),))
    task = structs.replace(TASK, command=None, executor=executor)
    assert task_error(task, CONTEXT) is not None
    assert task_error(task, structs.replace(CONTEXT, executors={"e": executor})) is None


def test_executor_that_says_the_same_in_another_order_is_the_same() -> None:
    running = structs.replace(CUSTOM, framework_id=None, resources=CUSTOM.resources[::-1])
    task = structs.replace(TASK, command=None, executor=CUSTOM)
    assert task_error(task, structs.replace(CONTEXT, executors={"e": running})) is None


def test_only_tasks_of_groups_have_cgroups_of_their_own() -> None:
    error = "Only tasks in a task group may have 'share_cgroups' set to 'false'"
    own = structs.replace(TASK, container=sharing_cgroups(False))
    assert task_error(own, CONTEXT) == error
    shared = structs.replace(TASK, container=sharing_cgroups(True))
    assert task_error(shared, CONTEXT) is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("cpus", 0.1, None),
        ("cpus", 0.099, "The cpu limit must be greater than or equal to the cpu request"),
        ("cpus", float("inf"), None),
        ("mem", 32.0, None),
        ("mem", 31.0, "The memory limit must be greater than or equal to the memory request"),
        (
            "mem",
            float("-inf"),
            "The memory limit must be greater than or equal to the memory request",
        ),
        ("gpus", 1.0, "Only cpus and mem may be included in a task's resource limits"),
    ],
)
def test_limit_is_at_least_the_request(name: str, value: float, error: str | None) -> None:
    task = structs.replace(TASK, limits={name: Value.Scalar(value)})
    assert task_error(task, CONTEXT) == error


def test_limit_needs_a_request() -> None:
    task = structs.replace(
        TASK, resources=(scalar("cpus", 0.1),), limits={"mem": Value.Scalar(64.0)}
    )
    assert task_error(task, CONTEXT) == (
        "When a memory limit is specified, a memory request must also be specified"
    )


def test_health_check_without_type_has_the_type_of_its_only_field() -> None:
    http = mesos.HealthCheck(http=mesos.HealthCheck.HTTPCheckInfo(port=80))
    done = completed_task(structs.replace(TASK, health_check=http), "framework")
    assert done.health_check is not None
    assert done.health_check.type is mesos.HealthCheck.Type.HTTP
    both = structs.replace(http, command=mesos.CommandInfo(value="true"))
    unclear = structs.replace(TASK, health_check=both)
    assert completed_task(unclear, "framework") is unclear


def test_check_that_waits_for_no_number_is_refused() -> None:
    check = mesos.CheckInfo(
        type=mesos.CheckInfo.Type.TCP,
        tcp=mesos.CheckInfo.Tcp(port=80),
        delay_seconds=float("nan"),
    )
    assert check_error(check) == "Expecting 'delay_seconds' to be non-negative"


# Whole operations


def test_one_wrong_resource_fails_the_whole_launch() -> None:
    wrong = named("b", resources=(scalar("cpus", -1.0),))
    launch = Operation.Launch(task_infos=(TASK, wrong))
    operation = Operation(type=Operation.Type.LAUNCH, launch=launch)
    assert operation_error(operation) == (
        "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"
    )


def test_launches_have_no_operation_id() -> None:
    launch = Operation.LaunchGroup(executor=EXECUTOR, task_group=mesos.TaskGroupInfo(tasks=(TASK,)))
    operation = Operation(
        type=Operation.Type.LAUNCH_GROUP, launch_group=launch, id=mesos.OperationID("o")
    )
    assert operation_error(operation) == ("The `id` field cannot be set on LAUNCH_GROUP operations")
    assert operation_error(structs.replace(operation, id=None)) is None


# Groups


@pytest.mark.parametrize(
    ("resources", "error"),
    [
        (
            (scalar("mem", 32.0), scalar("disk", 1.0)),
            "uses less CPUs (None) than the minimum required (0.01)",
        ),
        (
            (scalar("cpus", 0.009), scalar("mem", 32.0), scalar("disk", 1.0)),
            "uses less CPUs (0.009) than the minimum required (0.01)",
        ),
        (
            (scalar("cpus", 0.01), scalar("disk", 1.0)),
            "uses less memory (None) than the minimum required (32MB)",
        ),
        (
            (scalar("cpus", 0.01), scalar("mem", 31.9), scalar("disk", 1.0)),
            "uses less memory (31MB) than the minimum required (32MB)",
        ),
        ((scalar("cpus", 0.01), scalar("mem", 32.0)), "uses no disk"),
        ((scalar("cpus", 0.01), scalar("mem", 32.0), scalar("disk", 0.001)), None),
    ],
)
def test_executor_of_a_group_needs_a_minimum(
    resources: tuple[mesos.Resource, ...], error: str | None
) -> None:
    executor = structs.replace(EXECUTOR, resources=resources)
    assert group_error(TASK, executor=executor) == (error and f"Executor 'e' {error}")


def test_executor_of_a_group_says_its_framework_and_type() -> None:
    nameless = structs.replace(EXECUTOR, framework_id=None)
    assert group_error(TASK, executor=nameless) == "'ExecutorInfo.framework_id' must be set"
    typeless = structs.replace(EXECUTOR, type=None)
    assert group_error(TASK, executor=typeless) == "'ExecutorInfo.type' must be set"
    unknown = structs.replace(EXECUTOR, type=Executor.Type.UNKNOWN)
    assert group_error(TASK, executor=unknown) == "Unknown executor type"


def test_tasks_of_a_group_have_its_executor() -> None:
    other = structs.replace(EXECUTOR, name="other")
    assert group_error(structs.replace(TASK, executor=other)) == (
        "The `ExecutorInfo` of task 't' is different from executor 'e'"
    )


def test_group_fits_as_a_whole() -> None:
    half = (scalar("cpus", 2.0), scalar("mem", 32.0))
    error = group_error(named("a", resources=half), named("b", resources=half))
    assert error == (
        "Total resources cpus(allocated: web):4.1; mem(allocated: web):96;"
        " disk(allocated: web):10 required by task group and its executor are more than available"
        " ports(allocated: web):[31000-32000]; cpus(allocated: web):4;"
        " mem(allocated: web):4096; disk(allocated: web):10240"
    )
    executor_runs = structs.replace(CONTEXT, executors={"e": EXECUTOR})
    tasks = (named("a", resources=half), named("b", resources=half))
    assert group_error(*tasks, context=executor_runs) is None


def test_tasks_of_a_group_do_not_share_ports() -> None:
    tasks = [named(each, resources=(ports(31000, 31001),)) for each in "ab"]
    error = group_error(*tasks)
    assert error is not None
    assert error.startswith("There are overlapping resources in the task group's task resources [ ")


def test_limits_within_a_group_need_cgroups_of_their_own() -> None:
    limited = structs.replace(TASK, limits={"cpus": Value.Scalar(1.0)})
    assert group_error(limited) == (
        "Task 't' is invalid: Resource limits may only be set for tasks within a task group when"
        " the 'share_cgroups' field is set to 'false'."
    )
    assert group_error(structs.replace(limited, container=sharing_cgroups(False))) is None


def test_tasks_of_one_executor_agree_on_cgroups() -> None:
    error = (
        "If set, the value of 'share_cgroups' must be the same for all tasks"
        " in each task group and under a single executor"
    )
    own = structs.replace(TASK, container=sharing_cgroups(False))
    assert group_error(own, named("u")) == error
    running = structs.replace(
        CONTEXT, executors={"e": EXECUTOR}, containers=lambda executor_id: (None,)
    )
    assert group_error(own, context=running) == error
    assert group_error(TASK, context=running) is None


# Commands and containers


def variable(kind: Variable.Type, value: str | None, secret: mesos.Secret | None) -> str | None:
    one = Variable(name="X", type=kind, value=value, secret=secret)
    environment = mesos.Environment(variables=(one,))
    return command_error(mesos.CommandInfo(value="true", environment=environment))


def test_null_bytes_never_reach_the_kernel() -> None:
    assert variable(Variable.Type.VALUE, "a\0b", None) == (
        "Environment variable 'X' contains a null byte"
    )
    secret = mesos.Secret(type=mesos.Secret.Type.VALUE, value=mesos.Secret.Value(data=b"a\0"))
    assert variable(Variable.Type.SECRET, None, secret) == (
        "Environment variable 'X' specifies a secret containing null bytes,"
        " which is not allowed in the environment"
    )
    command = mesos.CommandInfo(value="true", shell=False, arguments=("true", "a\0"))
    assert command_error(command) == "The command contains a null byte"


def test_variable_of_unknown_type_is_refused() -> None:
    assert variable(Variable.Type.UNKNOWN, "v", None) == (
        "Environment variable of type 'UNKNOWN' is not allowed"
    )


def test_secret_has_what_its_type_says_and_no_more() -> None:
    reference = mesos.Secret.Reference(name="n")
    value = mesos.Secret.Value(data=b"v")
    by_name = mesos.Secret(type=mesos.Secret.Type.REFERENCE, reference=reference)
    assert secret_error(by_name) is None
    assert secret_error(structs.replace(by_name, value=value)) == (
        "Secret 'n' of type REFERENCE must not have the 'value' field set"
    )
    assert secret_error(structs.replace(by_name, type=mesos.Secret.Type.VALUE)) == (
        "Secret of type VALUE must have the 'value' field set"
    )


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Source(type=Source.Type.SECRET), "'source.secret' is not set for SECRET volume"),
        (Source(type=Source.Type.CSI_VOLUME), "'source.csi_volume' is not set for CSI volume"),
        (
            Source(type=Source.Type.CSI_VOLUME, csi_volume=Source.CSIVolume(plugin_name="p")),
            "'source.csi_volume.static_provisioning' is not set for CSI volume",
        ),
        (
            Source(type=Source.Type.SANDBOX_PATH, sandbox_path=Source.SandboxPath(path="p")),
            None,
        ),
    ],
)
def test_volume_has_the_source_of_its_type(source: Source, error: str | None) -> None:
    volume = mesos.Volume(mode=mesos.Volume.Mode.RW, container_path="p", source=source)
    container = Container(type=Container.Type.MESOS, volumes=(volume,))
    assert container_error(container) == (error and f"Invalid volume: {error}")


def test_docker_container_is_not_named_by_a_parameter() -> None:
    parameters = (mesos.Parameter(key="name", value="x"),)
    docker = Container.DockerInfo(image="i", parameters=parameters)
    container = Container(type=Container.Type.DOCKER, docker=docker)
    assert container_error(container) == "Parameter in DockerInfo must not be 'name'"


# Text


def test_message_is_printed_as_protobuf_prints_it() -> None:
    task = structs.replace(
        TASK,
        resources=(),
        command=mesos.CommandInfo(value='say "é"\n', shell=False, arguments=("a", "b")),
        limits={"cpus": Value.Scalar(0.1)},
        data=b"\x00\xff",
    )
    assert debug_text(task).splitlines() == [
        'name: "t"',
        "task_id {",
        '  value: "t"',
        "}",
        "agent_id {",
        '  value: "agent"',
        "}",
        r'data: "\000\377"',
        "command {",
        r'  value: "say \"\303\251\"\n"',
        "  shell: false",
        '  arguments: "a"',
        '  arguments: "b"',
        "}",
        "limits {",
        '  key: "cpus"',
        "  value {",
        "    value: 0.1",
        "  }",
        "}",
    ]
