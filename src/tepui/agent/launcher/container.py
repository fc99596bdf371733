"""What the launcher knows of one container."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroups import Cgroup
    from .console import Console
    from .frames import Message
    from .groups import Maker
    from .limits import Limits
    from .oci import Oci
    from .output import Stream
    from .request import Fault
    from .terminals import Terminal

    Reply = Callable[[Message | Fault], None]

STARTING, RUNNING, ENDING, EXITED = "starting", "running", "ending", "exited"


def nobody(_: Message | Fault) -> None:
    """The reply of a container whose request was answered."""


class Container:
    """One container; the fields are set as its life goes on."""

    __slots__ = (
        "cgroup", "console", "container_id", "cpus_milli", "error_fd", "exit", "fault", "gone_by", "is_bound",
        "is_created", "is_doomed", "is_group", "is_unwanted", "late_limits", "maker", "mem_bytes", "mem_peak_bytes",
        "namespaces", "notes", "oci", "oom", "parent", "pid", "reply", "start_time", "state", "streams", "subject",
        "terminal", "wait_status",
    )  # fmt: skip

    def __init__(self, container_id: str, parent: str) -> None:
        self.container_id = container_id
        self.parent = parent
        self.state = STARTING
        self.cgroup: Cgroup | None = None
        self.streams: list[Stream] = []
        self.subject = ""
        self.reply: Reply = nobody
        self.pid = 0
        self.start_time = 0
        self.error_fd = -1
        self.cpus_milli = 0
        self.mem_bytes = 0
        self.notes: list[str] = []
        self.wait_status = 0
        self.oom = False
        self.mem_peak_bytes = 0
        self.gone_by = 0.0
        self.exit: Message | None = None
        self.terminal: Terminal | None = None
        self.is_bound = False  # it ends with the connection of the agent that asked for it
        self.is_doomed = False  # it was to be destroyed while it started, or later
        self.is_unwanted = False  # the agent that asked for it is gone, and no answer told it
        self.fault: Fault | None = None  # why it failed to start: there will be no exit
        # A group's:
        self.is_group = False
        self.maker: Maker | None = None  # at work on its namespaces
        self.namespaces: dict[str, int] | None = None  # held descriptors, by kind
        # An OCI runtime's:
        self.oci: Oci | None = None
        self.is_created = False  # the runtime has made it
        self.console: Console | None = None  # to which the runtime will bring its terminal
        self.late_limits: Limits | None = None  # those that would slow down or hinder the runtime
