#!/usr/bin/env bash
# The models, and every number of this experiment's README. The same command resumes.
#
#   run.sh                      all, one after the other
#   PARTS="seeds ladder" run.sh some: models controls thresholds mixtures ladder seeds tables
#   run.sh limit=50             a trial on fewer problems
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD:$PWD/experiments/nudging-all-along:$PWD/experiments/nudging-word-problems${PYTHONPATH:+:$PYTHONPATH}"
results=results/nudging-all-along
models=build/nudging-all-along
given=("$@")

# trimtab on so many problems, below a folder of the results; drafts do not pay on models so small.
run() {
    local folder=$1 problems=$2
    shift 2
    trimtab run --multirun "results=$results/$folder" "limit=$problems" \
        generation.batch_size=100 generation.draft_length=0 \
        scorers=function_reward scorers.function_reward.function=connectives.manner \
        scorers.function_reward.name=manner "$@" "${given[@]}"
}
# Roles: a base model and the untuned one read plain text, a guide its template.
plain() { echo "$1=hf $1.path=$models/$2 $1.prompt=plain"; }
guide() { echo "guide=hf guide.path=$models/$1 guide.prompt=chat"; }
pair="$(plain base large-base-1) $(guide small-guide-1)"
all=0,0.1,0.2,0.3,0.4,0.5,0.6,0.8,1

models() { python experiments/nudging-all-along/models.py; }

# Everything that does without asking where the base model is unsure.
controls() {
    run main 600 $pair method=base,guide
    run main 600 $pair method=base generation=sampling
    run main 600 $pair method=best_of_n method.n=4 generation=sampling \
        +scorer@method.reward=function_reward method.reward.function=worked.worked_out
    rows="task=local task.path=src/trimtab/zoo/data/word-problems-test.jsonl"
    run main 600 $pair method=base $rows 'task.answer_start="Then:","Goods:"' \
        'generation.stop_strings=["\n"]'
    run main 600 $pair method=base $rows 'generation.stop_strings=["\n"]' \
        task.examples=experiments/nudging-all-along/example.jsonl
    run main 600 $pair method=handover method.unit=tokens \
        method.first=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16
    run main 600 $pair method=handover method.unit=sentences method.first=1
    run main 600 $pair method=handover method.of=sentence method.unit=words method.first=1,2
    run main 600 $(guide large-chat-1) method=guide
}

# Nudging by its threshold: a guide that can do what it says, one that often cannot, others.
thresholds() {
    run main 600 $pair method=nudging method.threshold=$all
    run effects 600 $(plain base large-base-1) $(guide small-effects-1) method=nudging \
        method.threshold=$all
    run effects 600 $(guide small-effects-1) method=guide
    run guards 600 $pair method=nudging method.threshold=0.2,0.4 method.repetition_guard=true,false
    run guides 600 $(plain base large-base-1) $(guide large-chat-1) method=nudging \
        method.threshold=0.4
    run guides 600 $(plain base large-base-1) $(guide small-chat-1) method=nudging \
        method.threshold=0.4
}

# Methods that mix probabilities at every token, with the guide and with what it was before.
mixtures() {
    local untuned=$(plain untuned small-base-1)
    run main 300 $pair method=ensemble method.strength=0.25,0.5,0.75
    run main 300 $pair $untuned method=proxy_tuning method.strength=0.5,1,1.5
    run main 300 $(plain base large-base-1) $(guide small-chat-1) method=ensemble
    run main 300 $(plain base large-base-1) $(guide small-chat-1) $untuned method=proxy_tuning
}

# Other sizes of either model.
ladder() {
    for size in tiny small medium; do
        run ladder 300 $(plain base large-base-1) $(guide $size-guide-1) method=nudging \
            method.threshold=0.2,0.4,0.6
        run ladder 300 $(guide $size-guide-1) method=guide
    done
    for size in small medium; do
        run ladder 300 $(plain base $size-base-1) $(guide small-guide-1) method=base
        run ladder 300 $(plain base $size-base-1) $(guide small-guide-1) method=nudging \
            method.threshold=0.2,0.4,0.6
    done
}

# All models from other seeds.
seeds() {
    for seed in 2 3; do
        local own="$(plain base large-base-$seed) $(guide small-guide-$seed)"
        run seeds 300 $own method=base,guide
        run seeds 300 $(guide large-chat-$seed) method=guide
        run seeds 300 $own method=nudging method.threshold=0,0.2,0.4,0.6,0.8,1
        run seeds 300 $own method=handover method.unit=tokens method.first=1,4,16
        run seeds 300 $own method=ensemble
        run seeds 300 $own $(plain untuned small-base-$seed) method=proxy_tuning
    done
}

tables() {
    trimtab table "$results"
    for part in main effects; do
        python experiments/nudging-all-along/threshold_figure.py \
            "$results/$part" "$results/figures/$part"
    done
    python experiments/real-nudging/token_analysis.py \
        "$results/main" "$results/tokens" $models/large-chat-1
}

for part in ${PARTS:-models controls thresholds mixtures ladder seeds tables}; do $part; done
