/* An all-to-all by MPI, the peer of the benchmark: argv[1] bytes a rank, argv[2] runs. Rank 0 prints the
 * seconds of each run after three to warm up, a line each. Built by mpicc where there is one. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
  MPI_Init(&count, &arguments);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  size_t bytes = strtoull(arguments[1], NULL, 10);
  int runs = atoi(arguments[2]);
  char *sent = malloc(bytes), *received = calloc(1, bytes);
  for (int run = -3; run < runs; run++) {
    memset(sent, rank * 100 + run + 3, bytes);
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    MPI_Alltoall(sent, (int)(bytes / size), MPI_BYTE, received, (int)(bytes / size), MPI_BYTE, MPI_COMM_WORLD);
    double seconds = MPI_Wtime() - started;
    for (int from = 0; from < size; from++) {
      if (received[from * (bytes / size)] != (char)(from * 100 + run + 3)) MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (rank == 0 && run >= 0) printf("%.9f\n", seconds);
  }
  MPI_Finalize();
}
