/* Times SSL_write of 1 KiB where there is nothing to copy and nothing to send: nanoseconds each. HOST PORT AUTHORITY
 * COUNT. The session is a real one, so that an agent knows its destination; what is written goes nowhere. */
#include <netdb.h>
#include <openssl/ssl.h>
#include <string.h>

#include "bench.h"

static int connected(const char *host, const char *port)
{
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM}, *found;
    check(getaddrinfo(host, port, &wanted, &found) == 0, "looking the host up");
    int descriptor = socket(found->ai_family, found->ai_socktype, 0);
    check(descriptor >= 0 && connect(descriptor, found->ai_addr, found->ai_addrlen) == 0, "connecting");
    return descriptor;
}

int main(int count, char **arguments)
{
    static char body[1024];
    check(count == 5, "HOST PORT AUTHORITY COUNT");
    long writes = atol(arguments[4]);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    check(SSL_CTX_load_verify_file(context, arguments[3]), "reading the authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL *stream = SSL_new(context);
    check(SSL_set1_host(stream, arguments[1]) && SSL_set_tlsext_host_name(stream, arguments[1]), "setting the host");
    check(SSL_set_fd(stream, connected(arguments[1], arguments[2])), "taking the connection");
    check(SSL_connect(stream) == 1, "the handshake");
    SSL_set0_wbio(stream, BIO_new(BIO_s_null()));
    memset(body, 'x', sizeof body);
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (long at = 0; at < writes / ROUNDS; at++)
            check(SSL_write(stream, body, sizeof body) == sizeof body, "writing");
        double took = (now() - start) / (writes / ROUNDS);
        best = took < best ? took : best;
    }
    printf("%f\n", best);
    return 0;
}
