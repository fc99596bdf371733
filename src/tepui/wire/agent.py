"""The operator API of an agent: calls, responses and the records of attached containers.

Source: Mesos include/mesos/v1/agent/agent.proto.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from tepui.wire import mesos
from tepui.wire.message import Int32, ProtoEnum, ProtoMessage, UInt32, UInt64


class Call(ProtoMessage, frozen=True, kw_only=True):
    class GetMetrics(ProtoMessage, frozen=True, kw_only=True):
        timeout: Annotated[mesos.DurationInfo | None, 1] = None

    class SetLoggingLevel(ProtoMessage, frozen=True, kw_only=True):
        level: Annotated[UInt32, 1]
        duration: Annotated[mesos.DurationInfo, 2]

    class ListFiles(ProtoMessage, frozen=True, kw_only=True):
        path: Annotated[str, 1]

    class ReadFile(ProtoMessage, frozen=True, kw_only=True):
        path: Annotated[str, 1]
        offset: Annotated[UInt64, 2]
        length: Annotated[UInt64 | None, 3] = None

    class GetContainers(ProtoMessage, frozen=True, kw_only=True):
        show_nested: Annotated[bool | None, 1] = None
        show_standalone: Annotated[bool | None, 2] = None

    class LaunchNestedContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]
        command: Annotated[mesos.CommandInfo | None, 2] = None
        container: Annotated[mesos.ContainerInfo | None, 3] = None

    class WaitNestedContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]

    class KillNestedContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]
        signal: Annotated[Int32 | None, 2] = None

    class RemoveNestedContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]

    class LaunchNestedContainerSession(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]
        command: Annotated[mesos.CommandInfo | None, 2] = None
        container: Annotated[mesos.ContainerInfo | None, 3] = None

    class AttachContainerInput(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            CONTAINER_ID = "CONTAINER_ID", 1
            PROCESS_IO = "PROCESS_IO", 2

        type: Annotated[Call.AttachContainerInput.Type | None, 1] = None
        container_id: Annotated[mesos.ContainerID | None, 2] = None
        process_io: Annotated[ProcessIO | None, 3] = None

    class AttachContainerOutput(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]

    class LaunchContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]
        command: Annotated[mesos.CommandInfo | None, 2] = None
        resources: Annotated[tuple[mesos.Resource, ...], 3] = ()
        container: Annotated[mesos.ContainerInfo | None, 4] = None
        limits: Annotated[dict[str, mesos.Value.Scalar], 5] = field(default_factory=dict)

    class WaitContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]

    class KillContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]
        signal: Annotated[Int32 | None, 2] = None

    class RemoveContainer(ProtoMessage, frozen=True, kw_only=True):
        container_id: Annotated[mesos.ContainerID, 1]

    class AddResourceProviderConfig(ProtoMessage, frozen=True, kw_only=True):
        info: Annotated[mesos.ResourceProviderInfo, 1]

    class UpdateResourceProviderConfig(ProtoMessage, frozen=True, kw_only=True):
        info: Annotated[mesos.ResourceProviderInfo, 1]

    class RemoveResourceProviderConfig(ProtoMessage, frozen=True, kw_only=True):
        type: Annotated[str, 1]
        name: Annotated[str, 2]

    class MarkResourceProviderGone(ProtoMessage, frozen=True, kw_only=True):
        resource_provider_id: Annotated[mesos.ResourceProviderID, 1]

    class PruneImages(ProtoMessage, frozen=True, kw_only=True):
        excluded_images: Annotated[tuple[mesos.Image, ...], 1] = ()

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        GET_HEALTH = "GET_HEALTH", 1
        GET_FLAGS = "GET_FLAGS", 2
        GET_VERSION = "GET_VERSION", 3
        GET_METRICS = "GET_METRICS", 4
        GET_LOGGING_LEVEL = "GET_LOGGING_LEVEL", 5
        SET_LOGGING_LEVEL = "SET_LOGGING_LEVEL", 6
        LIST_FILES = "LIST_FILES", 7
        READ_FILE = "READ_FILE", 8
        GET_STATE = "GET_STATE", 9
        GET_CONTAINERS = "GET_CONTAINERS", 10
        GET_FRAMEWORKS = "GET_FRAMEWORKS", 11
        GET_EXECUTORS = "GET_EXECUTORS", 12
        GET_OPERATIONS = "GET_OPERATIONS", 31
        GET_TASKS = "GET_TASKS", 13
        GET_AGENT = "GET_AGENT", 20
        GET_RESOURCE_PROVIDERS = "GET_RESOURCE_PROVIDERS", 26
        LAUNCH_NESTED_CONTAINER = "LAUNCH_NESTED_CONTAINER", 14
        WAIT_NESTED_CONTAINER = "WAIT_NESTED_CONTAINER", 15
        KILL_NESTED_CONTAINER = "KILL_NESTED_CONTAINER", 16
        REMOVE_NESTED_CONTAINER = "REMOVE_NESTED_CONTAINER", 21
        LAUNCH_NESTED_CONTAINER_SESSION = "LAUNCH_NESTED_CONTAINER_SESSION", 17
        ATTACH_CONTAINER_INPUT = "ATTACH_CONTAINER_INPUT", 18
        ATTACH_CONTAINER_OUTPUT = "ATTACH_CONTAINER_OUTPUT", 19
        LAUNCH_CONTAINER = "LAUNCH_CONTAINER", 22
        WAIT_CONTAINER = "WAIT_CONTAINER", 23
        KILL_CONTAINER = "KILL_CONTAINER", 24
        REMOVE_CONTAINER = "REMOVE_CONTAINER", 25
        ADD_RESOURCE_PROVIDER_CONFIG = "ADD_RESOURCE_PROVIDER_CONFIG", 27
        UPDATE_RESOURCE_PROVIDER_CONFIG = "UPDATE_RESOURCE_PROVIDER_CONFIG", 28
        REMOVE_RESOURCE_PROVIDER_CONFIG = "REMOVE_RESOURCE_PROVIDER_CONFIG", 29
        MARK_RESOURCE_PROVIDER_GONE = "MARK_RESOURCE_PROVIDER_GONE", 32
        PRUNE_IMAGES = "PRUNE_IMAGES", 30

    type: Annotated[Call.Type | None, 1] = None
    get_metrics: Annotated[Call.GetMetrics | None, 2] = None
    set_logging_level: Annotated[Call.SetLoggingLevel | None, 3] = None
    list_files: Annotated[Call.ListFiles | None, 4] = None
    read_file: Annotated[Call.ReadFile | None, 5] = None
    get_containers: Annotated[Call.GetContainers | None, 20] = None
    launch_nested_container: Annotated[Call.LaunchNestedContainer | None, 6] = None
    wait_nested_container: Annotated[Call.WaitNestedContainer | None, 7] = None
    kill_nested_container: Annotated[Call.KillNestedContainer | None, 8] = None
    remove_nested_container: Annotated[Call.RemoveNestedContainer | None, 12] = None
    launch_nested_container_session: Annotated[Call.LaunchNestedContainerSession | None, 9] = None
    attach_container_input: Annotated[Call.AttachContainerInput | None, 10] = None
    attach_container_output: Annotated[Call.AttachContainerOutput | None, 11] = None
    launch_container: Annotated[Call.LaunchContainer | None, 13] = None
    wait_container: Annotated[Call.WaitContainer | None, 14] = None
    kill_container: Annotated[Call.KillContainer | None, 15] = None
    remove_container: Annotated[Call.RemoveContainer | None, 16] = None
    add_resource_provider_config: Annotated[Call.AddResourceProviderConfig | None, 17] = None
    update_resource_provider_config: Annotated[Call.UpdateResourceProviderConfig | None, 18] = None
    remove_resource_provider_config: Annotated[Call.RemoveResourceProviderConfig | None, 19] = None
    mark_resource_provider_gone: Annotated[Call.MarkResourceProviderGone | None, 22] = None
    prune_images: Annotated[Call.PruneImages | None, 21] = None


class Response(ProtoMessage, frozen=True, kw_only=True):
    class GetHealth(ProtoMessage, frozen=True, kw_only=True):
        healthy: Annotated[bool, 1]

    class GetFlags(ProtoMessage, frozen=True, kw_only=True):
        flags: Annotated[tuple[mesos.Flag, ...], 1] = ()

    class GetVersion(ProtoMessage, frozen=True, kw_only=True):
        version_info: Annotated[mesos.VersionInfo, 1]

    class GetMetrics(ProtoMessage, frozen=True, kw_only=True):
        metrics: Annotated[tuple[mesos.Metric, ...], 1] = ()

    class GetLoggingLevel(ProtoMessage, frozen=True, kw_only=True):
        level: Annotated[UInt32, 1]

    class ListFiles(ProtoMessage, frozen=True, kw_only=True):
        file_infos: Annotated[tuple[mesos.FileInfo, ...], 1] = ()

    class ReadFile(ProtoMessage, frozen=True, kw_only=True):
        size: Annotated[UInt64, 1]
        data: Annotated[bytes, 2]

    class GetState(ProtoMessage, frozen=True, kw_only=True):
        get_tasks: Annotated[Response.GetTasks | None, 1] = None
        get_executors: Annotated[Response.GetExecutors | None, 2] = None
        get_frameworks: Annotated[Response.GetFrameworks | None, 3] = None

    class GetContainers(ProtoMessage, frozen=True, kw_only=True):
        class Container(ProtoMessage, frozen=True, kw_only=True):
            framework_id: Annotated[mesos.FrameworkID | None, 1] = None
            executor_id: Annotated[mesos.ExecutorID | None, 2] = None
            executor_name: Annotated[str | None, 3] = None
            container_id: Annotated[mesos.ContainerID, 4]
            container_status: Annotated[mesos.ContainerStatus | None, 5] = None
            resource_statistics: Annotated[mesos.ResourceStatistics | None, 6] = None

        containers: Annotated[tuple[Response.GetContainers.Container, ...], 1] = ()

    class GetFrameworks(ProtoMessage, frozen=True, kw_only=True):
        class Framework(ProtoMessage, frozen=True, kw_only=True):
            framework_info: Annotated[mesos.FrameworkInfo, 1]

        frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 1] = ()
        completed_frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 2] = ()

    class GetExecutors(ProtoMessage, frozen=True, kw_only=True):
        class Executor(ProtoMessage, frozen=True, kw_only=True):
            executor_info: Annotated[mesos.ExecutorInfo, 1]

        executors: Annotated[tuple[Response.GetExecutors.Executor, ...], 1] = ()
        completed_executors: Annotated[tuple[Response.GetExecutors.Executor, ...], 2] = ()

    class GetOperations(ProtoMessage, frozen=True, kw_only=True):
        operations: Annotated[tuple[mesos.Operation, ...], 1] = ()

    class GetTasks(ProtoMessage, frozen=True, kw_only=True):
        pending_tasks: Annotated[tuple[mesos.Task, ...], 1] = ()
        queued_tasks: Annotated[tuple[mesos.Task, ...], 2] = ()
        launched_tasks: Annotated[tuple[mesos.Task, ...], 3] = ()
        terminated_tasks: Annotated[tuple[mesos.Task, ...], 4] = ()
        completed_tasks: Annotated[tuple[mesos.Task, ...], 5] = ()

    class GetAgent(ProtoMessage, frozen=True, kw_only=True):
        agent_info: Annotated[mesos.AgentInfo | None, 1] = None
        drain_config: Annotated[mesos.DrainConfig | None, 2] = None
        estimated_drain_start_time: Annotated[mesos.TimeInfo | None, 3] = None

    class GetResourceProviders(ProtoMessage, frozen=True, kw_only=True):
        class ResourceProvider(ProtoMessage, frozen=True, kw_only=True):
            resource_provider_info: Annotated[mesos.ResourceProviderInfo, 1]
            total_resources: Annotated[tuple[mesos.Resource, ...], 2] = ()

        resource_providers: Annotated[
            tuple[Response.GetResourceProviders.ResourceProvider, ...], 1
        ] = ()

    class WaitNestedContainer(ProtoMessage, frozen=True, kw_only=True):
        exit_status: Annotated[Int32 | None, 1] = None
        state: Annotated[mesos.TaskState | None, 2] = None
        reason: Annotated[mesos.TaskStatus.Reason | None, 3] = None
        limitation: Annotated[mesos.TaskResourceLimitation | None, 4] = None
        message: Annotated[str | None, 5] = None

    class WaitContainer(ProtoMessage, frozen=True, kw_only=True):
        exit_status: Annotated[Int32 | None, 1] = None
        state: Annotated[mesos.TaskState | None, 2] = None
        reason: Annotated[mesos.TaskStatus.Reason | None, 3] = None
        limitation: Annotated[mesos.TaskResourceLimitation | None, 4] = None
        message: Annotated[str | None, 5] = None

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        GET_HEALTH = "GET_HEALTH", 1
        GET_FLAGS = "GET_FLAGS", 2
        GET_VERSION = "GET_VERSION", 3
        GET_METRICS = "GET_METRICS", 4
        GET_LOGGING_LEVEL = "GET_LOGGING_LEVEL", 5
        LIST_FILES = "LIST_FILES", 6
        READ_FILE = "READ_FILE", 7
        GET_STATE = "GET_STATE", 8
        GET_CONTAINERS = "GET_CONTAINERS", 9
        GET_FRAMEWORKS = "GET_FRAMEWORKS", 10
        GET_EXECUTORS = "GET_EXECUTORS", 11
        GET_OPERATIONS = "GET_OPERATIONS", 17
        GET_TASKS = "GET_TASKS", 12
        GET_AGENT = "GET_AGENT", 14
        GET_RESOURCE_PROVIDERS = "GET_RESOURCE_PROVIDERS", 16
        WAIT_NESTED_CONTAINER = "WAIT_NESTED_CONTAINER", 13
        WAIT_CONTAINER = "WAIT_CONTAINER", 15

    type: Annotated[Response.Type | None, 1] = None
    get_health: Annotated[Response.GetHealth | None, 2] = None
    get_flags: Annotated[Response.GetFlags | None, 3] = None
    get_version: Annotated[Response.GetVersion | None, 4] = None
    get_metrics: Annotated[Response.GetMetrics | None, 5] = None
    get_logging_level: Annotated[Response.GetLoggingLevel | None, 6] = None
    list_files: Annotated[Response.ListFiles | None, 7] = None
    read_file: Annotated[Response.ReadFile | None, 8] = None
    get_state: Annotated[Response.GetState | None, 9] = None
    get_containers: Annotated[Response.GetContainers | None, 10] = None
    get_frameworks: Annotated[Response.GetFrameworks | None, 11] = None
    get_executors: Annotated[Response.GetExecutors | None, 12] = None
    get_operations: Annotated[Response.GetOperations | None, 18] = None
    get_tasks: Annotated[Response.GetTasks | None, 13] = None
    get_agent: Annotated[Response.GetAgent | None, 15] = None
    get_resource_providers: Annotated[Response.GetResourceProviders | None, 17] = None
    wait_nested_container: Annotated[Response.WaitNestedContainer | None, 14] = None
    wait_container: Annotated[Response.WaitContainer | None, 16] = None


class ProcessIO(ProtoMessage, frozen=True, kw_only=True):
    class Data(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            STDIN = "STDIN", 1
            STDOUT = "STDOUT", 2
            STDERR = "STDERR", 3

        type: Annotated[ProcessIO.Data.Type | None, 1] = None
        data: Annotated[bytes | None, 2] = None

    class Control(ProtoMessage, frozen=True, kw_only=True):
        class Heartbeat(ProtoMessage, frozen=True, kw_only=True):
            interval: Annotated[mesos.DurationInfo | None, 1] = None

        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            TTY_INFO = "TTY_INFO", 1
            HEARTBEAT = "HEARTBEAT", 2

        type: Annotated[ProcessIO.Control.Type | None, 1] = None
        tty_info: Annotated[mesos.TTYInfo | None, 2] = None
        heartbeat: Annotated[ProcessIO.Control.Heartbeat | None, 3] = None

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        DATA = "DATA", 1
        CONTROL = "CONTROL", 2

    type: Annotated[ProcessIO.Type | None, 1] = None
    data: Annotated[ProcessIO.Data | None, 2] = None
    control: Annotated[ProcessIO.Control | None, 3] = None
