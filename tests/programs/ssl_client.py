"""Sends the jobs of a JSON-lines file one after another over blocking sockets, keeping connections open.

usage: ssl_client.py JOBS [IGNORED]
"""
import http.client
import json
import ssl
import sys
from urllib.parse import urlsplit


def main():
    context = ssl.create_default_context()
    connections = {}
    with open(sys.argv[1], encoding="utf-8") as jobs:
        for line in jobs:
            send(json.loads(line), context, connections)
    for connection in connections.values():
        connection.close()


def send(job, context, connections):
    url = urlsplit(job["url"])
    key = (url.scheme, url.netloc)
    if key not in connections:
        connections[key] = (
            http.client.HTTPSConnection(url.netloc, context=context)
            if url.scheme == "https"
            else http.client.HTTPConnection(url.netloc)
        )
    body = job.get("body")
    target = url.path or "/"
    if url.query:
        target += "?" + url.query
    connection = connections[key]
    connection.request(job["method"], target, body.encode() if body is not None else None, job["headers"])
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        sys.exit(f"{url.netloc} answered {answer.status}")


main()
