#!/bin/sh
# Says in one line what to do when Rust is missing or too old for this workspace. Exit: 0 fine, 2 not.
set -eu
cd "$(dirname "$0")/.."

needed=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml)
how="Get Rust from https://rustup.rs (or your distribution's rustup package), then try again."

if ! command -v cargo >/dev/null 2>&1; then
	if [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
		echo "cargo is in ${CARGO_HOME:-$HOME/.cargo}/bin, which is not in PATH. Run: . ${CARGO_HOME:-$HOME/.cargo}/env" >&2
	else
		echo "There is no cargo here; this workspace needs Rust $needed or newer. $how" >&2
	fi
	exit 2
fi
have=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$needed" "${have%%-*}" | sort -V | head -n 1)
if [ "$oldest" != "$needed" ]; then
	echo "This is Rust $have; this workspace needs $needed or newer. $how" >&2
	exit 2
fi
