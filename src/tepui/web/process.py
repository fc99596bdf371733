"""What every daemon tells of its process: the machine it runs on, and how verbose its log is.

Source: Mesos's libprocess (system.hpp, logging.hpp); recorded answers.
"""

from __future__ import annotations

import os

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.web.http import Handler, Request, Response, json, text
from tepui.web.loglevel import LogLevel


def system_metrics() -> dict[str, float]:
    """Metrics of the machine, by Mesos's names."""
    one, five, fifteen = os.getloadavg()
    total_bytes, free_bytes = memory_bytes()
    return {
        "system/cpus_total": float(os.cpu_count() or 1),
        "system/load_1min": one,
        "system/load_5min": five,
        "system/load_15min": fifteen,
        "system/mem_total_bytes": float(total_bytes),
        "system/mem_free_bytes": float(free_bytes),
    }


def memory_bytes() -> tuple[int, int]:
    """All memory of the machine, and what of it is free."""
    page = os.sysconf("SC_PAGE_SIZE")
    return os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page


class ProcessApi:
    """The handlers of /system/stats.json and /logging/toggle."""

    def __init__(self, log_level: LogLevel) -> None:
        self._log_level = log_level

    def handlers(self) -> dict[str, Handler]:
        """Both, by path."""
        return {"/system/stats.json": self.stats, "/logging/toggle": self.toggle}

    async def stats(self, request: Request) -> Response:
        """Load, processors and memory of the machine."""
        found = system_metrics()
        body = {
            "avg_load_15min": found["system/load_15min"],
            "avg_load_1min": found["system/load_1min"],
            "avg_load_5min": found["system/load_5min"],
            "cpus_total": int(found["system/cpus_total"]),
            "mem_free_bytes": int(found["system/mem_free_bytes"]),
            "mem_total_bytes": int(found["system/mem_total_bytes"]),
        }
        return json(body, request)

    async def toggle(self, request: Request) -> Response:
        """Tell the level; with `level` and `duration`, log at that level for that long."""
        query = request.query
        level, duration = query.get("level"), query.get("duration")
        if level is None and duration is None:
            return text(200, f"{self._log_level.verbosity}\n")
        if level is None:
            return text(400, "Expecting 'level=value' in query.\n")
        if duration is None:
            return text(400, "Expecting 'duration=value' in query.\n")
        if not (level.isascii() and level.isdigit()):
            return text(400, f"Invalid level '{level}'.\n")
        try:
            duration_ms = parse_duration_ms(duration)
        except Refused as refused:
            return text(400, f"Invalid duration '{duration}': {refused.text}.\n")
        self._log_level.raise_to(int(level), duration_ms)
        return Response(200)
