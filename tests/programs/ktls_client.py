"""Leaves the records of TLS to the kernel: OpenSSL does the handshake, the kernel encrypts what is sent.

A handshake on a connection that OpenSSL never sees, keys derived as RFC 5246 (6.3) and RFC 8446 (7.3) say, and then
plain send() on the socket (include/uapi/linux/tls.h). Writes each line of a file, one send() each.

usage: ktls_client.py HOST ADDRESS PORT 1.2|1.3 LINES
"""
import hmac
import socket
import ssl
import struct
import sys
import tempfile

TCP_ULP, SOL_TLS, TLS_TX, TLS_SET_RECORD_TYPE, AES_GCM_256 = 31, 282, 1, 1, 52
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
CIPHERS = {"1.2": "ECDHE-ECDSA-AES256-GCM-SHA384", "1.3": "TLS_AES_256_GCM_SHA384"}
ALERT, CLOSE_NOTIFY = 21, b"\x01\x00"


def main():
    host, address, port, version, lines = sys.argv[1:]
    stream = socket.create_connection((address, int(port)))
    stream.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    stream.setsockopt(SOL_TLS, TLS_TX, crypto_info(version, *handshake(stream, host, version)))
    with open(lines, "rb") as file:
        for line in file:
            stream.sendall(line)
    stream.sendmsg([CLOSE_NOTIFY], [(SOL_TLS, TLS_SET_RECORD_TYPE, bytes([ALERT]))])
    stream.shutdown(socket.SHUT_WR)
    while stream.recv(65536):
        pass


def handshake(stream, host, version):
    """Key and IV of what this client sends from now on."""
    with tempfile.NamedTemporaryFile() as log:
        context = ssl.create_default_context()
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.set_ciphers(CIPHERS["1.2"])
        context.keylog_filename = log.name
        cipher, received = exchange(stream, context, host)
        lines = [line.split() for line in log.read().decode().splitlines() if not line.startswith("#")]
    if cipher != CIPHERS[version]:
        raise OSError(f"the server chose {cipher}")
    secrets = {name: bytes.fromhex(secret) for name, _, secret in lines}
    if version == "1.3":
        secret = secrets["CLIENT_TRAFFIC_SECRET_0"]
        return expand_label(secret, b"key", 32), expand_label(secret, b"iv", 12)
    # Record header, handshake header and version come before the random of the ServerHello.
    randoms = received[11:43] + bytes.fromhex(lines[0][1])
    block = key_block(secrets["CLIENT_RANDOM"], randoms, 72)
    return block[:32], block[64:68]


def exchange(stream, context, host):
    """Shakes hands; the cipher, and all that the server sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=host)
    received = b""
    while True:
        try:
            session.do_handshake()
            stream.sendall(outgoing.read())
            return session.cipher()[0], received
        except ssl.SSLWantReadError:
            stream.sendall(outgoing.read())
            chunk = stream.recv(65536)
            incoming.write(chunk)
            received += chunk


def key_block(master, randoms, length):
    seed = b"key expansion" + randoms
    step, out = seed, b""
    while len(out) < length:
        step = hmac.digest(master, step, "sha384")
        out += hmac.digest(master, step + seed, "sha384")
    return out[:length]


def expand_label(secret, label, length):
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return hmac.digest(secret, info + b"\x01", "sha384")[:length]


def crypto_info(version, key, iv):
    """struct tls12_crypto_info_aes_gcm_256. In TLS 1.2 the client's Finished was record 0."""
    sequence = struct.pack("!Q", 1 if version == "1.2" else 0)
    salt, nonce = iv[:4], iv[4:] or sequence
    number = VERSIONS[version].value
    return struct.pack("=HH8s32s4s8s", number, AES_GCM_256, nonce, key, salt, sequence)


main()
