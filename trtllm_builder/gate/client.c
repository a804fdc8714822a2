/* Stands before a compiler: waits until the build's broker lets it start, watches it, and gives back how it ended.
 *
 *     client COMMAND [ARGUMENT...]
 *
 * Everything else is found beside the program itself: ``broker``, a socket of whole messages, and files to lock when
 * nobody answers there: ``slot.0``, ``slot.1`` and so on, one for each that may then run. Without these nothing is
 * asked at all. The connection, or the lock, is the token: the compiler and its children inherit it, so it is given
 * back when the last of them is gone, however they ended. In their environment they have our process number, by which
 * the broker finds and ends them should we be killed. Who has a connection takes a lock too if one is free, else shares
 * that of ``beyond``: when the broker dies, those that run are still counted. One byte comes from the broker: ``g`` go,
 * ``w`` wait on, ``e`` end without having run, ``k`` keep that result, ``r`` run once more after the next ``g``. One
 * line goes to it when the compiler ends: exit status or minus the signal, most memory of one process in KiB, and
 * whether it looks killed. What a compiler writes to stderr is held back, so that nobody sees, or stores, an attempt
 * that is made again. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UNANSWERED 60000 /* ms; the broker speaks far more often to those who wait */
#define GUARD "TRTLLM_BUILDER_GATE"

static volatile sig_atomic_t child, told;

static void pass_on(int number) {
  told = 1;
  if (child > 0) {
    kill(child, number);
  } else {
    signal(number, SIG_DFL);
    raise(number);
  }
}

static int start(char **argv) {
  execvp(argv[0], argv);
  fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
  return 127;
}

/* A path of a socket is at most 108 bytes long, one of a directory is not. */
static int reach_broker(int directory) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int broker = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/broker", directory);
  if (broker < 0 || connect(broker, (struct sockaddr *)&address, sizeof address) == 0) return broker;
  close(broker);
  return -1;
}

/* The broker's next word but ``w``; 0 when there is no broker any more. */
static char listen_to(int broker) {
  struct pollfd ready = {.fd = broker, .events = POLLIN};
  char word = 'w';
  while (word == 'w') {
    int found = poll(&ready, 1, UNANSWERED);
    if (found < 0 && errno == EINTR) continue;
    if (found <= 0 || recv(broker, &word, 1, 0) != 1) return 0;
  }
  return word;
}

static int open_slot(int directory, int number) {
  char name[32];
  snprintf(name, sizeof name, "slot.%d", number);
  return openat(directory, name, O_RDONLY);
}

/* Whether there was a slot to be had. */
static int take_free_slot(int directory) {
  for (int slot, number = 0; (slot = open_slot(directory, number)) >= 0; number++) {
    /* Some network file systems know no locks: waiting for one there would be for ever. */
    if (flock(slot, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return 1;
    close(slot);
  }
  return 0;
}

/* Whom the broker lets in counts for those who find none later: in a slot, or else as one beyond them. */
static void count_in(int directory) {
  if (!take_free_slot(directory)) flock(openat(directory, "beyond", O_RDONLY), LOCK_SH);
}

/* Without a broker as many run as there are slots, when nobody runs beyond them any more; the file ``lost`` tells the
 * build that it has come to that. */
static void take_slot(int directory) {
  struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
  close(openat(directory, "lost", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  for (;; nanosleep(&pause, NULL)) {
    int beyond = openat(directory, "beyond", O_RDONLY | O_CLOEXEC);
    int taken = (flock(beyond, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && take_free_slot(directory);
    close(beyond);
    if (taken) return;
  }
}

static char *held;
static size_t length;

/* Runs the command with its stderr held back; how it ended, and what it took, as wait4 tells. */
static int attempt(char **argv, struct rusage *usage) {
  int ends[2], status = 0;
  size_t room = 0;
  length = 0;
  if (pipe2(ends, O_CLOEXEC) < 0) ends[0] = ends[1] = -1;
  child = fork();
  if (child == 0) {
    if (ends[1] >= 0) dup2(ends[1], 2);
    _exit(start(argv));
  }
  close(ends[1]);
  while (child > 0 && ends[0] >= 0) {
    if (length == room) {
      char *more = realloc(held, room = room ? 2 * room : 65536);
      if (!more) break;
      held = more;
    }
    ssize_t count = read(ends[0], held + length, room - length);
    if (count > 0) length += count;
    else if (count == 0 || errno != EINTR) break;
  }
  close(ends[0]);
  if (child < 0) return 127 << 8;
  while (wait4(child, &status, 0, usage) < 0 && errno == EINTR) continue;
  child = 0;
  return status;
}

/* A driver says with 137, or in words, that a child of its own got signal 9. A crash is none of that. */
static int looks_killed(int status) {
  if (told) return 0;
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGKILL;
  int code = WEXITSTATUS(status);
  return code == 137 || (code && code < 128 && length && memmem(held, length, "Killed", 6));
}

int main(int argc, char **argv) {
  static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
  char place[4096], word = 0, line[64], number[16];
  if (argc < 2) return 2;
  ssize_t size = readlink("/proc/self/exe", place, sizeof place - 1);
  place[size < 0 ? 0 : size] = 0;
  char *end = strrchr(place, '/');
  if (end) *end = 0;
  int directory = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
  int slot = directory < 0 ? -1 : open_slot(directory, 0);
  /* What a compiler starts belongs to it: were it to wait for the room its parent has, both would wait for ever. */
  if (slot < 0 || getenv(GUARD)) return start(argv + 1);
  close(slot);
  snprintf(number, sizeof number, "%d", (int)getpid());
  setenv(GUARD, number, 1);

  int broker = reach_broker(directory);
  if (broker >= 0) word = listen_to(broker);
  if (word == 'e') {
    fputs("not compiled: another compiler was killed for lack of memory, also by itself\n", stderr);
    return 1;
  }
  if (word != 'g') {
    if (broker >= 0) close(broker);
    broker = -1;
    take_slot(directory);
  } else {
    count_in(directory);
  }
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (signal(numbers[i], pass_on) == SIG_IGN) signal(numbers[i], SIG_IGN);

  int status;
  for (;;) {
    struct rusage usage = {0};
    status = attempt(argv + 1, &usage);
    if (broker < 0) break;
    int killed = looks_killed(status);
    int code = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    int count = snprintf(line, sizeof line, "%d %ld %d", code, usage.ru_maxrss, killed);
    if (send(broker, line, count, MSG_NOSIGNAL) != count || !killed) break;
    if (listen_to(broker) != 'r' || told || listen_to(broker) != 'g') break;
  }
  for (size_t done = 0; done < length;) {
    ssize_t count = write(2, held + done, length - done);
    if (count > 0) done += count;
    else if (count == 0 || errno != EINTR) break;
  }
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(WTERMSIG(status), SIG_DFL);
  kill(getpid(), WTERMSIG(status));
  return 128 + WTERMSIG(status);
}
