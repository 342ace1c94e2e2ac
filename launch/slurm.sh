#!/usr/bin/env bash
# One training run on a Slurm cluster, on any number of machines:
#   sbatch --nodes 2 launch/slurm.sh train.yaml [launch/zero3.yaml] [order.json]
# Preempted, failed on a node, or out of time: the job is queued again and training resumes by itself from its newest
# checkpoint (set save_steps). Look first: hammer train --config train.yaml --dry-run --processes 16
# Executed with stand-ins for Slurm's commands that start two real launchers of one CPU process each: stopped by USR1, queued
# again, resumed to the weights of the unbroken run (tests/launch_shards.py). Not executed: Slurm itself, several machines, GPUs.
#SBATCH --job-name=hammer
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=hammer-%j.log
# The batch shell is told two minutes before the end.
#SBATCH --signal=B:USR1@120
set -euo pipefail

CONFIG=${1:?usage: sbatch launch/slurm.sh TRAIN.yaml [LAUNCH.yaml] [ORDER.json]}
LAUNCH=${2:-launch/ddp.yaml}
ORDER=${3:-}
for file in "$CONFIG" "$LAUNCH" ${ORDER:+"$ORDER"}; do
  [ -r "$file" ] || { echo "error: file = '$file': cannot be read; start in the repository's folder" >&2; exit 2; }
done

# All machines see these folders: results (manifest, checkpoints) and caches of models and embeddings.
export HAMMER_RESULTS=${HAMMER_RESULTS:-$PWD/results/runs}
export HAMMER_CACHE=${HAMMER_CACHE:-$PWD/.cache}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4} TOKENIZERS_PARALLELISM=false

GPUS=${SLURM_GPUS_ON_NODE:-8}
export CONFIG LAUNCH ORDER GPUS
MACHINES=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
MAIN_ADDRESS=${MACHINES%%$'\n'*}
# Two jobs may share a machine.
MAIN_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MAIN_ADDRESS MAIN_PORT

trap 'echo "out of time: queued again"; scontrol requeue "$SLURM_JOB_ID"' USR1

# One launcher a machine; each tells accelerate which machine it is on.
srun --kill-on-bad-exit=1 bash -c '
  exec accelerate launch --config_file "$LAUNCH" \
    --num_machines "$SLURM_NNODES" --machine_rank "$SLURM_NODEID" --num_processes $((SLURM_NNODES * GPUS)) \
    --main_process_ip "$MAIN_ADDRESS" --main_process_port "$MAIN_PORT" \
    -m hammerlib.training.launch --config "$CONFIG" ${ORDER:+--order "$ORDER"}' &
# In the background, so that the signal is heard while training goes on.
wait $!
