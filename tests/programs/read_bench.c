/* Times SSL_read of 1 KiB by a server where nothing is to be copied and nothing to be waited for: nanoseconds each.
 * CERTIFICATE KEY COUNT. A client in a process of its own sends records of 16 KiB over loopback; the first read of a
 * record takes it from the socket and is not timed. */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { RECORD = 16384, PART = 1024 };

static void send_records(struct sockaddr_in address, long records)
{
    char record[RECORD];
    memset(record, 'x', sizeof record);
    int socket_ = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(socket_, (struct sockaddr *)&address, sizeof address) == 0, "connecting");
    SSL *stream = SSL_new(SSL_CTX_new(TLS_client_method()));
    check(SSL_set_fd(stream, socket_) == 1 && SSL_connect(stream) == 1, "the client's handshake");
    for (long at = 0; at < records; at++) {
        check(SSL_write(stream, record, RECORD) == RECORD, "writing");
    }
    /* A socket closed with tickets unread would be reset, and the server lose what it has not read. */
    shutdown(socket_, SHUT_WR);
    while (read(socket_, record, RECORD) > 0) {
    }
    exit(0);
}

int main(int count, char **arguments)
{
    check(count == 4, "usage: read_bench CERTIFICATE KEY COUNT;");
    long records = atol(arguments[3]) / (RECORD / PART - 1) / ROUNDS + 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    check(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0, "listening");
    getsockname(listener, (struct sockaddr *)&address, &length);
    if (fork() == 0) {
        send_records(address, records * ROUNDS);
    }
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    check(SSL_CTX_use_certificate_chain_file(context, arguments[1]) == 1, "reading the certificate");
    check(SSL_CTX_use_PrivateKey_file(context, arguments[2], SSL_FILETYPE_PEM) == 1, "reading the key");
    SSL *stream = SSL_new(context);
    int peer = accept(listener, NULL, NULL);
    check(SSL_set_fd(stream, peer) == 1 && SSL_accept(stream) == 1, "the handshake");
    char part[PART];
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double taken = 0;
        for (long at = 0; at < records; at++) {
            check(SSL_read(stream, part, PART) == PART, "reading");
            double begun = now();
            for (int rest = 1; rest < RECORD / PART; rest++) {
                check(SSL_read(stream, part, PART) == PART, "reading");
            }
            taken += now() - begun;
        }
        taken /= records * (RECORD / PART - 1);
        best = taken < best ? taken : best;
    }
    printf("%f\n", best);
    close(peer);
    wait(NULL);
    return 0;
}
