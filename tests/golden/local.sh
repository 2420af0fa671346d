#!/bin/bash
#LOCAL --cpus=4
#LOCAL --memory-mib=8192
#LOCAL --walltime-s=43200
#LOCAL --gpus=1
#LOCAL --array=0-127%50
#LOCAL --memory-mib=1

# sweep small-unet, job j0007: 128 trials
# By hand: bash '/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.sh'
index="${SWEEP_LOCAL_TASK_ID:-${SWEEP_TASK:-0}}"
job_id="${SWEEP_LOCAL_JOB_ID:-}"
job_name="${SWEEP_LOCAL_JOB_NAME:-}"

umask 0027
exec >>'/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.log' 2>&1
unset LC_ALL; export LANG=de_DE.UTF-8 LC_NUMERIC=C
cd -- '/home/eve/it'"'"'s here' || exit 1
node=(python3 -I -S '/home/eve/it'"'"'s here/results/small-unet/node.py' --folder '/home/eve/it'"'"'s here/results/small-unet' --job j0007 --index "$index"
      --job-id "$job_id" --job-name "$job_name" --workdir '/home/eve/it'"'"'s here'
      --result segMeasure.json --heartbeat-s 2.0 --warn-after-s 43080)
module load tensorflow
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'module load tensorflow'
source ~/envs/u-net/bin/activate
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'source ~/envs/u-net/bin/activate'
export SWEEP_ELAPSED_S=$SECONDS
exec "${node[@]}"
