"""Servers of ZooKeeper for the tests that need them; see `tests/real/zookeeper.py`."""

from tests.real.zookeeper import one_server, zk_url

__all__ = ["one_server", "zk_url"]
