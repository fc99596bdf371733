"""A host whose containers have a root of their own: one of a few programs, made in the test's directory."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tepui.agent.containers.oci.finding import OciProgram, find_runtime
from tepui.agent.containers.oci.runtime import OciConfig, OciRuntime
from tepui.agent.containers.process import ProcessRuntime
from tepui.agent.containers.spec import ContainerSpec, Exited, Inside, Isolation, Mount, Rlimit
from tests.agent.containers.host import DEADLINE_S, Host, traces_of, wait_gone

BUSYBOX = shutil.which("busybox")
TOOLS = (
    "cat", "chmod", "echo", "env", "head", "hostname", "id", "ifconfig", "ls", "mount", "mkdir", "ps", "readlink",
    "sh", "sleep", "stat", "stty", "tail", "test", "touch", "true", "tty", "umount", "wc",
)  # fmt: skip
SANDBOX = "/mnt/mesos/sandbox"
NAMESPACES = {"pid": "", "ipc": "", "uts": "", "cgroup": ""}
CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")
PROGRAM, MISSING = find_runtime()

needs_oci = pytest.mark.skipif(
    PROGRAM is None or BUSYBOX is None, reason=MISSING or "a static busybox is not installed"
)


class OciHost(Host):
    """One machine: `oci` is the present agent's runtime."""

    def __init__(
        self,
        directory: Path,
        *,
        idle_s: float = 60.0,
        cgroups: bool = True,
        program: OciProgram | None = PROGRAM,
    ) -> None:
        super().__init__(directory, cgroups=cgroups, idle_s=idle_s)
        self.containers_directory = directory / "containers"
        self.program = program
        self.layers = tuple(str(path) for path in self._layers())
        self.oci = self._oci()

    def reconfigured(self) -> OciRuntime:
        """Return a runtime that uses the present `program`."""
        self.oci = self._oci()
        return self.oci

    def _oci(self) -> OciRuntime:
        config = OciConfig(
            program=self.program,
            runtime_directory=str(self.runtime_directory),
            containers_directory=str(self.containers_directory),
        )
        return OciRuntime(self.runtime, config)

    def _layers(self) -> tuple[Path, Path]:
        base, top = self.directory / "layers/base", self.directory / "layers/top"
        if not base.exists():
            assert BUSYBOX is not None, "the test is skipped without"
            (base / "bin").mkdir(parents=True)
            shutil.copy(BUSYBOX, base / "bin/busybox")
            for name in TOOLS:
                (base / "bin" / name).symlink_to("busybox")
            (base / "file").write_text("base")
            (base / "gone").write_text("base")
            top.mkdir()
            (top / "file").write_text("top")
            (top / "noexec").write_text("text")
            (top / "garbage").write_text("no program")
            (top / "garbage").chmod(0o755)
            (top / "script").write_text("#!/no/such/interpreter\n")
            (top / "script").chmod(0o755)
        return base, top

    def next_agent(self) -> ProcessRuntime:
        """Return the launcher's side of an agent that comes after the present one."""
        runtime = super().next_agent()
        self.oci = self._oci()
        return runtime

    def contained(
        self,
        container_id: str,
        *argv: str,
        namespaces: Mapping[str, str] = NAMESPACES,
        mounts: tuple[Mount, ...] = (),
        uid: int = 0,
        groups: tuple[int, ...] = (),
        layers: tuple[str, ...] | None = None,
        parent: str | None = None,
        mem_bytes: int = 0,
        pids_max: int = 0,
        rlimits: tuple[Rlimit, ...] = (),
        is_read_only: bool = False,
        hostname: str | None = None,
    ) -> ContainerSpec:
        """Return a container with the tests' root, or `layers`; its sandbox is its working directory."""
        plain = self.spec(container_id, *argv, parent=parent, mem_bytes=mem_bytes, rlimits=rlimits)
        if uid:
            os.chown(plain.directory, uid, uid)
        isolation = Isolation(
            layers=self.layers if layers is None else layers,
            directory=SANDBOX,
            uid=uid,
            gid=uid,
            groups=groups,
            namespaces=namespaces,
            hostname=hostname,
            mounts=(Mount(destination=SANDBOX, source=plain.directory), *mounts),
            capabilities=CAPABILITIES,
            is_read_only=is_read_only,
        )
        return replace(plain, isolation=isolation, pids_max=pids_max)

    def group(
        self, container_id: str, namespaces: Mapping[str, str], mem_bytes: int = 0
    ) -> ContainerSpec:
        """Return a container without process."""
        plain = self.spec(container_id, mem_bytes=mem_bytes)
        own = Isolation(namespaces=namespaces, hostname="group")
        return replace(plain, program="", argv=(), isolation=own)

    def session(self, container_id: str, parent: str, *argv: str, uid: int = 0) -> ContainerSpec:
        """Return a program that is run in another container."""
        plain = self.spec(container_id, *argv, parent=parent)
        return replace(plain, inside=Inside(uid=uid, gid=uid, directory="/"))

    async def ran_contained(self, spec: ContainerSpec) -> Exited:
        """Return the exit of a container, from its launch on."""
        await self.oci.launch(spec)
        return await self.exits.of(spec.container_id)


@asynccontextmanager
async def oci_host(
    directory: Path, *, cgroups: bool = True, program: OciProgram | None = PROGRAM
) -> AsyncIterator[OciHost]:
    """As `host`."""
    one = OciHost(directory, cgroups=cgroups, program=program)
    async with asyncio.timeout(4 * DEADLINE_S):
        assert await one.oci.recover() == []
        try:
            yield one
        finally:
            await one.runtime.end()
    wait_gone(one.runtime.launcher_pid)
    assert traces_of(one) == []
    log = (one.runtime_directory / "launcher.log").read_text()
    assert log == "", log
