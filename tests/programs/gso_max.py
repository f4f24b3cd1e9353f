"""Lets a device take packets of more than 64 KiB from TCP, of IPv4 and IPv6: what an `ip` of before 6.3 cannot say.

usage: gso_max.py LINK BYTES
"""
import os
import socket
import struct
import sys

# linux/netlink.h, linux/rtnetlink.h, linux/if_link.h
RTM_SETLINK = 19
NLM_F_REQUEST_ACK = 1 | 4
IFLA_GSO_MAX_SIZE = 41
IFLA_GSO_IPV4_MAX_SIZE = 63


def attribute(kind, value):
    return struct.pack("=HHI", 8, kind, value)


def main():
    link, size = sys.argv[1], int(sys.argv[2])
    body = struct.pack("=BxHiII", 0, 0, socket.if_nametoindex(link), 0, 0)
    body += attribute(IFLA_GSO_MAX_SIZE, size) + attribute(IFLA_GSO_IPV4_MAX_SIZE, size)
    head = struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, NLM_F_REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(head + body)
        (error,) = struct.unpack_from("=i", netlink.recv(4096), 16)
    if error:
        sys.exit(f"{link}: {os.strerror(-error)}")


main()
