#!/usr/bin/env bash
# The three methods on the embedded models, in about a minute on two idle cores: nudging on word
# problems, DeRa and an alignment vector from one behaviour to another. Run folders go to
# results/demo; the same command resumes, and repeats nothing that is finished.
set -euo pipefail
cd "$(dirname "$0")/.."
# Drafts pay where the base model is large; these are tiny.
speed="generation.batch_size=50 generation.draft_length=0"
run="trimtab run --multirun results=results/demo"

echo "1/4  A base model, two small guides, and a large chat model, each alone"
$run limit=250 $speed method=base,guide
$run limit=250 $speed method=guide guide=b-small-chat,a-large-chat

echo "2/4  The base model, nudged by each of the small guides"
$run limit=250 $speed method=nudging guide=a-small-chat,b-small-chat

echo "3/4  DeRa: from a reference model to its preference-tuned twin, and beyond"
$run limit=250 $speed experiment=dera-stories method.strength=0,0.25,0.5,0.75,1,2

echo "4/4  An alignment vector: from mixed to expert advice, and beyond"
$run limit=250 $speed experiment=vector-advice method.strength=0,0.25,0.5,0.75,1,2

trimtab table results/demo
