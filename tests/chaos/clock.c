/* A host whose clock is wrong: preloaded, it moves the time of day by CHAOS_SKEW seconds.
 *
 * Only the time of day. How long something takes (CLOCK_MONOTONIC, sleeps) stays as it is, which
 * libfaketime 0.9.10 cannot do for Python: with it, either time.sleep() fails or locks wait for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static time_t skew(void) {
    static time_t seconds;
    static int known;
    if (!known) {
        const char *value = getenv("CHAOS_SKEW");
        seconds = value ? atol(value) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += skew();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    if (!result) now->tv_sec += skew();
    return result;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}

/* Its end is a time of day, made from one that was moved. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "sem_timedwait");
    struct timespec moved = *end;
    moved.tv_sec -= skew();
    return real(semaphore, &moved);
}
