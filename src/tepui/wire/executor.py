"""The executor API: calls of an executor, events of its agent.

Source: Mesos include/mesos/v1/executor/executor.proto.
"""

from __future__ import annotations

from typing import Annotated

from tepui.wire import mesos
from tepui.wire.message import ProtoEnum, ProtoMessage


class Event(ProtoMessage, frozen=True, kw_only=True):
    class Subscribed(ProtoMessage, frozen=True, kw_only=True):
        executor_info: Annotated[mesos.ExecutorInfo, 1]
        framework_info: Annotated[mesos.FrameworkInfo, 2]
        agent_info: Annotated[mesos.AgentInfo, 3]
        container_id: Annotated[mesos.ContainerID | None, 4] = None

    class Launch(ProtoMessage, frozen=True, kw_only=True):
        task: Annotated[mesos.TaskInfo, 1]

    class LaunchGroup(ProtoMessage, frozen=True, kw_only=True):
        task_group: Annotated[mesos.TaskGroupInfo, 1]

    class Kill(ProtoMessage, frozen=True, kw_only=True):
        task_id: Annotated[mesos.TaskID, 1]
        kill_policy: Annotated[mesos.KillPolicy | None, 2] = None

    class Acknowledged(ProtoMessage, frozen=True, kw_only=True):
        task_id: Annotated[mesos.TaskID, 1]
        uuid: Annotated[bytes, 2]

    class Message(ProtoMessage, frozen=True, kw_only=True):
        data: Annotated[bytes, 1]

    class Error(ProtoMessage, frozen=True, kw_only=True):
        message: Annotated[str, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBED = "SUBSCRIBED", 1
        LAUNCH = "LAUNCH", 2
        LAUNCH_GROUP = "LAUNCH_GROUP", 8
        KILL = "KILL", 3
        ACKNOWLEDGED = "ACKNOWLEDGED", 4
        MESSAGE = "MESSAGE", 5
        ERROR = "ERROR", 6
        SHUTDOWN = "SHUTDOWN", 7
        HEARTBEAT = "HEARTBEAT", 9

    type: Annotated[Event.Type | None, 1] = None
    subscribed: Annotated[Event.Subscribed | None, 2] = None
    acknowledged: Annotated[Event.Acknowledged | None, 3] = None
    launch: Annotated[Event.Launch | None, 4] = None
    launch_group: Annotated[Event.LaunchGroup | None, 8] = None
    kill: Annotated[Event.Kill | None, 5] = None
    message: Annotated[Event.Message | None, 6] = None
    error: Annotated[Event.Error | None, 7] = None


class Call(ProtoMessage, frozen=True, kw_only=True):
    class Subscribe(ProtoMessage, frozen=True, kw_only=True):
        unacknowledged_tasks: Annotated[tuple[mesos.TaskInfo, ...], 1] = ()
        unacknowledged_updates: Annotated[tuple[Call.Update, ...], 2] = ()

    class Update(ProtoMessage, frozen=True, kw_only=True):
        status: Annotated[mesos.TaskStatus, 1]

    class Message(ProtoMessage, frozen=True, kw_only=True):
        data: Annotated[bytes, 2]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        SUBSCRIBE = "SUBSCRIBE", 1
        UPDATE = "UPDATE", 2
        MESSAGE = "MESSAGE", 3
        HEARTBEAT = "HEARTBEAT", 4

    executor_id: Annotated[mesos.ExecutorID, 1]
    framework_id: Annotated[mesos.FrameworkID, 2]
    type: Annotated[Call.Type | None, 3] = None
    subscribe: Annotated[Call.Subscribe | None, 4] = None
    update: Annotated[Call.Update | None, 5] = None
    message: Annotated[Call.Message | None, 6] = None
