/* Sends what is on standard input by one of the ways in which a program can: WAY ADDRESS PORT. Ends with 77 where the
 * kernel does not have that way. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static char content[1 << 22];
static size_t length;
static union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} peer;
static socklen_t peer_length;

static void check(int is_well, const char *what)
{
    if (!is_well) {
        perror(what);
        exit(errno == ENOSYS || errno == EPERM || errno == EOPNOTSUPP ? 77 : 1);
    }
}

static void look_up(const char *address, const char *port)
{
    if (inet_pton(AF_INET, address, &peer.v4.sin_addr) == 1) {
        peer.v4.sin_family = AF_INET;
        peer.v4.sin_port = htons(atoi(port));
        peer_length = sizeof peer.v4;
    } else {
        check(inet_pton(AF_INET6, address, &peer.v6.sin6_addr) == 1, "the address");
        peer.v6.sin6_family = AF_INET6;
        peer.v6.sin6_port = htons(atoi(port));
        peer_length = sizeof peer.v6;
    }
}

static int opened(int type)
{
    int stream = socket(peer.any.sa_family, type, 0);
    check(stream >= 0, "socket");
    return stream;
}

static int connected(int type)
{
    int stream = opened(type);
    check(connect(stream, &peer.any, peer_length) == 0, "connect");
    return stream;
}

/* The receiver ends its direction when it has read all. */
static void finish(int stream)
{
    char byte;
    check(shutdown(stream, SHUT_WR) == 0, "shutdown");
    while (read(stream, &byte, 1) > 0)
        ;
    close(stream);
}

static void all(int stream, ssize_t (*act)(int, size_t))
{
    for (size_t at = 0; at < length;) {
        ssize_t count = act(stream, at);
        check(count > 0, "sending");
        at += count;
    }
}

static ssize_t by_write(int stream, size_t at) { return write(stream, content + at, length - at); }
static ssize_t by_send(int stream, size_t at) { return send(stream, content + at, length - at, 0); }
static ssize_t by_more(int stream, size_t at)
{
    size_t left = length - at, part = left < 100 ? left : 100;
    return send(stream, content + at, part, part < left ? MSG_MORE : 0);
}
static ssize_t by_zerocopy(int stream, size_t at)
{
    return send(stream, content + at, length - at, MSG_ZEROCOPY);
}

static struct iovec *thirds(size_t at)
{
    static struct iovec parts[3];
    size_t left = length - at, third = left / 3;
    for (int i = 0; i < 3; i++)
        parts[i] = (struct iovec){content + at + i * third, i < 2 ? third : left - 2 * third};
    return parts;
}
static ssize_t by_writev(int stream, size_t at) { return writev(stream, thirds(at), 3); }
static ssize_t by_sendmsg(int stream, size_t at)
{
    struct msghdr message = {.msg_iov = thirds(at), .msg_iovlen = 3};
    return sendmsg(stream, &message, 0);
}
static ssize_t by_sendmmsg(int stream, size_t at)
{
    struct iovec *parts = thirds(at);
    struct mmsghdr messages[3] = {0};
    for (int i = 0; i < 3; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
    int count = sendmmsg(stream, messages, 3, 0);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        sum += messages[i].msg_len;
        /* What a message left over begins the next call. */
        if (messages[i].msg_len < parts[i].iov_len)
            break;
    }
    return count > 0 ? sum : count;
}

static int file_of_content(void)
{
    int file = memfd_create("content", 0);
    check(file >= 0 && write(file, content, length) == (ssize_t)length, "the file");
    return file;
}
static ssize_t by_sendfile(int stream, size_t at)
{
    static int file;
    off_t offset = at;
    file = file ? file : file_of_content();
    return sendfile(stream, file, &offset, length - at);
}
static ssize_t through_pipe(int stream, size_t at, ssize_t (*fill)(int, size_t, size_t))
{
    int ends[2];
    check(pipe(ends) == 0, "pipe");
    ssize_t held = fill(ends[1], at, length - at), sum = 0;
    check(held > 0, "filling a pipe");
    while (sum < held) {
        ssize_t count = splice(ends[0], NULL, stream, NULL, held - sum, SPLICE_F_MOVE);
        check(count > 0, "splice");
        sum += count;
    }
    close(ends[0]);
    close(ends[1]);
    return sum;
}
static ssize_t from_file(int pipe, size_t at, size_t left)
{
    static int file;
    off_t offset = at;
    file = file ? file : file_of_content();
    return splice(file, &offset, pipe, NULL, left < 65536 ? left : 65536, 0);
}
static ssize_t from_memory(int pipe, size_t at, size_t left)
{
    struct iovec part = {content + at, left < 65536 ? left : 65536};
    return vmsplice(pipe, &part, 1, 0);
}
static ssize_t by_splice(int stream, size_t at) { return through_pipe(stream, at, from_file); }
static ssize_t by_vmsplice(int stream, size_t at) { return through_pipe(stream, at, from_memory); }

