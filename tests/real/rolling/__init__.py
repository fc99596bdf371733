"""A cluster that is upgraded under load: each daemon ends by SIGTERM and starts again, one by one.

framework.py       submits short tasks all the time, and some that last until the upgrade is over
executor.py        runs the tasks of the framework that has an executor of its own
old_protocol.py    is started instead of `tepui`: a daemon that speaks the first link protocol only
upgrade.py         the steps, each until all is back and both frameworks launch again
outcome.py         what the frameworks' ledgers say of launches
"""
