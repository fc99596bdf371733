"""Which profile a container has, and filters that are made once and hold real processes."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tepui.agent.containers.isolation import libseccomp
from tepui.agent.containers.isolation.capabilities import IMAGE_DEFAULT
from tepui.agent.containers.isolation.seccomp import DEFAULT, Filters, profile_for
from tepui.base.errors import HostError, Refused
from tepui.wire import mesos

DEADLINE_S = 60.0
needs_library = pytest.mark.skipif(bool(libseccomp.lacking()), reason=libseccomp.lacking())


def test_image_containers_have_the_default_profile_and_others_none() -> None:
    assert profile_for(None, None, has_image=True) == DEFAULT
    assert profile_for(None, None, has_image=False) is None
    assert profile_for(None, "mine.json", has_image=False) == "mine.json"
    assert profile_for(None, "mine.json", has_image=True) == "mine.json"


def test_task_names_its_profile_or_has_none() -> None:
    named = mesos.SeccompInfo(profile_name="other.json")
    assert profile_for(named, "mine.json", has_image=True) == "other.json"
    assert profile_for(mesos.SeccompInfo(unconfined=True), "mine.json", has_image=True) is None


def test_task_that_says_both_or_neither_is_refused() -> None:
    both = mesos.SeccompInfo(profile_name="a", unconfined=True)
    with pytest.raises(Refused, match="'profile_name' given even though 'unconfined'"):
        profile_for(both, None, has_image=True)
    for neither in (mesos.SeccompInfo(), mesos.SeccompInfo(unconfined=False)):
        with pytest.raises(Refused, match="Missing Seccomp profile name"):
            profile_for(neither, "mine.json", has_image=True)


@pytest.mark.parametrize("name", ["../x.json", "/etc/passwd", "a/../../b"])
def test_profile_outside_of_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused, match="is not the name of a file in '--seccomp_config_dir'"):
        Filters(str(tmp_path)).bpf(name, ())


def test_profile_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"'.*/x.json' cannot be read: No such file or directory"):
        Filters(str(tmp_path)).bpf("x.json", ())
    with pytest.raises(Refused, match="the agent has no '--seccomp_config_dir'"):
        Filters().bpf("x.json", ())


def test_machine_without_the_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "LIBRARY", "libseccomp.so.none")
    libseccomp._library.cache_clear()
    try:
        with pytest.raises(HostError, match="this machine has no libseccomp"):
            Filters().bpf(DEFAULT, ())
        assert libseccomp.lacking().startswith("this machine has no libseccomp")
    finally:
        libseccomp._library.cache_clear()


@needs_library
def test_filter_is_made_once_for_capabilities_that_make_no_difference() -> None:
    filters = Filters()
    first = filters.bpf(DEFAULT, ("CAP_CHOWN",))
    assert len(first) % 8 == 0
    assert filters.bpf(DEFAULT, ("CAP_KILL", "CAP_CHOWN")) is first
    assert filters.bpf(DEFAULT, ("CAP_SYS_ADMIN",)) != first


@needs_library
def test_profile_that_was_changed_on_disk_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"defaultAction":"SCMP_ACT_ALLOW"}')
    filters = Filters(str(tmp_path))
    before = filters.bpf("p.json", ())
    entry = '{"names":["mount"],"action":"SCMP_ACT_ERRNO"}'
    path.write_text(f'{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{entry}]}}')
    os.utime(path, ns=(1, 1))
    assert filters.bpf("p.json", ()) != before


@needs_library
def test_calls_that_the_library_does_not_know_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    entry = '{"names":["not_a_call","read"],"action":"SCMP_ACT_ERRNO"}'
    path.write_text(f'{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{entry}]}}')
    assert Filters(str(tmp_path)).bpf("p.json", ())


# Run under the filter given on stdin; prints the error of each call that is refused.
PROBE = r"""
import ctypes, errno, json, os, socket, subprocess, sys, tempfile, threading
libc = ctypes.CDLL(None, use_errno=True)
given = json.loads(sys.argv[1])
code = sys.stdin.buffer.read()
class Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("filter", ctypes.c_void_p))
held = ctypes.create_string_buffer(code, len(code))
program = Program(len(code) // 8, ctypes.addressof(held))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
found = {}
def call(name, *arguments):
    ctypes.set_errno(0)
    answer = libc.syscall(given[name.partition("/")[0]], *(ctypes.c_ulong(one) for one in arguments))
    found[name] = errno.errorcode.get(ctypes.get_errno(), "") if answer < 0 else ""
call("mount", 0, 0, 0, 0, 0)
call("umount2", 0, 0)
call("keyctl", 0, 0, 0, 0, 0)
call("ptrace/attach", 16, 0x7fffffff, 0, 0)  # nobody has that id: what gets past the filter harms none
call("ptrace/seize", 0x4206, 0x7fffffff, 0, 0)
call("unshare/user", 0x10000000)
call("clone/user", 0x10000000 | 17, 0, 0, 0, 0)
call("clone3", 0, 0)
call("setns", -1 & 0xffffffff, 0)
call("bpf", 0, 0, 0)
call("io_uring_setup", 1, 0)
call("personality/no_random", 0x40000)
call("personality/ask", 0xffffffff)
call("socket/vsock", 40, 1, 0)
call("getpid")
with tempfile.TemporaryFile() as file:
    file.write(b"x")
    file.flush()
with socket.socketpair()[0], socket.socket(socket.AF_INET) as listener:
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
thread = threading.Thread(target=found.update, args=({"thread": "works"},))
thread.start()
thread.join()
found["child"] = subprocess.run(["/bin/sh", "-c", "echo works"], capture_output=True, text=True).stdout.strip()
print(json.dumps(found))
"""
PROBED = (
    "mount", "umount2", "keyctl", "ptrace", "unshare", "clone", "clone3", "setns", "bpf", "io_uring_setup",
    "personality", "socket", "getpid",
)  # fmt: skip


def probed(code: bytes) -> dict[str, str]:
    library = ctypes.CDLL(libseccomp.LIBRARY)
    numbers = {one: library.seccomp_syscall_resolve_name(one.encode()) for one in PROBED}
    ran = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, json.dumps(numbers)],
        input=code,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    found: dict[str, str] = json.loads(ran.stdout)
    return found


@pytest.mark.real
@needs_library
def test_process_under_the_default_filter_works_and_cannot_reach_out() -> None:
    found = probed(Filters().bpf(DEFAULT, IMAGE_DEFAULT))
    refused = {
        "mount", "umount2", "keyctl", "ptrace/attach", "ptrace/seize", "unshare/user", "clone/user", "setns",
        "bpf", "io_uring_setup", "personality/no_random", "socket/vsock",
    }  # fmt: skip
    assert {name: found.pop(name) for name in refused} == dict.fromkeys(refused, "EPERM")
    assert found == {
        "clone3": "ENOSYS",  # so that libraries fall back to clone
        "personality/ask": "",
        "getpid": "",
        "thread": "works",
        "child": "works",
    }


@pytest.mark.real
@needs_library
def test_capability_opens_what_belongs_to_it() -> None:
    found = probed(Filters().bpf(DEFAULT, {"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"}))
    assert found["keyctl"] == "EPERM"
    # These got past the filter: the kernel looked at their arguments.
    assert found["mount"] == "EFAULT" or os.geteuid() != 0
    assert found["clone3"] == "EINVAL"
    assert found["setns"] == "EBADF"


CLONE_NEWNS = 0x20000
MS_REC, MS_SLAVE = 0x4000, 0x80000
SCRIPT = """
grep Seccomp: /proc/self/status
mount -t tmpfs none /mnt 2>/dev/null && echo mounted
unshare -U true 2>/dev/null && echo unshared
echo 1 > /tmp/file && cat /tmp/file && ls / | wc -l > /dev/null && echo works
"""


def own_mounts() -> None:
    """In the child: mounts of its own, and none of the hybrid hierarchy that crun refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0
    assert libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None) == 0
    hybrid = b"/sys/fs/cgroup/unified"
    if os.path.isdir(hybrid):
        assert libc.mount(b"none", hybrid, b"tmpfs", 0, None) == 0


