"""Takes mail from one SMTP client over STARTTLS, and ends with it; refuses mail in clear.

Says so when it listens.

usage: smtp_server.py ADDRESS CERTIFICATE KEY TLS_VERSION
"""
import socket
import ssl
import sys


def answer(stream, text):
    stream.sendall(text.encode() + b"\r\n")


def line(stream):
    """Byte by byte: nothing of what follows is read before TLS has begun."""
    data = b""
    while not data.endswith(b"\r\n"):
        more = stream.recv(1)
        if not more:
            raise EOFError
        data += more
    return data.decode().rstrip("\r\n")


def take_mail(stream):
    while line(stream) != ".":
        pass
    answer(stream, "250 taken")


def start_tls(stream, context):
    answer(stream, "220 server")
    line(stream)
    answer(stream, "250-server\r\n250 STARTTLS")
    if line(stream) != "STARTTLS":
        sys.exit("the client asked for no TLS")
    answer(stream, "220 begin")
    return context.wrap_socket(stream, server_side=True)


def converse(stream):
    taken = 0
    while True:
        command = line(stream).split(" ")[0].split(":")[0].upper()
        if command == "DATA":
            answer(stream, "354 go on")
            take_mail(stream)
            taken += 1
        elif command == "QUIT":
            answer(stream, "221 bye")
            return taken
        else:
            answer(stream, "250 server")


def main():
    address, certificate, key, version = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.minimum_version = context.maximum_version = ssl.TLSVersion["TLSv" + version.replace(".", "_")]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 25), family=family) as listener:
        print("listening", flush=True)
        stream, _ = listener.accept()
    with start_tls(stream, context) as stream:
        if converse(stream) != 1:
            sys.exit("it was one mail")
        # What the client still says of its end.
        while stream.recv(1024):
            pass


main()
