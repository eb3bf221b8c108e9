#!/bin/sh
# The program inside the test VM, linked statically so that it can be the only file there:
# target/guest/x86_64-unknown-linux-gnu/release/rx-guest. The target is named so that the flags do not reach build
# scripts and macros, which must stay dynamic; the folder is its own so that the flags do not rebuild everything else.
set -eu
cd "$(dirname "$0")/.."
RUSTFLAGS="-C target-feature=+crt-static" exec cargo build --quiet --release --locked -p rx-guest \
	--target x86_64-unknown-linux-gnu --target-dir target/guest
