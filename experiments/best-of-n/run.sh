#!/usr/bin/env bash
# Every number of this experiment's README, on 300 of the held-out requests.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH="$PWD/experiments/best-of-n${PYTHONPATH:+:$PYTHONPATH}"

trimtab run --multirun results=results/best-of-n generation.batch_size=48 \
    base=a-small-sft method=best_of_n +scorer@method.reward=function_reward \
    method.reward.function=rewards.length task=stories limit=300 generation=sampling \
    method.n=1,2,4,8,16
trimtab run --multirun results=results/best-of-n generation.batch_size=48 \
    experiment=dera-stories limit=300 method.strength=0,0.125,0.25,0.375,0.5,0.75,1
trimtab table results/best-of-n
