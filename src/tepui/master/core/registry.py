"""What the registry holds: one small object for each agent and each weight, and the epoch.

    epoch               the epoch of the master that led last
    agents/<agent>      the last record of the agent, unless it was removed
    weights/<role>      the weight that was set

Frameworks and tasks are not in it: agents bring them when they register again, as in Mesos.
"""

from __future__ import annotations

from urllib.parse import quote

from tepui.master.core.actions import (
    AgentAdmitted,
    AgentGone,
    AgentRemoved,
    AgentUnreachable,
    EpochBegan,
    Record,
    WeightSet,
)

Registered = AgentAdmitted | AgentUnreachable | AgentGone | WeightSet | EpochBegan

EPOCH = "epoch"


def entry(record: Record) -> tuple[str, Registered | None]:
    """The key of what the record is about, and what is there from now on."""
    match record:
        case AgentRemoved(agent_id=agent_id):
            return key_of_agent(agent_id), None
        case WeightSet(role=role):
            return f"weights/{_name(role)}", record
        case EpochBegan():
            return EPOCH, record
        case AgentAdmitted() | AgentUnreachable() | AgentGone():
            assert record.info.id is not None
            return key_of_agent(record.info.id.value), record


def is_known(key: str) -> bool:
    """Whether this version keeps such an object; a newer one may have led before, and keep more."""
    return key == EPOCH or key.startswith(("agents/", "weights/"))


def key_of_agent(agent_id: str) -> str:
    """Where the agent is."""
    return f"agents/{_name(agent_id)}"


def _name(given: str) -> str:
    """A name of our own as one name of a key."""
    return quote(given, safe="*") or "%"
