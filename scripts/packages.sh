#!/bin/sh
# The system packages this workspace needs: one table, one check for each row, one way to install what is missing.
#
#   scripts/packages.sh list PURPOSE...      say what is missing (exit 1 if something is)
#   scripts/packages.sh install PURPOSE...   show what is missing, then install it
#
# Purposes: build, run, window, test, bench, sinks. A row is judged by what is on the machine (a command, a library, a file), not by
# the package database, so a machine that got the things another way needs nothing, and no network.
# Exit: 0 everything is there, 1 something is missing (list), 2 this machine cannot install it (the reason is printed).
set -eu

# purpose | what it is for | check | Debian, Ubuntu (apt) | Fedora (dnf) | Arch (pacman)        ("-": not needed there)
table() {
	cat <<'END'
build  | a linker                                      | command cc                  | gcc libc6-dev        | gcc glibc-devel       | gcc
build  | finds the libraries to link with              | command pkg-config          | pkg-config           | pkgconf-pkg-config    | pkgconf
build  | ALSA, with headers                            | pkg-config alsa             | libasound2-dev       | alsa-lib-devel        | alsa-lib
build  | PulseAudio's client library                   | library libpulse.so.0       | libpulse0            | pulseaudio-libs       | libpulse
run    | the Vulkan loader                             | library libvulkan.so.1      | libvulkan1           | vulkan-loader         | vulkan-icd-loader
run    | a Vulkan driver, in software if need be       | vulkan-driver any           | mesa-vulkan-drivers  | mesa-vulkan-drivers   | vulkan-swrast
window | X11 windows                                   | library libX11.so.6         | libx11-6             | libX11                | libx11
window | X11 windows                                   | library libX11-xcb.so.1     | libx11-xcb1          | libX11-xcb            | libx11
window | X11 cursors                                   | library libXcursor.so.1     | libxcursor1          | libXcursor            | libxcursor
window | X11 input                                     | library libXi.so.6          | libxi6               | libXi                 | libxi
window | X11 monitors                                  | library libXrandr.so.2      | libxrandr2           | libXrandr             | libxrandr
window | keyboard layouts                              | library libxkbcommon.so.0   | libxkbcommon0        | libxkbcommon          | libxkbcommon
window | keyboard layouts under X11                    | library libxkbcommon-x11.so.0 | libxkbcommon-x11-0 | libxkbcommon-x11      | libxkbcommon-x11
window | Wayland windows                               | library libwayland-client.so.0 | libwayland-client0 | libwayland-client    | wayland
test   | a software GPU, so that pixels are equal everywhere | vulkan-driver lvp     | mesa-vulkan-drivers  | mesa-vulkan-drivers   | vulkan-swrast
test   | a private sound server                        | sound-server                | pulseaudio           | pulseaudio            | pulseaudio
test   | records what the sound server plays           | command parec               | pulseaudio-utils     | pulseaudio-utils      | libpulse
test   | a display without a screen                    | command Xvfb                | xvfb                 | xorg-x11-server-Xvfb  | xorg-server-xvfb
test   | a display with monitors that come and go      | library xorg/modules/drivers/dummy_drv.so | xserver-xorg-core xserver-xorg-video-dummy | xorg-x11-server-Xorg xorg-x11-drv-dummy | xorg-server xf86-video-dummy
test   | unplugs those monitors                        | command xrandr              | x11-xserver-utils    | xrandr                | xorg-xrandr
test   | keys and mouse for that display               | command xdotool             | xdotool              | xdotool               | xdotool
test   | pictures of that display                      | command import              | imagemagick          | ImageMagick           | imagemagick
test   | a window manager for that display             | command openbox             | openbox              | openbox               | openbox
test   | asks that window manager                      | command wmctrl              | wmctrl               | wmctrl                | wmctrl
test   | a session bus                                 | command dbus-daemon         | dbus-daemon          | dbus-daemon           | dbus
test   | tells what passes through it                  | command dbus-monitor        | dbus-bin             | dbus-tools            | dbus
test   | a Wayland compositor that needs no screen     | command sway                | sway                 | sway                  | sway
test   | pictures of that compositor                   | command grim                | grim                 | grim                  | grim
test   | a Wayland compositor that enlarges by fractions | command kwin_wayland      | kwin-wayland         | kwin-wayland          | kwin
test   | a Wayland compositor that tells when frames are shown | command weston     | weston               | weston               | weston
test   | a virtual machine                             | command qemu-system-x86_64  | qemu-system-x86      | qemu-system-x86-core  | qemu-system-x86
test   | unpacks the kernel of that machine            | command lz4                 | lz4                  | -                     | -
test   | unpacks the kernel of that machine            | command zstd                | -                    | zstd                  | zstd
test   | links the program inside that machine         | library libc.a              | libc6-dev            | glibc-static          | glibc
test   | ALSA by way of that sound server              | library alsa-lib/libasound_module_pcm_pulse.so | libasound2-plugins | alsa-plugins-pulseaudio | alsa-plugins
test   | counts instructions                           | command valgrind            | valgrind             | valgrind              | valgrind
test   | cables between private networks               | command ip                  | iproute2             | iproute               | iproute2
test   | ends servers together with their test         | command setpriv             | util-linux           | util-linux            | util-linux
test   | gives devices to users, inside a machine      | command udevadm             | udev                 | systemd-udev          | systemd
test   | a terminal for one program                    | command script              | bsdutils             | /usr/bin/script       | util-linux
bench  | counts instructions                           | command valgrind            | valgrind             | valgrind              | valgrind
bench  | a private sound server                        | sound-server                | pulseaudio           | pulseaudio            | pulseaudio
bench  | records what the sound server plays           | command parec               | pulseaudio-utils     | pulseaudio-utils      | libpulse
bench  | a Vulkan driver, in software if need be       | vulkan-driver any           | mesa-vulkan-drivers  | mesa-vulkan-drivers   | vulkan-swrast
sinks  | JACK, with headers                            | pkg-config jack             | libjack-jackd2-dev   | jack-audio-connection-kit-devel | jack2
sinks  | PipeWire, with headers                        | pkg-config libpipewire-0.3  | libpipewire-0.3-dev  | pipewire-devel        | libpipewire
sinks  | reads C headers while PipeWire's crate is built | library libclang.so       | libclang-dev         | clang-devel           | clang
sinks  | a JACK server without hardware                | command jackd               | jackd2               | jack-audio-connection-kit | jack2
sinks  | records what JACK plays                       | command jack_rec            | jackd2               | jack-audio-connection-kit-example-clients | jack-example-tools
sinks  | a PipeWire server                             | command pipewire            | pipewire             | pipewire              | pipewire
sinks  | the manager that PipeWire needs               | command wireplumber         | wireplumber          | wireplumber           | wireplumber
sinks  | records what PipeWire plays                   | command pw-record           | pipewire-bin         | pipewire-utils        | pipewire
END
}

