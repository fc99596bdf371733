"""A cluster of real processes under faults that a seed chooses, and what must hold afterwards.

    python -m tests.real.chaos --minutes 20 --seed 7 --directory /tmp/chaos
    python -m tests.real.chaos --zookeeper-away 10 --directory /tmp/away

Three masters, three ZooKeeper servers, five agents and two frameworks, one of PyPI's pymesos and one
of the own library, that submit tasks all the time. Proxies stand between all of them.

    plan.py       which fault when: a function of the seed
    network.py    the proxies, and what is cut, held back or dropped between whom
    fleet.py      the processes
    injector.py   carries out the plan
    work.py       what a task does and leaves behind; ledger.py what a framework knows, on disk
    pymesos_framework.py, sdk_framework.py, executor.py     run in processes of their own
    verdict.py    reads ledgers, tasks' files and logs: what went wrong
    run.py        one run from begin to end; away.py the other scenario
"""
