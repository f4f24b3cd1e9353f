"""Answers one request over TLS by GnuTLS, with a text.

usage: gnutls_server.py ADDRESS PORT CERTIFICATE KEY TEXT-FILE
"""
import socket
import sys

from gnutls_stream import GnutlsStream

address, port, certificate, key, file = sys.argv[1:]
with open(file, "rb") as text:
    body = text.read()
with socket.create_server((address, int(port))) as listener:
    stream, _ = listener.accept()
session = GnutlsStream.server(stream, certificate, key)
session.receive()
head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
session.send(head.encode() + body)
session.finish().close()