say() { printf '%s\n' "$*" >&2; }

library_there() {
	for dir in /usr/lib/*-linux-gnu /lib/*-linux-gnu /usr/lib64 /lib64 /usr/lib /lib /usr/local/lib /usr/lib/llvm*/lib; do
		[ -e "$dir/$1" ] && return 0
	done
	{ ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null | grep -qF "$1 "
}

# A driver manifest whose name holds the word, in the places where the loader looks.
vulkan_driver_there() {
	for dir in "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}" /usr/local/share /usr/share /etc; do
		for manifest in "$dir"/vulkan/icd.d/*.json; do
			case $manifest in
			*"*.json") ;;
			*"$1"*) return 0 ;;
			esac
		done
	done
	return 1
}

there() {
	case $1 in
	command) command -v "$2" >/dev/null 2>&1 || [ -x "/usr/sbin/$2" ] ;;
	pkg-config) pkg-config --exists "$2" 2>/dev/null ;;
	library) library_there "$2" ;;
	vulkan-driver) vulkan_driver_there "${2#any}" ;;
	# PulseAudio and PipeWire's stand-in for it push each other out on some systems. A test must not take a desktop's
	# sound server away, so either will do.
	sound-server) command -v pulseaudio >/dev/null 2>&1 || command -v pipewire-pulse >/dev/null 2>&1 ;;
	*) say "packages.sh: no such check: $1"; exit 3 ;;
	esac
}

manager() {
	for m in apt-get dnf pacman; do
		if command -v "$m" >/dev/null 2>&1; then
			echo "$m"
			return
		fi
	done
	echo none
}

trim() { echo "$1" | sed 's/^ *//; s/ *$//'; }

# Leaves in $missing how many things are missing, in $shown a line for each, in $packages what brings them.
look() {
	packages='' shown='' missing=0
	while IFS='|' read -r purpose what check apt dnf pacman; do
		case " $purposes " in *" $(trim "$purpose") "*) ;; *) continue ;; esac
		case $manager in
		apt-get) names=$(trim "$apt") ;;
		dnf) names=$(trim "$dnf") ;;
		pacman) names=$(trim "$pacman") ;;
		*) names='' ;;
		esac
		check=$(trim "$check")
		if [ "$names" = - ] || there "${check%% *}" "${check#* }"; then
			continue
		fi
		missing=$((missing + 1))
		shown="$shown$(printf '\n  %-46s %-30s %s' "$(trim "$what")" "$check" "${names:+(package $names)}")"
		for name in $names; do
			case " $packages " in *" $name "*) ;; *) packages="$packages $name" ;; esac
		done
	done <<END
