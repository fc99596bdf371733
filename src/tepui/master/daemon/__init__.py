"""The doing part of the master: sockets in, actions out. Start with `main.py`."""
