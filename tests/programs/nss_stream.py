"""A connection that the real NSS encrypts, called as a C program calls it.

The environment's NSS_LIBRARY is the file to load instead of the system's. What PR_Write sends it writes to a file too: a
program's files are its own business.
"""
import ctypes
import os

SECURITY = 1
VERSIONS = {"1.2": 0x0303, "1.3": 0x0304}
SHUTDOWN_SEND = 1
SUCCESS = 0


WRITE_ONLY = 2
# PR_MAX_IOVECTOR_SIZE
BUFFERS_MAX = 16
FOR_EVER = 0xFFFFFFFF


class IoVector(ctypes.Structure):
    """PRIOVec"""

    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_int)]


class VersionRange(ctypes.Structure):
    """SSLVersionRange"""

    _fields_ = [("min", ctypes.c_uint16), ("max", ctypes.c_uint16)]


library = os.environ.get("NSS_LIBRARY", "libssl3.so")
nspr, nss, ssl = (ctypes.CDLL(name) for name in ("libnspr4.so", "libnss3.so", library))
nspr.PR_ImportTCPSocket.restype = ctypes.c_void_p
ssl.SSL_ImportFD.restype = ctypes.c_void_p
ssl.SSL_ImportFD.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
nspr.PR_Write.argtypes = nspr.PR_Read.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32]
nspr.PR_Send.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int, ctypes.c_uint32]
nspr.PR_Writev.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_uint32]
nspr.PR_Open.restype = ctypes.c_void_p
nspr.PR_Shutdown.argtypes = [ctypes.c_void_p, ctypes.c_int]
nspr.PR_Close.argtypes = [ctypes.c_void_p]
AuthenticatesCertificate = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int
)
# The lab's servers are what they say: NSS would want its own database of certificates.
trust = AuthenticatesCertificate(lambda *_: SUCCESS)


def check(result):
    if result < 0:
        raise OSError(f"NSS: error {nspr.PR_GetError()}")
    return result


def all_of(data, count):
    if check(count) != len(data):
        raise OSError(f"NSPR took {count} of {len(data)} bytes")


check(nss.NSS_NoDB_Init(None))
null_file = ctypes.c_void_p(nspr.PR_Open(b"/dev/null", WRITE_ONLY, 0))
check(ssl.NSS_SetDomesticPolicy())


class NssStream:
    """A session over a connected socket."""

    def __init__(self, stream, host, version):
        self.stream = stream
        self.socket = ctypes.c_void_p(ssl.SSL_ImportFD(None, nspr.PR_ImportTCPSocket(os.dup(stream.fileno()))))
        check(ssl.SSL_OptionSet(self.socket, SECURITY, 1))
        versions = VersionRange(VERSIONS[version], VERSIONS[version])
        check(ssl.SSL_VersionRangeSet(self.socket, ctypes.byref(versions)))
        check(ssl.SSL_SetURL(self.socket, host.encode()))
        check(ssl.SSL_AuthCertificateHook(self.socket, trust, None))
        check(ssl.SSL_ResetHandshake(self.socket, 0))
        check(ssl.SSL_ForceHandshake(self.socket))

    def send(self, data):
        for file in (null_file, self.socket):
            all_of(data, nspr.PR_Write(file, data, len(data)))

    def send_flagged(self, data):
        all_of(data, nspr.PR_Send(self.socket, data, len(data), 0, FOR_EVER))

    def send_gathered(self, data):
        size = -(-len(data) // BUFFERS_MAX)
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        buffers = (IoVector * len(pieces))(*[IoVector(piece, len(piece)) for piece in pieces])
        all_of(data, nspr.PR_Writev(self.socket, buffers, len(pieces), FOR_EVER))

    def receive(self):
        room = ctypes.create_string_buffer(65536)
        count = check(nspr.PR_Read(self.socket, room, len(room)))
        return room.raw[:count]

    def close(self):
        nspr.PR_Close(self.socket)
        self.stream.close()

    def finish(self):
        check(nspr.PR_Shutdown(self.socket, SHUTDOWN_SEND))
        room = ctypes.create_string_buffer(65536)
        while check(nspr.PR_Read(self.socket, room, len(room))) > 0:
            pass
        nspr.PR_Close(self.socket)
        # NSPR never blocks, and the copy that it was given shares that with this one.
        self.stream.setblocking(True)
        return self.stream
