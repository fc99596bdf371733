"""Requests to the kernel about interfaces, addresses and routes (rtnetlink(7), <linux/if_link.h>)."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
from itertools import count

NEW_LINK, DELETE_LINK, SET_LINK, NEW_ADDRESS, NEW_ROUTE = 16, 17, 19, 20, 24
REQUEST, ACK, EXCLUSIVE, CREATE = 0x1, 0x4, 0x200, 0x400
ERROR = 2  # the type of an answer, with 0 as its number when all went well
ANSWER_BYTES_MAX = 64 << 10
ANSWER_S = 10.0
SIOCGIFINDEX = 0x8933
IFREQ_BYTES = 40
AF_BRIDGE = 7

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_PROTINFO = 1, 3, 4, 10, 12
IFLA_LINKINFO, IFLA_NET_NS_FD = 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER, IFLA_BRPORT_HAIRPIN = 1, 2, 1, 4
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
RTA_OIF, RTA_GATEWAY = 4, 5
NESTED = 0x8000
IFF_UP = 1
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1


class Netlink:
    """Requests in the network namespace that the socket was made in. Each raises OSError when it fails."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.settimeout(ANSWER_S)
        self._numbers = count(1)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @staticmethod
    def here() -> Netlink:
        """In the namespace of the calling thread."""
        return Netlink(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))

    def make_bridge(self, name: str, mac: bytes, mtu: int) -> None:
        """A bridge with this name, and an address that does not change with its ports; not up yet."""
        self._request(
            NEW_LINK,
            CREATE | EXCLUSIVE,
            _link()
            + _text(IFLA_IFNAME, name)
            + _attribute(IFLA_ADDRESS, mac)
            + _number(IFLA_MTU, mtu)
            + _nested(IFLA_LINKINFO, _text(IFLA_INFO_KIND, "bridge")),
        )

    def make_pair(self, name: str, peer: str, mac: bytes, mtu: int, namespace_fd: int) -> None:
        """Two interfaces that are connected: `name` here, `peer` with the address in the other namespace."""
        far = (
            _link()
            + _text(IFLA_IFNAME, peer)
            + _attribute(IFLA_ADDRESS, mac)
            + _number(IFLA_MTU, mtu)
            + _number(IFLA_NET_NS_FD, namespace_fd)
        )
        self._request(
            NEW_LINK,
            CREATE | EXCLUSIVE,
            _link()
            + _text(IFLA_IFNAME, name)
            + _number(IFLA_MTU, mtu)
            + _nested(
                IFLA_LINKINFO,
                _text(IFLA_INFO_KIND, "veth")
                + _nested(IFLA_INFO_DATA, _nested(VETH_INFO_PEER, far)),
            ),
        )

    def put_on_bridge(self, index: int, bridge: int) -> None:
        """The interface is a port of the bridge, and up; what it sends may come back to it."""
        self._request(NEW_LINK, 0, _link(index, up=True) + _number(IFLA_MASTER, bridge))
        hairpin = _nested(IFLA_PROTINFO, _attribute(IFLA_BRPORT_HAIRPIN, b"\x01"))
        self._request(SET_LINK, 0, _link(index, family=AF_BRIDGE) + hairpin)

    def bring_up(self, index: int) -> None:
        """The interface is up."""
        self._request(NEW_LINK, 0, _link(index, up=True))

    def delete(self, name: str) -> None:
        """There is no such interface, nor its peer."""
        self._request(DELETE_LINK, 0, _link() + _text(IFLA_IFNAME, name))

    def add_address(self, index: int, address: ipaddress.IPv4Interface) -> None:
        """The interface has the address."""
        network = address.network
        head = struct.pack("=BBBBI", socket.AF_INET, network.prefixlen, 0, 0, index)
        body = (
            _attribute(IFA_LOCAL, address.packed)
            + _attribute(IFA_ADDRESS, address.packed)
            + _attribute(IFA_BROADCAST, network.broadcast_address.packed)
        )
        self._request(NEW_ADDRESS, CREATE | EXCLUSIVE, head + body)

    def add_default_route(self, index: int, gateway: ipaddress.IPv4Address) -> None:
        """What is for elsewhere goes to the gateway."""
        head = struct.pack(
            "=BBBBBBBBI",
            *(socket.AF_INET, 0, 0, 0),
            *(RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST),
            0,
        )
        body = _attribute(RTA_GATEWAY, gateway.packed) + _number(RTA_OIF, index)
        self._request(NEW_ROUTE, CREATE | EXCLUSIVE, head + body)

    def index_of(self, name: str) -> int:
        """The number of an interface."""
        request = name.encode().ljust(IFREQ_BYTES, b"\0")
        found = fcntl.ioctl(self._socket, SIOCGIFINDEX, request)
        return int(struct.unpack_from("=i", found, 16)[0])

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        number = next(self._numbers)
        head = struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags, number, 0)
        self._socket.send(head + body)
        while True:
            answer = self._socket.recv(ANSWER_BYTES_MAX)
            _, answered, _, to = struct.unpack_from("=IHHI", answer)
            if answered == ERROR and to == number:
                fault = -int(struct.unpack_from("=i", answer, 16)[0])
                if fault:
                    raise OSError(fault, os.strerror(fault))
                return


def _link(index: int = 0, *, family: int = 0, up: bool = False) -> bytes:
    flags = IFF_UP if up else 0
    return struct.pack("=BxHiII", family, 0, index, flags, flags)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nested(kind: int, value: bytes) -> bytes:
    return _attribute(kind | NESTED, value)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")
