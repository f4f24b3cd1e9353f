"""Answers one PostgreSQL client over TLS as far as it needs to send a query, and ends with it.

usage: postgres_server.py ADDRESS CERTIFICATE KEY
"""
import struct
import sys

from upgraded import accept, receive

SSL_REQUEST = 80877103
AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
READY = b"Z" + struct.pack("!i", 5) + b"I"
DONE = b"C" + struct.pack("!i", 15) + b"INSERT 0 1\0"


def packet(stream):
    (length,) = struct.unpack("!i", receive(stream, 4))
    return receive(stream, length - 4)


def main():
    stream, encrypt = accept(5432)
    if struct.unpack("!i", packet(stream)) != (SSL_REQUEST,):
        sys.exit("the client asked for no TLS")
    stream.sendall(b"S")
    with encrypt(stream) as stream:
        packet(stream)
        stream.sendall(AUTHENTICATED + READY)
        while True:
            kind = receive(stream, 1)
            packet(stream)
            if kind == b"X":
                return
            stream.sendall(DONE + READY)


main()
