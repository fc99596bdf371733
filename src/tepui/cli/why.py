"""Asks the master why something does not run (`/explain`)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tepui.cli.job import Shape
from tepui.sdk import BadPeer, OperatorClient


class Explanation(Struct, frozen=True):
    """The answer in one sentence and in a few lines."""

    summary: str
    lines: tuple[str, ...] = ()


async def why_waiting(master: OperatorClient, framework_id: str, shape: Shape) -> list[str]:
    """Lines that say why the framework gets no offer in which a task of this shape fits."""
    wanted = {"cpus": shape.cpus, "mem": shape.mem_mib, "disk": shape.disk_mib, "gpus": shape.gpus}
    params = {name: f"{amount:.15g}" for name, amount in wanted.items() if amount}
    found = await explain(master, {"framework_id": framework_id, **params})
    lines = [f"waiting: {found.summary}", *found.lines]
    if shape.constraints:
        named = ", ".join(f"{name}={value}" for name, value in shape.constraints)
        lines.append(f"only machines with {named} are taken")
    return lines


async def explain(master: OperatorClient, params: dict[str, str]) -> Explanation:
    """What the master says."""
    try:
        return msgspec.convert(await master.get_json("/explain", params), Explanation)
    except msgspec.ValidationError as error:
        raise BadPeer(f"{master.address}/explain: {error}") from None
