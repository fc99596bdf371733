"""The requests an agent may send, checked field by field, and the fault that answers a bad one."""

from __future__ import annotations

from .frames import Message
from .limits import IO_WEIGHT_MAX, NO_LIMIT, Limits

TYPE_CHECKING = False  # typing itself is not imported: it costs memory
if TYPE_CHECKING:
    from .oci import Oci
    from .users import Users

NAME_BYTES_MAX = 200  # a file name holds 255; ours add a prefix and a suffix
OUTPUT_BYTES_MIN = 4096
DEVICE_RULES_MAX = 256  # a program for the kernel has 4,096 instructions; a rule takes ten at most
WINDOW_MAX = 65_535  # of rows and columns: the kernel has 16 bits for each
NAME_REFUSED_CHARACTERS = "/\0\n"


class Fault(Exception):
    """`operation` on `subject` did not work because of `cause`; the agent raises it as a HostError."""

    def __init__(self, operation: str, subject: str, cause: str) -> None:
        super().__init__(f"{operation} {subject}: {cause}")
        self.operation = operation
        self.subject = subject
        self.cause = cause


class Launch:
    """One container as asked for. `uid` is None where the launcher's own user is kept.

    `again`: the agent asked before and lost the connection; what it asked for may have happened.
    `stdio` are descriptors that it handed over, or none. `window`: rows and columns of a terminal.
    Without a program it is a group, and `namespaces` those that are made for it, with these `users`; with `oci` a
    runtime starts it.
    """

    __slots__ = (
        "again", "argv", "container_id", "directory", "environment", "gid", "groups", "has_own_limits",
        "hostname", "is_bound", "limits", "namespaces", "oci", "output_bytes_max", "parent", "program", "rlimits", "stderr", "stdio", "stdout", "uid",
        "umask", "users", "window",
    )  # fmt: skip

    def __init__(
        self,
        message: Message,
        stdio: list[int] | None = None,
        oci: Oci | None = None,
        users: Users | None = None,
    ) -> None:
        self.stdio = stdio or []
        self.window = window_in(message)
        self.is_bound = message.get("bound") is True
        self.container_id = name_in(message, "container_id")
        self.again = message.get("again") is True
        self.parent = name_in(message, "parent") if message.get("parent") else ""
        self.program = text_in(message, "program")
        self.argv = texts_in(message, "argv")
        self.environment = environment_in(message)
        self.directory = text_in(message, "directory")
        self.uid = integer_in(message, "uid") if message.get("uid") is not None else None
        self.gid = integer_in(message, "gid") if self.uid is not None else 0
        self.groups = integers_in(message, "groups") if self.uid is not None else []
        self.rlimits = rlimits_in(message)
        self.umask = integer_in(message, "umask")
        self.stdout = name_in(message, "stdout") if message.get("stdout") else ""
        self.stderr = name_in(message, "stderr") if message.get("stderr") else ""
        self.output_bytes_max = max(OUTPUT_BYTES_MIN, integer_in(message, "output_bytes_max"))
        self.limits = limits_in(message)
        self.has_own_limits = message.get("has_own_limits") is True
        self.namespaces = texts_in(message, "namespaces") if "namespaces" in message else []
        self.hostname = text_in(message, "hostname") if "hostname" in message else ""
        self.oci = oci
        self.users = users
        if self.program and not self.argv:
            raise bad("argv", "it is empty")


def bad(field: str, rule: str) -> Fault:
    """Return the fault of a request whose `field` breaks `rule`."""
    return Fault("read the request's field", f"'{field}'", rule)


def text_in(message: Message, field: str) -> str:
    """Return the text in `field`."""
    value = message.get(field)
    if not isinstance(value, str) or "\0" in value:
        raise bad(field, "it must be a text without NUL")
    return value


def name_in(message: Message, field: str) -> str:
    """Return the text in `field`, which can be the name of a file."""
    value = text_in(message, field)
    if not value or value in (".", "..") or any(c in value for c in NAME_REFUSED_CHARACTERS):
        raise bad(field, f"'{value}' cannot be the name of a file")
    if len(value.encode()) > NAME_BYTES_MAX:
        raise bad(field, f"it has more than {NAME_BYTES_MAX} bytes")
    return value