$(table)
END
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Never removes a package of somebody's machine: where one pushes out another, the install fails and the reason stands
# above. A machine of continuous integration is thrown away afterwards, and there it may (a qemu-utils from backports
# and bookworm's qemu-system-x86 exclude each other, for one).
install_commands() {
	case $manager in
	apt-get)
		keep=" --no-remove"
		[ "${CI:-}" != true ] || keep=
		echo "apt-get update"
		echo "apt-get install -y --no-install-recommends$keep -o DPkg::Lock::Timeout=300$packages"
		;;
	dnf) echo "dnf install -y --setopt=install_weak_deps=False$packages" ;;
	pacman)
		# No -u: upgrading the system is its owner's decision. The list of packages is fetched only if there is none.
		fetch=''
		[ -e /var/lib/pacman/sync/core.db ] || fetch=y
		echo "pacman -S$fetch --needed --noconfirm$packages"
		;;
	esac
}

[ $# -ge 2 ] || { say "usage: scripts/packages.sh list|install PURPOSE..."; exit 2; }
action=$1
shift
purposes="$*"
# A window needs its libraries only where there is a display to open one on; the tests bring their own display.
case " $purposes " in
*" test "*) purposes="$purposes window" ;;
*" run "*) if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then purposes="$purposes window"; fi ;;
esac
manager=$(manager)

look
[ "$missing" = 0 ] && exit 0
say "Needed to $*, and not on this machine yet:$shown"
[ "$action" = install ] || exit 1

if [ "$manager" = none ]; then
	say "None of apt-get, dnf and pacman is here: install the things above in this system's own way, then try again."
	exit 2
fi
sudo=
if [ "$(id -u)" != 0 ]; then
	sudo="sudo "
fi
say "They come with:"
install_commands | while read -r line; do say "  $sudo$line"; done
if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
	say "There is no sudo here: run the commands above as root, then try again."
	exit 2
fi

export DEBIAN_FRONTEND=noninteractive
install_commands >"${TMPDIR:-/tmp}/rx-packages.$$"
trap 'rm -f "${TMPDIR:-/tmp}/rx-packages.$$"' EXIT
while read -r line; do
	# shellcheck disable=SC2086  # the line is words on purpose; package names hold no blanks
	if ! as_root $line </dev/null; then
		say "packages.sh: '$sudo$line' failed; its own words stand above."
		say "If it says that packages would have to be removed and you agree, run it yourself without --no-remove."
		exit 2
	fi
done <"${TMPDIR:-/tmp}/rx-packages.$$"

look 2>/dev/null
if [ "$missing" != 0 ]; then
	say "Still missing after the install:$shown"
	exit 2
fi
