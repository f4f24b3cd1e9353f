"""A server's side of a connection that begins in clear and turns to TLS: for `postgres_server.py` and its like.

Such a server takes one client, and says so when it listens.

usage: SCRIPT ADDRESS CERTIFICATE KEY
"""
import socket
import ssl
import sys


def receive(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def accept(port):
    """The client's connection in clear, and what makes a connection one over TLS."""
    address, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((address, port)) as listener:
        print("listening", flush=True)
        stream, _ = listener.accept()
    return stream, lambda stream: context.wrap_socket(stream, server_side=True)
