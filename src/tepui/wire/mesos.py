"""The messages of package `mesos.v1`: what schedulers, executors and operators all speak of.

Source: Mesos include/mesos/v1/mesos.proto (1.12). Each field carries its protobuf number.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from tepui.wire.message import (
    Int32,
    Int64,
    ProtoEnum,
    ProtoMessage,
    UInt32,
    UInt64,
    default,
    default_of,
)


class FrameworkID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class OfferID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class AgentID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class TaskID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class ExecutorID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class ContainerID(ProtoMessage, frozen=True, kw_only=True):
    value: Annotated[str, 1]
    parent: Annotated[ContainerID | None, 2] = None


class ResourceProviderID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class OperationID(ProtoMessage, frozen=True):
    value: Annotated[str, 1]


class TimeInfo(ProtoMessage, frozen=True, kw_only=True):
    nanoseconds: Annotated[Int64, 1]


class DurationInfo(ProtoMessage, frozen=True, kw_only=True):
    nanoseconds: Annotated[Int64, 1]


class Address(ProtoMessage, frozen=True, kw_only=True):
    hostname: Annotated[str | None, 1] = None
    ip: Annotated[str | None, 2] = None
    port: Annotated[Int32, 3]


class URL(ProtoMessage, frozen=True, kw_only=True):
    scheme: Annotated[str, 1]
    address: Annotated[Address, 2]
    path: Annotated[str | None, 3] = None
    query: Annotated[tuple[Parameter, ...], 4] = ()
    fragment: Annotated[str | None, 5] = None


class Unavailability(ProtoMessage, frozen=True, kw_only=True):
    start: Annotated[TimeInfo, 1]
    duration: Annotated[DurationInfo | None, 2] = None


class MachineID(ProtoMessage, frozen=True, kw_only=True):
    hostname: Annotated[str | None, 1] = None
    ip: Annotated[str | None, 2] = None


class MachineInfo(ProtoMessage, frozen=True, kw_only=True):
    class Mode(ProtoEnum):
        UP = "UP", 1
        DRAINING = "DRAINING", 2
        DOWN = "DOWN", 3

    id: Annotated[MachineID, 1]
    mode: Annotated[MachineInfo.Mode | None, 2] = None
    unavailability: Annotated[Unavailability | None, 3] = None


class FrameworkInfo(ProtoMessage, frozen=True, kw_only=True):
    class Capability(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            REVOCABLE_RESOURCES = "REVOCABLE_RESOURCES", 1
            TASK_KILLING_STATE = "TASK_KILLING_STATE", 2
            GPU_RESOURCES = "GPU_RESOURCES", 3
            SHARED_RESOURCES = "SHARED_RESOURCES", 4
            PARTITION_AWARE = "PARTITION_AWARE", 5
            MULTI_ROLE = "MULTI_ROLE", 6
            RESERVATION_REFINEMENT = "RESERVATION_REFINEMENT", 7
            REGION_AWARE = "REGION_AWARE", 8

        type: Annotated[FrameworkInfo.Capability.Type | None, 1] = None

    user: Annotated[str, 1]
    name: Annotated[str, 2]
    id: Annotated[FrameworkID | None, 3] = None
    failover_timeout: Annotated[float, 4] = default(0.0)
    checkpoint: Annotated[bool, 5] = default(False)
    role: Annotated[str | None, 6] = (
        None  # "*" when absent; deprecated, so its default is not written
    )
    roles: Annotated[tuple[str, ...], 12] = ()
    hostname: Annotated[str | None, 7] = None
    principal: Annotated[str | None, 8] = None
    webui_url: Annotated[str | None, 9] = None
    capabilities: Annotated[tuple[FrameworkInfo.Capability, ...], 10] = ()
    labels: Annotated[Labels | None, 11] = None
    offer_filters: Annotated[dict[str, OfferFilters], 13] = field(default_factory=dict)


class CheckInfo(ProtoMessage, frozen=True, kw_only=True):
    class Command(ProtoMessage, frozen=True, kw_only=True):
        command: Annotated[CommandInfo, 1]

    class Http(ProtoMessage, frozen=True, kw_only=True):
        port: Annotated[UInt32, 1]
        path: Annotated[str | None, 2] = None

    class Tcp(ProtoMessage, frozen=True, kw_only=True):
        port: Annotated[UInt32, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        COMMAND = "COMMAND", 1
        HTTP = "HTTP", 2
        TCP = "TCP", 3

    type: Annotated[CheckInfo.Type | None, 1] = None
    command: Annotated[CheckInfo.Command | None, 2] = None
    http: Annotated[CheckInfo.Http | None, 3] = None
    tcp: Annotated[CheckInfo.Tcp | None, 7] = None
    delay_seconds: Annotated[float, 4] = default(15.0)
    interval_seconds: Annotated[float, 5] = default(10.0)
    timeout_seconds: Annotated[float, 6] = default(20.0)


class HealthCheck(ProtoMessage, frozen=True, kw_only=True):
    class HTTPCheckInfo(ProtoMessage, frozen=True, kw_only=True):
        protocol: Annotated[NetworkInfo.Protocol, 5] = default_of(lambda: NetworkInfo.Protocol.IPv4)
        scheme: Annotated[str | None, 3] = None
        port: Annotated[UInt32, 1]
        path: Annotated[str | None, 2] = None
        statuses: Annotated[tuple[UInt32, ...], 4] = ()

    class TCPCheckInfo(ProtoMessage, frozen=True, kw_only=True):
        protocol: Annotated[NetworkInfo.Protocol, 2] = default_of(lambda: NetworkInfo.Protocol.IPv4)
        port: Annotated[UInt32, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        COMMAND = "COMMAND", 1
        HTTP = "HTTP", 2
        TCP = "TCP", 3

    delay_seconds: Annotated[float, 2] = default(15.0)
    interval_seconds: Annotated[float, 3] = default(10.0)
    timeout_seconds: Annotated[float, 4] = default(20.0)
    consecutive_failures: Annotated[UInt32, 5] = default(3)
    grace_period_seconds: Annotated[float, 6] = default(10.0)
    type: Annotated[HealthCheck.Type | None, 8] = None
    command: Annotated[CommandInfo | None, 7] = None
    http: Annotated[HealthCheck.HTTPCheckInfo | None, 1] = None
    tcp: Annotated[HealthCheck.TCPCheckInfo | None, 9] = None


class KillPolicy(ProtoMessage, frozen=True, kw_only=True):
    grace_period: Annotated[DurationInfo | None, 1] = None


class CommandInfo(ProtoMessage, frozen=True, kw_only=True):
    class URI(ProtoMessage, frozen=True, kw_only=True):
        value: Annotated[str, 1]
        executable: Annotated[bool | None, 2] = None
        extract: Annotated[bool, 3] = default(True)
        cache: Annotated[bool | None, 4] = None
        output_file: Annotated[str | None, 5] = None

    uris: Annotated[tuple[CommandInfo.URI, ...], 1] = ()
    environment: Annotated[Environment | None, 2] = None
    shell: Annotated[bool, 6] = default(True)
    value: Annotated[str | None, 3] = None
    arguments: Annotated[tuple[str, ...], 7] = ()
    user: Annotated[str | None, 5] = None


class ExecutorInfo(ProtoMessage, frozen=True, kw_only=True):
    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        DEFAULT = "DEFAULT", 1
        CUSTOM = "CUSTOM", 2

    type: Annotated[ExecutorInfo.Type | None, 15] = None
    executor_id: Annotated[ExecutorID, 1]
    framework_id: Annotated[FrameworkID | None, 8] = None
    command: Annotated[CommandInfo | None, 7] = None
    container: Annotated[ContainerInfo | None, 11] = None
    resources: Annotated[tuple[Resource, ...], 5] = ()
    name: Annotated[str | None, 9] = None
    source: Annotated[str | None, 10] = None
    data: Annotated[bytes | None, 4] = None
    discovery: Annotated[DiscoveryInfo | None, 12] = None
    shutdown_grace_period: Annotated[DurationInfo | None, 13] = None
    labels: Annotated[Labels | None, 14] = None


class DomainInfo(ProtoMessage, frozen=True, kw_only=True):
    class FaultDomain(ProtoMessage, frozen=True, kw_only=True):
        class RegionInfo(ProtoMessage, frozen=True, kw_only=True):
            name: Annotated[str, 1]

        class ZoneInfo(ProtoMessage, frozen=True, kw_only=True):
            name: Annotated[str, 1]

        region: Annotated[DomainInfo.FaultDomain.RegionInfo, 1]
        zone: Annotated[DomainInfo.FaultDomain.ZoneInfo, 2]

    fault_domain: Annotated[DomainInfo.FaultDomain | None, 1] = None


class MasterInfo(ProtoMessage, frozen=True, kw_only=True):
    class Capability(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            AGENT_UPDATE = "AGENT_UPDATE", 1
            AGENT_DRAINING = "AGENT_DRAINING", 2
            QUOTA_V2 = "QUOTA_V2", 3

        type: Annotated[MasterInfo.Capability.Type | None, 1] = None

    id: Annotated[str, 1]
    ip: Annotated[UInt32, 2]
    port: Annotated[UInt32, 3]
    pid: Annotated[str | None, 4] = None
    hostname: Annotated[str | None, 5] = None
    version: Annotated[str | None, 6] = None
    address: Annotated[Address | None, 7] = None
    domain: Annotated[DomainInfo | None, 8] = None
    capabilities: Annotated[tuple[MasterInfo.Capability, ...], 9] = ()


class AgentInfo(ProtoMessage, frozen=True, kw_only=True):
    class Capability(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            MULTI_ROLE = "MULTI_ROLE", 1
            HIERARCHICAL_ROLE = "HIERARCHICAL_ROLE", 2
            RESERVATION_REFINEMENT = "RESERVATION_REFINEMENT", 3
            RESOURCE_PROVIDER = "RESOURCE_PROVIDER", 4
            RESIZE_VOLUME = "RESIZE_VOLUME", 5
            AGENT_OPERATION_FEEDBACK = "AGENT_OPERATION_FEEDBACK", 6
            AGENT_DRAINING = "AGENT_DRAINING", 7
            TASK_RESOURCE_LIMITS = "TASK_RESOURCE_LIMITS", 8

        type: Annotated[AgentInfo.Capability.Type | None, 1] = None

    hostname: Annotated[str, 1]
    port: Annotated[Int32, 8] = default(5051)
    resources: Annotated[tuple[Resource, ...], 3] = ()
    attributes: Annotated[tuple[Attribute, ...], 5] = ()
    id: Annotated[AgentID | None, 6] = None
    domain: Annotated[DomainInfo | None, 10] = None


class CSIPluginContainerInfo(ProtoMessage, frozen=True, kw_only=True):
    class Service(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        CONTROLLER_SERVICE = "CONTROLLER_SERVICE", 1
        NODE_SERVICE = "NODE_SERVICE", 2

    services: Annotated[tuple[CSIPluginContainerInfo.Service, ...], 1] = ()
    command: Annotated[CommandInfo | None, 2] = None
    resources: Annotated[tuple[Resource, ...], 3] = ()
    container: Annotated[ContainerInfo | None, 4] = None


class CSIPluginEndpoint(ProtoMessage, frozen=True, kw_only=True):
    csi_service: Annotated[CSIPluginContainerInfo.Service, 1]
    endpoint: Annotated[str, 2]


class CSIPluginInfo(ProtoMessage, frozen=True, kw_only=True):
    type: Annotated[str, 1]
    name: Annotated[str, 2] = default("default")
    containers: Annotated[tuple[CSIPluginContainerInfo, ...], 3] = ()
    endpoints: Annotated[tuple[CSIPluginEndpoint, ...], 4] = ()
    target_path_root: Annotated[str | None, 5] = None
    target_path_exists: Annotated[bool | None, 6] = None


class ResourceProviderInfo(ProtoMessage, frozen=True, kw_only=True):
    class Storage(ProtoMessage, frozen=True, kw_only=True):
        plugin: Annotated[CSIPluginInfo, 1]
        reconciliation_interval_seconds: Annotated[float | None, 2] = None

    id: Annotated[ResourceProviderID | None, 1] = None
    attributes: Annotated[tuple[Attribute, ...], 2] = ()
    type: Annotated[str, 3]
    name: Annotated[str, 4]
    default_reservations: Annotated[tuple[Resource.ReservationInfo, ...], 5] = ()
    storage: Annotated[ResourceProviderInfo.Storage | None, 6] = None


class Value(ProtoMessage, frozen=True, kw_only=True):
    class Scalar(ProtoMessage, frozen=True):
        value: Annotated[float, 1]

    class Range(ProtoMessage, frozen=True, kw_only=True):
        begin: Annotated[UInt64, 1]
        end: Annotated[UInt64, 2]

    class Ranges(ProtoMessage, frozen=True, kw_only=True):
        range: Annotated[tuple[Value.Range, ...], 1] = ()

    class Set(ProtoMessage, frozen=True, kw_only=True):
        item: Annotated[tuple[str, ...], 1] = ()

    class Text(ProtoMessage, frozen=True):
        value: Annotated[str, 1]

    class Type(ProtoEnum):
        SCALAR = "SCALAR", 0
        RANGES = "RANGES", 1
        SET = "SET", 2
        TEXT = "TEXT", 3

    type: Annotated[Value.Type, 1]
    scalar: Annotated[Value.Scalar | None, 2] = None
    ranges: Annotated[Value.Ranges | None, 3] = None
    set: Annotated[Value.Set | None, 4] = None
    text: Annotated[Value.Text | None, 5] = None


class Attribute(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    type: Annotated[Value.Type, 2]
    scalar: Annotated[Value.Scalar | None, 3] = None
    ranges: Annotated[Value.Ranges | None, 4] = None
    set: Annotated[Value.Set | None, 6] = None
    text: Annotated[Value.Text | None, 5] = None


class Resource(ProtoMessage, frozen=True, kw_only=True):
    class AllocationInfo(ProtoMessage, frozen=True, kw_only=True):
        role: Annotated[str | None, 1] = None

    class ReservationInfo(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            STATIC = "STATIC", 1
            DYNAMIC = "DYNAMIC", 2

        type: Annotated[Resource.ReservationInfo.Type | None, 4] = None
        role: Annotated[str | None, 3] = None
        principal: Annotated[str | None, 1] = None
        labels: Annotated[Labels | None, 2] = None

    class DiskInfo(ProtoMessage, frozen=True, kw_only=True):
        class Persistence(ProtoMessage, frozen=True, kw_only=True):
            id: Annotated[str, 1]
            principal: Annotated[str | None, 2] = None

        class Source(ProtoMessage, frozen=True, kw_only=True):
            class Path(ProtoMessage, frozen=True, kw_only=True):
                root: Annotated[str | None, 1] = None

            class Mount(ProtoMessage, frozen=True, kw_only=True):
                root: Annotated[str | None, 1] = None

            class Type(ProtoEnum):
                UNKNOWN = "UNKNOWN", 0
                PATH = "PATH", 1
                MOUNT = "MOUNT", 2
                BLOCK = "BLOCK", 3
                RAW = "RAW", 4

            type: Annotated[Resource.DiskInfo.Source.Type, 1]
            path: Annotated[Resource.DiskInfo.Source.Path | None, 2] = None
            mount: Annotated[Resource.DiskInfo.Source.Mount | None, 3] = None
            vendor: Annotated[str | None, 7] = None
            id: Annotated[str | None, 4] = None
            metadata: Annotated[Labels | None, 5] = None
            profile: Annotated[str | None, 6] = None

        persistence: Annotated[Resource.DiskInfo.Persistence | None, 1] = None
        volume: Annotated[Volume | None, 2] = None
        source: Annotated[Resource.DiskInfo.Source | None, 3] = None

    class RevocableInfo(ProtoMessage, frozen=True, kw_only=True):
        pass

    class SharedInfo(ProtoMessage, frozen=True, kw_only=True):
        pass

    provider_id: Annotated[ResourceProviderID | None, 12] = None
    name: Annotated[str, 1]
    type: Annotated[Value.Type, 2]
    scalar: Annotated[Value.Scalar | None, 3] = None
    ranges: Annotated[Value.Ranges | None, 4] = None
    set: Annotated[Value.Set | None, 5] = None
    role: Annotated[str | None, 6] = (
        None  # "*" when absent; deprecated, so its default is not written
    )
    allocation_info: Annotated[Resource.AllocationInfo | None, 11] = None
    reservation: Annotated[Resource.ReservationInfo | None, 8] = None
    reservations: Annotated[tuple[Resource.ReservationInfo, ...], 13] = ()
    disk: Annotated[Resource.DiskInfo | None, 7] = None
    revocable: Annotated[Resource.RevocableInfo | None, 9] = None
    shared: Annotated[Resource.SharedInfo | None, 10] = None


class TrafficControlStatistics(ProtoMessage, frozen=True, kw_only=True):
    id: Annotated[str, 1]
    backlog: Annotated[UInt64 | None, 2] = None
    bytes: Annotated[UInt64 | None, 3] = None
    drops: Annotated[UInt64 | None, 4] = None
    overlimits: Annotated[UInt64 | None, 5] = None
    packets: Annotated[UInt64 | None, 6] = None
    qlen: Annotated[UInt64 | None, 7] = None
    ratebps: Annotated[UInt64 | None, 8] = None
    ratepps: Annotated[UInt64 | None, 9] = None
    requeues: Annotated[UInt64 | None, 10] = None


class IpStatistics(ProtoMessage, frozen=True, kw_only=True):
    Forwarding: Annotated[Int64 | None, 1] = None
    DefaultTTL: Annotated[Int64 | None, 2] = None
    InReceives: Annotated[Int64 | None, 3] = None
    InHdrErrors: Annotated[Int64 | None, 4] = None
    InAddrErrors: Annotated[Int64 | None, 5] = None
    ForwDatagrams: Annotated[Int64 | None, 6] = None
    InUnknownProtos: Annotated[Int64 | None, 7] = None
    InDiscards: Annotated[Int64 | None, 8] = None
    InDelivers: Annotated[Int64 | None, 9] = None
    OutRequests: Annotated[Int64 | None, 10] = None
    OutDiscards: Annotated[Int64 | None, 11] = None
    OutNoRoutes: Annotated[Int64 | None, 12] = None
    ReasmTimeout: Annotated[Int64 | None, 13] = None
    ReasmReqds: Annotated[Int64 | None, 14] = None
    ReasmOKs: Annotated[Int64 | None, 15] = None
    ReasmFails: Annotated[Int64 | None, 16] = None
    FragOKs: Annotated[Int64 | None, 17] = None
    FragFails: Annotated[Int64 | None, 18] = None
    FragCreates: Annotated[Int64 | None, 19] = None


class IcmpStatistics(ProtoMessage, frozen=True, kw_only=True):
    InMsgs: Annotated[Int64 | None, 1] = None
    InErrors: Annotated[Int64 | None, 2] = None
    InCsumErrors: Annotated[Int64 | None, 3] = None
    InDestUnreachs: Annotated[Int64 | None, 4] = None
    InTimeExcds: Annotated[Int64 | None, 5] = None
    InParmProbs: Annotated[Int64 | None, 6] = None
    InSrcQuenchs: Annotated[Int64 | None, 7] = None
    InRedirects: Annotated[Int64 | None, 8] = None
    InEchos: Annotated[Int64 | None, 9] = None
    InEchoReps: Annotated[Int64 | None, 10] = None
    InTimestamps: Annotated[Int64 | None, 11] = None
    InTimestampReps: Annotated[Int64 | None, 12] = None
    InAddrMasks: Annotated[Int64 | None, 13] = None
    InAddrMaskReps: Annotated[Int64 | None, 14] = None
    OutMsgs: Annotated[Int64 | None, 15] = None
    OutErrors: Annotated[Int64 | None, 16] = None
    OutDestUnreachs: Annotated[Int64 | None, 17] = None
    OutTimeExcds: Annotated[Int64 | None, 18] = None
    OutParmProbs: Annotated[Int64 | None, 19] = None
    OutSrcQuenchs: Annotated[Int64 | None, 20] = None
    OutRedirects: Annotated[Int64 | None, 21] = None
    OutEchos: Annotated[Int64 | None, 22] = None
    OutEchoReps: Annotated[Int64 | None, 23] = None
    OutTimestamps: Annotated[Int64 | None, 24] = None
    OutTimestampReps: Annotated[Int64 | None, 25] = None
    OutAddrMasks: Annotated[Int64 | None, 26] = None
    OutAddrMaskReps: Annotated[Int64 | None, 27] = None


class TcpStatistics(ProtoMessage, frozen=True, kw_only=True):
    RtoAlgorithm: Annotated[Int64 | None, 1] = None
    RtoMin: Annotated[Int64 | None, 2] = None
    RtoMax: Annotated[Int64 | None, 3] = None
    MaxConn: Annotated[Int64 | None, 4] = None
    ActiveOpens: Annotated[Int64 | None, 5] = None
    PassiveOpens: Annotated[Int64 | None, 6] = None
    AttemptFails: Annotated[Int64 | None, 7] = None
    EstabResets: Annotated[Int64 | None, 8] = None
    CurrEstab: Annotated[Int64 | None, 9] = None
    InSegs: Annotated[Int64 | None, 10] = None
    OutSegs: Annotated[Int64 | None, 11] = None
    RetransSegs: Annotated[Int64 | None, 12] = None
    InErrs: Annotated[Int64 | None, 13] = None
    OutRsts: Annotated[Int64 | None, 14] = None
    InCsumErrors: Annotated[Int64 | None, 15] = None


class UdpStatistics(ProtoMessage, frozen=True, kw_only=True):
    InDatagrams: Annotated[Int64 | None, 1] = None
    NoPorts: Annotated[Int64 | None, 2] = None
    InErrors: Annotated[Int64 | None, 3] = None
    OutDatagrams: Annotated[Int64 | None, 4] = None
    RcvbufErrors: Annotated[Int64 | None, 5] = None
    SndbufErrors: Annotated[Int64 | None, 6] = None
    InCsumErrors: Annotated[Int64 | None, 7] = None
    IgnoredMulti: Annotated[Int64 | None, 8] = None


class SNMPStatistics(ProtoMessage, frozen=True, kw_only=True):
    ip_stats: Annotated[IpStatistics | None, 1] = None
    icmp_stats: Annotated[IcmpStatistics | None, 2] = None
    tcp_stats: Annotated[TcpStatistics | None, 3] = None
    udp_stats: Annotated[UdpStatistics | None, 4] = None


class DiskStatistics(ProtoMessage, frozen=True, kw_only=True):
    source: Annotated[Resource.DiskInfo.Source | None, 1] = None
    persistence: Annotated[Resource.DiskInfo.Persistence | None, 2] = None
    limit_bytes: Annotated[UInt64 | None, 3] = None
    used_bytes: Annotated[UInt64 | None, 4] = None


class ResourceStatistics(ProtoMessage, frozen=True, kw_only=True):
    class RatePercentiles(ProtoMessage, frozen=True, kw_only=True):
        min: Annotated[UInt64 | None, 1] = None
        max: Annotated[UInt64 | None, 2] = None
        p50: Annotated[UInt64 | None, 3] = None
        p90: Annotated[UInt64 | None, 4] = None
        p95: Annotated[UInt64 | None, 5] = None
        p99: Annotated[UInt64 | None, 6] = None
        p999: Annotated[UInt64 | None, 7] = None
        p9999: Annotated[UInt64 | None, 8] = None
        samples: Annotated[UInt64 | None, 9] = None

    class RateStatistics(ProtoMessage, frozen=True, kw_only=True):
        rx_rate: Annotated[ResourceStatistics.RatePercentiles | None, 1] = None
        rx_packet_rate: Annotated[ResourceStatistics.RatePercentiles | None, 2] = None
        rx_drop_rate: Annotated[ResourceStatistics.RatePercentiles | None, 3] = None
        rx_error_rate: Annotated[ResourceStatistics.RatePercentiles | None, 4] = None
        tx_rate: Annotated[ResourceStatistics.RatePercentiles | None, 5] = None
        tx_packet_rate: Annotated[ResourceStatistics.RatePercentiles | None, 6] = None
        tx_drop_rate: Annotated[ResourceStatistics.RatePercentiles | None, 7] = None
        tx_error_rate: Annotated[ResourceStatistics.RatePercentiles | None, 8] = None
        sampling_window_secs: Annotated[float | None, 9] = None
        sampling_interval_secs: Annotated[float | None, 10] = None

    timestamp: Annotated[float, 1]
    processes: Annotated[UInt32 | None, 30] = None
    threads: Annotated[UInt32 | None, 31] = None
    cpus_user_time_secs: Annotated[float | None, 2] = None
    cpus_system_time_secs: Annotated[float | None, 3] = None
    cpus_limit: Annotated[float | None, 4] = None
    cpus_soft_limit: Annotated[float | None, 45] = None
    cpus_nr_periods: Annotated[UInt32 | None, 7] = None
    cpus_nr_throttled: Annotated[UInt32 | None, 8] = None
    cpus_throttled_time_secs: Annotated[float | None, 9] = None
    mem_total_bytes: Annotated[UInt64 | None, 36] = None
    mem_total_memsw_bytes: Annotated[UInt64 | None, 37] = None
    mem_kmem_usage_bytes: Annotated[UInt64 | None, 52] = None
    mem_kmem_tcp_usage_bytes: Annotated[UInt64 | None, 53] = None
    mem_limit_bytes: Annotated[UInt64 | None, 6] = None
    mem_soft_limit_bytes: Annotated[UInt64 | None, 38] = None
    mem_file_bytes: Annotated[UInt64 | None, 10] = None
    mem_anon_bytes: Annotated[UInt64 | None, 11] = None
    mem_cache_bytes: Annotated[UInt64 | None, 39] = None
    mem_rss_bytes: Annotated[UInt64 | None, 5] = None
    mem_mapped_file_bytes: Annotated[UInt64 | None, 12] = None
    mem_swap_bytes: Annotated[UInt64 | None, 40] = None
    mem_unevictable_bytes: Annotated[UInt64 | None, 41] = None
    mem_low_pressure_counter: Annotated[UInt64 | None, 32] = None
    mem_medium_pressure_counter: Annotated[UInt64 | None, 33] = None
    mem_critical_pressure_counter: Annotated[UInt64 | None, 34] = None
    disk_limit_bytes: Annotated[UInt64 | None, 26] = None
    disk_used_bytes: Annotated[UInt64 | None, 27] = None
    disk_statistics: Annotated[tuple[DiskStatistics, ...], 43] = ()
    blkio_statistics: Annotated[CgroupInfo.Blkio.Statistics | None, 44] = None
    perf: Annotated[PerfStatistics | None, 13] = None
    net_rx_packets: Annotated[UInt64 | None, 14] = None
    net_rx_bytes: Annotated[UInt64 | None, 15] = None
    net_rx_errors: Annotated[UInt64 | None, 16] = None
    net_rx_dropped: Annotated[UInt64 | None, 17] = None
    net_tx_packets: Annotated[UInt64 | None, 18] = None
    net_tx_bytes: Annotated[UInt64 | None, 19] = None
    net_tx_errors: Annotated[UInt64 | None, 20] = None
    net_tx_dropped: Annotated[UInt64 | None, 21] = None
    net_tx_rate_limit: Annotated[UInt64 | None, 46] = None
    net_tx_burst_rate_limit: Annotated[UInt64 | None, 47] = None
    net_tx_burst_size: Annotated[UInt64 | None, 48] = None
    net_rx_rate_limit: Annotated[UInt64 | None, 49] = None
    net_rx_burst_rate_limit: Annotated[UInt64 | None, 50] = None
    net_rx_burst_size: Annotated[UInt64 | None, 51] = None
    net_rate_statistics: Annotated[ResourceStatistics.RateStatistics | None, 54] = None
    net_ephemeral_ports: Annotated[Value.Range | None, 55] = None
    net_tcp_rtt_microsecs_p50: Annotated[float | None, 22] = None
    net_tcp_rtt_microsecs_p90: Annotated[float | None, 23] = None
    net_tcp_rtt_microsecs_p95: Annotated[float | None, 24] = None
    net_tcp_rtt_microsecs_p99: Annotated[float | None, 25] = None
    net_tcp_active_connections: Annotated[float | None, 28] = None
    net_tcp_time_wait_connections: Annotated[float | None, 29] = None
    net_traffic_control_statistics: Annotated[tuple[TrafficControlStatistics, ...], 35] = ()
    net_snmp_statistics: Annotated[SNMPStatistics | None, 42] = None


class ResourceUsage(ProtoMessage, frozen=True, kw_only=True):
    class Executor(ProtoMessage, frozen=True, kw_only=True):
        class Task(ProtoMessage, frozen=True, kw_only=True):
            name: Annotated[str, 1]
            id: Annotated[TaskID, 2]
            resources: Annotated[tuple[Resource, ...], 3] = ()
            labels: Annotated[Labels | None, 4] = None

        executor_info: Annotated[ExecutorInfo, 1]
        allocated: Annotated[tuple[Resource, ...], 2] = ()
        statistics: Annotated[ResourceStatistics | None, 3] = None
        container_id: Annotated[ContainerID, 4]
        tasks: Annotated[tuple[ResourceUsage.Executor.Task, ...], 5] = ()

    executors: Annotated[tuple[ResourceUsage.Executor, ...], 1] = ()
    total: Annotated[tuple[Resource, ...], 2] = ()


class PerfStatistics(ProtoMessage, frozen=True, kw_only=True):
    timestamp: Annotated[float, 1]
    duration: Annotated[float, 2]
    cycles: Annotated[UInt64 | None, 3] = None
    stalled_cycles_frontend: Annotated[UInt64 | None, 4] = None
    stalled_cycles_backend: Annotated[UInt64 | None, 5] = None
    instructions: Annotated[UInt64 | None, 6] = None
    cache_references: Annotated[UInt64 | None, 7] = None
    cache_misses: Annotated[UInt64 | None, 8] = None
    branches: Annotated[UInt64 | None, 9] = None
    branch_misses: Annotated[UInt64 | None, 10] = None
    bus_cycles: Annotated[UInt64 | None, 11] = None
    ref_cycles: Annotated[UInt64 | None, 12] = None
    cpu_clock: Annotated[float | None, 13] = None
    task_clock: Annotated[float | None, 14] = None
    page_faults: Annotated[UInt64 | None, 15] = None
    minor_faults: Annotated[UInt64 | None, 16] = None
    major_faults: Annotated[UInt64 | None, 17] = None
    context_switches: Annotated[UInt64 | None, 18] = None
    cpu_migrations: Annotated[UInt64 | None, 19] = None
    alignment_faults: Annotated[UInt64 | None, 20] = None
    emulation_faults: Annotated[UInt64 | None, 21] = None
    l1_dcache_loads: Annotated[UInt64 | None, 22] = None
    l1_dcache_load_misses: Annotated[UInt64 | None, 23] = None
    l1_dcache_stores: Annotated[UInt64 | None, 24] = None
    l1_dcache_store_misses: Annotated[UInt64 | None, 25] = None
    l1_dcache_prefetches: Annotated[UInt64 | None, 26] = None
    l1_dcache_prefetch_misses: Annotated[UInt64 | None, 27] = None
    l1_icache_loads: Annotated[UInt64 | None, 28] = None
    l1_icache_load_misses: Annotated[UInt64 | None, 29] = None
    l1_icache_prefetches: Annotated[UInt64 | None, 30] = None
    l1_icache_prefetch_misses: Annotated[UInt64 | None, 31] = None
    llc_loads: Annotated[UInt64 | None, 32] = None
    llc_load_misses: Annotated[UInt64 | None, 33] = None
    llc_stores: Annotated[UInt64 | None, 34] = None
    llc_store_misses: Annotated[UInt64 | None, 35] = None
    llc_prefetches: Annotated[UInt64 | None, 36] = None
    llc_prefetch_misses: Annotated[UInt64 | None, 37] = None
    dtlb_loads: Annotated[UInt64 | None, 38] = None
    dtlb_load_misses: Annotated[UInt64 | None, 39] = None
    dtlb_stores: Annotated[UInt64 | None, 40] = None
    dtlb_store_misses: Annotated[UInt64 | None, 41] = None
    dtlb_prefetches: Annotated[UInt64 | None, 42] = None
    dtlb_prefetch_misses: Annotated[UInt64 | None, 43] = None
    itlb_loads: Annotated[UInt64 | None, 44] = None
    itlb_load_misses: Annotated[UInt64 | None, 45] = None
    branch_loads: Annotated[UInt64 | None, 46] = None
    branch_load_misses: Annotated[UInt64 | None, 47] = None
    node_loads: Annotated[UInt64 | None, 48] = None
    node_load_misses: Annotated[UInt64 | None, 49] = None
    node_stores: Annotated[UInt64 | None, 50] = None
    node_store_misses: Annotated[UInt64 | None, 51] = None
    node_prefetches: Annotated[UInt64 | None, 52] = None
    node_prefetch_misses: Annotated[UInt64 | None, 53] = None


class OfferFilters(ProtoMessage, frozen=True, kw_only=True):
    class ResourceQuantities(ProtoMessage, frozen=True, kw_only=True):
        quantities: Annotated[dict[str, Value.Scalar], 1] = field(default_factory=dict)

    class MinAllocatableResources(ProtoMessage, frozen=True, kw_only=True):
        quantities: Annotated[tuple[OfferFilters.ResourceQuantities, ...], 1] = ()

    min_allocatable_resources: Annotated[OfferFilters.MinAllocatableResources | None, 1] = None


class Request(ProtoMessage, frozen=True, kw_only=True):
    agent_id: Annotated[AgentID | None, 1] = None
    resources: Annotated[tuple[Resource, ...], 2] = ()


class Offer(ProtoMessage, frozen=True, kw_only=True):
    class Operation(ProtoMessage, frozen=True, kw_only=True):
        class Launch(ProtoMessage, frozen=True, kw_only=True):
            task_infos: Annotated[tuple[TaskInfo, ...], 1] = ()

        class LaunchGroup(ProtoMessage, frozen=True, kw_only=True):
            executor: Annotated[ExecutorInfo, 1]
            task_group: Annotated[TaskGroupInfo, 2]

        class Reserve(ProtoMessage, frozen=True, kw_only=True):
            source: Annotated[tuple[Resource, ...], 2] = ()
            resources: Annotated[tuple[Resource, ...], 1] = ()

        class Unreserve(ProtoMessage, frozen=True, kw_only=True):
            resources: Annotated[tuple[Resource, ...], 1] = ()

        class Create(ProtoMessage, frozen=True, kw_only=True):
            volumes: Annotated[tuple[Resource, ...], 1] = ()

        class Destroy(ProtoMessage, frozen=True, kw_only=True):
            volumes: Annotated[tuple[Resource, ...], 1] = ()

        class GrowVolume(ProtoMessage, frozen=True, kw_only=True):
            volume: Annotated[Resource, 1]
            addition: Annotated[Resource, 2]

        class ShrinkVolume(ProtoMessage, frozen=True, kw_only=True):
            volume: Annotated[Resource, 1]
            subtract: Annotated[Value.Scalar, 2]

        class CreateDisk(ProtoMessage, frozen=True, kw_only=True):
            source: Annotated[Resource, 1]
            target_type: Annotated[Resource.DiskInfo.Source.Type, 2]
            target_profile: Annotated[str | None, 3] = None

        class DestroyDisk(ProtoMessage, frozen=True, kw_only=True):
            source: Annotated[Resource, 1]

        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            LAUNCH = "LAUNCH", 1
            LAUNCH_GROUP = "LAUNCH_GROUP", 6
            RESERVE = "RESERVE", 2
            UNRESERVE = "UNRESERVE", 3
            CREATE = "CREATE", 4
            DESTROY = "DESTROY", 5
            GROW_VOLUME = "GROW_VOLUME", 11
            SHRINK_VOLUME = "SHRINK_VOLUME", 12
            CREATE_DISK = "CREATE_DISK", 13
            DESTROY_DISK = "DESTROY_DISK", 14

        type: Annotated[Offer.Operation.Type | None, 1] = None
        id: Annotated[OperationID | None, 12] = None
        launch: Annotated[Offer.Operation.Launch | None, 2] = None
        launch_group: Annotated[Offer.Operation.LaunchGroup | None, 7] = None
        reserve: Annotated[Offer.Operation.Reserve | None, 3] = None
        unreserve: Annotated[Offer.Operation.Unreserve | None, 4] = None
        create: Annotated[Offer.Operation.Create | None, 5] = None
        destroy: Annotated[Offer.Operation.Destroy | None, 6] = None
        grow_volume: Annotated[Offer.Operation.GrowVolume | None, 13] = None
        shrink_volume: Annotated[Offer.Operation.ShrinkVolume | None, 14] = None
        create_disk: Annotated[Offer.Operation.CreateDisk | None, 15] = None
        destroy_disk: Annotated[Offer.Operation.DestroyDisk | None, 16] = None

    id: Annotated[OfferID, 1]
    framework_id: Annotated[FrameworkID, 2]
    agent_id: Annotated[AgentID, 3]
    hostname: Annotated[str, 4]
    url: Annotated[URL | None, 8] = None
    domain: Annotated[DomainInfo | None, 11] = None
    resources: Annotated[tuple[Resource, ...], 5] = ()
    attributes: Annotated[tuple[Attribute, ...], 7] = ()
    executor_ids: Annotated[tuple[ExecutorID, ...], 6] = ()
    unavailability: Annotated[Unavailability | None, 9] = None
    allocation_info: Annotated[Resource.AllocationInfo | None, 10] = None


class InverseOffer(ProtoMessage, frozen=True, kw_only=True):
    id: Annotated[OfferID, 1]
    url: Annotated[URL | None, 2] = None
    framework_id: Annotated[FrameworkID, 3]
    agent_id: Annotated[AgentID | None, 4] = None
    unavailability: Annotated[Unavailability, 5]
    resources: Annotated[tuple[Resource, ...], 6] = ()


class TaskInfo(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    task_id: Annotated[TaskID, 2]
    agent_id: Annotated[AgentID, 3]
    resources: Annotated[tuple[Resource, ...], 4] = ()
    executor: Annotated[ExecutorInfo | None, 5] = None
    command: Annotated[CommandInfo | None, 7] = None
    container: Annotated[ContainerInfo | None, 9] = None
    health_check: Annotated[HealthCheck | None, 8] = None
    check: Annotated[CheckInfo | None, 13] = None
    kill_policy: Annotated[KillPolicy | None, 12] = None
    data: Annotated[bytes | None, 6] = None
    labels: Annotated[Labels | None, 10] = None
    discovery: Annotated[DiscoveryInfo | None, 11] = None
    max_completion_time: Annotated[DurationInfo | None, 14] = None
    limits: Annotated[dict[str, Value.Scalar], 15] = field(default_factory=dict)


class TaskGroupInfo(ProtoMessage, frozen=True, kw_only=True):
    tasks: Annotated[tuple[TaskInfo, ...], 1] = ()


class Task(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    task_id: Annotated[TaskID, 2]
    framework_id: Annotated[FrameworkID, 3]
    executor_id: Annotated[ExecutorID | None, 4] = None
    agent_id: Annotated[AgentID, 5]
    state: Annotated[TaskState, 6]
    resources: Annotated[tuple[Resource, ...], 7] = ()
    statuses: Annotated[tuple[TaskStatus, ...], 8] = ()
    status_update_state: Annotated[TaskState | None, 9] = None
    status_update_uuid: Annotated[bytes | None, 10] = None
    labels: Annotated[Labels | None, 11] = None
    discovery: Annotated[DiscoveryInfo | None, 12] = None
    container: Annotated[ContainerInfo | None, 13] = None
    health_check: Annotated[HealthCheck | None, 15] = None
    kill_policy: Annotated[KillPolicy | None, 16] = None
    user: Annotated[str | None, 14] = None
    limits: Annotated[dict[str, Value.Scalar], 17] = field(default_factory=dict)


class TaskResourceLimitation(ProtoMessage, frozen=True, kw_only=True):
    resources: Annotated[tuple[Resource, ...], 1] = ()


class UUID(ProtoMessage, frozen=True):
    value: Annotated[bytes, 1]


class Operation(ProtoMessage, frozen=True, kw_only=True):
    framework_id: Annotated[FrameworkID | None, 1] = None
    agent_id: Annotated[AgentID | None, 2] = None
    info: Annotated[Offer.Operation, 3]
    latest_status: Annotated[OperationStatus, 4]
    statuses: Annotated[tuple[OperationStatus, ...], 5] = ()
    uuid: Annotated[UUID, 6]


class OperationStatus(ProtoMessage, frozen=True, kw_only=True):
    operation_id: Annotated[OperationID | None, 1] = None
    state: Annotated[OperationState, 2]
    message: Annotated[str | None, 3] = None
    converted_resources: Annotated[tuple[Resource, ...], 4] = ()
    uuid: Annotated[UUID | None, 5] = None
    agent_id: Annotated[AgentID | None, 6] = None
    resource_provider_id: Annotated[ResourceProviderID | None, 7] = None


class CheckStatusInfo(ProtoMessage, frozen=True, kw_only=True):
    class Command(ProtoMessage, frozen=True, kw_only=True):
        exit_code: Annotated[Int32 | None, 1] = None

    class Http(ProtoMessage, frozen=True, kw_only=True):
        status_code: Annotated[UInt32 | None, 1] = None

    class Tcp(ProtoMessage, frozen=True, kw_only=True):
        succeeded: Annotated[bool | None, 1] = None

    type: Annotated[CheckInfo.Type | None, 1] = None
    command: Annotated[CheckStatusInfo.Command | None, 2] = None
    http: Annotated[CheckStatusInfo.Http | None, 3] = None
    tcp: Annotated[CheckStatusInfo.Tcp | None, 4] = None


class TaskStatus(ProtoMessage, frozen=True, kw_only=True):
    class Source(ProtoEnum):
        SOURCE_MASTER = "SOURCE_MASTER", 0
        SOURCE_AGENT = "SOURCE_AGENT", 1
        SOURCE_EXECUTOR = "SOURCE_EXECUTOR", 2

    class Reason(ProtoEnum):
        REASON_COMMAND_EXECUTOR_FAILED = "REASON_COMMAND_EXECUTOR_FAILED", 0
        REASON_CONTAINER_LAUNCH_FAILED = "REASON_CONTAINER_LAUNCH_FAILED", 21
        REASON_CONTAINER_LIMITATION = "REASON_CONTAINER_LIMITATION", 19
        REASON_CONTAINER_LIMITATION_DISK = "REASON_CONTAINER_LIMITATION_DISK", 20
        REASON_CONTAINER_LIMITATION_MEMORY = "REASON_CONTAINER_LIMITATION_MEMORY", 8
        REASON_CONTAINER_PREEMPTED = "REASON_CONTAINER_PREEMPTED", 17
        REASON_CONTAINER_UPDATE_FAILED = "REASON_CONTAINER_UPDATE_FAILED", 22
        REASON_MAX_COMPLETION_TIME_REACHED = "REASON_MAX_COMPLETION_TIME_REACHED", 33
        REASON_EXECUTOR_REGISTRATION_TIMEOUT = "REASON_EXECUTOR_REGISTRATION_TIMEOUT", 23
        REASON_EXECUTOR_REREGISTRATION_TIMEOUT = "REASON_EXECUTOR_REREGISTRATION_TIMEOUT", 24
        REASON_EXECUTOR_TERMINATED = "REASON_EXECUTOR_TERMINATED", 1
        REASON_EXECUTOR_UNREGISTERED = "REASON_EXECUTOR_UNREGISTERED", 2
        REASON_FRAMEWORK_REMOVED = "REASON_FRAMEWORK_REMOVED", 3
        REASON_GC_ERROR = "REASON_GC_ERROR", 4
        REASON_INVALID_FRAMEWORKID = "REASON_INVALID_FRAMEWORKID", 5
        REASON_INVALID_OFFERS = "REASON_INVALID_OFFERS", 6
        REASON_IO_SWITCHBOARD_EXITED = "REASON_IO_SWITCHBOARD_EXITED", 27
        REASON_MASTER_DISCONNECTED = "REASON_MASTER_DISCONNECTED", 7
        REASON_RECONCILIATION = "REASON_RECONCILIATION", 9
        REASON_RESOURCES_UNKNOWN = "REASON_RESOURCES_UNKNOWN", 18
        REASON_AGENT_DISCONNECTED = "REASON_AGENT_DISCONNECTED", 10
        REASON_AGENT_DRAINING = "REASON_AGENT_DRAINING", 34
        REASON_AGENT_REMOVED = "REASON_AGENT_REMOVED", 11
        REASON_AGENT_REMOVED_BY_OPERATOR = "REASON_AGENT_REMOVED_BY_OPERATOR", 31
        REASON_AGENT_REREGISTERED = "REASON_AGENT_REREGISTERED", 32
        REASON_AGENT_RESTARTED = "REASON_AGENT_RESTARTED", 12
        REASON_AGENT_UNKNOWN = "REASON_AGENT_UNKNOWN", 13
        REASON_TASK_KILLED_DURING_LAUNCH = "REASON_TASK_KILLED_DURING_LAUNCH", 30
        REASON_TASK_CHECK_STATUS_UPDATED = "REASON_TASK_CHECK_STATUS_UPDATED", 28
        REASON_TASK_HEALTH_CHECK_STATUS_UPDATED = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED", 29
        REASON_TASK_GROUP_INVALID = "REASON_TASK_GROUP_INVALID", 25
        REASON_TASK_GROUP_UNAUTHORIZED = "REASON_TASK_GROUP_UNAUTHORIZED", 26
        REASON_TASK_INVALID = "REASON_TASK_INVALID", 14
        REASON_TASK_UNAUTHORIZED = "REASON_TASK_UNAUTHORIZED", 15
        REASON_TASK_UNKNOWN = "REASON_TASK_UNKNOWN", 16

    task_id: Annotated[TaskID, 1]
    state: Annotated[TaskState, 2]
    message: Annotated[str | None, 4] = None
    source: Annotated[TaskStatus.Source | None, 9] = None
    reason: Annotated[TaskStatus.Reason | None, 10] = None
    data: Annotated[bytes | None, 3] = None
    agent_id: Annotated[AgentID | None, 5] = None
    executor_id: Annotated[ExecutorID | None, 7] = None
    timestamp: Annotated[float | None, 6] = None
    uuid: Annotated[bytes | None, 11] = None
    healthy: Annotated[bool | None, 8] = None
    check_status: Annotated[CheckStatusInfo | None, 15] = None
    labels: Annotated[Labels | None, 12] = None
    container_status: Annotated[ContainerStatus | None, 13] = None
    unreachable_time: Annotated[TimeInfo | None, 14] = None
    limitation: Annotated[TaskResourceLimitation | None, 16] = None


class Filters(ProtoMessage, frozen=True, kw_only=True):
    refuse_seconds: Annotated[float, 1] = default(5.0)


class Environment(ProtoMessage, frozen=True, kw_only=True):
    class Variable(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            VALUE = "VALUE", 1
            SECRET = "SECRET", 2

        name: Annotated[str, 1]
        type: Annotated[Environment.Variable.Type, 3] = default_of(
            lambda: Environment.Variable.Type.VALUE
        )
        value: Annotated[str | None, 2] = None
        secret: Annotated[Secret | None, 4] = None

    variables: Annotated[tuple[Environment.Variable, ...], 1] = ()


class Parameter(ProtoMessage, frozen=True, kw_only=True):
    key: Annotated[str, 1]
    value: Annotated[str, 2]


class Parameters(ProtoMessage, frozen=True, kw_only=True):
    parameter: Annotated[tuple[Parameter, ...], 1] = ()


class Credential(ProtoMessage, frozen=True, kw_only=True):
    principal: Annotated[str, 1]
    secret: Annotated[str | None, 2] = None


class Credentials(ProtoMessage, frozen=True, kw_only=True):
    credentials: Annotated[tuple[Credential, ...], 1] = ()


class Secret(ProtoMessage, frozen=True, kw_only=True):
    class Reference(ProtoMessage, frozen=True, kw_only=True):
        name: Annotated[str, 1]
        key: Annotated[str | None, 2] = None

    class Value(ProtoMessage, frozen=True, kw_only=True):
        data: Annotated[bytes, 1]

    class Type(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        REFERENCE = "REFERENCE", 1
        VALUE = "VALUE", 2

    type: Annotated[Secret.Type | None, 1] = None
    reference: Annotated[Secret.Reference | None, 2] = None
    value: Annotated[Secret.Value | None, 3] = None


class RateLimit(ProtoMessage, frozen=True, kw_only=True):
    qps: Annotated[float | None, 1] = None
    principal: Annotated[str, 2]
    capacity: Annotated[UInt64 | None, 3] = None


class RateLimits(ProtoMessage, frozen=True, kw_only=True):
    limits: Annotated[tuple[RateLimit, ...], 1] = ()
    aggregate_default_qps: Annotated[float | None, 2] = None
    aggregate_default_capacity: Annotated[UInt64 | None, 3] = None


class Image(ProtoMessage, frozen=True, kw_only=True):
    class Appc(ProtoMessage, frozen=True, kw_only=True):
        name: Annotated[str, 1]
        id: Annotated[str | None, 2] = None
        labels: Annotated[Labels | None, 3] = None

    class Docker(ProtoMessage, frozen=True, kw_only=True):
        name: Annotated[str, 1]
        credential: Annotated[Credential | None, 2] = None
        config: Annotated[Secret | None, 3] = None

    class Type(ProtoEnum):
        APPC = "APPC", 1
        DOCKER = "DOCKER", 2

    type: Annotated[Image.Type, 1]
    appc: Annotated[Image.Appc | None, 2] = None
    docker: Annotated[Image.Docker | None, 3] = None
    cached: Annotated[bool, 4] = default(True)


class MountPropagation(ProtoMessage, frozen=True, kw_only=True):
    class Mode(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        HOST_TO_CONTAINER = "HOST_TO_CONTAINER", 1
        BIDIRECTIONAL = "BIDIRECTIONAL", 2

    mode: Annotated[MountPropagation.Mode | None, 1] = None


class Volume(ProtoMessage, frozen=True, kw_only=True):
    class Source(ProtoMessage, frozen=True, kw_only=True):
        class DockerVolume(ProtoMessage, frozen=True, kw_only=True):
            driver: Annotated[str | None, 1] = None
            name: Annotated[str, 2]
            driver_options: Annotated[Parameters | None, 3] = None

        class HostPath(ProtoMessage, frozen=True, kw_only=True):
            path: Annotated[str, 1]
            mount_propagation: Annotated[MountPropagation | None, 2] = None

        class SandboxPath(ProtoMessage, frozen=True, kw_only=True):
            class Type(ProtoEnum):
                UNKNOWN = "UNKNOWN", 0
                SELF = "SELF", 1
                PARENT = "PARENT", 2

            type: Annotated[Volume.Source.SandboxPath.Type | None, 1] = None
            path: Annotated[str, 2]

        class CSIVolume(ProtoMessage, frozen=True, kw_only=True):
            class VolumeCapability(ProtoMessage, frozen=True, kw_only=True):
                class BlockVolume(ProtoMessage, frozen=True, kw_only=True):
                    pass

                class MountVolume(ProtoMessage, frozen=True, kw_only=True):
                    fs_type: Annotated[str | None, 1] = None
                    mount_flags: Annotated[tuple[str, ...], 2] = ()

                class AccessMode(ProtoMessage, frozen=True, kw_only=True):
                    class Mode(ProtoEnum):
                        UNKNOWN = "UNKNOWN", 0
                        SINGLE_NODE_WRITER = "SINGLE_NODE_WRITER", 1
                        SINGLE_NODE_READER_ONLY = "SINGLE_NODE_READER_ONLY", 2
                        MULTI_NODE_READER_ONLY = "MULTI_NODE_READER_ONLY", 3
                        MULTI_NODE_SINGLE_WRITER = "MULTI_NODE_SINGLE_WRITER", 4
                        MULTI_NODE_MULTI_WRITER = "MULTI_NODE_MULTI_WRITER", 5

                    mode: Annotated[Volume.Source.CSIVolume.VolumeCapability.AccessMode.Mode, 1]

                block: Annotated[Volume.Source.CSIVolume.VolumeCapability.BlockVolume | None, 1] = (
                    None
                )
                mount: Annotated[Volume.Source.CSIVolume.VolumeCapability.MountVolume | None, 2] = (
                    None
                )
                access_mode: Annotated[Volume.Source.CSIVolume.VolumeCapability.AccessMode, 3]

            class StaticProvisioning(ProtoMessage, frozen=True, kw_only=True):
                volume_id: Annotated[str, 1]
                volume_capability: Annotated[Volume.Source.CSIVolume.VolumeCapability, 2]
                node_stage_secrets: Annotated[dict[str, Secret], 3] = field(default_factory=dict)
                node_publish_secrets: Annotated[dict[str, Secret], 4] = field(default_factory=dict)
                volume_context: Annotated[dict[str, str], 5] = field(default_factory=dict)

            plugin_name: Annotated[str, 1]
            static_provisioning: Annotated[Volume.Source.CSIVolume.StaticProvisioning | None, 2] = (
                None
            )

        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            DOCKER_VOLUME = "DOCKER_VOLUME", 1
            HOST_PATH = "HOST_PATH", 4
            SANDBOX_PATH = "SANDBOX_PATH", 2
            SECRET = "SECRET", 3
            CSI_VOLUME = "CSI_VOLUME", 5

        type: Annotated[Volume.Source.Type | None, 1] = None
        docker_volume: Annotated[Volume.Source.DockerVolume | None, 2] = None
        host_path: Annotated[Volume.Source.HostPath | None, 5] = None
        sandbox_path: Annotated[Volume.Source.SandboxPath | None, 3] = None
        secret: Annotated[Secret | None, 4] = None
        csi_volume: Annotated[Volume.Source.CSIVolume | None, 6] = None

    class Mode(ProtoEnum):
        RW = "RW", 1
        RO = "RO", 2

    mode: Annotated[Volume.Mode, 3]
    container_path: Annotated[str, 1]
    host_path: Annotated[str | None, 2] = None
    image: Annotated[Image | None, 4] = None
    source: Annotated[Volume.Source | None, 5] = None


class NetworkInfo(ProtoMessage, frozen=True, kw_only=True):
    class IPAddress(ProtoMessage, frozen=True, kw_only=True):
        protocol: Annotated[NetworkInfo.Protocol, 1] = default_of(lambda: NetworkInfo.Protocol.IPv4)
        ip_address: Annotated[str | None, 2] = None

    class PortMapping(ProtoMessage, frozen=True, kw_only=True):
        host_port: Annotated[UInt32, 1]
        container_port: Annotated[UInt32, 2]
        protocol: Annotated[str | None, 3] = None

    class Protocol(ProtoEnum):
        IPv4 = "IPv4", 1
        IPv6 = "IPv6", 2

    ip_addresses: Annotated[tuple[NetworkInfo.IPAddress, ...], 5] = ()
    name: Annotated[str | None, 6] = None
    groups: Annotated[tuple[str, ...], 3] = ()
    labels: Annotated[Labels | None, 4] = None
    port_mappings: Annotated[tuple[NetworkInfo.PortMapping, ...], 7] = ()


class CapabilityInfo(ProtoMessage, frozen=True, kw_only=True):
    class Capability(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        CHOWN = "CHOWN", 1000
        DAC_OVERRIDE = "DAC_OVERRIDE", 1001
        DAC_READ_SEARCH = "DAC_READ_SEARCH", 1002
        FOWNER = "FOWNER", 1003
        FSETID = "FSETID", 1004
        KILL = "KILL", 1005
        SETGID = "SETGID", 1006
        SETUID = "SETUID", 1007
        SETPCAP = "SETPCAP", 1008
        LINUX_IMMUTABLE = "LINUX_IMMUTABLE", 1009
        NET_BIND_SERVICE = "NET_BIND_SERVICE", 1010
        NET_BROADCAST = "NET_BROADCAST", 1011
        NET_ADMIN = "NET_ADMIN", 1012
        NET_RAW = "NET_RAW", 1013
        IPC_LOCK = "IPC_LOCK", 1014
        IPC_OWNER = "IPC_OWNER", 1015
        SYS_MODULE = "SYS_MODULE", 1016
        SYS_RAWIO = "SYS_RAWIO", 1017
        SYS_CHROOT = "SYS_CHROOT", 1018
        SYS_PTRACE = "SYS_PTRACE", 1019
        SYS_PACCT = "SYS_PACCT", 1020
        SYS_ADMIN = "SYS_ADMIN", 1021
        SYS_BOOT = "SYS_BOOT", 1022
        SYS_NICE = "SYS_NICE", 1023
        SYS_RESOURCE = "SYS_RESOURCE", 1024
        SYS_TIME = "SYS_TIME", 1025
        SYS_TTY_CONFIG = "SYS_TTY_CONFIG", 1026
        MKNOD = "MKNOD", 1027
        LEASE = "LEASE", 1028
        AUDIT_WRITE = "AUDIT_WRITE", 1029
        AUDIT_CONTROL = "AUDIT_CONTROL", 1030
        SETFCAP = "SETFCAP", 1031
        MAC_OVERRIDE = "MAC_OVERRIDE", 1032
        MAC_ADMIN = "MAC_ADMIN", 1033
        SYSLOG = "SYSLOG", 1034
        WAKE_ALARM = "WAKE_ALARM", 1035
        BLOCK_SUSPEND = "BLOCK_SUSPEND", 1036
        AUDIT_READ = "AUDIT_READ", 1037
        PERFMON = "PERFMON", 1038
        BPF = "BPF", 1039
        CHECKPOINT_RESTORE = "CHECKPOINT_RESTORE", 1040

    capabilities: Annotated[tuple[CapabilityInfo.Capability, ...], 1] = ()


class SeccompInfo(ProtoMessage, frozen=True, kw_only=True):
    profile_name: Annotated[str | None, 1] = None
    unconfined: Annotated[bool | None, 2] = None


class LinuxInfo(ProtoMessage, frozen=True, kw_only=True):
    class IpcMode(ProtoEnum):
        UNKNOWN = "UNKNOWN", 0
        PRIVATE = "PRIVATE", 1
        SHARE_PARENT = "SHARE_PARENT", 2

    capability_info: Annotated[CapabilityInfo | None, 1] = None
    bounding_capabilities: Annotated[CapabilityInfo | None, 2] = None
    effective_capabilities: Annotated[CapabilityInfo | None, 3] = None
    share_pid_namespace: Annotated[bool | None, 4] = None
    seccomp: Annotated[SeccompInfo | None, 5] = None
    ipc_mode: Annotated[LinuxInfo.IpcMode | None, 6] = None
    shm_size: Annotated[UInt32 | None, 7] = None
    share_cgroups: Annotated[bool, 8] = default(True)


class RLimitInfo(ProtoMessage, frozen=True, kw_only=True):
    class RLimit(ProtoMessage, frozen=True, kw_only=True):
        class Type(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            RLMT_AS = "RLMT_AS", 1
            RLMT_CORE = "RLMT_CORE", 2
            RLMT_CPU = "RLMT_CPU", 3
            RLMT_DATA = "RLMT_DATA", 4
            RLMT_FSIZE = "RLMT_FSIZE", 5
            RLMT_LOCKS = "RLMT_LOCKS", 6
            RLMT_MEMLOCK = "RLMT_MEMLOCK", 7
            RLMT_MSGQUEUE = "RLMT_MSGQUEUE", 8
            RLMT_NICE = "RLMT_NICE", 9
            RLMT_NOFILE = "RLMT_NOFILE", 10
            RLMT_NPROC = "RLMT_NPROC", 11
            RLMT_RSS = "RLMT_RSS", 12
            RLMT_RTPRIO = "RLMT_RTPRIO", 13
            RLMT_RTTIME = "RLMT_RTTIME", 14
            RLMT_SIGPENDING = "RLMT_SIGPENDING", 15
            RLMT_STACK = "RLMT_STACK", 16

        type: Annotated[RLimitInfo.RLimit.Type | None, 1] = None
        hard: Annotated[UInt64 | None, 2] = None
        soft: Annotated[UInt64 | None, 3] = None

    rlimits: Annotated[tuple[RLimitInfo.RLimit, ...], 1] = ()


class TTYInfo(ProtoMessage, frozen=True, kw_only=True):
    class WindowSize(ProtoMessage, frozen=True, kw_only=True):
        rows: Annotated[UInt32, 1]
        columns: Annotated[UInt32, 2]

    window_size: Annotated[TTYInfo.WindowSize | None, 1] = None


class ContainerInfo(ProtoMessage, frozen=True, kw_only=True):
    class DockerInfo(ProtoMessage, frozen=True, kw_only=True):
        class PortMapping(ProtoMessage, frozen=True, kw_only=True):
            host_port: Annotated[UInt32, 1]
            container_port: Annotated[UInt32, 2]
            protocol: Annotated[str | None, 3] = None

        class Network(ProtoEnum):
            HOST = "HOST", 1
            BRIDGE = "BRIDGE", 2
            NONE = "NONE", 3
            USER = "USER", 4

        image: Annotated[str, 1]
        network: Annotated[ContainerInfo.DockerInfo.Network, 2] = default_of(
            lambda: ContainerInfo.DockerInfo.Network.HOST
        )
        port_mappings: Annotated[tuple[ContainerInfo.DockerInfo.PortMapping, ...], 3] = ()
        privileged: Annotated[bool, 4] = default(False)
        parameters: Annotated[tuple[Parameter, ...], 5] = ()
        force_pull_image: Annotated[bool | None, 6] = None
        volume_driver: Annotated[str | None, 7] = None

    class MesosInfo(ProtoMessage, frozen=True, kw_only=True):
        image: Annotated[Image | None, 1] = None

    class Type(ProtoEnum):
        DOCKER = "DOCKER", 1
        MESOS = "MESOS", 2

    type: Annotated[ContainerInfo.Type, 1]
    volumes: Annotated[tuple[Volume, ...], 2] = ()
    hostname: Annotated[str | None, 4] = None
    docker: Annotated[ContainerInfo.DockerInfo | None, 3] = None
    mesos: Annotated[ContainerInfo.MesosInfo | None, 5] = None
    network_infos: Annotated[tuple[NetworkInfo, ...], 7] = ()
    linux_info: Annotated[LinuxInfo | None, 8] = None
    rlimit_info: Annotated[RLimitInfo | None, 9] = None
    tty_info: Annotated[TTYInfo | None, 10] = None


class ContainerStatus(ProtoMessage, frozen=True, kw_only=True):
    container_id: Annotated[ContainerID | None, 4] = None
    network_infos: Annotated[tuple[NetworkInfo, ...], 1] = ()
    cgroup_info: Annotated[CgroupInfo | None, 2] = None
    executor_pid: Annotated[UInt32 | None, 3] = None


class CgroupInfo(ProtoMessage, frozen=True, kw_only=True):
    class Blkio(ProtoMessage, frozen=True, kw_only=True):
        class Value(ProtoMessage, frozen=True, kw_only=True):
            op: Annotated[CgroupInfo.Blkio.Operation | None, 1] = None
            value: Annotated[UInt64 | None, 2] = None

        class CFQ(ProtoMessage, frozen=True, kw_only=True):
            class Statistics(ProtoMessage, frozen=True, kw_only=True):
                device: Annotated[Device.Number | None, 1] = None
                sectors: Annotated[UInt64 | None, 2] = None
                time: Annotated[UInt64 | None, 3] = None
                io_serviced: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 4] = ()
                io_service_bytes: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 5] = ()
                io_service_time: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 6] = ()
                io_wait_time: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 7] = ()
                io_merged: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 8] = ()
                io_queued: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 9] = ()

        class Throttling(ProtoMessage, frozen=True, kw_only=True):
            class Statistics(ProtoMessage, frozen=True, kw_only=True):
                device: Annotated[Device.Number | None, 1] = None
                io_serviced: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 2] = ()
                io_service_bytes: Annotated[tuple[CgroupInfo.Blkio.Value, ...], 3] = ()

        class Statistics(ProtoMessage, frozen=True, kw_only=True):
            cfq: Annotated[tuple[CgroupInfo.Blkio.CFQ.Statistics, ...], 1] = ()
            cfq_recursive: Annotated[tuple[CgroupInfo.Blkio.CFQ.Statistics, ...], 2] = ()
            throttling: Annotated[tuple[CgroupInfo.Blkio.Throttling.Statistics, ...], 3] = ()

        class Operation(ProtoEnum):
            UNKNOWN = "UNKNOWN", 0
            TOTAL = "TOTAL", 1
            READ = "READ", 2
            WRITE = "WRITE", 3
            SYNC = "SYNC", 4
            ASYNC = "ASYNC", 5
            DISCARD = "DISCARD", 6

    class NetCls(ProtoMessage, frozen=True, kw_only=True):
        classid: Annotated[UInt32 | None, 1] = None

    net_cls: Annotated[CgroupInfo.NetCls | None, 1] = None


class Labels(ProtoMessage, frozen=True, kw_only=True):
    labels: Annotated[tuple[Label, ...], 1] = ()


class Label(ProtoMessage, frozen=True, kw_only=True):
    key: Annotated[str, 1]
    value: Annotated[str | None, 2] = None


class Port(ProtoMessage, frozen=True, kw_only=True):
    number: Annotated[UInt32, 1]
    name: Annotated[str | None, 2] = None
    protocol: Annotated[str | None, 3] = None
    visibility: Annotated[DiscoveryInfo.Visibility | None, 4] = None
    labels: Annotated[Labels | None, 5] = None


class Ports(ProtoMessage, frozen=True, kw_only=True):
    ports: Annotated[tuple[Port, ...], 1] = ()


class DiscoveryInfo(ProtoMessage, frozen=True, kw_only=True):
    class Visibility(ProtoEnum):
        FRAMEWORK = "FRAMEWORK", 0
        CLUSTER = "CLUSTER", 1
        EXTERNAL = "EXTERNAL", 2

    visibility: Annotated[DiscoveryInfo.Visibility, 1]
    name: Annotated[str | None, 2] = None
    environment: Annotated[str | None, 3] = None
    location: Annotated[str | None, 4] = None
    version: Annotated[str | None, 5] = None
    ports: Annotated[Ports | None, 6] = None
    labels: Annotated[Labels | None, 7] = None


class WeightInfo(ProtoMessage, frozen=True, kw_only=True):
    weight: Annotated[float, 1]
    role: Annotated[str | None, 2] = None


class VersionInfo(ProtoMessage, frozen=True, kw_only=True):
    version: Annotated[str, 1]
    build_date: Annotated[str | None, 2] = None
    build_time: Annotated[float | None, 3] = None
    build_user: Annotated[str | None, 4] = None
    git_sha: Annotated[str | None, 5] = None
    git_branch: Annotated[str | None, 6] = None
    git_tag: Annotated[str | None, 7] = None


class Flag(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    value: Annotated[str | None, 2] = None


class Role(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    weight: Annotated[float, 2]
    frameworks: Annotated[tuple[FrameworkID, ...], 3] = ()
    resources: Annotated[tuple[Resource, ...], 4] = ()


class Metric(ProtoMessage, frozen=True, kw_only=True):
    name: Annotated[str, 1]
    value: Annotated[float | None, 2] = None


class FileInfo(ProtoMessage, frozen=True, kw_only=True):
    path: Annotated[str, 1]
    nlink: Annotated[Int32 | None, 2] = None
    size: Annotated[UInt64 | None, 3] = None
    mtime: Annotated[TimeInfo | None, 4] = None
    mode: Annotated[UInt32 | None, 5] = None
    uid: Annotated[str | None, 6] = None
    gid: Annotated[str | None, 7] = None


class Device(ProtoMessage, frozen=True, kw_only=True):
    class Number(ProtoMessage, frozen=True, kw_only=True):
        major_number: Annotated[UInt64, 1]
        minor_number: Annotated[UInt64, 2]

    path: Annotated[str | None, 1] = None
    number: Annotated[Device.Number | None, 2] = None


class DeviceAccess(ProtoMessage, frozen=True, kw_only=True):
    class Access(ProtoMessage, frozen=True, kw_only=True):
        read: Annotated[bool | None, 1] = None
        write: Annotated[bool | None, 2] = None
        mknod: Annotated[bool | None, 3] = None

    device: Annotated[Device, 1]
    access: Annotated[DeviceAccess.Access, 2]


class DeviceWhitelist(ProtoMessage, frozen=True, kw_only=True):
    allowed_devices: Annotated[tuple[DeviceAccess, ...], 1] = ()


class DrainConfig(ProtoMessage, frozen=True, kw_only=True):
    max_grace_period: Annotated[DurationInfo | None, 1] = None
    mark_gone: Annotated[bool, 2] = default(False)


class DrainInfo(ProtoMessage, frozen=True, kw_only=True):
    state: Annotated[DrainState, 1]
    config: Annotated[DrainConfig, 2]


class Status(ProtoEnum):
    DRIVER_NOT_STARTED = "DRIVER_NOT_STARTED", 1
    DRIVER_RUNNING = "DRIVER_RUNNING", 2
    DRIVER_ABORTED = "DRIVER_ABORTED", 3
    DRIVER_STOPPED = "DRIVER_STOPPED", 4


class TaskState(ProtoEnum):
    TASK_STAGING = "TASK_STAGING", 6
    TASK_STARTING = "TASK_STARTING", 0
    TASK_RUNNING = "TASK_RUNNING", 1
    TASK_KILLING = "TASK_KILLING", 8
    TASK_FINISHED = "TASK_FINISHED", 2
    TASK_FAILED = "TASK_FAILED", 3
    TASK_KILLED = "TASK_KILLED", 4
    TASK_ERROR = "TASK_ERROR", 7
    TASK_LOST = "TASK_LOST", 5
    TASK_DROPPED = "TASK_DROPPED", 9
    TASK_UNREACHABLE = "TASK_UNREACHABLE", 10
    TASK_GONE = "TASK_GONE", 11
    TASK_GONE_BY_OPERATOR = "TASK_GONE_BY_OPERATOR", 12
    TASK_UNKNOWN = "TASK_UNKNOWN", 13


class OperationState(ProtoEnum):
    OPERATION_UNSUPPORTED = "OPERATION_UNSUPPORTED", 0
    OPERATION_PENDING = "OPERATION_PENDING", 1
    OPERATION_FINISHED = "OPERATION_FINISHED", 2
    OPERATION_FAILED = "OPERATION_FAILED", 3
    OPERATION_ERROR = "OPERATION_ERROR", 4
    OPERATION_DROPPED = "OPERATION_DROPPED", 5
    OPERATION_UNREACHABLE = "OPERATION_UNREACHABLE", 6
    OPERATION_GONE_BY_OPERATOR = "OPERATION_GONE_BY_OPERATOR", 7
    OPERATION_RECOVERING = "OPERATION_RECOVERING", 8
    OPERATION_UNKNOWN = "OPERATION_UNKNOWN", 9


class DrainState(ProtoEnum):
    UNKNOWN = "UNKNOWN", 0
    DRAINING = "DRAINING", 1
    DRAINED = "DRAINED", 2
