"""The deciding part of the master: `step` and what it needs. Start with `step.py`, then `state.py`."""
