/* The ways in which programs use OpenSSL that matter for telling where a write went: WAY ADDRESS PORT HOST AUTHORITY
 * VERSION. Each line of standard input is one SSL_write_ex; between the first half of them and the second it does what
 * WAY says. A connection ends when the server has ended it, so that all has arrived. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINES_MAX = 64, PAIR_BYTES = 20000 };

static const char *way, *host;
static SSL_CTX *context;
static struct sockaddr_in server;
/* Bytes of a TLS object with a pair of BIOs that one send takes: fewer than a record's header has, where those are to
 * straddle packets. */
static size_t piece;
static BIO *network;
static int descriptor;

static void check(int is_well, const char *what)
{
    if (!is_well) {
        fprintf(stderr, "%s failed\n", what);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

static int is(const char *name)
{
    return strcmp(way, name) == 0;
}

static void connected(void)
{
    int one = 1;
    descriptor = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(descriptor, (struct sockaddr *)&server, sizeof server) == 0, "connecting");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void send_out(void)
{
    static char room[PAIR_BYTES];
    int count;
    while ((count = BIO_read(network, room, piece)) > 0)
        check(send(descriptor, room, count, 0) == count, "sending");
}

/* Carries bytes until a call of the library has done what it is for. */
static int carried(SSL *session, int result)
{
    static char room[PAIR_BYTES];
    if (network)
        send_out();
    if (result > 0 || !network || SSL_get_error(session, result) != SSL_ERROR_WANT_READ)
        return 0;
    ssize_t count = recv(descriptor, room, sizeof room, 0);
    check(count > 0 && BIO_write(network, room, count) == count, "receiving");
    return 1;
}

static void handshake(SSL *session)
{
    int result;
    do
        result = SSL_do_handshake(session);
    while (carried(session, result));
    check(result == 1, "the handshake");
}

static void open_session(SSL *session)
{
    connected();
    if (piece) {
        BIO *internal;
        check(BIO_new_bio_pair(&internal, PAIR_BYTES, &network, PAIR_BYTES), "making a pair");
        SSL_set_bio(session, internal, internal);
    } else {
        check(SSL_set_fd(session, descriptor), "taking the connection");
    }
    check(SSL_set_tlsext_host_name(session, host) && SSL_set1_host(session, host), "setting the host");
    SSL_set_connect_state(session);
    handshake(session);
}

static void write_line(SSL *session, const char *line)
{
    size_t written, length = strlen(line);
    int result;
    do
        result = SSL_write_ex(session, line, length, &written);
    while (carried(session, result));
    check(result == 1 && written == length, "writing");
}

/* Says that all is written, and reads until the server has said so too. */
static void end(SSL *session)
{
    static char room[PAIR_BYTES];
    SSL_shutdown(session);
    if (network)
        send_out();
    shutdown(descriptor, SHUT_WR);
    while (recv(descriptor, room, sizeof room, 0) > 0)
        ;
    close(descriptor);
}

/* The server's tickets come with what it says next; it says nothing, so they are waited for. */
static SSL_SESSION *ticket(SSL *session)
{
    char none;
    struct timeval patience = {.tv_usec = 500000};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    SSL_read(session, &none, 0);
    SSL_peek(session, &none, 1);
    return SSL_get1_session(session);
}

/* What happens in the middle; returns the session that goes on. */
static SSL *in_the_middle(SSL *session)
{
    if (is("clear")) {
        end(session);
        check(SSL_clear(session), "clearing");
        open_session(session);
    } else if (is("resume")) {
        SSL_SESSION *kept = ticket(session);
        end(session);
        SSL_free(session);
        session = SSL_new(context);
        check(SSL_set_session(session, kept), "taking up the session");
        open_session(session);
        check(SSL_session_reused(session), "resuming");
    } else if (is("renegotiate")) {
        check(SSL_renegotiate(session), "asking to renegotiate");
        handshake(session);
    } else if (is("key_update")) {
        check(SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED), "updating the key");
        handshake(session);
    }
    return session;
}

int main(int count, char **arguments)
{
    static char lines[LINES_MAX][PAIR_BYTES];
    check(count == 7, "WAY ADDRESS PORT HOST AUTHORITY VERSION");
    way = arguments[1];
    host = arguments[4];
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[3]))};
    check(inet_pton(AF_INET, arguments[2], &server.sin_addr) == 1, "reading the address");
    piece = is("pair") || is("straddle") ? PAIR_BYTES : 0;
    int version = strcmp(arguments[6], "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION, read = 0;
    context = SSL_CTX_new(TLS_client_method());
    check(SSL_CTX_load_verify_locations(context, arguments[5], NULL), "reading the authority");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    check(SSL_CTX_set_min_proto_version(context, version), "setting the version");
    check(SSL_CTX_set_max_proto_version(context, version), "setting the version");
    if (is("padding"))
        check(SSL_CTX_set_block_padding(context, 512), "asking for padding");
    if (is("retry"))
        check(SSL_CTX_set1_groups_list(context, "X25519:P-384"), "setting the groups");
    while (read < LINES_MAX && fgets(lines[read], sizeof lines[read], stdin))
        read++;
    SSL *session = SSL_new(context);
    open_session(session);
    if (is("straddle"))
        piece = 3;
    for (int line = 0; line < read; line++) {
        if (line == read / 2)
            session = in_the_middle(session);
        write_line(session, lines[line]);
    }
    end(session);
    return 0;
}
