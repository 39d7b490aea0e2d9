#!/usr/bin/env bash
# Every number of this experiment's README, on all 600 held-out questions.
set -euo pipefail
cd "$(dirname "$0")/../.."

trimtab run --multirun results=results/vector-advice generation.batch_size=50 \
    experiment=vector-advice method.strength=-0.5,-0.25,0,0.25,0.5,0.75,1,1.25,1.5,1.75,2
trimtab table results/vector-advice
