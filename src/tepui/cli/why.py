"""Asks the master why something does not run (`/explain`)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tepui.cli.job import Shape
from tepui.sdk import BadPeer, OperatorClient
from tepui.sdk.operator import Json


class Explanation(Struct, frozen=True):
    """The answer in one sentence and in a few lines."""

    summary: str
    lines: tuple[str, ...] = ()

    @staticmethod
    def of(answer: Json) -> Explanation:
        """The master's answer; raises BadPeer when it is something else."""
        try:
            return msgspec.convert(answer, Explanation)
        except msgspec.ValidationError as error:
            raise BadPeer(f"/explain: {error}") from None


async def why_waiting(master: OperatorClient, framework_id: str, shape: Shape) -> list[str]:
    """Lines that say why the framework gets no offer in which a task of this shape fits."""
    wanted = {"cpus": shape.cpus, "mem": shape.mem_mib, "disk": shape.disk_mib, "gpus": shape.gpus}
    params = {name: f"{amount:.15g}" for name, amount in wanted.items() if amount}
    answer = await master.get_json("/explain", {"framework_id": framework_id, **params})
    found = Explanation.of(answer)
    lines = [f"waiting: {found.summary}", *found.lines]
    if shape.constraints:
        named = ", ".join(f"{name}={value}" for name, value in shape.constraints)
        lines.append(f"only machines with {named} are taken")
    return lines
