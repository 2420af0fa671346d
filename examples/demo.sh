#!/usr/bin/env bash
# The whole of sweep in two minutes: makes images, then plans, submits, follows and ranks eight trainings.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

step() {
    printf '\n$ %s\n' "$(printf '%s' "$1"; shift; printf ' %s' "$@")"
    case $1 in
        sweep | trainer) python -m "$@" ;; # an installed script does not start if its folder's name has a quote
        *) "$@" ;;
    esac
}

rm -rf results/demo
step trainer data synth demo-data/nuclei
step sweep plan examples/demo.yaml
step sweep submit
step sweep status --watch --interval 2
step sweep report --top 10
step sweep page
step sweep best
printf '\nThe page: %s\n' "$PWD/results/demo/report.html"
printf 'On your cluster: run sweep init, edit grid.yaml (scheduler: {kind: slurm}), then run the same commands.\n'
