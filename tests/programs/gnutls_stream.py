"""A connection that the real libgnutls encrypts, called as a C program calls it."""
import ctypes
import os

SERVER = 1
CLIENT = 2
CERTIFICATE = 1
PEM = 1
NAME_DNS = 1
SHUT_WR = 1
E_AGAIN = -28
E_INTERRUPTED = -52
PRIORITIES = {
    "1.2": b"NORMAL:-VERS-ALL:+VERS-TLS1.2",
    "1.3": b"NORMAL:-VERS-ALL:+VERS-TLS1.3",
}


class Range(ctypes.Structure):
    """gnutls_range_st"""

    _fields_ = [("low", ctypes.c_size_t), ("high", ctypes.c_size_t)]


library = ctypes.CDLL("libgnutls.so.30")
library.gnutls_strerror.restype = ctypes.c_char_p
for sends in (library.gnutls_record_send, library.gnutls_record_send_range, library.gnutls_record_recv):
    sends.restype = ctypes.c_ssize_t
library.gnutls_deinit.argtypes = [ctypes.c_void_p]
library.gnutls_certificate_free_credentials.argtypes = [ctypes.c_void_p]
library.gnutls_record_send.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
library.gnutls_record_send_range.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
library.gnutls_record_recv.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


def check(result):
    if result < 0:
        raise OSError(f"gnutls: {library.gnutls_strerror(result).decode()} ({result})")
    return result


def waits(result):
    return result in (E_AGAIN, E_INTERRUPTED)


class GnutlsStream:
    """A session over a connected socket."""

    @classmethod
    def client(cls, stream, host, version):
        self = cls(stream, CLIENT, PRIORITIES[version])
        trusted = os.environ["SSL_CERT_FILE"].encode()
        check(library.gnutls_certificate_set_x509_trust_file(self.credentials, trusted, PEM))
        name = host.encode()
        check(library.gnutls_server_name_set(self.session, NAME_DNS, name, len(name)))
        library.gnutls_session_set_verify_cert(self.session, name, 0)
        return self.shake_hands()

    @classmethod
    def server(cls, stream, certificate, key):
        self = cls(stream, SERVER, b"NORMAL")
        check(
            library.gnutls_certificate_set_x509_key_file(self.credentials, certificate.encode(), key.encode(), PEM)
        )
        return self.shake_hands()

    def __init__(self, stream, end, priorities):
        self.stream = stream
        self.session = ctypes.c_void_p()
        self.credentials = ctypes.c_void_p()
        check(library.gnutls_init(ctypes.byref(self.session), end))
        check(library.gnutls_priority_set_direct(self.session, priorities, None))
        check(library.gnutls_certificate_allocate_credentials(ctypes.byref(self.credentials)))
        check(library.gnutls_credentials_set(self.session, CERTIFICATE, self.credentials))
        library.gnutls_transport_set_int2(self.session, stream.fileno(), stream.fileno())

    def shake_hands(self):
        result = E_AGAIN
        while waits(result):
            result = library.gnutls_handshake(self.session)
        check(result)
        return self

    def receive(self):
        room = ctypes.create_string_buffer(65536)
        result = E_AGAIN
        # A record that is no data, such as a ticket, ends a call as well.
        while waits(result):
            result = library.gnutls_record_recv(self.session, room, len(room))
        return room.raw[: check(result)]

    def send(self, data):
        """As programs send: all that is left at each call, which takes one record of it."""
        buffer = ctypes.create_string_buffer(data, len(data))
        sent = 0
        while sent < len(data):
            at = ctypes.byref(buffer, sent)
            result = library.gnutls_record_send(self.session, at, len(data) - sent)
            if not waits(result):
                sent += check(result)

    def send_range(self, data):
        """One call, which may add padding: here it is asked to add none."""
        exact = Range(len(data), len(data))
        result = E_AGAIN
        while waits(result):
            result = library.gnutls_record_send_range(self.session, data, len(data), ctypes.byref(exact))
        if check(result) != len(data):
            raise OSError(f"gnutls_record_send_range took {result} of {len(data)} bytes")

    def send_corked(self, data):
        """In pieces, which leave together."""
        library.gnutls_record_cork(self.session)
        for at in range(0, len(data), 100):
            self.send(data[at : at + 100])
        check(library.gnutls_record_uncork(self.session, 1))

    def close(self):
        library.gnutls_deinit(self.session)
        library.gnutls_certificate_free_credentials(self.credentials)
        self.stream.close()

    def finish(self):
        check(library.gnutls_bye(self.session, SHUT_WR))
        room = ctypes.create_string_buffer(65536)
        result = 1
        while result > 0 or waits(result):
            result = library.gnutls_record_recv(self.session, room, len(room))
        library.gnutls_deinit(self.session)
        return self.stream
