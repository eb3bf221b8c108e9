#!/bin/sh
# Repeats what depends on chance or timing until MINUTES are over: property tests with new seeds and many more cases,
# the interleavings, and the tests with real servers and a real guest. Ends at the first failure.
set -eu
cd "$(dirname "$0")/.."

minutes=${1:?usage: scripts/soak.sh MINUTES}
end=$(($(date +%s) + minutes * 60))
round=0
scripts/kernel.sh
scripts/guest.sh
cargo build --release --workspace
while :; do
	round=$((round + 1))
	printf '\n== round %d\n' "$round"
	PROPTEST_CASES=5000 cargo test --release --workspace --exclude rx-tests --lib --tests --quiet
	cargo test -p rx-tests --quiet
	[ "$(date +%s)" -lt "$end" ] || break
done
printf '\nmake soak: %d rounds without a failure.\n' "$round"
