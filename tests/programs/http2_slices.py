"""Asks a server over HTTP/2 in TLS records of a few bytes each, so that it reads frames in parts.

Every request has a body. The connection is one; what follows its preface is cut anew for each request, in records of
1 byte, of 2, and so on. Before the requests come PINGS frames in one record. Prints how many requests were answered.

usage: http2_slices.py ADDRESS PORT HOST AUTHORITY PATHS_FILE BODIES_FILE PINGS
"""

import socket
import ssl
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def text(value):
    assert len(value) < 127
    return bytes([len(value)]) + value.encode()


def request(stream, host, path, body):
    # POST, https, and the two that follow by the numbers of their names, not to be remembered (RFC 7541, 6.2.2).
    head = b"\x83\x87\x04" + text(path) + b"\x01" + text(host)
    return (
        frame(HEADERS, END_HEADERS, stream, head)
        + frame(DATA, 0, stream, body.encode())
        + frame(PING, 0, 0, bytes(8))
        + frame(DATA, END_STREAM, stream, b"")
    )


class Connection:
    def __init__(self, stream):
        self.stream, self.bytes = stream, b""

    def take(self, count):
        while len(self.bytes) < count:
            more = self.stream.recv(65536)
            assert more, "the server closed the connection"
            self.bytes += more
        taken, self.bytes = self.bytes[:count], self.bytes[count:]
        return taken

    def answer(self, stream):
        """Reads frames until the answer to this stream has ended."""
        while True:
            header = self.take(9)
            self.take(int.from_bytes(header[:3], "big"))
            ends = header[3] in (DATA, HEADERS) and header[4] & END_STREAM
            if ends and int.from_bytes(header[5:], "big") == stream:
                return


def main():
    address, port, host, authority, paths, bodies, pings = sys.argv[1:]
    context = ssl.create_default_context(cafile=authority)
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection((address, int(port)))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    tls = context.wrap_socket(plain, server_hostname=host)
    connection = Connection(tls)
    tls.send(PREFACE)
    if int(pings):
        tls.send(frame(PING, 0, 0, bytes(8)) * int(pings))
    bytes_to_send = frame(SETTINGS, 0, 0, b"")
    answered = 0
    with open(paths) as paths, open(bodies) as bodies:
        for at, (path, body) in enumerate(zip(paths.read().split(), bodies.read().split())):
            bytes_to_send += request(2 * at + 1, host, path, body)
            size = at + 1
            for start in range(0, len(bytes_to_send), size):
                tls.send(bytes_to_send[start : start + size])
            bytes_to_send = b""
            connection.answer(2 * at + 1)
            answered += 1
    print(answered)


main()
