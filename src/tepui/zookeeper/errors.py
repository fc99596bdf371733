"""How a request to ZooKeeper can fail."""

from __future__ import annotations


class ZooKeeperFailed(Exception):
    """The request was not carried out, or nobody knows (see the classes below); the text says why."""


class NoNode(ZooKeeperFailed):
    """There is no such node; nothing has changed."""


class NodeExists(ZooKeeperFailed):
    """There is such a node already; nothing has changed."""


class BadVersion(ZooKeeperFailed):
    """The node has changed since its version was read; nothing has changed by the request."""


class ConnectionLost(ZooKeeperFailed):
    """No answer came: the request was carried out, or it was not, or it still will be."""


class SessionEnded(ZooKeeperFailed):
    """The session expired or was closed, and its ephemeral nodes are gone or about to be."""


class Unimplemented(ZooKeeperFailed):
    """The server does not know this kind of request; nothing has changed."""
