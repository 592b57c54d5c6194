/* What holds a process up from outside, or sets its clock: put before the C library (LD_PRELOAD).
 *
 * The file that SOAK_SLOW names holds three numbers of 64 bits, changed while the process runs:
 *   0  milliseconds that the wall clock is off
 *   1  milliseconds that each flush of a file takes
 *   2  whether look-ups of names get no answer: they wait until this is 0
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t none[3];
static volatile int64_t *wanted = none;

__attribute__((constructor)) static void attach(void) {
  const char *path = getenv("SOAK_SLOW");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
  if (page != MAP_FAILED) wanted = page;
  close(file);
}

static void rest(int64_t ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

int clock_gettime(clockid_t which, struct timespec *out) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(which, out);
  if (code == 0 && which == CLOCK_REALTIME) {
    int64_t ms = wanted[0];
    out->tv_sec += ms / 1000;
    out->tv_nsec += ms % 1000 * 1000000;
    if (out->tv_nsec < 0) { out->tv_sec--; out->tv_nsec += 1000000000; }
    if (out->tv_nsec >= 1000000000) { out->tv_sec++; out->tv_nsec -= 1000000000; }
  }
  return code;
}

int fdatasync(int file) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  rest(wanted[1]);
  return real(file);
}

int fsync(int file) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  rest(wanted[1]);
  return real(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (!real) real = dlsym(RTLD_NEXT, "getaddrinfo");
  while (wanted[2]) rest(20);
  return real(node, service, hints, out);
}
