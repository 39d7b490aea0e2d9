#!/usr/bin/env bash
# Every number of this experiment's README: 200 held-out problems each. The same command resumes.
set -euo pipefail
cd "$(dirname "$0")"
results=../../results/cross-vocabulary
delta=../../build/cross-vocabulary/a-delta
run=(trimtab run --config-dir conf --multirun task=word-problems limit=200 scorers=reasoned
    generation.batch_size=50 generation.max_new_tokens=200)
other="guide.token_map=pm-mined untuned.token_map=pm-mined"

# The difference of two small models: of the same vocabulary, of another one, and on another one.
proxy=("${run[@]}" method=proxy_tuning)
"${proxy[@]}" "results=$results/a-on-a-large" base=a-large-base \
    guide=a-small-chat untuned=a-small-base method.strength=0,0.5,1,1.5
"${proxy[@]}" "results=$results/b-on-a-large" base=a-large-base \
    guide=b-small-chat untuned=b-small-base $other method.strength=0.5,1,1.5
"${proxy[@]}" "results=$results/a-on-b-small" base=b-small-base \
    guide=a-small-chat untuned=a-small-base $other method.strength=0,0.5,1,1.5
"${proxy[@]}" "results=$results/a-on-b-small-exact" base=b-small-base guide=a-small-chat \
    untuned=a-small-base guide.token_map=exact untuned.token_map=exact method.strength=0.5

# One delta model, trained beside a-large-base: on that, and on a model of the other vocabulary.
[ -f "$delta/model.safetensors" ] || python train_delta.py
cmc=("${run[@]}" method=cmc guide=hf "guide.path=$delta" guide.prompt=plain)
"${cmc[@]}" "results=$results/delta-on-a-large" base=a-large-base method.strength=0.5,1
"${cmc[@]}" "results=$results/delta-on-b-small" base=b-small-base \
    guide.token_map=pm-mined-raw method.strength=0.1,0.15,0.2,0.3,0.5,1
trimtab table "$results"