/* io_uring without a library: one request at a time. */
static struct {
    int descriptor;
    unsigned flags;
    unsigned *head, *tail, *mask, *array, *said, *got, *done, *done_mask;
    struct io_uring_sqe *requests;
    struct io_uring_cqe *results;
} ring;

static void *mapped(size_t size, off_t which)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.descriptor, which);
    check(memory != MAP_FAILED, "mapping a ring");
    return memory;
}
static void open_ring(unsigned flags)
{
    struct io_uring_params told = {.flags = flags, .sq_thread_idle = 1000};
    ring.descriptor = syscall(SYS_io_uring_setup, 4, &told);
    check(ring.descriptor >= 0, "io_uring_setup");
    ring.flags = flags;
    char *asked = mapped(told.sq_off.array + told.sq_entries * 4, IORING_OFF_SQ_RING);
    char *answered = mapped(told.cq_off.cqes + told.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.requests = mapped(told.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring.tail = (unsigned *)(asked + told.sq_off.tail);
    ring.mask = (unsigned *)(asked + told.sq_off.ring_mask);
    ring.said = (unsigned *)(asked + told.sq_off.flags);
    ring.array = (unsigned *)(asked + told.sq_off.array);
    ring.got = (unsigned *)(answered + told.cq_off.head);
    ring.done = (unsigned *)(answered + told.cq_off.tail);
    ring.done_mask = (unsigned *)(answered + told.cq_off.ring_mask);
    ring.results = (struct io_uring_cqe *)(answered + told.cq_off.cqes);
    struct iovec memory = {content, sizeof content};
    check(syscall(SYS_io_uring_register, ring.descriptor, IORING_REGISTER_BUFFERS, &memory, 1) == 0, "registering");
}
struct result {
    int count;
    unsigned flags;
};
static struct result answer(void)
{
    while (*(volatile unsigned *)ring.got == __atomic_load_n(ring.done, __ATOMIC_ACQUIRE))
        usleep(100);
    struct io_uring_cqe *told = ring.results + (*ring.got & *ring.done_mask);
    struct result result = {told->res, told->flags};
    __atomic_store_n(ring.got, *ring.got + 1, __ATOMIC_RELEASE);
    return result;
}
static ssize_t asked(struct io_uring_sqe request)
{
    unsigned place = *ring.tail & *ring.mask;
    ring.requests[place] = request;
    ring.array[place] = place;
    __atomic_store_n(ring.tail, *ring.tail + 1, __ATOMIC_SEQ_CST);
    if (!(ring.flags & IORING_SETUP_SQPOLL))
        check(syscall(SYS_io_uring_enter, ring.descriptor, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1, "entering");
    else if (__atomic_load_n(ring.said, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP)
        syscall(SYS_io_uring_enter, ring.descriptor, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
    struct result result = answer();
    /* A send without a copy tells once more when the pages are free. */
    if (result.flags & IORING_CQE_F_MORE)
        answer();
    errno = result.count < 0 ? -result.count : 0;
    if (errno == EINVAL)
        errno = EOPNOTSUPP;
    return result.count;
}
static ssize_t by_uring(int stream, size_t at)
{
    return asked((struct io_uring_sqe){
        .opcode = IORING_OP_SEND, .fd = stream, .addr = (uintptr_t)(content + at), .len = length - at});
}
static ssize_t by_uring_fixed(int stream, size_t at)
{
    return asked((struct io_uring_sqe){
        .opcode = IORING_OP_WRITE_FIXED, .fd = stream, .addr = (uintptr_t)(content + at), .len = length - at});
}
static ssize_t by_uring_zerocopy(int stream, size_t at)
{
    enum { SEND_ZC = 47, FIXED_BUFFER = 1 << 2 }; /* Linux 6.0 */
    return asked((struct io_uring_sqe){
        .opcode = SEND_ZC, .fd = stream, .addr = (uintptr_t)(content + at), .len = length - at, .ioprio = FIXED_BUFFER});
}

static void by_fast_open(void)
{
    int stream = opened(SOCK_STREAM);
    ssize_t count = sendto(stream, content, length, MSG_FASTOPEN, &peer.any, peer_length);
    check(count > 0, "fast open");
    memmove(content, content + count, length -= count);
    all(stream, by_send);
    finish(stream);
}

/* The first connection gets a cookie, the second sends with its first packet. */
static void by_fast_open_twice(void)
{
    int first = opened(SOCK_STREAM);
    check(sendto(first, "først\n", 7, MSG_FASTOPEN, &peer.any, peer_length) == 7, "fast open");
    finish(first);
    by_fast_open();
}

static void in_child(int stream)
{
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        all(stream, by_write);
        _exit(0);
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the child");
}

/* A process that did not connect gets the connection through a socket. */
static void in_other(int stream)
{
    int ends[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec byte = {"x", 1};
    struct msghdr message = {
        .msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child == 0) {
        char got;
        byte.iov_base = &got;
        close(stream);
        check(recvmsg(ends[1], &message, 0) == 1, "getting the connection");
        int passed;
        memcpy(&passed, CMSG_DATA(&control.head), sizeof passed);
        all(passed, by_write);
        _exit(0);
    }
    control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &stream, sizeof stream);
    check(sendmsg(ends[0], &message, 0) == 1, "passing the connection on");
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "the other process");
}

static void segmented(void)
{
    int datagrams = connected(SOCK_DGRAM), size = 1200;
    check(setsockopt(datagrams, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size) == 0, "UDP_SEGMENT");
    check(send(datagrams, content, length, 0) == (ssize_t)length, "sending segments");
}

/* Options for all hops and for the destination, in front of each packet. */
static void with_extension_headers(int type)
{
    int stream = opened(type);
    unsigned char options[8] = {0, 0, 1, 4};
    check(setsockopt(stream, IPPROTO_IPV6, 54 /* IPV6_HOPOPTS */, options, sizeof options) == 0, "hop options");
    check(setsockopt(stream, IPPROTO_IPV6, 59 /* IPV6_DSTOPTS */, options, sizeof options) == 0, "options");
    check(connect(stream, &peer.any, peer_length) == 0, "connect");
    if (type == SOCK_STREAM) {
        all(stream, by_write);
        finish(stream);
    } else {
        check(send(stream, content, length, 0) == (ssize_t)length, "sending");
    }
}

static void mapped_address(void)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = peer.v4.sin_port};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
    memcpy(mapped.sin6_addr.s6_addr + 12, &peer.v4.sin_addr, 4);
    peer.v6 = mapped;
    peer_length = sizeof mapped;
    int stream = connected(SOCK_STREAM);
    all(stream, by_write);
    finish(stream);
}

int main(int count, char **arguments)
{
    check(count == 4, "WAY ADDRESS PORT");
    const char *way = arguments[1];
    look_up(arguments[2], arguments[3]);
    int is = 0;
    /* Connected before there is anything to send: a test may start the agent meanwhile. */
    int stream = strncmp(way, "udp", 3) == 0 || strncmp(way, "fastopen", 8) == 0 || strcmp(way, "mapped") == 0 ||
                         strcmp(way, "extended") == 0
                     ? -1
                     : connected(SOCK_STREAM);
    for (ssize_t got; (got = read(0, content + length, sizeof content - length)) > 0;)
        length += got;
    const struct {
        const char *name;
        ssize_t (*act)(int, size_t);
        int uring, flags;
    } streams[] = {
        {"write", by_write}, {"writev", by_writev}, {"send", by_send}, {"sendmsg", by_sendmsg},
        {"sendmmsg", by_sendmmsg}, {"sendfile", by_sendfile}, {"splice", by_splice}, {"vmsplice", by_vmsplice},
        {"more", by_more}, {"zerocopy", by_zerocopy}, {"uring", by_uring, 1}, {"uring-fixed", by_uring_fixed, 1},
        {"uring-sqpoll", by_uring, 1, IORING_SETUP_SQPOLL}, {"uring-zerocopy", by_uring_zerocopy, 1},
    };
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        if (strcmp(way, streams[i].name))
            continue;
        if (streams[i].uring)
            open_ring(streams[i].flags);
        if (streams[i].act == by_zerocopy) {
            int on = 1;
            check(setsockopt(stream, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on) == 0, "SO_ZEROCOPY");
        }
        all(stream, streams[i].act);
        finish(stream);
        return 0;
    }
    if ((is = !strcmp(way, "corked"))) {
        int on = 1;
        check(setsockopt(stream, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0, "TCP_CORK");
        all(stream, by_more);
        finish(stream);
    } else if ((is = !strcmp(way, "inherited"))) {
        in_child(stream);
        finish(stream);
    } else if ((is = !strcmp(way, "passed"))) {
        in_other(stream);
        finish(stream);
    } else if ((is = !strcmp(way, "fastopen"))) {
        by_fast_open_twice();
    } else if ((is = !strcmp(way, "mapped"))) {
        mapped_address();
    } else if ((is = !strcmp(way, "extended"))) {
        with_extension_headers(SOCK_STREAM);
    } else if ((is = !strcmp(way, "udp-sendto"))) {
        int datagrams = opened(SOCK_DGRAM);
        check(sendto(datagrams, content, length, 0, &peer.any, peer_length) == (ssize_t)length, "sendto");
    } else if ((is = !strcmp(way, "udp-connected"))) {
        check(send(connected(SOCK_DGRAM), content, length, 0) == (ssize_t)length, "send");
    } else if ((is = !strcmp(way, "udp-sendmmsg"))) {
        all(connected(SOCK_DGRAM), by_sendmmsg);
    } else if ((is = !strcmp(way, "udp-segmented"))) {
        segmented();
    } else if ((is = !strcmp(way, "udp-extended"))) {
        with_extension_headers(SOCK_DGRAM);
    }
    errno = EINVAL;
    check(is, way);
    return 0;
}
