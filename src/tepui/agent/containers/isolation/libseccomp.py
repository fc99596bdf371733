"""Compiles rules for system calls to a filter of the kernel, with the machine's libseccomp (2.4 or later).

Source: libseccomp's manual pages (seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3)), seccomp.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from typing import Final

from msgspec import Struct

from tepui.base.errors import HostError

LIBRARY: Final = "libseccomp.so.2"
ALLOW: Final = 0x7FFF0000
LOG: Final = 0x7FFC0000
ERRNO: Final = 0x00050000  # the number of the error in its low half
TRAP: Final = 0x00030000
TRACE: Final = 0x7FF00000
KILL_THREAD: Final = 0x00000000
KILL_PROCESS: Final = 0x80000000
ATTRIBUTE_OPTIMIZE: Final = 8
BINARY_TREE: Final = 2  # a call is found among hundreds in eight steps; 1: in a list
UNKNOWN: Final = -1
BPF_BYTES_MAX: Final = 4096 * 8  # instructions that the kernel takes (BPF_MAXINSNS)


class Comparison(IntEnum):
    """How an argument is compared with `value`, or with `value_two` under the mask `value`."""

    NE = 1
    LT = 2
    LE = 3
    EQ = 4
    GE = 5
    GT = 6
    MASKED_EQ = 7


class Argument(Struct, frozen=True):
    """A condition on one argument of a call."""

    index: int
    comparison: Comparison
    value: int
    value_two: int = 0


class Rule(Struct, frozen=True):
    """What happens when `name` is called and all of `arguments` hold."""

    name: str
    action: int
    arguments: tuple[Argument, ...] = ()


class _Compared(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


@cache
def _library() -> ctypes.CDLL:
    try:
        found = ctypes.CDLL(LIBRARY)
    except OSError:
        raise HostError(
            "load",
            f"'{LIBRARY}'",
            "this machine has no libseccomp, without which no filter can be made",
        ) from None
    found.seccomp_init.restype = ctypes.c_void_p
    found.seccomp_init.argtypes = (ctypes.c_uint32,)
    found.seccomp_release.argtypes = (ctypes.c_void_p,)
    found.seccomp_release.restype = None
    found.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    found.seccomp_arch_add.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    found.seccomp_arch_resolve_name.argtypes = (ctypes.c_char_p,)
    found.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    found.seccomp_arch_native.restype = ctypes.c_uint32
    found.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    found.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(_Compared),
    )  # fmt: skip
    found.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    return found


def lacking() -> str:
    """Return why no filter can be made on this machine, or ''."""
    try:
        _library()
    except HostError as error:
        return error.cause
    return ""


def compiled(
    default_action: int, architectures: Sequence[str], rules: Sequence[Rule], subject: str
) -> bytes:
    """Return the filter as the kernel takes it. Calls that this libseccomp does not know are left out.

    `architectures` are those besides the machine's own, by libseccomp's names. `subject` is what the
    rules were read from, for the error. Raises HostError.
    """
    library = _library()
    context = library.seccomp_init(default_action)
    if not context:
        raise HostError("make a filter of", f"'{subject}'", "its default action is refused")
    try:
        library.seccomp_attr_set(context, ATTRIBUTE_OPTIMIZE, BINARY_TREE)  # not before 2.5
        for name in architectures:
            number = library.seccomp_arch_resolve_name(name.encode())
            if number and number != library.seccomp_arch_native():
                _check(library.seccomp_arch_add(context, number), f"architecture {name}", subject)
        for rule in rules:
            if rule.action != default_action:  # libseccomp refuses a rule that changes nothing
                _add(library, context, rule, subject)
        return _exported(library, context, subject)
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: int, rule: Rule, subject: str) -> None:
    number: int = library.seccomp_syscall_resolve_name(rule.name.encode())
    if number == UNKNOWN:
        return
    compared = (_Compared * max(1, len(rule.arguments)))()
    for at, one in enumerate(rule.arguments):
        compared[at] = _Compared(one.index, one.comparison, one.value, one.value_two)
    answer = library.seccomp_rule_add_array(
        context, rule.action, number, len(rule.arguments), compared
    )
    _check(answer, f"call {rule.name}", subject)


def _exported(library: ctypes.CDLL, context: int, subject: str) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _check(library.seccomp_export_bpf(context, fd), "whole", subject)
        size_bytes = os.fstat(fd).st_size
        if size_bytes > BPF_BYTES_MAX:
            cause = (
                f"it has {size_bytes // 8} instructions, and the kernel takes {BPF_BYTES_MAX // 8}"
            )
            raise HostError("make a filter of", f"'{subject}'", cause)
        return os.pread(fd, size_bytes, 0)
    finally:
        os.close(fd)


def _check(answer: int, what: str, subject: str) -> None:
    # EEXIST: the same rule once more.
    if answer < 0 and answer != -17:
        cause = f"its {what} is refused by libseccomp: {os.strerror(-answer).lower()}"
        raise HostError("make a filter of", f"'{subject}'", cause)
