#!/usr/bin/env bash
# Every number of this experiment's README: four tasks with right answers, and instructions, 200
# rows of each. The same command resumes.
#
#   run.sh                                             all, one after the other
#   TASKS="svamp date" run.sh                          some: as two commands, on a core each
#   DATA=FOLDER run.sh                                 rows from FOLDER/svamp, FOLDER/date, ...
#   run.sh base=hf base.path=FOLDER base.prompt=plain  other models
set -euo pipefail
cd "$(dirname "$0")"
models=(base=gemma-3-270m guide=smollm2-135m-instruct)
[ $# -eq 0 ] || models=("$@")
results=../../results/real-nudging
run=(trimtab run --config-dir conf --multirun "results=$results" "${models[@]}"
    limit=200 limit_seed=0 generation.max_new_tokens=96 generation.batch_size=32 scorers=manner)

for task in ${TASKS:-commonsense-qa strategyqa date svamp harmless harmful}; do
    thresholds=0,0.2,0.4,0.6,0.8
    [ "$task" != harmful ] || thresholds=0,0.4,0.8
    asked=("task=$task")
    [ -z "${DATA:-}" ] || asked+=("task.data_dir=$DATA/$task")
    "${run[@]}" "${asked[@]}" method=base,guide
    "${run[@]}" "${asked[@]}" method=first_words
    "${run[@]}" "${asked[@]}" method=nudging "method.threshold=$thresholds"
done
