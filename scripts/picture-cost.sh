#!/bin/sh
# What a window of frame-rx costs and how late it is, at the X server, with a software GPU: 1080p and 4K at 60 Hz.
#
#   scripts/picture-cost.sh [SECONDS [CASE...]]      10 seconds each; CASE is a part of a name, such as 1920x1080 or still
#
# FRAME_RX_FLAGS are passed on to frame-rx. The figures are this machine's, of this moment: the load is printed with them.
set -eu
cd "$(dirname "$0")/.."
# The whole workspace, whose features the programs in target/release are built with: nothing is built twice.
cargo build --quiet --release --workspace --bin frame-rx --example picture_cost
release=${CARGO_TARGET_DIR:-target}/release
exec "$release/examples/picture_cost" "$release/frame-rx" "$@"
