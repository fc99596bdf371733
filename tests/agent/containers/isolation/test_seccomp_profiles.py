"""Profiles in Docker's format: what is read, which rules hold for whom, and how what is wrong is told."""

from __future__ import annotations

import json

import pytest

from tepui.agent.containers.isolation.libseccomp import (
    ALLOW,
    ERRNO,
    KILL_PROCESS,
    LOG,
    TRACE,
    Argument,
    Comparison,
    Rule,
)
from tepui.agent.containers.isolation.seccomp import DEFAULT_FILE
from tepui.agent.containers.isolation.seccomp_profiles import (
    Machine,
    Profile,
    Resolved,
    read_profile,
    resolve,
)
from tepui.base.errors import Refused

INTEL = Machine("x86_64", (6, 1))
ARM = Machine("aarch64", (6, 1))


def profile(*syscalls: dict[str, object], **more: object) -> Profile:
    text = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": list(syscalls)} | more
    return read_profile(json.dumps(text).encode(), "p.json")


def entry(name: str, **more: object) -> dict[str, object]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW"} | more


def names(resolved: Resolved) -> list[str]:
    return [one.name for one in resolved.rules]


def test_actions_are_the_kernels_numbers() -> None:
    read = profile(
        entry("a", action="SCMP_ACT_LOG"),
        entry("b", action="SCMP_ACT_ERRNO", errnoRet=38),
        entry("c", action="SCMP_ACT_TRACE", errnoRet=7),
        entry("d", action="SCMP_ACT_KILL_PROCESS"),
        {"name": "e", "action": "SCMP_ACT_ALLOW"},  # as in old profiles
        defaultErrnoRet=13,
    )
    assert resolve(read, frozenset(), INTEL) == Resolved(
        default_action=ERRNO | 13,
        architectures=(),
        rules=(
            Rule("a", LOG),
            Rule("b", ERRNO | 38),
            Rule("c", TRACE | 7),
            Rule("d", KILL_PROCESS),
            Rule("e", ALLOW),
        ),
    )


def test_error_without_a_number_is_eperm() -> None:
    assert resolve(profile(), frozenset(), INTEL).default_action == ERRNO | 1


@pytest.mark.parametrize("comparison", list(Comparison))
def test_every_comparison_is_read(comparison: Comparison) -> None:
    condition = {"index": 5, "value": 1, "valueTwo": 2, "op": f"SCMP_CMP_{comparison.name}"}
    (rule,) = resolve(profile(entry("a", args=[condition])), frozenset(), INTEL).rules
    assert rule.arguments == (Argument(5, comparison, 1, 2),)


def test_conditions_on_different_arguments_must_all_hold_and_on_one_either_may() -> None:
    equal = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
    read = profile(
        entry("a", args=[equal, equal | {"index": 1}]),
        entry("b", args=[equal, equal | {"value": 2}]),
    )
    first, second = Argument(0, Comparison.EQ, 1), Argument(1, Comparison.EQ, 1)
    assert resolve(read, frozenset(), INTEL).rules == (
        Rule("a", ALLOW, (first, second)),
        Rule("b", ALLOW, (first,)),
        Rule("b", ALLOW, (Argument(0, Comparison.EQ, 2),)),
    )


def test_entry_counts_with_all_capabilities_it_includes_and_none_it_excludes() -> None:
    read = profile(
        entry("both", includes={"caps": ["CAP_A", "CAP_B"]}),
        entry("without", excludes={"caps": ["CAP_A", "CAP_C"]}),
    )
    assert read.named_capabilities() == {"CAP_A", "CAP_B", "CAP_C"}
    assert names(resolve(read, frozenset(), INTEL)) == ["without"]
    assert names(resolve(read, {"CAP_A"}, INTEL)) == []
    assert names(resolve(read, {"CAP_A", "CAP_B"}, INTEL)) == ["both"]


def test_entry_counts_on_its_architectures_and_from_its_kernel_on() -> None:
    read = profile(
        entry("intel", includes={"arches": ["amd64", "x86"]}),
        entry("others", excludes={"arches": ["amd64"]}),
        entry("new", includes={"minKernel": "6.1"}),
        entry("newer", includes={"minKernel": "6.2"}),
        entry("old", excludes={"minKernel": "6.1"}),
    )
    assert names(resolve(read, frozenset(), INTEL)) == ["intel", "new"]
    assert names(resolve(read, frozenset(), ARM)) == ["others", "new"]


