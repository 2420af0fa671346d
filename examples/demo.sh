#!/usr/bin/env bash
# The whole of sweep in two minutes: images made, eight trainings planned, submitted, followed and ranked.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"

step() {
    printf '\n$ %s\n' "$(printf '%s' "$1"; shift; printf ' %s' "$@")"
    case $1 in
        sweep | trainer) python -m "$@" ;; # a folder's name with a quote in it defeats installed scripts
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
printf '\nThe report: %s\n' "$PWD/results/demo/report.html"
printf 'On your cluster: sweep init, edit grid.yaml (scheduler: {kind: slurm}), then the same four commands.\n'
