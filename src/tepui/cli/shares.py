"""Divides this machine among agents that run on it beside one another."""

from __future__ import annotations

from tepui.resources import Ranges, Resources
from tepui.resources.scalars import format_milli

WHOLE_MIB = 1000  # thousandths: memory and disk are divided into whole MiB


def shares_of(machine: Resources, count: int) -> list[str]:
    """The flag `--resources` of each agent: the same amounts, and ports of its own.

    Together they are never more than the machine has; GPUs are not divided, the first has them.
    """
    amounts = [f"cpus:{format_milli(machine.scalar('cpus') // count)}"]
    for name in ("mem", "disk"):
        share_milli = machine.scalar(name) // count // WHOLE_MIB * WHOLE_MIB
        amounts.append(f"{name}:{format_milli(share_milli)}")
    flags: list[str] = []
    for index, ports in enumerate(_divided(machine.ports(), count)):
        parts = list(amounts)
        gpus = machine.scalar("gpus")
        if gpus and index == 0:
            parts.append(f"gpus:{format_milli(gpus)}")
        flags.append(";".join([*parts, f"ports:{ports}"]))
    return flags


def _divided(ports: Ranges, count: int) -> list[Ranges]:
    share = ports.count() // count
    pieces: list[Ranges] = []
    for _ in range(count):
        piece = Ranges.of((port, port) for port in ports.take(share))
        pieces.append(piece)
        ports -= piece
    return pieces