def test_architectures_are_those_whose_programs_the_machine_runs_too() -> None:
    read = profile(
        archMap=[
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ]
    )
    assert resolve(read, frozenset(), INTEL).architectures == ("x86",)
    assert resolve(read, frozenset(), ARM).architectures == ("arm",)
    listed = profile(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])
    assert resolve(listed, frozenset(), INTEL).architectures == ("x32",)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[]", "cannot be read: Expected `object`, got `array`"),
        ("{", "cannot be read: Input data was truncated"),
        ("{}", "cannot be read: Object missing required field `defaultAction`"),
        ('{"defaultAction":"ALLOW"}', "is wrong: the action 'ALLOW' is none of SCMP_ACT_ALLOW, "),
        (
            '{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}',
            "is wrong: the error number '4096' is not between 0 and 4095",
        ),
        (
            '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}',
            "is wrong: an entry of 'syscalls' has neither 'names' nor 'name'",
        ),
        (
            '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",'
            '"args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}',
            "is wrong: the argument '6' is not between 0 and 5",
        ),
        (
            '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",'
            '"args":[{"index":0,"value":1,"op":"EQ"}]}]}',
            "is wrong: the comparison 'EQ' is none of SCMP_CMP_NE, ",
        ),
        (
            '{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW",'
            '"excludes":{"minKernel":"new"}}]}',
            "is wrong: 'new' is no version of a kernel",
        ),
        (
            '{"defaultAction":"SCMP_ACT_LOG","architectures":["X86"]}',
            "is wrong: the architecture 'X86' does not begin with 'SCMP_ARCH_'",
        ),
        (
            '{"defaultAction":"SCMP_ACT_NOTIFY"}',
            "is wrong: the action 'SCMP_ACT_NOTIFY' is none of ",
        ),
    ],
)
def test_what_is_wrong_with_a_profile_is_told_with_its_name(text: str, wrong: str) -> None:
    with pytest.raises(Refused) as refused:
        read_profile(text.encode(), "p.json")
    assert refused.value.text.startswith(f"the seccomp profile 'p.json' {wrong}")


def test_profile_over_a_megabyte_is_refused() -> None:
    least = b'{"defaultAction":"SCMP_ACT_ALLOW"}'
    assert read_profile(least + b" " * ((1 << 20) - len(least)), "p").default_action
    with pytest.raises(Refused, match="more than 1048576 bytes"):
        read_profile(least + b" " * ((1 << 20) + 1 - len(least)), "p")


def test_default_profile_lets_programs_work_and_refuses_what_reaches_the_host() -> None:
    default = read_profile(DEFAULT_FILE.read_bytes(), "default")
    plain = set(names(resolve(default, frozenset(), INTEL)))
    assert {"openat", "execve", "mmap", "futex", "epoll_wait", "rseq", "statx", "clone"} <= plain
    guarded = {
        "mount", "umount2", "unshare", "setns", "bpf", "perf_event_open", "reboot", "init_module", "chroot",
        "process_vm_readv", "settimeofday", "iopl", "open_by_handle_at", "acct",
    }  # fmt: skip
    assert not guarded & plain
    nobodys = {
        "keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "swapon", "pivot_root",
        "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "nfsservctl", "uselib",
        "create_module", "_sysctl",
    }  # fmt: skip
    every = frozenset(default.named_capabilities())
    with_all = set(names(resolve(default, every, INTEL)))
    assert not nobodys & with_all
    assert guarded <= with_all


def test_default_profile_has_a_rule_for_clone_on_every_machine() -> None:
    default = read_profile(DEFAULT_FILE.read_bytes(), "default")
    for machine in (INTEL, ARM, Machine("s390x", (6, 1)), Machine("riscv64", (6, 1))):
        (clone,) = [
            one for one in resolve(default, frozenset(), machine).rules if one.name == "clone"
        ]
        assert clone.arguments[0].value == 0x7E020000
        assert clone.arguments[0].index == (1 if machine.name == "s390x" else 0)
