"""The launcher: one small process per agent that starts every container, reaps it, and outlives the agent.

It is run by the path of its `__main__.py` and imports nothing but the standard library's smallest modules:
a fork copies page tables, so what starts processes must stay small. Read `serve.py` first.
"""

# What the agent and its launcher agree on, besides `frames.py`: names in the runtime directory.
SOCKET_NAME = "launcher.sock"
LOG_NAME = "launcher.log"
EXITS_NAME = "exits"
