"""The operator API of the master: calls, responses and events.

Source: Mesos include/mesos/v1/master/master.proto.
"""

from __future__ import annotations

from typing import Annotated

from tepui.wire import maintenance, mesos, quota, scheduler
from tepui.wire.message import Duration, ProtoEnum, ProtoMessage, UInt32, UInt64, default


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

    class UpdateWeights(ProtoMessage, frozen=True, kw_only=True):
        weight_infos: Annotated[tuple[mesos.WeightInfo, ...], 1] = ()

    class ReserveResources(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        source: Annotated[tuple[mesos.Resource, ...], 3] = ()
        resources: Annotated[tuple[mesos.Resource, ...], 2] = ()

    class UnreserveResources(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        resources: Annotated[tuple[mesos.Resource, ...], 2] = ()

    class CreateVolumes(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        volumes: Annotated[tuple[mesos.Resource, ...], 2] = ()

    class DestroyVolumes(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        volumes: Annotated[tuple[mesos.Resource, ...], 2] = ()

    class GrowVolume(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID | None, 1] = None
        volume: Annotated[mesos.Resource, 2]
        addition: Annotated[mesos.Resource, 3]

    class ShrinkVolume(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID | None, 1] = None
        volume: Annotated[mesos.Resource, 2]
        subtract: Annotated[mesos.Value.Scalar, 3]

    class UpdateMaintenanceSchedule(ProtoMessage, frozen=True, kw_only=True):
        schedule: Annotated[maintenance.Schedule, 1]

    class StartMaintenance(ProtoMessage, frozen=True, kw_only=True):
        machines: Annotated[tuple[mesos.MachineID, ...], 1] = ()

    class StopMaintenance(ProtoMessage, frozen=True, kw_only=True):
        machines: Annotated[tuple[mesos.MachineID, ...], 1] = ()

    class DrainAgent(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]
        max_grace_period: Annotated[Duration | None, 2] = None
        mark_gone: Annotated[bool, 3] = default(False)

    class DeactivateAgent(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]

    class ReactivateAgent(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]

    class UpdateQuota(ProtoMessage, frozen=True, kw_only=True):
        force: Annotated[bool | None, 1] = None
        quota_configs: Annotated[tuple[quota.QuotaConfig, ...], 2] = ()

    class SetQuota(ProtoMessage, frozen=True, kw_only=True):
        quota_request: Annotated[quota.QuotaRequest, 1]

    class RemoveQuota(ProtoMessage, frozen=True, kw_only=True):
        role: Annotated[str, 1]

    class Teardown(ProtoMessage, frozen=True, kw_only=True):
        framework_id: Annotated[mesos.FrameworkID, 1]

    class MarkAgentGone(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]

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
        GET_AGENTS = "GET_AGENTS", 10
        GET_FRAMEWORKS = "GET_FRAMEWORKS", 11
        GET_EXECUTORS = "GET_EXECUTORS", 12
        GET_OPERATIONS = "GET_OPERATIONS", 33
        GET_TASKS = "GET_TASKS", 13
        GET_ROLES = "GET_ROLES", 14
        GET_WEIGHTS = "GET_WEIGHTS", 15
        UPDATE_WEIGHTS = "UPDATE_WEIGHTS", 16
        GET_MASTER = "GET_MASTER", 17
        SUBSCRIBE = "SUBSCRIBE", 18
        RESERVE_RESOURCES = "RESERVE_RESOURCES", 19
        UNRESERVE_RESOURCES = "UNRESERVE_RESOURCES", 20
        CREATE_VOLUMES = "CREATE_VOLUMES", 21
        DESTROY_VOLUMES = "DESTROY_VOLUMES", 22
        GROW_VOLUME = "GROW_VOLUME", 34
        SHRINK_VOLUME = "SHRINK_VOLUME", 35
        GET_MAINTENANCE_STATUS = "GET_MAINTENANCE_STATUS", 23
        GET_MAINTENANCE_SCHEDULE = "GET_MAINTENANCE_SCHEDULE", 24
        UPDATE_MAINTENANCE_SCHEDULE = "UPDATE_MAINTENANCE_SCHEDULE", 25
        START_MAINTENANCE = "START_MAINTENANCE", 26
        STOP_MAINTENANCE = "STOP_MAINTENANCE", 27
        DRAIN_AGENT = "DRAIN_AGENT", 37
        DEACTIVATE_AGENT = "DEACTIVATE_AGENT", 38
        REACTIVATE_AGENT = "REACTIVATE_AGENT", 39
        GET_QUOTA = "GET_QUOTA", 28
        UPDATE_QUOTA = "UPDATE_QUOTA", 36
        SET_QUOTA = "SET_QUOTA", 29
        REMOVE_QUOTA = "REMOVE_QUOTA", 30
        TEARDOWN = "TEARDOWN", 31
        MARK_AGENT_GONE = "MARK_AGENT_GONE", 32

    type: Annotated[Call.Type | None, 1] = None
    get_metrics: Annotated[Call.GetMetrics | None, 2] = None
    set_logging_level: Annotated[Call.SetLoggingLevel | None, 3] = None
    list_files: Annotated[Call.ListFiles | None, 4] = None
    read_file: Annotated[Call.ReadFile | None, 5] = None
    update_weights: Annotated[Call.UpdateWeights | None, 6] = None
    reserve_resources: Annotated[Call.ReserveResources | None, 7] = None
    unreserve_resources: Annotated[Call.UnreserveResources | None, 8] = None
    create_volumes: Annotated[Call.CreateVolumes | None, 9] = None
    destroy_volumes: Annotated[Call.DestroyVolumes | None, 10] = None
    grow_volume: Annotated[Call.GrowVolume | None, 18] = None
    shrink_volume: Annotated[Call.ShrinkVolume | None, 19] = None
    update_maintenance_schedule: Annotated[Call.UpdateMaintenanceSchedule | None, 11] = None
    start_maintenance: Annotated[Call.StartMaintenance | None, 12] = None
    stop_maintenance: Annotated[Call.StopMaintenance | None, 13] = None
    drain_agent: Annotated[Call.DrainAgent | None, 21] = None
    deactivate_agent: Annotated[Call.DeactivateAgent | None, 22] = None
    reactivate_agent: Annotated[Call.ReactivateAgent | None, 23] = None
    update_quota: Annotated[Call.UpdateQuota | None, 20] = None
    teardown: Annotated[Call.Teardown | None, 16] = None
    mark_agent_gone: Annotated[Call.MarkAgentGone | None, 17] = None
    set_quota: Annotated[Call.SetQuota | None, 14] = None
    remove_quota: Annotated[Call.RemoveQuota | None, 15] = None


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
        get_agents: Annotated[Response.GetAgents | None, 4] = None

    class GetAgents(ProtoMessage, frozen=True, kw_only=True):
        class Agent(ProtoMessage, frozen=True, kw_only=True):
            class ResourceProvider(ProtoMessage, frozen=True, kw_only=True):
                resource_provider_info: Annotated[mesos.ResourceProviderInfo, 1]
                total_resources: Annotated[tuple[mesos.Resource, ...], 2] = ()

            agent_info: Annotated[mesos.AgentInfo, 1]
            active: Annotated[bool, 2]
            deactivated: Annotated[bool | None, 12] = None
            version: Annotated[str, 3]
            pid: Annotated[str | None, 4] = None
            registered_time: Annotated[mesos.TimeInfo | None, 5] = None
            reregistered_time: Annotated[mesos.TimeInfo | None, 6] = None
            total_resources: Annotated[tuple[mesos.Resource, ...], 7] = ()
            allocated_resources: Annotated[tuple[mesos.Resource, ...], 8] = ()
            offered_resources: Annotated[tuple[mesos.Resource, ...], 9] = ()
            capabilities: Annotated[tuple[mesos.AgentInfo.Capability, ...], 10] = ()
            resource_providers: Annotated[
                tuple[Response.GetAgents.Agent.ResourceProvider, ...], 11
            ] = ()
            drain_info: Annotated[mesos.DrainInfo | None, 13] = None
            estimated_drain_start_time: Annotated[mesos.TimeInfo | None, 14] = None

        agents: Annotated[tuple[Response.GetAgents.Agent, ...], 1] = ()
        recovered_agents: Annotated[tuple[mesos.AgentInfo, ...], 2] = ()

    class GetFrameworks(ProtoMessage, frozen=True, kw_only=True):
        class Framework(ProtoMessage, frozen=True, kw_only=True):
            framework_info: Annotated[mesos.FrameworkInfo, 1]
            active: Annotated[bool, 2]
            connected: Annotated[bool, 3]
            recovered: Annotated[bool, 11]
            registered_time: Annotated[mesos.TimeInfo | None, 4] = None
            reregistered_time: Annotated[mesos.TimeInfo | None, 5] = None
            unregistered_time: Annotated[mesos.TimeInfo | None, 6] = None
            offers: Annotated[tuple[mesos.Offer, ...], 7] = ()
            inverse_offers: Annotated[tuple[mesos.InverseOffer, ...], 8] = ()
            allocated_resources: Annotated[tuple[mesos.Resource, ...], 9] = ()
            offered_resources: Annotated[tuple[mesos.Resource, ...], 10] = ()
            offer_constraints: Annotated[scheduler.OfferConstraints | None, 12] = None

        frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 1] = ()
        completed_frameworks: Annotated[tuple[Response.GetFrameworks.Framework, ...], 2] = ()
        recovered_frameworks: Annotated[tuple[mesos.FrameworkInfo, ...], 3] = ()

    class GetExecutors(ProtoMessage, frozen=True, kw_only=True):
        class Executor(ProtoMessage, frozen=True, kw_only=True):
            executor_info: Annotated[mesos.ExecutorInfo, 1]
            agent_id: Annotated[mesos.AgentID, 2]

        executors: Annotated[tuple[Response.GetExecutors.Executor, ...], 1] = ()
        orphan_executors: Annotated[tuple[Response.GetExecutors.Executor, ...], 2] = ()

    class GetOperations(ProtoMessage, frozen=True, kw_only=True):
        operations: Annotated[tuple[mesos.Operation, ...], 1] = ()

    class GetTasks(ProtoMessage, frozen=True, kw_only=True):
        pending_tasks: Annotated[tuple[mesos.Task, ...], 1] = ()
        tasks: Annotated[tuple[mesos.Task, ...], 2] = ()
        unreachable_tasks: Annotated[tuple[mesos.Task, ...], 5] = ()
        completed_tasks: Annotated[tuple[mesos.Task, ...], 3] = ()
        orphan_tasks: Annotated[tuple[mesos.Task, ...], 4] = ()

    class GetRoles(ProtoMessage, frozen=True, kw_only=True):
        roles: Annotated[tuple[mesos.Role, ...], 1] = ()

    class GetWeights(ProtoMessage, frozen=True, kw_only=True):
        weight_infos: Annotated[tuple[mesos.WeightInfo, ...], 1] = ()

    class GetMaster(ProtoMessage, frozen=True, kw_only=True):
        master_info: Annotated[mesos.MasterInfo | None, 1] = None
        start_time: Annotated[float | None, 2] = None
        elected_time: Annotated[float | None, 3] = None

    class GetMaintenanceStatus(ProtoMessage, frozen=True, kw_only=True):
        status: Annotated[maintenance.ClusterStatus, 1]

    class GetMaintenanceSchedule(ProtoMessage, frozen=True, kw_only=True):
        schedule: Annotated[maintenance.Schedule, 1]

    class GetQuota(ProtoMessage, frozen=True, kw_only=True):
        status: Annotated[quota.QuotaStatus, 1]

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
        GET_AGENTS = "GET_AGENTS", 9
        GET_FRAMEWORKS = "GET_FRAMEWORKS", 10
        GET_EXECUTORS = "GET_EXECUTORS", 11
        GET_OPERATIONS = "GET_OPERATIONS", 19
        GET_TASKS = "GET_TASKS", 12
        GET_ROLES = "GET_ROLES", 13
        GET_WEIGHTS = "GET_WEIGHTS", 14
        GET_MASTER = "GET_MASTER", 15
        GET_MAINTENANCE_STATUS = "GET_MAINTENANCE_STATUS", 16
        GET_MAINTENANCE_SCHEDULE = "GET_MAINTENANCE_SCHEDULE", 17
        GET_QUOTA = "GET_QUOTA", 18

    type: Annotated[Response.Type | None, 1] = None
    get_health: Annotated[Response.GetHealth | None, 2] = None
    get_flags: Annotated[Response.GetFlags | None, 3] = None
    get_version: Annotated[Response.GetVersion | None, 4] = None
    get_metrics: Annotated[Response.GetMetrics | None, 5] = None
    get_logging_level: Annotated[Response.GetLoggingLevel | None, 6] = None
    list_files: Annotated[Response.ListFiles | None, 7] = None
    read_file: Annotated[Response.ReadFile | None, 8] = None
    get_state: Annotated[Response.GetState | None, 9] = None
    get_agents: Annotated[Response.GetAgents | None, 10] = None
    get_frameworks: Annotated[Response.GetFrameworks | None, 11] = None
    get_executors: Annotated[Response.GetExecutors | None, 12] = None
    get_operations: Annotated[Response.GetOperations | None, 20] = None
    get_tasks: Annotated[Response.GetTasks | None, 13] = None
    get_roles: Annotated[Response.GetRoles | None, 14] = None
    get_weights: Annotated[Response.GetWeights | None, 15] = None
    get_master: Annotated[Response.GetMaster | None, 16] = None
    get_maintenance_status: Annotated[Response.GetMaintenanceStatus | None, 17] = None
    get_maintenance_schedule: Annotated[Response.GetMaintenanceSchedule | None, 18] = None
    get_quota: Annotated[Response.GetQuota | None, 19] = None


class Event(ProtoMessage, frozen=True, kw_only=True):
    class Subscribed(ProtoMessage, frozen=True, kw_only=True):
        get_state: Annotated[Response.GetState | None, 1] = None
        heartbeat_interval_seconds: Annotated[float | None, 2] = None

    class TaskAdded(ProtoMessage, frozen=True, kw_only=True):
        task: Annotated[mesos.Task, 1]

    class TaskUpdated(ProtoMessage, frozen=True, kw_only=True):
        framework_id: Annotated[mesos.FrameworkID, 1]
        status: Annotated[mesos.TaskStatus, 2]
        state: Annotated[mesos.TaskState, 3]

    class FrameworkAdded(ProtoMessage, frozen=True, kw_only=True):
        framework: Annotated[Response.GetFrameworks.Framework, 1]

    class FrameworkUpdated(ProtoMessage, frozen=True, kw_only=True):
        framework: Annotated[Response.GetFrameworks.Framework, 1]

    class FrameworkRemoved(ProtoMessage, frozen=True, kw_only=True):
        framework_info: Annotated[mesos.FrameworkInfo, 1]

    class AgentAdded(ProtoMessage, frozen=True, kw_only=True):
        agent: Annotated[Response.GetAgents.Agent, 1]

    class AgentRemoved(ProtoMessage, frozen=True, kw_only=True):
        agent_id: Annotated[mesos.AgentID, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBED = "SUBSCRIBED", 1
        TASK_ADDED = "TASK_ADDED", 2
        TASK_UPDATED = "TASK_UPDATED", 3
        AGENT_ADDED = "AGENT_ADDED", 4
        AGENT_REMOVED = "AGENT_REMOVED", 5
        FRAMEWORK_ADDED = "FRAMEWORK_ADDED", 6
        FRAMEWORK_UPDATED = "FRAMEWORK_UPDATED", 7
        FRAMEWORK_REMOVED = "FRAMEWORK_REMOVED", 8
        HEARTBEAT = "HEARTBEAT", 9

    type: Annotated[Event.Type | None, 1] = None
    subscribed: Annotated[Event.Subscribed | None, 2] = None
    task_added: Annotated[Event.TaskAdded | None, 3] = None
    task_updated: Annotated[Event.TaskUpdated | None, 4] = None
    agent_added: Annotated[Event.AgentAdded | None, 5] = None
    agent_removed: Annotated[Event.AgentRemoved | None, 6] = None
    framework_added: Annotated[Event.FrameworkAdded | None, 7] = None
    framework_updated: Annotated[Event.FrameworkUpdated | None, 8] = None
    framework_removed: Annotated[Event.FrameworkRemoved | None, 9] = None
