"""How the parts of the daemon hand events to the core."""

from __future__ import annotations

from collections.abc import Callable

from tepui.agent.core.events import Event

Put = Callable[[Event], None]  # raises base.loop.Overloaded
