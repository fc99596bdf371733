"""The program that guards devices in cgroup v2: its bytes, and what it answers, by a small interpreter."""

from __future__ import annotations

import pytest

from tepui.agent.containers.isolation.devices import ALL_RULE, DEFAULT_RULES
from tepui.agent.launcher.cgroups.bpf import INSTRUCTION, Rule, program

BLOCK, CHARACTER = 1, 2
MAKE, READ, WRITE = 1, 2, 4


def allows(code: bytes, kind: int, access: int, major: int, minor: int) -> bool:
    """Return what `code` answers when the kernel asks."""
    context = {0: access << 16 | kind, 4: major, 8: minor}
    registers = [0] * 11
    at = 0
    for _ in range(10_000):
        opcode, pair, offset, constant = INSTRUCTION.unpack_from(code, at * INSTRUCTION.size)
        to, source = pair & 15, pair >> 4
        at += 1
        match opcode:
            case 0x61:
                assert source == 1, "the context is in register 1"
                registers[to] = context[offset]
            case 0x54:
                registers[to] &= constant
            case 0x74:
                registers[to] >>= constant
            case 0xB4:
                registers[to] = constant
            case 0xBC:
                registers[to] = registers[source]
            case 0x55:
                at += offset if registers[to] != constant else 0
            case 0x5D:
                at += offset if registers[to] != registers[source] else 0
            case 0x95:
                return bool(registers[0])
            case other:
                raise AssertionError(f"unexpected instruction {other:#x}")
    raise AssertionError("the program does not end")


def test_program_without_rules_is_eight_instructions_that_refuse() -> None:
    code = program([])
    assert code.hex(" ", 8) == (
        "6112000000000000 54020000ffff0000 6113000000000000 7403000010000000"
        " 6114040000000000 6115080000000000 b400000000000000 9500000000000000"
    )
    assert not allows(code, CHARACTER, READ, 1, 3)


def test_rule_allows_its_device_and_its_access_only() -> None:
    code = program(["c 1:3 rw"])
    assert allows(code, CHARACTER, READ, 1, 3)
    assert allows(code, CHARACTER, READ | WRITE, 1, 3)
    assert not allows(code, CHARACTER, MAKE, 1, 3)
    assert not allows(code, CHARACTER, READ | MAKE, 1, 3)
    assert not allows(code, BLOCK, READ, 1, 3)
    assert not allows(code, CHARACTER, READ, 2, 3)
    assert not allows(code, CHARACTER, READ, 1, 4)


def test_one_rule_of_several_is_enough() -> None:
    code = program(["b 8:0 r", "c 136:* rwm", "b *:* m"])
    assert allows(code, BLOCK, READ, 8, 0)
    assert allows(code, CHARACTER, WRITE, 136, 77)
    assert allows(code, BLOCK, MAKE, 7, 1)
    assert not allows(code, BLOCK, READ, 7, 1)


def test_default_rules_allow_the_harmless_devices_and_make_any_node() -> None:
    code = program(list(DEFAULT_RULES))
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 0)):
        assert allows(code, CHARACTER, READ | WRITE, major, minor)
    fuse, kmsg, memory = (10, 229), (1, 11), (1, 1)
    for major, minor in (fuse, kmsg, memory):
        assert not allows(code, CHARACTER, READ, major, minor)
        assert allows(code, CHARACTER, MAKE, major, minor)


def test_rule_of_a_privileged_container_allows_everything() -> None:
    code = program([ALL_RULE])
    assert allows(code, BLOCK, READ | WRITE | MAKE, 8, 0)
    assert allows(code, CHARACTER, READ, 10, 229)


@pytest.mark.parametrize("text", ["c 1:3", "x 1:3 r", "c 1 r", "c 1:3 q", "c a:3 r", "c 1:3 "])
def test_rule_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        Rule(text)
