"""Which of several masters leads: one contract, alone or with ZooKeeper; who follows uses `detect`."""
