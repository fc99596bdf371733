"""What a master is started with; the command line fills it from flags named as in Mesos."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, field

from tepui.master.core.settings import Settings
from tepui.master.daemon.journal import JournalOptions
from tepui.wire import mesos
from tepui.zookeeper.url import ZkUrl


class MasterOptions(Struct, frozen=True):
    """`flags` are all flags as given, for those who ask (/flags)."""

    ip: str = "127.0.0.1"
    port: int = 5050  # 0: any; the chosen one is reported
    hostname: str | None = None  # None: the ip
    advertise_ip: str | None = None
    advertise_port: int | None = None
    registry: Path | None = None  # None: in memory; of one master without others
    zk: ZkUrl | None = None  # several masters, and their registry
    zk_session_timeout_ms: int = 10_000
    cluster: str | None = None
    domain: mesos.DomainInfo | None = None
    settings: Settings = Settings()
    weights: dict[str, float] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    journal: JournalOptions | None = None  # what happens is recorded there
    log_file: str | None = None  # served as /master/log
