"""Answers one LDAP client that begins in clear and turns to TLS (StartTLS), as far as it needs to search once.

usage: ldap_server.py ADDRESS CERTIFICATE KEY
"""
import sys

from upgraded import accept, receive

# RFC 4511: an LDAPMessage is a sequence of a number and an operation, each told by its tag.
SEQUENCE, INTEGER, OCTETS, ENUMERATED = b"\x30", b"\x02", b"\x04", b"\x0a"
BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
ANSWERS = {BIND: b"\x61", SEARCH: b"\x65", EXTENDED: b"\x78"}
START_TLS = b"1.3.6.1.4.1.1466.20037"
SUCCESS = ENUMERATED + b"\x01\x00" + (OCTETS + b"\x00") * 2


def message(stream):
    """Number, operation and content of the next message."""
    _, length = receive(stream, 2)
    if length & 0x80:
        length = int.from_bytes(receive(stream, length & 0x7F), "big")
    content = receive(stream, length)
    end = 2 + content[1]
    return content[:end], content[end], content[end + 1 :]


def answer(stream, number, operation):
    told = ANSWERS[operation] + bytes([len(SUCCESS)]) + SUCCESS
    stream.sendall(SEQUENCE + bytes([len(number) + len(told)]) + number + told)


def main():
    stream, encrypt = accept(389)
    number, operation, content = message(stream)
    if operation != EXTENDED or START_TLS not in content:
        sys.exit("the client asked for no TLS")
    answer(stream, number, operation)
    with encrypt(stream) as stream:
        while True:
            number, operation, _ = message(stream)
            if operation == UNBIND:
                return
            answer(stream, number, operation)


main()
