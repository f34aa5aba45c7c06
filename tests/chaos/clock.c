/* LD_PRELOAD this: the wall clock is ahead by as many seconds as the double in the file $CLOCK says, at any moment. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const double none = 0;
static const volatile double *ahead = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) ahead = page;
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t id, struct timespec *t) {
    int status = syscall(SYS_clock_gettime, id, t);
    if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += (time_t)*ahead;
    return status;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec exact;
    int status = clock_gettime(CLOCK_REALTIME, &exact);
    (void)zone;
    t->tv_sec = exact.tv_sec;
    t->tv_usec = exact.tv_nsec / 1000;
    return status;
}

time_t time(time_t *t) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (t) *t = exact.tv_sec;
    return exact.tv_sec;
}
