/* One request over TLS by a program that has OpenSSL, or a library with its names, linked in: HOST PORT AUTHORITY VERSION,
 * the request on standard input. It reads that first: until then it does nothing, as a program that runs for long. */
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(int is_well, const char *what)
{
    if (!is_well) {
        fprintf(stderr, "%s failed\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static int connected(const char *host, const char *port)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    check(getaddrinfo(host, port, &wanted, &found) == 0, "looking the host up");
    int descriptor = socket(found->ai_family, found->ai_socktype, 0);
    check(descriptor >= 0 && connect(descriptor, found->ai_addr, found->ai_addrlen) == 0, "connecting");
    freeaddrinfo(found);
    return descriptor;
}

#ifndef TLS1_3_VERSION
/* LibreSSL of 2015 has TLS 1.2 at most, and does not check names. */
static SSL *session(const char *host, const char *authority, const char *version)
{
    check(strcmp(version, "1.2") == 0, "setting the version");
    SSL_library_init();
    SSL_CTX *context = SSL_CTX_new(TLSv1_2_client_method());
    check(SSL_CTX_load_verify_locations(context, authority, NULL), "reading the authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL *session = SSL_new(context);
    check(SSL_set_tlsext_host_name(session, host), "setting the host");
    return session;
}

static int sent(SSL *stream, const char *request, size_t length)
{
    return SSL_write(stream, request, length) == (int)length;
}
#else
static SSL *session(const char *host, const char *authority, const char *version)
{
    int wanted = strcmp(version, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    check(SSL_CTX_load_verify_locations(context, authority, NULL), "reading the authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    check(SSL_CTX_set_min_proto_version(context, wanted), "setting the version");
    check(SSL_CTX_set_max_proto_version(context, wanted), "setting the version");
    SSL *session = SSL_new(context);
    check(SSL_set1_host(session, host) && SSL_set_tlsext_host_name(session, host), "setting the host");
    return session;
}

static int sent(SSL *stream, const char *request, size_t length)
{
    size_t written;
    return SSL_write_ex(stream, request, length, &written) == 1 && written == length;
}
#endif

int main(int count, char **arguments)
{
    static char request[65536], answer[65536];
    check(count == 5, "HOST PORT AUTHORITY VERSION");
    size_t length = fread(request, 1, sizeof request, stdin);
    if (length == 0)
        return 0;
    SSL *stream = session(arguments[1], arguments[3], arguments[4]);
    check(SSL_set_fd(stream, connected(arguments[1], arguments[2])), "taking the connection");
    check(SSL_connect(stream) == 1, "the handshake");
    check(sent(stream, request, length), "writing");
    check(SSL_read(stream, answer, sizeof answer) > 0, "reading");
    check(strncmp(answer, "HTTP/1.1 200", 12) == 0, "the request");
    SSL_shutdown(stream);
    return 0;
}
