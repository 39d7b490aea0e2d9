#!/usr/bin/env bash
# Every number of this experiment's README, on all 600 held-out problems.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Drafts pay where the base model is large; these are tiny.
speed="generation.batch_size=50 generation.draft_length=0"
run="trimtab run --multirun results=results/nudging-word-problems $speed"

$run method=base,guide
$run method=guide guide=b-small-chat,a-large-chat
$run method=nudging guide=a-small-chat,b-small-chat method.threshold=0.3,0.4,0.5,0.6
trimtab table results/nudging-word-problems
