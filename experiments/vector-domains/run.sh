#!/usr/bin/env bash
# Every number of this experiment's README.
set -euo pipefail
cd "$(dirname "$0")/../.."

results=results/vector-domains
common=(experiment=vector-domains generation.batch_size=50)
dial=method.strength=-1,-0.75,-0.5,-0.25,0,0.25,0.5,0.75,1,1.25,1.5

for domain in medicine law finance; do # one vector at a time: each sweep is one batch
    trimtab run --multirun "${common[@]}" "results=$results/one" "method.strengths.$domain=1" "$dial"
    trimtab run --multirun "${common[@]}" "results=$results/transfer" base=a-small-instruct \
        "method.strengths.$domain=1" method.strength=0,0.5,1
done
trimtab run "${common[@]}" "results=$results/joint" +method.vectors.joint=zoo:joint # tuned jointly
trimtab report "$results/one"

# All at once: a grid of strengths answers every request, a search looks for one.
grid=-0.75,0,0.5,1
trimtab run --multirun "${common[@]}" generation.batch_size=8 "results=$results/grid" \
    task.split=validation "method.strengths.medicine=$grid" "method.strengths.law=$grid" \
    "method.strengths.finance=$grid"
python experiments/vector-domains/choose_strengths.py "$results"
for levels in expert,avoidance,expert expert,avoidance,generic; do
    IFS=, read -r medicine law finance <<< "$levels"
    trimtab search "${common[@]}" "results=$results/search" task.split=validation --step 0.25 \
        --trials 25 "task.request={medicine:$medicine,law:$law,finance:$finance}" \
        'method.strengths.medicine=interval(-1,1.5)' 'method.strengths.law=interval(-1,1.5)' \
        'method.strengths.finance=interval(-1,1.5)'
done
