"""What the states of a task mean."""

from __future__ import annotations

from typing import Final

from tepui.wire.mesos import TaskState

# No other state follows these (Mesos: include/mesos/v1/mesos.proto, TaskState). TASK_LOST and the
# three that PARTITION_AWARE frameworks see for it are final by convention: nobody waits for more.
TERMINAL_STATES: Final = frozenset(
    {
        TaskState.TASK_FINISHED,
        TaskState.TASK_FAILED,
        TaskState.TASK_KILLED,
        TaskState.TASK_ERROR,
        TaskState.TASK_LOST,
        TaskState.TASK_DROPPED,
        TaskState.TASK_GONE,
        TaskState.TASK_GONE_BY_OPERATOR,
    }
)
