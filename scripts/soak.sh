#!/bin/sh
# Repeats what depends on chance or timing until MINUTES are over: the property tests, which draw new seeds each time,
# optimised so that many fit in; a minute of sound for each of five clocks (scripts/sound-soak.sh by itself takes five); and
# the tests with real servers and a real guest. Ends at the first failure.
set -eu
cd "$(dirname "$0")/.."

minutes=${1:?usage: scripts/soak.sh MINUTES}
end=$(($(date +%s) + minutes * 60))
round=0
scripts/kernel.sh
scripts/kernel.sh input
scripts/guest.sh
cargo build --release --workspace
while :; do
	round=$((round + 1))
	printf '\n== round %d\n' "$round"
	for _ in 1 2 3 4 5; do
		cargo test --release --workspace --exclude rx-tests --lib --tests --quiet
	done
	# A thousand virtual hours of sound, thirty of each scenario.
	SCREAM_RX_HOURS=30 cargo test --release -p scream-rx --test bed --quiet every_scenario
	scripts/sound-soak.sh 60
	# Keyboards and mice that come and go, and a program that is killed, in a machine: zero keys may hang.
	RX_ROUNDS=200 cargo test -p rx-tests --test evdev --quiet chaos
	# Minutes of garbage in a window that stays open: then a good guest, within a second, in as much memory.
	FRAME_RX_GARBAGE_SECONDS="${FRAME_RX_GARBAGE_SECONDS:-45}" cargo test --workspace --test x11 --quiet -- --nocapture of_garbage
	cargo test --workspace --test programs --test bad_input --test vm --quiet
	# Ten thousand rounds of what could leave a key down, without a machine: by each of three ways to a played guest.
	RX_HELD_ROUNDS=3400 RX_HELD_SEED="$(date +%s)" cargo test --release --workspace --exclude rx-tests --lib --quiet -- chaos_tests
	# A minute of a mouse with 8000 reports a second, and many rounds of what could leave a key down.
	RX_INPUT_SECONDS=60 RX_CHAOS_ROUNDS=300 cargo test --workspace --test input --quiet
	[ "$(date +%s)" -lt "$end" ] || break
done
printf '\nmake soak: %d rounds without a failure.\n' "$round"
