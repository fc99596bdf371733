"""Decides what of a layer's tar stream GNU tar may unpack.

The stream is read header by header on its way to tar. What would leave the layer's root, what is not
understood and what is more than allowed is refused before tar sees it; whiteouts and devices are taken
out, and remembered. GNU tar itself refuses `..` and defers links that point away, as a second wall.

Source: POSIX pax; GNU tar manual, "Basic Tar Format"; OCI image specification, layer.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from tepui.agent.containers.images.errors import Fault

BLOCK: Final = 512
EXTENDED_BYTES_MAX: Final = 1 << 20  # of one member's long names and attributes
PATH_BYTES_MAX: Final = 4096
# Of one layer, for the names of directories, links and whiteouts. A path has thousands of parents at worst.
NAMES_BYTES_MAX: Final = 64 << 20
NAME_BYTES: Final = 100  # that each takes beside its characters
STEP: Final = "unpacking"
WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
# Harmless ones that programs in chroots of their own need: null, zero, full, random, urandom, tty.
# Other devices are left out: a runtime makes those that a container may have.
# Without root none can be made.
DEVICES_KEPT: Final = frozenset(
    {(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0)} if os.geteuid() == 0 else ()
)

_FILES: Final = frozenset(b"\x0007S")
_EXTENDED: Final = frozenset(b"xgLK")
_ZEROS: Final = bytes(BLOCK)
_CHECKSUM: Final = slice(148, 156)
# Keys of a header for all members that follow which would make each of them another one.
_NEVER_GLOBAL: Final = ("path", "linkpath", "size", "GNU.", "SCHILY.", "hdrcharset")


class Contents:
    """What a layer holds beyond what tar unpacks. All paths are relative, without '.' or '..'."""

    def __init__(self) -> None:
        self.files = 0
        self.directories: set[str] = set()  # with a header of their own
        self.implied: set[str] = set()  # parents; those without a header have no mode
        self.links: dict[str, bytes] = {}  # symbolic ones, and where they point
        self.whiteouts: list[str] = []  # what is no more
        self.opaque: list[str] = []  # directories that show nothing from below

    @property
    def missing(self) -> list[str]:
        """Directories that the layer says nothing of, parents first."""
        return sorted(self.implied - self.directories)


class Filter:
    """Feeds on a tar stream and gives what of it may be unpacked. Raises Fault for what may not."""

    def __init__(self, count: Callable[[int, int], None]) -> None:
        """`count` is told of bytes beyond those of the stream, and of members; it may raise Fault."""
        self.contents = Contents()
        self.is_done = False
        self._count = count
        self._partial = b""  # the beginning of a header
        self._left = 0  # bytes of a member's content, with its padding
        self._is_forwarding = False
        self._sparse_follows = False  # a block more of an old sparse file's map
        self._extended: bytearray | None = None  # content of a header for the next member
        self._extended_type = 0
        self._extended_size = 0
        self._names_bytes = 0
        self._held: list[bytes] = []  # headers that go if their member does
        self._held_bytes = 0
        self._pax: dict[str, bytes] = {}
        self._long_name: bytes | None = None
        self._long_link: bytes | None = None
        self._last_parent = ""

    def feed(self, data: bytes) -> bytes:
        """Return what may be unpacked of this much more of the stream."""
        view = memoryview(data)
        out: list[bytes | memoryview] = []
        at = 0
        while at < len(view) and not self.is_done:
            if self._left:
                piece = view[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._extended is not None:
                    self._extended += piece
                    if not self._left:
                        self._extended_ends()
                elif self._is_forwarding:
                    out.append(piece)
                continue
            block = self._partial + bytes(view[at : at + BLOCK - len(self._partial)])
            at += len(block) - len(self._partial)
            if len(block) < BLOCK:
                self._partial = block
                break
            self._partial = b""
            self._block(block, out)
        return b"".join(out)

    def end(self) -> None:
        """The stream has ended. Raises Fault if that was too early."""
        if not self.is_done and (self._partial or self._left or self._held):
            raise Fault(STEP, "the archive ends within a member")

    def _block(self, block: bytes, out: list[bytes | memoryview]) -> None:
        if self._sparse_follows:
            self._sparse_follows = block[504] != 0
            if self._is_forwarding:
                out.append(block)
            if not self._sparse_follows:
                self._left = self._after_map
            return
        if block == _ZEROS:
            # One block of zeros ends what others read, too; what follows is only hashed.
            if self._held:
                raise Fault(STEP, "the archive ends after a header for a member to come")
            self.is_done = True
            return
        _verify_checksum(block)
        kind = block[156]
        if kind in _EXTENDED:
            self._extended_begins(block, kind)
            return
        self._member(block, kind, out)

    def _extended_begins(self, block: bytes, kind: int) -> None:
        size = _number(block[124:136])
        self._held_bytes += BLOCK + size
        if size > EXTENDED_BYTES_MAX or self._held_bytes > EXTENDED_BYTES_MAX:
            raise Fault(STEP, f"names and attributes are longer than {EXTENDED_BYTES_MAX} bytes")
        self._held.append(block)
        self._extended, self._extended_type, self._extended_size = bytearray(), kind, size
        self._left = _padded(size)
        if not self._left:
            self._extended_ends()

    def _extended_ends(self) -> None:
        assert self._extended is not None
        self._held.append(bytes(self._extended))
        content = bytes(self._extended[: self._extended_size])
        self._extended = None
        match chr(self._extended_type):
            case "L":
                self._long_name = content.rstrip(b"\0")
            case "K":
                self._long_link = content.rstrip(b"\0")
            case "x":
                self._pax.update(_records(content))
            case _:
                for key in _records(content):
                    if key.startswith(_NEVER_GLOBAL):
                        raise Fault(STEP, f"'{key}' is set for all members that follow")

    def _member(self, block: bytes, kind: int, out: list[bytes | memoryview]) -> None:
        path = _path(self._name(block))
        size = self._size(block, kind, path)
        if kind == 0 and self._name(block).endswith(b"/"):
            kind = ord("5")  # as tar of before POSIX wrote directories
        self.contents.files += 1
        self._count(self._sparse_bytes(block, kind, size), 1)
        self._is_forwarding = self._accept(block, kind, path)
        self._left = _padded(size)
        if kind == ord("S") and block[482]:
            self._sparse_follows, self._after_map, self._left = True, self._left, 0
        if self._is_forwarding:
            out += self._held
            out.append(block)
        self._held, self._held_bytes = [], 0
        self._pax, self._long_name, self._long_link = {}, None, None

    _after_map = 0  # bytes of content behind the map of an old sparse file

    def _name(self, block: bytes) -> bytes:
        if (name := self._pax.get("GNU.sparse.name", self._pax.get("path"))) is not None:
            return name
        if self._long_name is not None:
            return self._long_name
        name = block[:100].partition(b"\0")[0]
        if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
            return prefix + b"/" + name
        return name

    def _link(self, block: bytes) -> bytes:
        if (link := self._pax.get("linkpath")) is not None:
            return link
        return self._long_link if self._long_link is not None else _text(block[157:257])

    def _size(self, block: bytes, kind: int, path: str) -> int:
        size = _number(block[124:136])
        if (text := self._pax.get("size")) is not None:
            size = _decimal(text)
        if kind in _FILES:
            return size
        if kind == ord("1"):
            return 0  # a link has none on the tape, whatever its header says
        if size:
            raise Fault(STEP, f"'{path}' is no file, and has {size} bytes of content")
        return 0

    def _sparse_bytes(self, block: bytes, kind: int, size: int) -> int:
        """How much larger a file with holes is than what the stream holds of it."""
        real = _number(block[483:495]) if kind == ord("S") else 0
        for key in ("GNU.sparse.realsize", "GNU.sparse.size"):
            if (text := self._pax.get(key)) is not None:
                real = max(real, _decimal(text))
        return max(0, real - size)

    def _accept(self, block: bytes, kind: int, path: str) -> bool:
        """Note what the member is; return whether tar gets it."""
        contents = self.contents
        if not path:
            if kind != ord("5"):
                raise Fault(STEP, "the root is not a directory")
            contents.directories.add("")
            return True
        parent, _, name = path.rpartition("/")
        is_whiteout = name.startswith(WHITEOUT)
        if parent != self._last_parent or parent in contents.links:
            self._enter(parent, path)
            self._last_parent = parent
        if is_whiteout:
            if kind not in _FILES and kind != ord("1"):
                raise Fault(STEP, f"'{path}' is a whiteout, and no file")
            self._white_out(parent, name)
            return False
        if kind in _FILES:
            pass
        elif kind == ord("5"):
            if path not in contents.directories:
                self._keep(path)
            contents.directories.add(path)
        elif kind == ord("2"):
            target = self._link(block)
            if contents.links.get(path) == target:
                return False
            self._replace_link(path)
            self._keep(path, len(target))
            contents.links[path] = target
            return True
        elif kind == ord("1"):
            self._check_hard_link(path, _path(self._link(block)))
        elif kind in (ord("3"), ord("4")):
            device = (_number(block[329:337]), _number(block[337:345]))
            if kind == ord("4") or device not in DEVICES_KEPT:
                return False
        elif kind != ord("6"):
            raise Fault(STEP, f"'{path}' is of the unknown type {chr(kind)!r}")
        self._replace_link(path)
        return True

    def _replace_link(self, path: str) -> None:
        """Another member takes the place of a link, if there is one. Raises Fault where it may not."""
        target = self.contents.links.pop(path, None)
        # tar makes links that point away last, and might put them in place of what came later.
        if target is not None and not _stays(target):
            raise Fault(STEP, f"'{path}' is there twice, first as a link")

    def _enter(self, parent: str, path: str) -> None:
        """The member is below `parent`: that is a directory, maybe one without a header."""
        contents = self.contents
        if contents.links:
            prefix = ""
            for part in parent.split("/"):
                prefix = f"{prefix}/{part}" if prefix else part
                if (target := contents.links.get(prefix)) is None:
                    continue
                if not _stays(target) or path.rpartition("/")[2].startswith(WHITEOUT):
                    raise Fault(STEP, f"'{path}' leads through the link '{prefix}'")
                return  # tar follows it, and it stays inside
        while parent and parent not in contents.implied:
            self._keep(parent)
            contents.implied.add(parent)
            parent = parent.rpartition("/")[0]

    def _keep(self, name: str, more_bytes: int = 0) -> None:
        """The name is remembered. Raises Fault where there are too many."""
        self._names_bytes += len(name) + more_bytes + NAME_BYTES
        if self._names_bytes > NAMES_BYTES_MAX:
            raise Fault(
                STEP, f"its names of directories and links take more than {NAMES_BYTES_MAX} bytes"
            )

    def _white_out(self, parent: str, name: str) -> None:
        self._keep(f"{parent}/{name}")
        if name == OPAQUE:
            self.contents.opaque.append(parent)
        elif not name.startswith(".wh..wh."):  # else: what AUFS keeps for itself
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise Fault(STEP, f"'{parent}/{name}' is a whiteout of nothing")
            self.contents.whiteouts.append(f"{parent}/{hidden}" if parent else hidden)

    def _check_hard_link(self, path: str, target: str) -> None:
        if not target:
            raise Fault(STEP, f"'{path}' is a link to the root")
        prefix = ""
        for part in target.split("/")[:-1]:
            prefix = f"{prefix}/{part}" if prefix else part
            if not _stays(self.contents.links.get(prefix, b"")):
                raise Fault(STEP, f"'{path}' links through the link '{prefix}'")


def _stays(target: bytes) -> bool:
    """Whether a link leads to something below the directory that it is in."""
    return not target.startswith(b"/") and b".." not in target.split(b"/")


def _verify_checksum(block: bytes) -> None:
    stored = _number(block[_CHECKSUM])
    # The field counts as spaces. Some old programs summed signed characters.
    summed = sum(block) - sum(block[_CHECKSUM]) + 8 * 32
    if stored != summed and stored != summed - 256 * sum(byte > 127 for byte in block):
        raise Fault(STEP, "it is not a tar archive: a header's checksum does not hold")


def _path(name: bytes) -> str:
    """Return the name below the root. Raises Fault for one that leads out of it."""
    if b"\0" in name or len(name) > PATH_BYTES_MAX:
        raise Fault(STEP, f"'{_shown(name)}' is no path of at most {PATH_BYTES_MAX} bytes")
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise Fault(STEP, f"'{_shown(name)}' leads out of the image")
    return os.fsdecode(b"/".join(parts))


def _shown(name: bytes) -> str:
    return name[:200].decode(errors="replace")


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _number(field: bytes) -> int:
    """Return a header's number: octal, or binary where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value >= 1 << 62:
            raise Fault(STEP, "a header has a number that is negative or too large")
        return value
    text = field.replace(b"\0", b" ").strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise Fault(STEP, "it is not a tar archive: a header's number is not octal") from None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise Fault(STEP, f"'{_shown(text)}' is not a size")
    return int(text)


def _records(content: bytes) -> dict[str, bytes]:
    """Return the records of a pax header: `<length> <key>=<value>\\n`."""
    records: dict[str, bytes] = {}
    at = 0
    while at < len(content):
        digits, space, _ = content[at : at + 21].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = content[at : at + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not space or not equals or len(record) < length or record[-1:] != b"\n":
            raise Fault(STEP, "a header's attributes cannot be read")
        records[key.decode(errors="replace")] = value
        at += length
    return records
