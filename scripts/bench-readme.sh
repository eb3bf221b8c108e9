#!/bin/sh
# Puts the figures of benches/results/latest.json into README.md, between its two markers, and the two plots into docs/.
#
#   bench-readme.sh FOLDER-OF-PROGRAMS
set -eu
cd "$(dirname "$0")/.."
begin='<!-- numbers: begin -->' end='<!-- numbers: end -->'
for marker in "$begin" "$end"; do
	grep -qxF -- "$marker" README.md || { echo "README.md has no line '$marker'" >&2; exit 2; }
done
mkdir -p out
"$1/rx-bench" summary benches/results/latest.json >out/summary.md
awk -v begin="$begin" -v end="$end" '
	$0 == begin { print; print ""; while ((getline line < "out/summary.md") > 0) print line; inside = 1 }
	$0 == end { inside = 0 }
	!inside' README.md >out/README.md
cat out/README.md >README.md
cp benches/results/ring-size-lgmp6-screen-60.svg benches/results/wait-delay.svg docs/
