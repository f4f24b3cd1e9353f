"""The hard case for telling connections apart: many at once, to many addresses, with requests of one length that all
leave at the same moment, on sockets and TLS objects that are closed and made anew all the time.

The connections of a PLAN (JSON) are of five kinds: "blocking", a thread each with a TLS socket; "loop", all in one
event loop of another thread, over memory BIOs; "bio", a thread each that carries the bytes of its own memory BIOs;
"gnutls" and "nss", a thread each with a session of that library.
In each round every connection is made anew, to another address than before, and each number of the plan leaves once, in
a request of its own.

usage: hard_client.py PLAN
"""
import asyncio
import json
import socket
import ssl
import sys
import threading

LIMIT = 120
ANSWER_END = b"ok\n"
# Blocking threads need little of one.
threading.stack_size(256 * 1024)


class Plan:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            plan = json.load(file)
        self.recipients = plan["recipients"]
        self.kinds = plan["kinds"]
        self.rounds = plan["rounds"]
        self.requests = plan["requests"]
        self.numbers = plan["numbers"]
        threads = sum(kind != "loop" for kind in self.kinds)
        self.barrier = threading.Barrier(threads + ("loop" in self.kinds))
        self.failures = []
        self.contexts = {}
        for version in ("1.2", "1.3"):
            context = ssl.create_default_context()
            context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
            self.contexts[version] = context

    def recipient(self, connection, round_number):
        """Another address each round; neighbours never share one."""
        return self.recipients[(connection + 7 * round_number) % len(self.recipients)]

    def request(self, connection, round_number, request, host):
        """The same length whoever asks and whomever is asked."""
        place = (round_number * len(self.kinds) + connection) * self.requests + request
        number = self.numbers[place]
        return f"GET /sag?cpr={number[:6]}-{number[6:]} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()

    def failed(self, connection, error):
        self.failures.append(f"connection {connection}: {error!r}")
        self.barrier.abort()


class Carried:
    """A TLS object whose bytes this thread carries to a socket."""

    def __init__(self, context, sock, host):
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self.carry(self.tls.do_handshake)

    def carry(self, act, *arguments):
        while True:
            try:
                result = act(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                received = self.sock.recv(65536)
                if not received:
                    raise ConnectionError("the server ended the connection")
                self.incoming.write(received)

    def flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def sendall(self, data):
        self.carry(self.tls.write, data)

    def recv(self, size):
        return self.carry(self.tls.read, size)

    def close(self):
        self.sock.close()


class Called:
    """A session of a library that is called as C programs call it."""

    def __init__(self, stream):
        self.stream = stream
        self.sendall, self.close = stream.send, stream.close

    def recv(self, _size):
        received = self.stream.receive()
        if not received:
            raise ConnectionError("the server ended the connection")
        return received


def session(plan, kind, sock, to):
    if kind == "bio":
        return Carried(plan.contexts[to["version"]], sock, to["host"])
    if kind == "gnutls":
        from gnutls_stream import GnutlsStream

        sock.setblocking(True)
        return Called(GnutlsStream.client(sock, to["host"], to["version"]))
    if kind == "nss":
        from nss_stream import NssStream

        sock.setblocking(True)
        return Called(NssStream(sock, to["host"], to["version"]))
    return plan.contexts[to["version"]].wrap_socket(sock, server_hostname=to["host"])


def run_thread(plan, connection, kind):
    try:
        for round_number in range(plan.rounds):
            run_round(plan, connection, kind, round_number)
    except threading.BrokenBarrierError:
        pass
    except Exception as error:
        plan.failed(connection, error)


def run_round(plan, connection, kind, round_number):
    to = plan.recipient(connection, round_number)
    sock = socket.create_connection((to["ip"], 443), timeout=LIMIT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = session(plan, kind, sock, to)
    for request in range(plan.requests):
        data = plan.request(connection, round_number, request, to["host"])
        plan.barrier.wait(LIMIT)
        stream.sendall(data)
        answer = b""
        while not answer.endswith(ANSWER_END):
            answer += stream.recv(65536)
    stream.close()


def run_loop(plan):
    try:
        asyncio.run(all_of_loop(plan))
    except threading.BrokenBarrierError:
        pass
    except Exception as error:
        plan.failed("of the loop", error)


async def all_of_loop(plan):
    own = [connection for connection, kind in enumerate(plan.kinds) if kind == "loop"]
    for round_number in range(plan.rounds):
        ends = [plan.recipient(connection, round_number) for connection in own]
        streams = await asyncio.gather(*(opened(plan, to) for to in ends))
        for request in range(plan.requests):
            plan.barrier.wait(LIMIT)
            for connection, to, (_, writer) in zip(own, ends, streams):
                writer.write(plan.request(connection, round_number, request, to["host"]))
            await asyncio.gather(*(reader.readuntil(ANSWER_END) for reader, _ in streams))
        for _, writer in streams:
            writer.transport.abort() if round_number % 2 else writer.close()


def opened(plan, to):
    context = plan.contexts[to["version"]]
    return asyncio.open_connection(to["ip"], 443, ssl=context, server_hostname=to["host"])


def main():
    plan = Plan(sys.argv[1])
    threads = [
        threading.Thread(target=run_thread, args=(plan, connection, kind))
        for connection, kind in enumerate(plan.kinds)
        if kind != "loop"
    ]
    if "loop" in plan.kinds:
        threads.append(threading.Thread(target=run_loop, args=(plan,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit("; ".join(plan.failures[:3]) if plan.failures else 0)


main()
