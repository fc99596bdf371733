"""What is kept in ZooKeeper and how we reach it: `url.py` says where, `session.py` asks."""
