#!/bin/sh
# A Linux kernel for the test VM, in target/vm/vmlinuz. Nothing is installed and nothing needs root: the package with
# the distribution's own kernel is downloaded (27 MB on Debian) and the one file is taken out of it.
#
#   scripts/kernel.sh          a kernel for shared memory: the smallest there is
#   scripts/kernel.sh input    one with the modules of keyboards and mice, in target/vm/input, and of sound cards, in folders of
#                              that: usb-audio and ac97 (71 MB on Debian)
#
# Nothing happens if the files are there; nor, without `input`, if $RX_VM_KERNEL names another kernel or if this machine
# has an installed one that this user may read (tests/src/kernel.rs finds all three). Exit: 0 there is one, 2 none could
# be had.
set -eu
cd "$(dirname "$0")/.."

# What the machines of tests/tests/input.rs have: PS/2, virtio and USB; and uinput, with which tests/tests/evdev.rs makes
# devices of its own, and a network card. Kernels have some of them built in.
modules="evdev uinput input-leds atkbd psmouse i8042 libps2 serio vivaldi-fmap virtio virtio_ring virtio_pci virtio_pci_legacy_dev
virtio_pci_modern_dev virtio_input e1000 usb-common usbcore xhci-hcd xhci-pci ehci-hcd ehci-pci uhci-hcd hid hid-generic usbhid"
# For tests/tests/card.rs, which is skipped without them.
pcm="soundcore snd snd-timer snd-pcm snd-hwdep"
usb_audio="$pcm mc snd-rawmidi snd-seq-device snd-usbmidi-lib snd-usb-audio"
ac97="$pcm ac97_bus snd-ac97-codec snd-intel8x0"

with_input=${1:-}
case $with_input in
'')
	names="linux-image-cloud-amd64 linux-image-virtual linux-image-generic linux-image-amd64"
	for kernel in "${RX_VM_KERNEL:-}" target/vm/vmlinuz /usr/lib/modules/*/vmlinuz /boot/vmlinuz-*; do
		if [ -f "$kernel" ] && [ -r "$kernel" ]; then
			exit 0
		fi
	done
	;;
input)
	names="linux-image-amd64 linux-image-generic"
	# Fetched anew when other modules are wanted than last time.
	if [ -f target/vm/input/vmlinuz ] && [ "$(cat target/vm/input/wanted 2>/dev/null)" = "$modules $usb_audio $ac97" ]; then
		exit 0
	fi
	;;
*)
	echo "usage: scripts/kernel.sh [input]" >&2
	exit 2
	;;
esac

mkdir -p target/vm
work=$(mktemp -d target/vm/fetch.XXXXXX)
trap 'rm -rf "$work"' EXIT
echo "Fetching a kernel for the test VM (kept in target/vm)."

# The lists of packages may be missing or stale, and fetching them for the system would need root: keep our own.
from_apt() {
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	set -- -o "Dir::State::Lists=$PWD/$work/lists" -o "Dir::Cache=$PWD/$work/cache" -o APT::Sandbox::User=
	apt-get "$@" -qq update
	for name in $names; do
		package=$(apt-cache "$@" depends "$name" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
		if [ -n "$package" ]; then
			(cd "$work" && apt-get "$@" -qq download "$package")
			dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work" --wildcards './boot/vmlinuz-*'
			[ -z "$with_input" ] || apt_modules "$@"
			return
		fi
	done
}

# Debian's kernel brings its modules along; Ubuntu's has them in a package beside it.
apt_modules() {
	drivers='./lib/modules/*/kernel/drivers/*'
	cards='./lib/modules/*/kernel/sound/*'
	if ! dpkg-deb --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work" --wildcards "$drivers" "$cards" 2>/dev/null; then
		(cd "$work" && apt-get "$@" -qq download "$(echo "$package" | sed 's/^linux-image-/linux-modules-/')")
		dpkg-deb --fsys-tarfile "$work"/linux-modules-*.deb | tar -x -C "$work" --wildcards "$drivers"
		dpkg-deb --fsys-tarfile "$work"/linux-modules-*.deb | tar -x -C "$work" --wildcards "$cards" 2>/dev/null || true
	fi
}

from_dnf() {
	dnf download -q --destdir "$work" kernel-core ${with_input:+kernel-modules-core kernel-modules}
	for package in "$work"/kernel-*.rpm; do
		(cd "$work" && rpm2cpio "$(basename "$package")" | cpio -id --quiet '*/vmlinuz' ${with_input:+'*/drivers/*.ko*' '*/sound/*.ko*'})
	done
}

from_pacman() {
	curl -fsSL -o "$work/linux.pkg.tar.zst" "$(pacman -Sp linux | tail -n 1)"
	tar -x --zstd -C "$work" -f "$work/linux.pkg.tar.zst" --wildcards 'usr/lib/modules/*/vmlinuz' \
		${with_input:+'usr/lib/modules/*/kernel/drivers/*' 'usr/lib/modules/*/kernel/sound/*'}
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
if [ -z "$with_input" ]; then
	mv "$kernel" target/vm/vmlinuz
	exit 0
fi

# The kernel goes last: it says that everything is there.
rm -rf target/vm/input
put() {
	mkdir -p "$1"
	for name in $2; do
		find "$work" -type f -name "$name.ko*" -exec cp {} "$1" \;
	done
	for packed in "$1"/*.ko.*; do
		case $packed in
		*.xz) xz -d "$packed" ;;
		*.zst) zstd -q --rm -d "$packed" ;;
		esac
	done
}
put target/vm/input "$modules"
put target/vm/input/usb-audio "$usb_audio"
put target/vm/input/ac97 "$ac97"
printf '%s\n' "$modules $usb_audio $ac97" >target/vm/input/wanted
mv "$kernel" target/vm/input/vmlinuz
