#!/bin/bash
#LOCAL --cpus=1
#LOCAL --memory-mib=0
#LOCAL --walltime-s=660
#LOCAL --array=0-1

# sweep packed, job j0001: 4 trials for 2 workers
# By hand: bash /tmp/frozen/results/packed/jobs/j0001.sh
index="${SWEEP_LOCAL_TASK_ID:-${SWEEP_TASK:-0}}"
job_id="${SWEEP_LOCAL_JOB_ID:-}"
job_name="${SWEEP_LOCAL_JOB_NAME:-}"

umask 0022
exec >>/tmp/frozen/results/packed/jobs/j0001.log 2>&1
unset LC_ALL; export LANG=C.UTF-8
cd -- /tmp/frozen || exit 1
node=(/opt/sweep/bin/python -I -S /tmp/frozen/results/packed/node-11b18932/worker.py --folder /tmp/frozen/results/packed --job j0001 --worker "$index"
      --workers 2 --per-worker 1 --walltime-s 300
      --memory-mib 0 --gpus 0 --ends-s 660
      --warning-s 75
      --job-id "$job_id" --job-name "$job_name" --
      --workdir /tmp/frozen --result segMeasure.json --heartbeat-s 2.0)
export SWEEP_ELAPSED_S=$SECONDS
exec "${node[@]}"
