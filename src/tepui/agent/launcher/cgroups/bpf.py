"""Devices in cgroup v2: a small program for the kernel that says who may use which, made from rules.

v1 has files for that (`devices.allow`), v2 asks a program of the type BPF_PROG_TYPE_CGROUP_DEVICE, which
stays with the cgroup. Where cgroups are nested all programs on the way up must agree.
Sources: linux/bpf.h, bpf(2), kernel document cgroup-v2.rst (Device controller).
"""

from __future__ import annotations

import ctypes
import os
import struct

SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
BPF_PROG_LOAD, BPF_PROG_ATTACH = 5, 8
BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6
BPF_F_ALLOW_MULTI = 2
TYPES = {"b": 1, "c": 2}
ACCESSES = {"m": 1, "r": 2, "w": 4}
ALL_ACCESS = 7

INSTRUCTION = struct.Struct("=BBhi")  # opcode, source and destination register, offset, constant
LOAD_WORD, AND, SHIFT_RIGHT = 0x61, 0x54, 0x74
MOVE_CONSTANT, MOVE = 0xB4, 0xBC
JUMP_NOT_CONSTANT, JUMP_NOT_EQUAL, EXIT = 0x55, 0x5D, 0x95
CONTEXT, TYPE, ACCESS, MAJOR, MINOR, ANSWER, ASKED = 1, 2, 3, 4, 5, 0, 1  # registers

_libc = ctypes.CDLL(None, use_errno=True)


class Rule:
    """One rule: None stands for any."""

    __slots__ = ("access", "major", "minor", "type")

    def __init__(self, text: str) -> None:
        """Read `c 1:3 rwm`. Raises ValueError."""
        kind, numbers, access = text.split(" ")
        major, minor = numbers.split(":")
        if kind not in ("a", *TYPES) or not access or not set(access) <= set(ACCESSES):
            raise ValueError(text)
        self.type = TYPES.get(kind)
        self.major = None if major == "*" else int(major)
        self.minor = None if minor == "*" else int(minor)
        self.access = sum(ACCESSES[one] for one in set(access))


def program(rules: list[str]) -> bytes:
    """Return the program that allows what one of `rules` allows, and nothing else."""
    code = [
        _instruction(LOAD_WORD, TYPE, CONTEXT, offset=0),
        _instruction(AND, TYPE, constant=0xFFFF),
        _instruction(LOAD_WORD, ACCESS, CONTEXT, offset=0),
        _instruction(SHIFT_RIGHT, ACCESS, constant=16),
        _instruction(LOAD_WORD, MAJOR, CONTEXT, offset=4),
        _instruction(LOAD_WORD, MINOR, CONTEXT, offset=8),
    ]
    for text in rules:
        code += _allowing(Rule(text))
    code += [_instruction(MOVE_CONSTANT, ANSWER, constant=0), _instruction(EXIT)]
    return b"".join(code)


def _allowing(rule: Rule) -> list[bytes]:
    """The instructions of one rule: each test jumps behind them when it fails."""
    tests: list[tuple[int, int, int, int]] = []  # opcode, registers, constant
    if rule.type is not None:
        tests.append((JUMP_NOT_CONSTANT, TYPE, 0, rule.type))
    if rule.access != ALL_ACCESS:  # what is asked must be all in what is allowed
        tests.append((MOVE, ASKED, ACCESS, 0))
        tests.append((AND, ASKED, 0, rule.access))
        tests.append((JUMP_NOT_EQUAL, ASKED, ACCESS, 0))
    if rule.major is not None:
        tests.append((JUMP_NOT_CONSTANT, MAJOR, 0, rule.major))
    if rule.minor is not None:
        tests.append((JUMP_NOT_CONSTANT, MINOR, 0, rule.minor))
    found = []
    for at, (opcode, to, source, constant) in enumerate(tests):
        jumps = opcode in (JUMP_NOT_CONSTANT, JUMP_NOT_EQUAL)
        behind = len(tests) - at - 1 + 2 if jumps else 0
        found.append(_instruction(opcode, to, source, offset=behind, constant=constant))
    return [*found, _instruction(MOVE_CONSTANT, ANSWER, constant=1), _instruction(EXIT)]


def _instruction(
    opcode: int, to: int = 0, source: int = 0, *, offset: int = 0, constant: int = 0
) -> bytes:
    return INSTRUCTION.pack(opcode, source << 4 | to, offset, constant)


def load(code: bytes) -> int:
    """Return a descriptor of the program in the kernel. Raises OSError."""
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII",
        BPF_PROG_TYPE_CGROUP_DEVICE,
        len(code) // INSTRUCTION.size,
        ctypes.addressof(instructions),
        ctypes.addressof(licence),
        0, 0, 0, 0, 0,  # no log of the verifier; kernel version; flags
    )  # fmt: skip
    return _bpf(BPF_PROG_LOAD, attributes)


def attach(directory: str, rules: list[str]) -> None:
    """Processes in the cgroup2 `directory` can use the devices of `rules` only. Raises OSError."""
    program_fd = load(program(rules))
    try:
        directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            target = (directory_fd, program_fd, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI)
            _bpf(BPF_PROG_ATTACH, struct.pack("=IIII", *target))
        finally:
            os.close(directory_fd)
    finally:
        os.close(program_fd)  # the cgroup holds it


def offered() -> str:
    """Return why this machine takes no such program, or ''."""
    try:
        os.close(load(program([])))
    except OSError as error:
        return os.strerror(error.errno or 0).lower()
    return ""


def _bpf(command: int, attributes: bytes) -> int:
    number = SYS_BPF.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"the number of bpf() on {os.uname().machine} is not known")
    held = ctypes.create_string_buffer(attributes, len(attributes))
    answer: int = _libc.syscall(number, command, held, len(attributes))
    if answer < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return answer
