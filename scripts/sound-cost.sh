#!/bin/sh
# What scream-rx costs while it plays on a private PulseAudio, and how soon a sound is heard. Run it several times on a calm
# machine and quote the spread; the server's own cost stands beside it.
#
#   scripts/sound-cost.sh [SECONDS [PROFILE]]      (default: 20 balanced; needs pulseaudio, parec, chrt, and release programs)
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-20}
profile=${2:-balanced}
release=${CARGO_TARGET_DIR:-target}/release
dir=$(mktemp -d)
pids=''
end() {
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap end EXIT INT TERM HUP PIPE

export HOME="$dir" XDG_RUNTIME_DIR="$dir" XDG_CONFIG_HOME="$dir/config" PULSE_STATE_PATH="$dir/state"
export PULSE_RUNTIME_PATH="$dir/pulse" PULSE_COOKIE="$dir/cookie" PULSE_SERVER="unix:$dir/native"
unset DBUS_SESSION_BUS_ADDRESS DISPLAY WAYLAND_DISPLAY
pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 --log-level=error \
	-L "module-null-sink sink_name=t rate=48000 format=s16le channels=2 norewinds=1" \
	-L "module-native-protocol-unix auth-anonymous=1 socket=$dir/native" &
server=$!
pids=$server
while [ ! -S "$dir/native" ]; do sleep 0.02; done
# It gives real time away while it starts.
chrt -a -r -p 30 "$server" 2>/dev/null || echo "not real-time: expect worse figures" >&2

region=$dir/region
"$release/scream-rx" "$region" -o pulse --profile "$profile" --stats "$dir/stats.json" 2>"$dir/log" &
player=$!
pids="$pids $player"
parec -d t.monitor --raw --rate=48000 --format=s16le --channels=2 --latency-msec=5 >"$dir/recorded" &
recorder=$!
pids="$pids $recorder"
while [ ! -s "$dir/recorded" ]; do sleep 0.02; done
while ! grep -q "sound goes to" "$dir/log"; do sleep 0.02; done

frames_before=$(($(wc -c <"$dir/recorded") / 4))
chrt -r 25 "$release/rx-guest" sound "$region" >/dev/null 2>&1 &
guest=$!
pids="$pids $guest"
sleep 3
first=$(od -An -v -t d2 -w4 "$dir/recorded" | awk '$1 > 300 || $1 < -300 { print NR - 1; exit }')
kill "$recorder"

# Nanoseconds on a processor, and switches, of all threads so far.
busy() { cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f\n", n }'; }
switches() { cat /proc/"$1"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
by_thread() { for t in /proc/"$player"/task/*; do echo "$(cat "$t/comm") $(cut -d' ' -f1 "$t/schedstat")"; done; }
by_thread >"$dir/before"
t0=$(busy "$player") s0=$(busy "$server") c0=$(switches "$player")
sleep "$seconds"
t1=$(busy "$player") s1=$(busy "$server") c1=$(switches "$player")
by_thread >"$dir/after"
resident=$(awk '/VmHWM/ { print $2 }' "/proc/$player/status")
kill "$player"
wait "$player" || true
figure() { sed -n "s/.*\"$1\": \([-0-9.]*\),*/\1/p" "$dir/stats.json"; }

echo "profile              $profile, $seconds s, load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) processors"
awk -v n=$((t1 - t0)) -v s="$seconds" 'BEGIN { printf "receiver             %.2f %% of a core\n", n / s / 1e7 }'
awk -v n=$((s1 - s0)) -v s="$seconds" 'BEGIN { printf "server               %.2f %% of a core\n", n / s / 1e7 }'
paste -d' ' "$dir/before" "$dir/after" |
	awk -v s="$seconds" '{ printf "  thread %-12s  %.2f %%\n", $1, ($4 - $2) / s / 1e7 }'
echo "context switches     $(((c1 - c0) / seconds)) a second"
awk -v kb="$resident" 'BEGIN { printf "memory (VmHWM)       %.1f MiB\n", kb / 1024 }'
awk -v a="$frames_before" -v b="$first" 'BEGIN { printf "start to sound       %.0f ms (the start of the guest program included)\n", (b - a) / 48 }'
echo "delay                $(figure delay_ms_p50) ms (p1 $(figure delay_ms_p1), p99 $(figure delay_ms_p99))"
echo "gaps, empty, lost    $(figure gaps), $(figure sink_underflows), $(figure chunks_lost)"
