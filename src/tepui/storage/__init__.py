"""Small objects that outlive a process: one contract, in memory, in SQLite and in ZooKeeper."""
