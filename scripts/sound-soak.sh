#!/bin/sh
# Plays on a private PulseAudio while the guest's clock and the server's differ, and says how constant the delay was in the
# server's own recording and what was heard of gaps. Fails if it moved by more than 1 ms, if anything was heard, or if there
# was a gap although the machine never held a thread up for 3 ms (low: 1 ms); where it did, a gap is shown and not judged.
#
#   scripts/sound-soak.sh [SECONDS [PROFILE [PPM...]]]      (default: 300 balanced 0 300 -300 1000 -1000)
set -eu
cd "$(dirname "$0")/.."
SCREAM_RX_SOAK_S=${1:-300}
SCREAM_RX_SOAK_PROFILE=${2:-balanced}
[ $# -lt 2 ] || shift
[ $# -lt 1 ] || shift
SCREAM_RX_SOAK_PPM=$*
export SCREAM_RX_SOAK_S SCREAM_RX_SOAK_PROFILE SCREAM_RX_SOAK_PPM
exec cargo test --quiet -p scream-rx --test real -- --exact --nocapture \
	soak::the_delay_is_constant_and_nothing_is_missing_while_clocks_differ
