#!/bin/bash
#PBS -l nodes=1:ppn=4:gpus=1
#PBS -l mem=8192mb
#PBS -l walltime=12:00:00
#PBS -q batch
#PBS -A lab-7
#PBS -t 0-127%50
#PBS -o /dev/null
#PBS -e /dev/null
#PBS -m n

# sweep small-unet, job j0007: 128 trials
# By hand: qsub '/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.sh'
index="${PBS_ARRAYID:-${SWEEP_TASK:-0}}"
job_id="${PBS_JOBID/\[*\]/[]}"  # of an array, not of its task
job_name="${PBS_JOBNAME:-}"

umask 0027
exec >>'/home/eve/it'"'"'s here/results/small-unet/jobs/j0007.log' 2>&1
unset LC_ALL; export LANG=de_DE.UTF-8 LC_NUMERIC=C
cd -- '/home/eve/it'"'"'s here' || exit 1
node=(python3 -I -S '/home/eve/it'"'"'s here/results/small-unet/node.py' --folder '/home/eve/it'"'"'s here/results/small-unet' --job j0007 --index "$index"
      --job-id "$job_id" --job-name "$job_name" --workdir '/home/eve/it'"'"'s here'
      --result segMeasure.json --heartbeat-s 60.0 --quick-s 60 --hold-s 3600 --warn-after-s 43080)
module load tensorflow
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'module load tensorflow'
source ~/envs/u-net/bin/activate
code=$?; [ "$code" -eq 0 ] || exec "${node[@]}" --environment-failed "$code" 'source ~/envs/u-net/bin/activate'
export SWEEP_ELAPSED_S=$SECONDS
exec "${node[@]}"
