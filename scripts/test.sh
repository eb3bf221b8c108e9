#!/bin/sh
# Everything that is checked, in the order in which it fails fastest; prints how long each step took.
#
# CI=true makes a missing server or tool a failure. Elsewhere it is skipped, and the skip is printed.
set -eu
cd "$(dirname "$0")/.."

steps=''
begun=$(date +%s)

step() {
	name=$1
	shift
	printf '\n== %s: %s\n' "$name" "$*"
	start=$(date +%s)
	if ! "$@"; then
		printf '\n== FAILED: %s\n' "$name"
		exit 1
	fi
	steps="$steps$(printf '\n  %-22s %5d s' "$name" $(($(date +%s) - start)))"
}

# rustfmt, clippy and rustdoc are parts of Rust that some distributions pack apart.
have() {
	if "$@" --version >/dev/null 2>&1; then
		return 0
	elif [ "${CI:-}" = true ]; then
		printf '\n== FAILED: %s is not installed\n' "$*"
		exit 1
	fi
	printf '\n== SKIPPED: %s is not installed\n' "$*"
	return 1
}

with_flags() {
	flags=$1
	shift
	env "$flags" "$@"
}

have cargo fmt && step "format" cargo fmt --all --check
have cargo clippy && step "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
have rustdoc && step "documentation" with_flags "RUSTDOCFLAGS=-D warnings" cargo doc --workspace --no-deps --quiet
# The model checker wants to own every atomic of the crate, and the portable copy engines replace the assembly: both
# are other builds of one crate, each in its own folder.
step "interleavings" with_flags "RUSTFLAGS=--cfg loom" \
	cargo test -p shm-proto --release --lib --target-dir target/loom --quiet loom
step "portable engines" with_flags "RUSTFLAGS=--cfg rx_portable" \
	cargo test -p shm-proto --all-features --lib --tests --target-dir target/portable --quiet -- --skip trust::
step "release programs" cargo build --release --workspace
step "exact figures" scripts/bench-check.sh "${CARGO_TARGET_DIR:-target}/release"
step "kernel for the VM" scripts/kernel.sh
step "its modules for input" scripts/kernel.sh input
step "guest for the VM" scripts/guest.sh
step "tests" cargo test --workspace --no-fail-fast

printf '\nTime for each step:%s\n' "$steps"
printf '\nmake test: everything passed, in %d s.\n' $(($(date +%s) - begun))
