"""The ids of the API as types, so that an agent's id cannot be passed as a framework's."""

from __future__ import annotations

from typing import NewType

AgentId = NewType("AgentId", str)
FrameworkId = NewType("FrameworkId", str)
ExecutorId = NewType("ExecutorId", str)
TaskId = NewType("TaskId", str)
OfferId = NewType("OfferId", str)
Role = NewType("Role", str)
StreamId = NewType("StreamId", str)  # the value of the header Mesos-Stream-Id
