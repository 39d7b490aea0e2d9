#!/usr/bin/env bash
# Every number of this experiment's README, on all 600 held-out requests.
set -euo pipefail
cd "$(dirname "$0")/../.."

trimtab run --multirun results=results/dera-stories generation.batch_size=50 \
    experiment=dera-stories method.strength=0,0.25,0.5,0.75,1,1.25,1.5,1.75,2
trimtab table results/dera-stories
