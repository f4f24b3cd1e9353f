"""Passes connections that were redirected to it on to where they were meant to go, and their answers back.

Its own connections carry a mark, so that they are not redirected again. Says so when it listens.

usage: tcp_relay.py PORT MARK
"""
import contextlib
import socket
import struct
import sys
import threading

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
SO_MARK = 36  # asm-generic/socket.h


def meant_for(stream):
    packed = stream.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
    port, address = struct.unpack_from("!2xH4s", packed)
    return socket.inet_ntoa(address), port


def copy(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)
    with contextlib.suppress(OSError):  # The other side may have ended both directions.
        sink.shutdown(socket.SHUT_WR)


def relay(stream, mark):
    with stream, socket.socket() as onward:
        onward.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        onward.connect(meant_for(stream))
        back = threading.Thread(target=copy, args=(onward, stream))
        back.start()
        copy(stream, onward)
        back.join()


def main():
    port, mark = (int(argument) for argument in sys.argv[1:])
    with socket.create_server(("127.0.0.1", port)) as listener:
        print("listening", flush=True)
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=relay, args=(stream, mark), daemon=True).start()


main()