def integer_in(message: Message, field: str) -> int:
    """Return the integer in `field`, zero or more."""
    value = message.get(field)
    if not isinstance(value, int) or value < 0:
        raise bad(field, f"'{value}' is not an integer of zero or more")
    return value


def limits_in(message: Message) -> Limits:
    """Return the limits that are named; what is left out stays as it is."""
    devices = message.get("devices")
    return Limits(
        cpus_milli=_limit_in(message, "cpus_milli"),
        cpus_limit_milli=_limit_in(message, "cpus_limit_milli", lowest=NO_LIMIT),
        mem_bytes=_limit_in(message, "mem_bytes", lowest=NO_LIMIT),
        mem_soft_bytes=_limit_in(message, "mem_soft_bytes", lowest=NO_LIMIT),
        pids_max=_limit_in(message, "pids_max", lowest=NO_LIMIT),
        cpuset=text_in(message, "cpuset") if message.get("cpuset") else "",
        io_weight=io_weight_in(message),
        devices=None if devices is None else devices_in(message),
    )


def io_weight_in(message: Message) -> int:
    """Return the share of the disks; 0 where it is left out."""
    weight = _limit_in(message, "io_weight")
    if weight > IO_WEIGHT_MAX:
        raise bad("io_weight", f"'{weight}' is over {IO_WEIGHT_MAX}")
    return weight


def devices_in(message: Message) -> list[str]:
    """Return the rules of what devices may be used."""
    rules = texts_in(message, "devices")
    if len(rules) > DEVICE_RULES_MAX:
        raise bad("devices", f"it has more than {DEVICE_RULES_MAX} rules")
    return rules


def _limit_in(message: Message, field: str, lowest: int = 0) -> int:
    value = message.get(field, 0)
    if not isinstance(value, int) or value < lowest:
        raise bad(field, f"'{value}' is not an integer of {lowest} or more")
    return value


def integers_in(message: Message, field: str) -> list[int]:
    """Return the integers in `field`."""
    value = message.get(field)
    if not isinstance(value, list) or not all(isinstance(one, int) for one in value):
        raise bad(field, "it must be a list of integers")
    return value


def window_in(message: Message) -> tuple[int, int] | None:
    """Return rows and columns of the terminal that is asked for."""
    value = message.get("window")
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise bad("window", "it must be rows and columns")
    rows, columns = value
    for one in value:
        if not isinstance(one, int) or not 0 <= one <= WINDOW_MAX:
            raise bad("window", f"'{one}' is not between 0 and {WINDOW_MAX}")
    return rows, columns


def texts_in(message: Message, field: str) -> list[str]:
    """Return the texts in `field`."""
    value = message.get(field)
    if not isinstance(value, list):
        raise bad(field, "it must be a list of texts")
    for one in value:
        if not isinstance(one, str) or "\0" in one:
            raise bad(field, "it must be a list of texts without NUL")
    return value


def environment_in(message: Message) -> dict[str, str]:
    """Return the environment, whose names hold no '=' and are not empty."""
    value = message.get("environment")
    if not isinstance(value, dict):
        raise bad("environment", "it must be an object")
    for name, one in value.items():
        if not name or "=" in name or "\0" in name:
            raise bad("environment", f"'{name}' cannot be the name of a variable")
        if not isinstance(one, str) or "\0" in one:
            raise bad("environment", f"the value of '{name}' must be a text without NUL")
    return value


def rlimits_in(message: Message) -> list[tuple[str, int, int]]:
    """Return (name, soft, hard) of each limit; -1 is no limit, as for setrlimit."""
    value = message.get("rlimits")
    if not isinstance(value, list):
        raise bad("rlimits", "it must be a list")
    found: list[tuple[str, int, int]] = []
    for one in value:
        if not isinstance(one, list) or len(one) != 3:
            raise bad("rlimits", "each must be a name, a soft and a hard limit")
        name, soft, hard = one
        if not isinstance(name, str) or not isinstance(soft, int) or not isinstance(hard, int):
            raise bad("rlimits", "each must be a name and two integers")
        found.append((name, soft, hard))
    return found
