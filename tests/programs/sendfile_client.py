"""Sends parts of a file over TLS by OpenSSL's SSL_sendfile, which needs the kernel to make the records.

The file's first line is one part, all behind it another; of the last one more is asked for than the file has.

usage: sendfile_client.py HOST ADDRESS PORT 1.2|1.3 FILE
"""
import ctypes
import os
import socket
import ssl
import sys
import time

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# Where Python keeps OpenSSL's session: behind the head of an object and a reference (Modules/_ssl.c).
SESSION_OFFSET = 24
# Seconds; a guest is slow.
PAUSE = 3


def main():
    host, address, port, version, path = sys.argv[1:]
    context = ssl.create_default_context()
    context.minimum_version = context.maximum_version = VERSIONS[version]
    plain = socket.create_connection((address, int(port)))
    with context.wrap_socket(plain, server_hostname=host) as stream, open(path, "rb") as file:
        session = ctypes.c_void_p.from_address(id(stream._sslobj) + SESSION_OFFSET)
        first = len(file.readline())
        size = os.fstat(file.fileno()).st_size
        send(session, file.fileno(), 0, first, first)
        send(session, file.fileno(), first, size, size - first)
        # The agent reads the file while it is open.
        time.sleep(PAUSE)
        stream.unwrap()


def send(session, descriptor, offset, asked, expected):
    sendfile = ctypes.CDLL("libssl.so.3").SSL_sendfile
    sendfile.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_size_t, ctypes.c_int]
    sendfile.restype = ctypes.c_ssize_t
    sent = sendfile(session, descriptor, offset, asked, 0)
    if sent != expected:
        raise OSError(f"SSL_sendfile sent {sent} bytes instead of {expected}")


main()
