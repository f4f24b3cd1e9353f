"""Answers one MySQL client that begins in clear and turns to TLS, as far as it needs to send queries.

usage: mysql_server.py ADDRESS CERTIFICATE KEY
"""
import struct
import sys

from upgraded import accept, receive

# MySQL 8.4 internals, "Capabilities Flags": what this server speaks.
LONG_PASSWORD, PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH = 0x1, 0x200, 0x800, 0x8000, 0x80000
CAPABILITIES = LONG_PASSWORD | PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH
AUTOCOMMIT = 2
UTF8 = 33
QUIT = b"\x01"
OK = b"\x00\x00\x00" + struct.pack("<HH", AUTOCOMMIT, 0)
PLUGIN = b"mysql_native_password\x00"
SCRAMBLE = b"a" * 20


def packet(stream):
    """Number and content of the next packet."""
    head = receive(stream, 4)
    return head[3], receive(stream, int.from_bytes(head[:3], "little"))


def send(stream, number, content):
    stream.sendall(len(content).to_bytes(3, "little") + bytes([number]) + content)


def greeting():
    low, high = CAPABILITIES & 0xFFFF, CAPABILITIES >> 16
    head = b"\x0a" + b"8.0.0\x00" + struct.pack("<I", 1) + SCRAMBLE[:8] + b"\x00"
    middle = struct.pack("<HBHHB", low, UTF8, AUTOCOMMIT, high, len(SCRAMBLE) + 1) + bytes(10)
    return head + middle + SCRAMBLE[8:] + b"\x00" + PLUGIN


def main():
    stream, encrypt = accept(3306)
    send(stream, 0, greeting())
    _, content = packet(stream)
    if not struct.unpack("<I", content[:4])[0] & SSL or len(content) > 32:
        sys.exit("the client asked for no TLS")
    with encrypt(stream) as stream:
        number, _ = packet(stream)
        send(stream, number + 1, OK)
        while True:
            number, content = packet(stream)
            if content.startswith(QUIT):
                return
            send(stream, number + 1, OK)


main()
