#!/usr/bin/env bash
# How often printed intervals hold the truth, and how often choose errs; half an hour on one core.
set -euo pipefail
cd "$(dirname "$0")"/../..
python experiments/intervals/coverage.py --repetitions 2000 --deep "$@"
