/* The few names of the MPI standard that the canary uses. Not an MPI: one process, and a start that can wait for ever. */
#pragma once
#ifdef __cplusplus
extern "C" {
#endif

#define MPI_THREAD_MULTIPLE 3

int MPI_Init_thread(int* argc, char*** argv, int required, int* provided);
/* Starting workers needs a real process manager, whatever the environment claims. */
int MPI_Canary_spawn(void);

#ifdef __cplusplus
}
#endif
