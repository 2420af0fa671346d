#!/bin/bash
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8192M
#SBATCH --time=12:00:00
#SBATCH --gres=gpu:1
#SBATCH --partition=batch
#SBATCH --account=lab-7
#SBATCH --array=0-127%50
#SBATCH --signal=B:USR1@120
#SBATCH --constraint=avx2

# sweep small-unet, job j0007: 128 trials
# By hand: sbatch '/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.sh'
trap '' USR1  # for node.py, which passes the warning on to processes that have a handler for it
index="${SLURM_ARRAY_TASK_ID:-${SWEEP_TASK:-0}}"
job_id="${SLURM_ARRAY_JOB_ID:-${SLURM_JOB_ID:-}}"
job_name="${SLURM_JOB_NAME:-}"

umask 0027
exec >>'/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.log' 2>&1
unset LC_ALL; export LANG=de_DE.UTF-8 LC_NUMERIC=C
cd -- '/home/eve/it'"'"'s here' || exit 1
node=(python3 -I -S '/home/eve/it'"'"'s here/results/small-unet/node.py' --folder '/home/eve/it'"'"'s here/results/small-unet' --job j0007 --index "$index"
      --job-id "$job_id" --job-name "$job_name" --workdir '/home/eve/it'"'"'s here'
      --result segMeasure.json --heartbeat-s 60.0 --quick-s 60 --hold-s 3600)
module load tensorflow
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'module load tensorflow'
source ~/envs/u-net/bin/activate
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'source ~/envs/u-net/bin/activate'
export SWEEP_ELAPSED_S=$SECONDS
exec "${node[@]}"
