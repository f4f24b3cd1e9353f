"""Times writes of 1 KiB and requests over one TLS connection: microseconds each, as two numbers on a line.

Arguments: host, port, certificate authority file, number of each.
"""

import socket
import ssl
import sys
import time

host, port, authority, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
context = ssl.create_default_context(cafile=authority)


def connect():
    return context.wrap_socket(socket.create_connection((host, port)), server_hostname=host)


def timed(work):
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count * 1e6


def writes():
    body = b"x" * 1024
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body) * count}\r\n\r\n".encode()
    with connect() as stream:
        stream.sendall(head)
        took = timed(lambda: [stream.sendall(body) for _ in range(count)])
        stream.recv(4096)
    return took


def requests():
    request = f"GET /{'a' * 900} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with connect() as stream:

        def exchange():
            stream.sendall(request)
            stream.recv(4096)

        return timed(lambda: [exchange() for _ in range(count)])


print(writes(), requests())
