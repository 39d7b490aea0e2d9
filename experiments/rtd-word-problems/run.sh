#!/usr/bin/env bash
# Every number of this experiment's README, on 300 of the held-out problems.
set -euo pipefail
cd "$(dirname "$0")/../.."

results=results/rtd-word-problems
asked="base=a-large-base task=word-problems"
trimtab run results=$results/examples $asked guide=a-small-chat method=guide \
    task.split=validation limit=200
for examples in 10 200; do
    store=$results/store-$examples
    [ -e $store ] || trimtab datastore $asked task.split=validation limit=$examples --out $store \
        --answers $results/examples/word-problems/guide/*
    trimtab run --multirun results=$results $asked limit=300 generation.max_new_tokens=160 \
        method=rtd method.store=$store method.temperature=100 method.strength=0,0.125,0.25,0.5,1
done
trimtab table $results
