#!/usr/bin/env bash
# Every number of this experiment's README, and its figure. The same command resumes.
#
#   run.sh               three trainings of each model
#   SEEDS="1 2" run.sh   some of them
set -euo pipefail
cd "$(dirname "$0")/../.."
here=experiments/dera-retraining
models=build/dera-retraining results=results/dera-retraining
stories=(trimtab run --multirun "results=$results" task=stories limit=300 base=a-small-sft
    generation=sampling)

python "$here/enumerated.py"
"${stories[@]}" method=base generation.draws=64 generation.batch_size=400
for seed in ${SEEDS:-1 2 3}; do
    python "$here/tilted.py" --seeds "$seed" --out "$models"
    dera=("${stories[@]}" guide=hf guide.prompt=chat method=dera method.measure_kl=true
        generation.draws=2 "generation.seed=$seed" generation.batch_size=100)
    "${dera[@]}" "guide.path=$models/tilted-0.15-$seed" method.beta=0.15 \
        method.strength=0.25,0.5,0.75,1,1.5,2
    for beta in 0.6 0.3 0.2 0.1 0.075; do
        "${dera[@]}" "guide.path=$models/tilted-$beta-$seed" "method.beta=$beta" method.strength=1
    done
done
python "$here/figure.py" "$results" "$results/figure.svg"
python "$here/agreement.py" "$results" reward
