"""Answers one PostgreSQL client over TLS as far as it needs to send a query, and ends with it.

Says so when it listens.

usage: postgres_server.py ADDRESS CERTIFICATE KEY
"""
import socket
import ssl
import struct
import sys

SSL_REQUEST = 80877103
AUTHENTICATED = b"R" + struct.pack("!ii", 8, 0)
READY = b"Z" + struct.pack("!i", 5) + b"I"
DONE = b"C" + struct.pack("!i", 15) + b"INSERT 0 1\0"


def receive(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def packet(stream):
    (length,) = struct.unpack("!i", receive(stream, 4))
    return receive(stream, length - 4)


def main():
    address, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((address, 5432)) as listener:
        print("listening", flush=True)
        stream, _ = listener.accept()
    if struct.unpack("!i", packet(stream)) != (SSL_REQUEST,):
        sys.exit("the client asked for no TLS")
    stream.sendall(b"S")
    with context.wrap_socket(stream, server_side=True) as stream:
        packet(stream)
        stream.sendall(AUTHENTICATED + READY)
        while True:
            kind = receive(stream, 1)
            packet(stream)
            if kind == b"X":
                return
            stream.sendall(DONE + READY)


main()
