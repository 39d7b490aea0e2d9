#!/usr/bin/env bash
# Every number of this experiment's README. The same command resumes.
#
#   run.sh                                        all
#   PARTS="dera retrained" run.sh                 some of: dera retrained vectors
#   run.sh base=hf base.path=FOLDER guide='${base}'   another copy of the model
set -euo pipefail
cd "$(dirname "$0")"
results=../../results/real-dera
common=(trimtab run --config-dir conf --multirun generation=sampling generation.max_new_tokens=96
    generation.draws=4 generation.batch_size=30)
models=(base=smollm2-135m-instruct)
[ $# -eq 0 ] || models=("$@")
adapted=("${models[@]}" "${models[@]/#base/guide}" guide.adapter_mode=live method=dera
    method.measure_kl=true task=short-answers "results=$results/agreement")
beta=0.25

for part in ${PARTS:-dera retrained vectors}; do
    case $part in
        dera)
            "${common[@]}" "${adapted[@]}" "guide.adapter=adapters/brevity-$beta" \
                "method.beta=$beta" method.strength=0,0.25,0.5,1,2,4
            ;;
        retrained)
            for own in 1 0.5 0.125 0.0625; do
                "${common[@]}" "${adapted[@]}" "guide.adapter=adapters/brevity-$own" \
                    "method.beta=$own" method.strength=1
            done
            ;;
        vectors)
            vectors="method.vectors={brevity:adapters/brevity-$beta,plainness:adapters/plainness-$beta}"
            both=("${common[@]}" "${models[@]}" method=vectors method.per_row=true
                method.measure_kl=true "$vectors" "results=$results/vectors")
            dial=method.strength=-1,-0.5,0,0.5,1,1.5
            "${both[@]}" task=short-answers 'method.strengths={plainness:0}' "$dial"
            "${both[@]}" task=plain-answers 'method.strengths={brevity:0}' "$dial"
            "${both[@]}" task=short-answers "$dial"
            ;;
    esac
done
