"""Tepui: many machines as one computer."""

__version__ = "0.1.0"
MESOS_VERSION = "1.12.0"  # the API that we speak; clients compare it
