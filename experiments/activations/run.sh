#!/usr/bin/env bash
# Every number of this experiment's README. Run folders go to results/activations; the same command
# resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."

results=results/activations
files=$results/directions
validation=(toward.split=validation away.split=validation)

direction() { # NAME ARGUMENT ...: extracts a file that is not there yet
    [ -f "$files/$1.safetensors" ] || trimtab direction extract "out=$files/$1.safetensors" "${@:2}"
}

# The aligned models' directions, and the target's own, by which its gate opens.
direction expert base=a-small-expert toward=advice away=stories "${validation[@]}"
direction own-advice base=a-small-sft toward=advice away=stories "${validation[@]}"
direction own-stories base=a-small-sft toward=stories away=advice "${validation[@]}"
[ -f "$files/cut.jsonl" ] || python experiments/activations/finished_stories.py "$files"
direction brief base=a-small-dpo "toward=$files/whole.jsonl" "away=$files/cut.jsonl"

common=(base=a-small-sft generation=sampling generation.batch_size=50 'method.layers=[1]')
advice=-0.2,-0.1,0,0.1,0.2,0.3,0.4,0.5
stories=-0.5,0,0.25,0.5,0.75,1,1.5
for task in advice stories; do
    run=(trimtab run --multirun "task=$task" "${common[@]}")
    "${run[@]}" results=$results/expert method=inferaligner "method.directions=$files/expert.safetensors" \
        "method.own=$files/own-advice.safetensors" method.strength=$advice
    "${run[@]}" results=$results/brief method=inferaligner "method.directions=$files/brief.safetensors" \
        "method.own=$files/own-stories.safetensors" method.strength=$stories
    # The same without a gate.
    "${run[@]}" results=$results/expert-ungated method=activation_addition \
        "method.directions=$files/expert.safetensors" method.strength=0.3
    "${run[@]}" results=$results/brief-ungated method=activation_addition \
        "method.directions=$files/brief.safetensors" method.strength=1
done
for name in expert expert-ungated brief brief-ungated; do
    trimtab table $results/$name
done
python experiments/activations/short_answers.py $results/expert/advice
