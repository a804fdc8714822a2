/* Stands in for a compiler: hog MIB SECONDS HOW [-o FILE]. Takes memory, holds it, and ends as HOW says. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(size_t mib, double seconds) {
  char *data = malloc(mib << 20);
  for (size_t at = 0; at < mib << 20; at += 4096) data[at] = 1;
  usleep((useconds_t)(seconds * 1e6));
}

int main(int argc, char **argv) {
  const char *how = argv[3];
  if (!strcmp(how, "deaf")) signal(SIGTERM, SIG_IGN);
  if (!strcmp(how, "driver")) {
    /* As nvcc: the work is a child's, and of its death it says "Killed" and 137. */
    int status;
    if (fork() == 0) {
      work(atol(argv[1]), atof(argv[2]));
      _exit(0);
    }
    wait(&status);
    if (WIFSIGNALED(status)) {
      fprintf(stderr, "%s\n", strsignal(WTERMSIG(status)));
      return 128 + WTERMSIG(status);
    }
  } else {
    work(atol(argv[1]), atof(argv[2]));
  }
  if (!strcmp(how, "crash")) raise(SIGSEGV);
  FILE *made = argc > 5 ? fopen(argv[5], "w") : NULL;
  if (!made || fputs("object\n", made) < 0 || fclose(made)) {
    perror(argv[argc - 1]);
    return 1;
  }
  return 0;
}
