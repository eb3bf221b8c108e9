#!/bin/sh
# Measures what is the same on every machine, compares it with the figures in the repository, and with the budgets.
#
#   bench-check.sh FOLDER-OF-PROGRAMS
set -eu
cd "$(dirname "$0")/.."
mkdir -p out
"$1/rx-bench" run --exact --quick --json out/exact.json >out/exact.txt
"$1/rx-bench" compare benches/results/exact.json out/exact.json --budget benches/budget.toml
