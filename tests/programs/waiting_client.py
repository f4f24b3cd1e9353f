"""Writes from a page that is not there yet, and meanwhile writes to another host on the same processor.

The page is delivered by this program itself (userfaultfd(2)) once the other write is done. Both threads run on one
processor, so whatever is kept per processor during the first write is used by the second one too.

usage: waiting_client.py HOST ADDRESS PORT LINE  HOST ADDRESS PORT LINE
The first line is written from the page that comes late, the second one meanwhile.
"""
import ctypes
import fcntl
import mmap
import os
import socket
import ssl
import struct
import sys
import threading

SYS_USERFAULTFD = 323
# linux/userfaultfd.h
API, REGISTER_MISSING, EVENT_PAGEFAULT = 0xAA, 1, 0x12
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
TIMES = 20


def main():
    late, meanwhile = sys.argv[1:5], sys.argv[5:9]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    late_stream, other_stream = connect(*late[:3]), connect(*meanwhile[:3])
    page = mmap.mmap(-1, mmap.PAGESIZE)
    faults = watch(page)
    line = late[3].encode()
    writer = threading.Thread(target=lambda: late_stream.write(memoryview(page)[:len(line)]))
    writer.start()
    at = await_fault(faults)
    for _ in range(TIMES):
        other_stream.write(b"Her er intet nummer, men lige saa mange ord.\n")
    other_stream.write(meanwhile[3].encode())
    deliver(faults, at, line)
    writer.join()
    for stream in (late_stream, other_stream):
        stream.unwrap().close()


def connect(host, address, port):
    stream = socket.create_connection((address, int(port)))
    return ssl.create_default_context().wrap_socket(stream, server_hostname=host)


def watch(page):
    """A descriptor that tells of the first use of the page, which waits until the page is delivered."""
    libc = ctypes.CDLL(None, use_errno=True)
    faults = libc.syscall(SYS_USERFAULTFD, os.O_CLOEXEC)
    if faults < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    fcntl.ioctl(faults, UFFDIO_API, struct.pack("QQQ", API, 0, 0))
    start = ctypes.addressof(ctypes.c_char.from_buffer(page))
    fcntl.ioctl(faults, UFFDIO_REGISTER, struct.pack("QQQQ", start, mmap.PAGESIZE, REGISTER_MISSING, 0))
    return faults


def await_fault(faults):
    message = os.read(faults, 32)
    assert message[0] == EVENT_PAGEFAULT, message
    return struct.unpack_from("Q", message, 16)[0] & ~(mmap.PAGESIZE - 1)


def deliver(faults, at, content):
    source = ctypes.create_string_buffer(content, mmap.PAGESIZE)
    fcntl.ioctl(faults, UFFDIO_COPY, struct.pack("QQQQq", at, ctypes.addressof(source), mmap.PAGESIZE, 0, 0))


if __name__ == "__main__":
    main()
