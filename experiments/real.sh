#!/usr/bin/env bash
# Two real models that anyone can install: a base model nudged by an aligned one of another family,
# on rows of published tasks, against both alone. Ends in a table and a page; run folders go to
# results/real; the same command resumes, and repeats nothing that is finished.
set -euo pipefail
cd "$(dirname "$0")/real-nudging"
models=(base=gemma-3-270m guide=smollm2-135m-instruct)
[ $# -eq 0 ] || models=("$@")
results=../../results/real
run=(trimtab run --config-dir conf --multirun "results=$results" "${models[@]}" method=base,guide,nudging
    generation.max_new_tokens=96 generation.batch_size=32 scorers=manner)
columns=method,models,dial,n,accuracy,whole,ended,unread,repetition,words,guide_ratio

echo "1/3  Instructions of just-eval: is the answer whole?"
"${run[@]}" task=harmless task.data_dir=questions/just_eval.json

echo "2/3  Dates among options: can the answer be read, and is it right?"
"${run[@]}" task=date task.data_dir=questions/date_understanding.json limit=24

echo "3/3  Arithmetic: what neither model can do"
"${run[@]}" task=svamp task.data_dir=questions/SVAMP.json limit=24

trimtab report "$results" --columns "$columns" > /dev/null
trimtab table "$results" --columns "$columns"
echo "The page with every answer, coloured by who spoke: results/real/report/report.html"
