#!/bin/sh
# A Linux kernel for the test VM, in target/vm/vmlinuz. Nothing is installed and nothing needs root: the package with
# the distribution's own kernel is downloaded (27 MB on Debian) and the one file is taken out of it.
#
# Nothing happens if that file is there, or if $RX_VM_KERNEL names another, or if this machine has an installed kernel
# that this user may read: the VM tests find all three (tests/src/vm.rs). Exit: 0 there is one, 2 none could be had.
set -eu
cd "$(dirname "$0")/.."

for kernel in "${RX_VM_KERNEL:-}" target/vm/vmlinuz /usr/lib/modules/*/vmlinuz /boot/vmlinuz-*; do
	if [ -f "$kernel" ] && [ -r "$kernel" ]; then
		exit 0
	fi
done

mkdir -p target/vm
work=$(mktemp -d target/vm/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT
echo "Fetching a kernel for the test VM (kept in target/vm)."

# The lists of packages may be missing or stale, and fetching them for the system would need root: keep our own.
from_apt() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	set -- -o "Dir::State::Lists=$PWD/$work/lists" -o "Dir::Cache=$PWD/$work/cache" -o APT::Sandbox::User=
	apt-get "$@" -qq update
	for name in linux-image-cloud-amd64 linux-image-virtual linux-image-generic linux-image-amd64; do
		package=$(apt-cache "$@" depends "$name" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
		if [ -n "$package" ]; then
			(cd "$work" && apt-get "$@" -qq download "$package")
			dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
			return
		fi
	done
}

from_dnf() {
	dnf download -q --destdir "$work" kernel-core
	for package in "$work"/kernel-core-*.rpm; do
		(cd "$work" && rpm2cpio "$(basename "$package")" | cpio -id --quiet '*/vmlinuz')
	done
}

from_pacman() {
	curl -fsSL -o "$work/linux.pkg.tar.zst" "$(pacman -Sp linux | tail -n 1)"
	tar -x --zstd -C "$work" -f "$work/linux.pkg.tar.zst" --wildcards 'usr/lib/modules/*/vmlinuz'
}

if command -v apt-get >/dev/null 2>&1; then
	from_apt
elif command -v dnf >/dev/null 2>&1; then
	from_dnf
elif command -v pacman >/dev/null 2>&1; then
	from_pacman
fi

kernel=$(find "$work" -name 'vmlinuz*' -type f | head -n 1)
if [ -z "$kernel" ]; then
	echo "kernel.sh: no kernel could be fetched. Name one in RX_VM_KERNEL (a bzImage for x86-64)." >&2
	exit 2
fi
mv "$kernel" target/vm/vmlinuz
