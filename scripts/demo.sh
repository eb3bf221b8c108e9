#!/bin/sh
# Shows both receivers at work with a simulated guest behind them: no virtual machine, no settings. With a display there
# is a window, with a sound server there is sound; without, a PNG and a WAV file. Everything written goes to out/.
#
#   scripts/demo.sh FOLDER-OF-BINARIES
set -eu
cd "$(dirname "$0")/.."

bin=$1
seconds=8
mkdir -p out
rm -f out/demo.png out/demo.wav out/picture.json out/sound.json

has_sound() {
	[ -n "${PULSE_SERVER:-}" ] || [ -S "${XDG_RUNTIME_DIR:-/nonexistent}/pulse/native" ]
}

has_display() {
	[ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]
}

picture() {
	if has_display; then
		"$bin/frame-rx" demo --mode 1280x720@60 --seconds "$seconds" --screenshot out/demo.png --stats out/picture.json
	else
		# Mesa asks a Wayland compositor which GPU it prefers, and complains if there is none to ask.
		NODEVICE_SELECT=1 "$bin/frame-rx" demo --headless --frames 240 --screenshot out/demo.png --stats out/picture.json
	fi
}

sound() {
	if has_sound; then
		"$bin/scream-rx" demo --seconds "$seconds" --stats out/sound.json
	else
		"$bin/scream-rx" demo --seconds 5 -o wav -d out/demo.wav --stats out/sound.json
	fi
}

status=0
if has_display && has_sound; then
	echo "A window and a tone, for $seconds seconds."
	sound &
	listener=$!
	picture || status=$?
	wait "$listener" || status=$?
else
	has_display || echo "No display here: the picture goes to out/demo.png."
	picture || status=$?
	echo
	has_sound || echo "No sound server here: the sound goes to out/demo.wav."
	sound || status=$?
fi

echo
if [ "$status" != 0 ]; then
	echo "One of the demos failed; its own words stand above."
	exit "$status"
fi
echo "Both receivers work on this machine. Written:"
for file in out/demo.png out/demo.wav out/picture.json out/sound.json; do
	if [ -f "$file" ]; then
		echo "  $file ($(($(wc -c <"$file") / 1024 + 1)) KiB)"
	fi
done
echo "Next: 'make install', then 'frame-rx doctor' and 'scream-rx doctor' with your own virtual machine."
