/* What the programs share that time one function of a TLS library. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Rounds of which the fastest counts: what disturbs a shared machine only ever adds. */
enum { ROUNDS = 10 };

static void check(int is_well, const char *what)
{
    if (!is_well) {
        fprintf(stderr, "%s failed\n", what);
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}
