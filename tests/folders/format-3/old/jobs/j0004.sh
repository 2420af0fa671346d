#!/bin/bash
#LOCAL --cpus=1
#LOCAL --memory-mib=0
#LOCAL --walltime-s=300
#LOCAL --array=0-3

# sweep old, job j0004: 4 trials
# By hand: bash /tmp/frozen/results/old/jobs/j0004.sh
index="${SWEEP_LOCAL_TASK_ID:-${SWEEP_TASK:-0}}"
job_id="${SWEEP_LOCAL_JOB_ID:-}"
job_name="${SWEEP_LOCAL_JOB_NAME:-}"

umask 0022
exec >>/tmp/frozen/results/old/jobs/j0004.log 2>&1
unset LC_ALL; export LANG=C.UTF-8
cd -- /tmp/frozen || exit 1
node=(/opt/sweep/bin/python -I -S /tmp/frozen/results/old/node-11b18932/node.py --folder /tmp/frozen/results/old --job j0004 --index "$index"
      --job-id "$job_id" --job-name "$job_name" --workdir /tmp/frozen
      --result segMeasure.json --heartbeat-s 2.0 --warn-after-s 225)
export SWEEP_ELAPSED_S=$SECONDS
exec "${node[@]}"
