#!/bin/bash
#LOCAL --cpus=1
#LOCAL --memory-mib=100
#LOCAL --walltime-s=300
#LOCAL --array=0-3

# sweep old, job j0004: 4 trials
# By hand: bash /tmp/frozen/results/old/jobs/j0004.sh
index="${SWEEP_LOCAL_TASK_ID:-${SWEEP_TASK:-0}}"
job_id="${SWEEP_LOCAL_JOB_ID:-}"
job_name="${SWEEP_LOCAL_JOB_NAME:-}"

exec >>/tmp/frozen/results/old/jobs/j0004.log 2>&1
cd -- /tmp/frozen || exit 1
node=(/opt/sweep/bin/python -S /tmp/frozen/results/old/node.py --folder /tmp/frozen/results/old --job j0004 --index "$index"
      --job-id "$job_id" --job-name "$job_name" --workdir /tmp/frozen
      --result segMeasure.json --heartbeat-s 2.0)
exec "${node[@]}"
