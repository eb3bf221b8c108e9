#!/bin/sh
# Lets libFuzzer look for input that upsets what reads foreign bytes, MINUTES for all targets together, on stable Rust.
# What it finds stays beside the test as `tests/fuzz/**/__fuzz__/*/crashes/*`: commit it, `cargo test` then tries it each time.
set -eu
cd "$(dirname "$0")/.."

minutes=${1:?usage: scripts/fuzz.sh MINUTES}
tool=target/tools/bin/cargo-bolero
[ -x "$tool" ] || cargo install --locked --version 0.13.5 --no-default-features --features libfuzzer \
	--root target/tools cargo-bolero
targets='
memory::no_bytes_upset_the_reader_of_sound
memory::no_bytes_upset_the_viewer_of_pictures
memory::no_bytes_upset_the_consumer_of_a_ring
network::no_datagrams_upset_the_joining_of_frames
files::no_bytes_upset_the_reader_of_timing_dumps
files::no_text_upsets_the_settings
'
count=$(printf '%s' "$targets" | grep -c .)
seconds=$((minutes * 60 / count))
# The sanitizers need nightly Rust; without them a panic, an overflow and a failed assertion are found all the same.
for target in $targets; do
	log=target/fuzz/${target#*::}.log
	mkdir -p "target/fuzz/corpus/$target"
	printf '%-55s ' "$target"
	if ! PATH="$PWD/target/tools/bin:$PATH" cargo bolero test --package rx-fuzz --engine libfuzzer --sanitizer NONE \
		--target-dir target/fuzz --corpus-dir "target/fuzz/corpus/$target" -T "${seconds}s" "$target" >"$log" 2>&1; then
		printf 'FOUND SOMETHING, see %s\n' "$log"
		tail -n 40 "$log"
		exit 1
	fi
	sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 inputs in \2 s/p' "$log" | tail -n 1
done
printf '\nmake fuzz: %d targets, %d s each, nothing found.\n' "$count" "$seconds"
