"""Whether this machine can give containers users of their own: tried out, once, where their files will be."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tepui.agent import launcher
from tepui.agent.containers.oci.finding import OciProgram
from tepui.base.errors import Refused
from tepui.base.trees import remove_tree

PROGRAM = Path(launcher.__file__).with_name("try_users.py")
TRY_S = 30.0
# What containers of an agent that is not root do without.
WITHOUT_ROOT = "limits, networks of their own, shared mounts, and more than one user in each"
WITHOUT_ROOT_USERS = (
    "more than one user in a container needs root, and this agent has none:"
    " programs that switch to another one fail"
)


def refuse_without_users(
    program: OciProgram | None, missing: str, containers: str, images: str, first_id: int
) -> None:
    """Containers with images can have user namespaces. Raises Refused, with one sentence on what is missing."""
    why = missing
    if not why and program is not None and program.is_rootless:
        why = "it needs root, and this agent has none"
    if not why and program is not None and not program.is_crun:
        why = "it needs crun, and this machine has only runc"
    if not why:
        why = _tried(str(first_id), containers, images)
    if why:
        raise Refused(f"flag --isolation: 'namespaces/user': {why}")


def refusal_without_root(containers: str, images: str) -> str:
    """Why an agent that is not root runs no containers with images on this machine; '' when it does."""
    why = _tried("own", containers, images)
    return f"without root this machine runs no containers with images: {why}" if why else ""


def _tried(users: str, containers: str, images: str) -> str:
    try:
        for place in (containers, images):
            os.makedirs(place, mode=0o700, exist_ok=True)
        place = tempfile.mkdtemp(dir=containers)
        try:
            words = [str(PROGRAM), users, place, images]
            ran = subprocess.run(
                [sys.executable, "-I", "-S", "-X", "utf8", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TRY_S,
                text=True,
                check=False,
            )
        finally:
            remove_tree(place)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it could not be tried out: {error}"
    if ran.returncode:
        lines = ran.stderr.strip().splitlines()
        return f"it could not be tried out: {lines[-1] if lines else 'it says no reason'}"
    return ran.stdout.strip()
