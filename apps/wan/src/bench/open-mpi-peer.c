/* All-to-alls by MPI, the peer of the benchmark: argv[1] bytes a rank, argv[2] runs, argv[3] bytes of a row
 * that is shared out among the ranks, or 0 where a rank's share is one piece. Shares of rows are packed
 * before they are sent; those received lie one after the other. What is sent was computed just before, so that
 * it lies in caches as results do. Rank 0 prints the seconds of each run after
 * three to warm up, a line each. Built by mpicc where there is one. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The word at `place` of what `rank` sends in `run`. */
static unsigned word(int rank, int run, size_t place) { return rank * 100000007u + run * 1009u + (unsigned)place; }

int main(int count, char **arguments) {
  MPI_Init(&count, &arguments);
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  size_t bytes = strtoull(arguments[1], NULL, 10), row = strtoull(arguments[3], NULL, 10);
  int runs = atoi(arguments[2]);
  size_t part = bytes / size, share = row / size;
  char *source = malloc(bytes), *packed = calloc(1, bytes), *received = calloc(1, bytes);
  for (int run = -3; run < runs; run++) {
    for (size_t at = 0; at < bytes / 4; at++) ((unsigned *)source)[at] = word(rank, run, at);
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    for (int to = 0; row && to < size; to++) {
      for (size_t at = 0; at < bytes / row; at++) {
        memcpy(packed + to * part + at * share, source + at * row + to * share, share);
      }
    }
    MPI_Alltoall(row ? packed : source, (int)part, MPI_BYTE, received, (int)part, MPI_BYTE, MPI_COMM_WORLD);
    double seconds = MPI_Wtime() - started;
    for (int from = 0; from < size; from++) {
      unsigned first = word(from, run, rank * (row ? share : part) / 4);
      if (*(unsigned *)(received + from * part) != first) MPI_Abort(MPI_COMM_WORLD, 1);
    }
    if (rank == 0 && run >= 0) printf("%.9f\n", seconds);
  }
  MPI_Finalize();
}
