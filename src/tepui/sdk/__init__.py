"""Write frameworks, executors and tools for a Mesos v1 cluster in Python; public and typed.

- `Scheduler`, `SchedulerClient`: a framework's scheduler, as a class or as a loop over events;
- `Executor`: what runs a framework's tasks on the agents;
- `OperatorClient`, `find_leader`: ask masters and agents, follow logs;
- `framework_info`, `command_task`, `executor_info`, `executor_task`, `resources`, `Room`: what is sent.

`docs/write-a-framework.md` starts from nothing.
"""

from tepui.base.errors import Refused
from tepui.sdk.client import SchedulerClient
from tepui.sdk.environment import Environment
from tepui.sdk.errors import (
    BadPeer,
    CallRefused,
    Disconnected,
    ExecutorEnded,
    FrameworkEnded,
    SdkError,
    Unreachable,
)
from tepui.sdk.executor import Executor
from tepui.sdk.leader import find_leader
from tepui.sdk.operator import OperatorClient, sandbox_path
from tepui.sdk.scheduler import Scheduler
from tepui.sdk.tasks import (
    Room,
    command,
    command_task,
    executor_info,
    executor_task,
    framework_info,
    is_terminal,
    resources,
)

__all__ = [
    "BadPeer",
    "CallRefused",
    "Disconnected",
    "Environment",
    "Executor",
    "ExecutorEnded",
    "FrameworkEnded",
    "OperatorClient",
    "Refused",
    "Room",
    "Scheduler",
    "SchedulerClient",
    "SdkError",
    "Unreachable",
    "command",
    "command_task",
    "executor_info",
    "executor_task",
    "find_leader",
    "framework_info",
    "is_terminal",
    "resources",
    "sandbox_path",
]
