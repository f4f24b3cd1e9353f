"""Writes on each connection of a JSON-lines file exactly the calls it lists: one send or SSL_write_ex each, or
what gnutls_stream.py or nss_stream.py make of them.

All connections are open before the first write; then each has a thread of its own.

usage: writes_client.py CONNECTIONS
"""
import json
import mmap
import socket
import ssl
import sys
import tempfile
import threading
import time

FILLER = b"Borgeren har skrevet et brev, og vi svarer snart.\n"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
failures = []


def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        jobs = [json.loads(line) for line in lines]
    connected = threading.Barrier(len(jobs))
    threads = [threading.Thread(target=run, args=(job, connected)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit("; ".join(failures) if failures else 0)


def run(job, connected):
    try:
        stream = connect(job)
    except Exception as error:
        connected.abort()
        failures.append(f"connect {job['to']}: {error!r}")
        return
    try:
        connected.wait()
        for call in job["writes"]:
            time.sleep(call["pause"])
            write(stream, payload(call)) if job["library"] == "openssl" else getattr(stream, call["by"])(payload(call))
        finish(stream)
    except Exception as error:
        failures.append(f"{job['to']}: {error!r}")


def connect(job):
    host, _, port = job["to"].rpartition(":")
    stream = socket.create_connection((host.strip("[]"), int(port)))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if "tls_host" not in job:
        return stream
    if job["library"] == "gnutls":
        from gnutls_stream import GnutlsStream

        return GnutlsStream.client(stream, job["tls_host"], job["tls_version"])
    if job["library"] == "nss":
        from nss_stream import NssStream

        return NssStream(stream, job["tls_host"], job["tls_version"])
    context = ssl.create_default_context()
    if "tls_version" in job:
        context.minimum_version = context.maximum_version = VERSIONS[job["tls_version"]]
    if "ciphers" in job:
        context.set_ciphers(job["ciphers"])
    return context.wrap_socket(stream, server_hostname=job["tls_host"])


def payload(call):
    fill = call["fill"]
    data = (FILLER * (fill // len(FILLER) + 1))[:fill] + call["text"].encode()
    return mapped(data) if call["mapped"] else data


def mapped(data):
    """The same bytes in a file that was just mapped: none of its pages is resident in this process."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return mmap.mmap(file.fileno(), len(data), access=mmap.ACCESS_READ)


def write(stream, data):
    """One call; what a plain socket does not take at once follows in further ones."""
    if isinstance(stream, ssl.SSLSocket):
        count = stream.send(data)
        if count != len(data):
            raise OSError(f"SSL_write took {count} of {len(data)} bytes")
    else:
        stream.sendall(data)


def finish(stream):
    """Ends our direction and waits for the peer's end: then all has been read."""
    try:
        if isinstance(stream, ssl.SSLSocket):
            stream = stream.unwrap()
        elif not isinstance(stream, socket.socket):
            stream = stream.finish()
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass
    except (ssl.SSLError, ConnectionError, OSError) as error:
        if "errno" in dir(error) and error.errno == 107:  # the peer was faster
            return
        raise
    finally:
        stream.close()


main()
