#!/usr/bin/env bash
# Every number of this experiment's README, on all 600 held-out problems. The same command resumes.
#
#   run.sh              all
#   run.sh limit=100    a trial on fewer problems
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD/experiments/nudging-word-problems${PYTHONPATH:+:$PYTHONPATH}"
results=results/nudging-word-problems
# Drafts pay where the base model is large; these are tiny.
run=(trimtab run --multirun "results=$results" generation.batch_size=50
    generation.draft_length=0 "$@")
nudging="method=nudging guide=a-small-chat"

"${run[@]}" method=base,guide
"${run[@]}" method=guide guide=b-small-chat,a-large-chat
"${run[@]}" $nudging method.threshold=0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1
"${run[@]}" method=nudging guide=b-small-chat method.threshold=0.3,0.4,0.5,0.6
"${run[@]}" method=nudging guide=a-large-chat method.threshold=0.4

# What has to be left behind before nudging has shown anything: draws instead of the likeliest
# answer, the best of four by whether it is worked out, a constant opening, a guide that only begins.
"${run[@]}" method=base generation=sampling
"${run[@]}" method=best_of_n method.n=4 generation=sampling \
    +scorer@method.reward=function_reward method.reward.function=worked.worked_out
for opening in "Let's" Solution:; do
    "${run[@]}" method=base task=local task.path=src/trimtab/zoo/data/word-problems-test.jsonl \
        "task.answer_start=\"$opening\"" 'generation.stop_strings=["\n"]'
done
"${run[@]}" method=handover method.unit=tokens method.first=1,2,4,8,16
"${run[@]}" method=handover method.unit=sentences method.first=1

# Methods that mix the two models' probabilities at every token.
"${run[@]}" method=ensemble,proxy_tuning
trimtab table "$results"
python experiments/nudging-all-along/threshold_figure.py "$results" "$results/figures"
