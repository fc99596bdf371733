"""What an agent's Docker containers have in common."""

from __future__ import annotations

from msgspec import Struct

SOCKET = "/var/run/docker.sock"
SANDBOX_DIRECTORY = "/mnt/mesos/sandbox"


class DockerSettings(Struct, frozen=True, kw_only=True):
    """How an agent uses its machine's Engine."""

    # Names the agent among those that share the Engine; the same over its restarts, so that it
    # finds its containers again by their labels.
    agent: str
    state_directory: str  # how far output was taken over; kept over restarts of the machine
    socket: str = SOCKET
    sandbox_directory: str = SANDBOX_DIRECTORY  # where a container has its sandbox
    remove_delay_ms: int = (
        0  # how long an ended container is kept, as Mesos's --docker_remove_delay
    )
    credentials: str = ""  # of registries: the text of Docker's config.json; '': none
