"""Hands a TLS library one text that leaves and one that does not.

usage: unsent_client.py WAY ADDRESS HOST FIRST SECOND
WAY is what keeps the second from leaving: "reset", the connection was reset by then, on standard input comes a line when
it is to be tried; "unflushed", its records stay in memory, and the program ends; "killed", likewise, and it is killed.
"""
import os
import select
import signal
import socket
import ssl
import sys


def main():
    way, address, host, first, second = sys.argv[1:]
    sock = socket.create_connection((address, 443))
    context = ssl.create_default_context()
    if way == "reset":
        stream = context.wrap_socket(sock, server_hostname=host)
        print("connected", flush=True)
        sys.stdin.readline()
        stream.send(first.encode())
        poll = select.poll()
        poll.register(sock.fileno() if sock.fileno() >= 0 else stream.fileno(), select.POLLERR)
        poll.poll()
        try:
            stream.send(second.encode())
            sys.exit("the connection was not reset")
        except OSError:
            return
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    tls.write(first.encode())
    sock.sendall(outgoing.read())
    tls.write(second.encode())
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


main()
