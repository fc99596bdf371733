"""Rules of a profile as another runtime takes them."""

from __future__ import annotations

from tepui.agent.containers.isolation.libseccomp import (
    ALLOW,
    ERRNO,
    KILL_THREAD,
    TRACE,
    Argument,
    Comparison,
    Rule,
)
from tepui.agent.containers.isolation.seccomp import DEFAULT_FILE
from tepui.agent.containers.isolation.seccomp_profiles import (
    Machine,
    Resolved,
    read_profile,
    resolve,
)
from tepui.agent.containers.isolation.seccomp_rules import rules_of

INTEL = Machine("x86_64", (6, 1))


def test_rules_have_the_names_and_numbers_of_the_specification() -> None:
    masked = (Argument(0, Comparison.MASKED_EQ, 7, 1),)
    resolved = Resolved(
        default_action=ERRNO | 1,
        architectures=("x86", "x32"),
        rules=(
            Rule("read", ALLOW),
            Rule("write", ALLOW),
            Rule("clone", ALLOW, masked),
            Rule("same", ERRNO | 1),
            Rule("clone3", ERRNO | 38),
            Rule("ptrace", TRACE | 7),
            Rule("reboot", KILL_THREAD),
        ),
    )
    condition = {"index": 0, "value": 7, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}
    assert rules_of(resolved) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [condition]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["ptrace"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["reboot"], "action": "SCMP_ACT_KILL"},
        ],
    }


def test_default_profile_allows_by_name_what_it_allows_compiled() -> None:
    profile = read_profile(DEFAULT_FILE.read_bytes(), "default")
    resolved = resolve(profile, frozenset(), INTEL)
    rules = rules_of(resolved)
    entries = rules["syscalls"]
    assert isinstance(entries, list)
    allowed = {
        name
        for one in entries
        if one["action"] == "SCMP_ACT_ALLOW" and "args" not in one
        for name in one["names"]
    }
    compiled = {one.name for one in resolved.rules if one.action == ALLOW and not one.arguments}
    assert allowed == compiled
    assert "read" in allowed
    assert "mount" not in allowed
