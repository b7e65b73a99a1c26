#!/bin/bash
# One video by ranks on two machines, under Slurm. What follows the script's name are the app's flags:
#
#   sbatch docs/examples/slurm.sh --model /shared/wan --image /shared/first.png --prompt "a red ball"
#
# The clone, the model and the image must be where all machines see them, and the addon built there once
# (`bun run app doctor` on one of them does it).
#SBATCH --job-name=wan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --mem=96G
#SBATCH --time=08:00:00
#SBATCH --output=wan-%j.log
set -euo pipefail

# Slurm runs a copy of this script, from the folder where sbatch was called.
repository=${WAN_REPOSITORY:-$SLURM_SUBMIT_DIR}
bun=${WAN_BUN:-$(command -v bun)}
app=$repository/apps/wan/src/main.ts
output=${WAN_OUTPUT:-$SLURM_SUBMIT_DIR/wan-$SLURM_JOB_ID.mp4}
[ -f "$app" ] || { echo "no clone at $repository; name it in WAN_REPOSITORY" >&2; exit 2; }

# What connects tasks: pmix for Open MPI, pmi2 for MPICH and what is of its kind (`srun --mpi=list`).
mpi=${WAN_SRUN_MPI:-pmix}
# Open MPI would try every network, those of containers too; name the one that machines reach each other by.
# export OMPI_MCA_btl_tcp_if_include=10.0.0.0/16
# Where the system's MPI library isn't the one to use.
# export WAN_MPI_LIBRARY=/opt/openmpi/lib/libmpi.so.40

# In GB/s, what a rank has of the network: here half of 25 Gbit/s. This is no run, and loads no weights.
"$bun" "$app" plan --ranks "$SLURM_NTASKS" --bandwidth 1.5 "$@"

# Bun itself, and not `bun run`: that closes what srun connects tasks by. srun has to be told of the cores
# again, and `--kill-on-bad-exit` ends all tasks with the first that fails.
srun --mpi="$mpi" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=1 \
  "$bun" "$app" --quiet --json --output "$output" "$@"
