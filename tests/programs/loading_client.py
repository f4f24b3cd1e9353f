"""Sends one request over TLS by the copy of OpenSSL in a folder, which it loads when it is told to.

The first line of standard input says that it is time to load; it answers with a line. The second is what to ask for.

usage: loading_client.py FOLDER HOST ADDRESS
"""
import ctypes
import os
import socket
import sys

SSL_CTRL_SET_TLSEXT_HOSTNAME, HOST_NAME, SSL_VERIFY_PEER = 55, 0, 1


def main():
    folder, host, address = sys.argv[1:]
    sys.stdin.readline()
    library = load(folder)
    print("loaded", flush=True)
    target = sys.stdin.readline().strip()
    stream = connected(library, host, address)
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    check(library.SSL_write(stream, request, len(request)) == len(request), "writing")
    answer = ctypes.create_string_buffer(65536)
    check(library.SSL_read(stream, answer, len(answer)) > 0, "reading")
    check(answer.value.startswith(b"HTTP/1.1 200"), "the request")
    library.SSL_shutdown(stream)


def load(folder):
    # Its other half first: it would be looked for in the loader's own folders.
    ctypes.CDLL(f"{folder}/libcrypto.so.3", mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(f"{folder}/libssl.so.3")
    for name in "TLS_client_method", "SSL_CTX_new", "SSL_new":
        getattr(library, name).restype = ctypes.c_void_p
    return library


def connected(library, host, address):
    context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
    authority = os.environ["SSL_CERT_FILE"].encode()
    check(library.SSL_CTX_load_verify_locations(context, authority, None) == 1, "reading the authority")
    library.SSL_CTX_set_verify(context, SSL_VERIFY_PEER, None)
    stream = ctypes.c_void_p(library.SSL_new(context))
    library.SSL_ctrl(stream, SSL_CTRL_SET_TLSEXT_HOSTNAME, ctypes.c_long(HOST_NAME), host.encode())
    plain = socket.create_connection((address, 443))
    check(library.SSL_set_fd(stream, plain.detach()) == 1, "taking the connection")
    check(library.SSL_connect(stream) == 1, "the handshake")
    return stream


def check(is_well, what):
    if not is_well:
        raise OSError(f"{what} failed")


main()