@pytest.mark.real
@needs_library
def test_crun_takes_the_filter_as_it_is(tmp_path: Path) -> None:
    crun, busybox = shutil.which("crun"), shutil.which("busybox")
    if crun is None or busybox is None or os.geteuid() != 0:
        pytest.skip("crun, busybox and root are needed to run a container")
    root = tmp_path / "bundle/rootfs"
    for name in ("bin", "proc", "tmp", "mnt", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in ("sh", "grep", "mount", "unshare", "cat", "ls", "wc"):
        (root / "bin" / name).symlink_to("busybox")
    capabilities = sorted(IMAGE_DEFAULT | {"CAP_SYS_ADMIN"})  # so that only the filter refuses
    code = Filters().bpf(DEFAULT, IMAGE_DEFAULT)
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", SCRIPT],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": one} for one in ("mount", "pid", "ipc", "uts")]},
        "annotations": {"run.oci.seccomp_bpf_data": base64.b64encode(code).decode()},
    }
    (tmp_path / "bundle/config.json").write_text(json.dumps(config))
    ran = subprocess.run(
        [
            crun,
            f"--root={tmp_path}/state",
            "--cgroup-manager=disabled",
            "run",
            f"--bundle={tmp_path}/bundle",
            f"seccomp-{os.getpid()}",
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        stdin=subprocess.DEVNULL,
        preexec_fn=own_mounts,
    )
    assert (ran.stdout, ran.stderr) == ("Seccomp:\t2\n1\nworks\n", "")
