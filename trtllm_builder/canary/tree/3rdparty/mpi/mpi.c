/* What Open MPI does in a rented container, made certain: with no process manager to answer, initialisation waits in
 * the kernel, without using the processor, for ever. */
#include "mpi.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int manager_runs(void)
{
    struct stat entry;
    return stat("/run/pmix", &entry) == 0;
}

static int launched_by_mpirun(void)
{
    return getenv("OMPI_COMM_WORLD_RANK") != NULL || getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL;
}

static void wait_for_ever(void)
{
    for (;;)
    {
        pause();
    }
}

int MPI_Init_thread(int* argc, char*** argv, int required, int* provided)
{
    (void) argc;
    (void) argv;
    if (!manager_runs() && !launched_by_mpirun())
    {
        wait_for_ever();
    }
    *provided = required;
    return 0;
}

int MPI_Canary_spawn(void)
{
    if (!manager_runs())
    {
        wait_for_ever();
    }
    return 0;
}
