"""Sends the jobs of a JSON-lines file over asyncio streams (TLS through memory BIOs), keeping connections open.

All first connections are open before the first request goes out, so that as many run at once as asked for.

usage: asyncio_client.py JOBS CONNECTIONS
"""
import asyncio
import json
import ssl
import sys
from urllib.parse import urlsplit


async def main():
    with open(sys.argv[1], encoding="utf-8") as lines:
        jobs = [json.loads(line) for line in lines]
    count = min(int(sys.argv[2]), len(jobs))
    context = ssl.create_default_context()
    connections = [{} for _ in range(count)]
    await asyncio.gather(*(connect(jobs[i], context, connections[i]) for i in range(count)))
    await asyncio.gather(*(worker(jobs[i::count], context, connections[i]) for i in range(count)))


async def worker(jobs, context, connections):
    for job in jobs:
        reader, writer = await connect(job, context, connections)
        writer.write(encode(job))
        await writer.drain()
        await answer(reader)
    for _, writer in connections.values():
        writer.close()
        await writer.wait_closed()


async def connect(job, context, connections):
    url = urlsplit(job["url"])
    key = (url.scheme, url.netloc)
    if key not in connections:
        tls = {"ssl": context, "server_hostname": url.hostname} if url.scheme == "https" else {}
        port = url.port or (443 if tls else 80)
        connections[key] = await asyncio.open_connection(url.hostname, port, **tls)
    return connections[key]


def encode(job):
    url = urlsplit(job["url"])
    target = (url.path or "/") + ("?" + url.query if url.query else "")
    body = job.get("body", "").encode()
    lines = [f"{job['method']} {target} HTTP/1.1", f"Host: {url.netloc}"]
    lines += [f"{name}: {value}" for name, value in job["headers"].items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        sys.exit("the server did not answer 200")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    await reader.readexactly(length)


asyncio.run(main())
