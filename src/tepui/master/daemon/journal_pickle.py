"""A master's State as bytes, and back.

It is a graph with cycles and shared parts, so it is pickled. Pickles can name any function of any
module; here none is read that names anything but the classes below, for a journal may come from
somebody else. Those decide and hold; none of them opens, sends or runs anything. A pickle can also
set what a class has, and so what others run later: that is undone, and the pickle refused.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections import OrderedDict, deque
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from tepui.base.errors import Refused
from tepui.master.core.state import State

PROTOCOL: Final = 5

# Every class that these define may be part of a state or of an event.
MODULES: Final = (
    "tepui.allocator.agents",
    "tepui.allocator.allocator",
    "tepui.allocator.clients",
    "tepui.allocator.constraints",
    "tepui.allocator.expiry",
    "tepui.allocator.filters",
    "tepui.allocator.frameworks",
    "tepui.allocator.matching",
    "tepui.allocator.queue",
    "tepui.allocator.shares",
    "tepui.allocator.terms",
    "tepui.base.ids",
    "tepui.base.timers",
    "tepui.master.core.events",
    "tepui.master.core.settings",
    "tepui.master.core.state",
    "tepui.master.core.views.agents",
    "tepui.master.core.views.frameworks",
    "tepui.master.core.views.questions",
    "tepui.master.core.views.tasks",
    "tepui.resources.kinds",
    "tepui.resources.ranges",
    "tepui.resources.resources",
    "tepui.wire.link",
    "tepui.wire.master",
    "tepui.wire.media",
    "tepui.wire.mesos",
    "tepui.wire.message",
    "tepui.wire.scheduler",
)
OTHERS: Final = (deque, OrderedDict, set, frozenset, bytearray)
REBUILD: Final = ("msgspec._utils", "rebuild")  # a Struct from its class and its fields by name

Attributes: TypeAlias = Mapping[type, Mapping[str, object]]  # of each class


def pickled(state: State) -> bytes:
    """The state, for `restored_state`."""
    return pickle.dumps(state, protocol=PROTOCOL)


def restored_state(content: bytes) -> State:
    """The state that was pickled; raises Refused when the bytes are none."""
    found = restored(content)
    if not isinstance(found, State):
        raise Refused(f"holds '{type(found).__name__}' in place of a state")
    return found


def restored(content: bytes) -> object:
    """What was pickled; raises Refused for what names something else, or is no pickle."""
    before = _attributes()
    try:
        found: object = _Restorer(io.BytesIO(content)).load()
    except Refused:
        raise
    except Exception as error:  # a wrong pickle may raise anything that the classes raise
        raise Refused(f"can't be read: {type(error).__name__}: {error}") from None
    finally:
        changed = _put_back(before)
    if changed:
        raise Refused(f"changes {', '.join(changed)}, which no master's state does")
    return found


class _Restorer(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        found = _allowed().get((module, name))
        if found is None:
            raise Refused(f"names '{module}.{name}', which is no part of a master's state")
        return found


def _attributes() -> Attributes:
    return {kind: dict(vars(kind)) for kind in _allowed().values() if isinstance(kind, type)}


def _put_back(before: Attributes) -> list[str]:
    """All classes have what they had; returns what was otherwise."""
    changed = []
    for kind, attributes in before.items():
        now = dict(vars(kind))
        for name in now.keys() | attributes.keys():
            if name not in attributes:
                delattr(kind, name)
            elif name not in now or now[name] is not attributes[name]:
                setattr(kind, name, attributes[name])
            else:
                continue
            changed.append(f"{kind.__name__}.{name}")
    return sorted(changed)


@lru_cache(maxsize=1)
def _allowed() -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = {
        (kind.__module__, kind.__qualname__): kind for kind in OTHERS
    }
    for name in MODULES:
        for one in vars(importlib.import_module(name)).values():
            _add(found, one, name)
    found[REBUILD] = getattr(importlib.import_module(REBUILD[0]), REBUILD[1])
    return found


def _add(found: dict[tuple[str, str], object], one: object, module: str) -> None:
    """The class and those that stand in it."""
    if isinstance(one, type) and one.__module__ == module:
        key = (module, one.__qualname__)
        if key not in found:
            found[key] = one
            for inner in vars(one).values():
                _add(found, inner, module)
