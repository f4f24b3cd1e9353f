"""Sends requests of 1 KiB over one connection, or text as fast as it goes or at a rate, and prints the processor time.

Arguments: `requests` SCHEME HOST AUTHORITY COUNT, or `bulk` HOST PORT MEBIBYTES MEBIBYTES_A_SECOND (0: as fast as it
goes). Prints the processor seconds of this process and the seconds that went by, for the sending alone.
"""

import http.client
import os
import random
import socket
import ssl
import sys
import time

REQUEST = 1024
PIECE = 1 << 20


def requests(scheme, host, authority, count):
    # The server keeps to another processor.
    os.sched_setaffinity(0, {0})
    if scheme == "https":
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(host, context=context)
    else:
        connection = http.client.HTTPConnection(host)
    body = text(REQUEST - 160)
    headers = {"Content-Type": "text/plain", "User-Agent": "wire_bench"}

    def exchange():
        connection.request("POST", "/orders/new?page=7", body=body, headers=headers)
        connection.getresponse().read()

    exchange()
    return timed(lambda: [exchange() for _ in range(count)])


def bulk(host, port, mebibytes, rate):
    piece = text(PIECE)
    with socket.create_connection((host, port)) as stream:

        def send():
            start = time.perf_counter()
            for sent in range(mebibytes):
                if rate:
                    time.sleep(max(0, start + sent / rate - time.perf_counter()))
                stream.sendall(piece)

        return timed(send)


def text(length):
    """Lines of a log, without anything that could be taken for a number of a citizen."""
    random.seed(7)
    words = "order shipped to customer in warehouse status pending total amount item retry".split()
    line = lambda: " ".join(random.choices(words, k=9)) + f" {random.randrange(10**4)}\n"
    return "".join(line() for _ in range(length // 40 + 1)).encode()[:length]


def timed(work):
    processor, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


def main(kind, *arguments):
    if kind == "requests":
        scheme, host, authority, count = arguments
        return requests(scheme, host, authority, int(count))
    host, port, mebibytes, rate = arguments
    return bulk(host, int(port), int(mebibytes), int(rate))


print(*main(*sys.argv[1:]))
