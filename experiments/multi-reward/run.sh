#!/usr/bin/env bash
# Every number of this experiment's README, on 300 of each task's held-out rows. Run folders go to
# results/multi-reward; the same command resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."

results=results/multi-reward
common=(base=a-small-sft limit=300 generation=sampling generation.batch_size=50)

# Two aligned models, by weights that sum to 1, and by more than that.
two=(method=multi_objective guide=a-small-dpo +model@method.aligned.expert=a-small-expert)
shares='{guide:0.75,expert:0.25},{guide:0.5,expert:0.5},{guide:0.25,expert:0.75}'
weights="{guide:1,expert:0},$shares,{guide:0,expert:1},{guide:0,expert:0},{guide:1,expert:1}"
for task in stories advice; do
    run=(trimtab run --multirun "task=$task" "${common[@]}")
    "${run[@]}" results=$results/reverse "${two[@]}" "method.weights=$weights"
    "${run[@]}" results=$results/forward "${two[@]}" "method.weights=$shares" method.alpha=1
done

# One aligned model, on stories: its preferences among the likeliest tokens.
run=(trimtab run --multirun task=stories "${common[@]}")
"${run[@]}" results=$results/pad method=pad guide=a-small-dpo method.strength=0,0.4,0.8,1.2,2

# No aligned model: what the model says more than another, or than itself when it is asked less.
"${run[@]}" results=$results/contrastive method=contrastive_decoding untuned=a-small-base \
    method.strength=0,0.25,0.5,1
"${run[@]}" results=$results/guidance method=classifier_free_guidance method.strength=1,1.25,1.5,2
"${run[@]}" results=$results/principle method=linear_alignment method.top_p=0.8,1 \
    "method.principle='Tell it in 12 to 22 words.'" method.strength=0,1,2
"${run[@]}" results=$results/principle method=linear_alignment method.top_p=1 \
    "method.principle='Tell it in 90 to 99 words.'" method.strength=0,1,2 # as a control

for name in reverse forward pad contrastive guidance principle; do
    trimtab table $results/$name
done
