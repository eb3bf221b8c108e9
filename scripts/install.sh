#!/bin/sh
# Puts the programs and what belongs to them under PREFIX, or takes the same list away again. Builds nothing, so that
# `sudo make install` leaves no files of root in the checkout.
#
#   scripts/install.sh install|uninstall DESTDIR PREFIX FOLDER-OF-BINARIES
set -eu
cd "$(dirname "$0")/.."

action=$1 destdir=$2 prefix=$3 release=$4
root=$destdir$prefix

programs="scream-rx frame-rx rx-bench"
# What has a manual page and completions: made by the program itself, so they cannot disagree with it.
documented="scream-rx frame-rx"

# One line for each file under packaging/: where it goes, below the prefix.
packaged() {
	find packaging -type f 2>/dev/null | sort | while read -r file; do
		name=$(basename "$file")
		case $file in
		packaging/systemd/system/*) echo "$file lib/systemd/system/$name" ;;
		*sysusers*.conf) echo "$file lib/sysusers.d/$name" ;;
		packaging/opener/*) echo "$file share/doc/frame-rx/$name" ;;
		*.service | *.socket | *.path | *.timer) echo "$file lib/systemd/user/$name" ;;
		*.rules) echo "$file lib/udev/rules.d/$name" ;;
		*tmpfiles*.conf) echo "$file lib/tmpfiles.d/$name" ;;
		*.desktop) echo "$file share/applications/$name" ;;
		*.svg) echo "$file share/icons/hicolor/scalable/apps/$name" ;;
		*.toml) echo "$file share/doc/scream-rx/examples/$name" ;;
		esac
	done
}

generated() {
	for program in $documented; do
		echo "$program man share/man/man1/$program.1"
		echo "$program bash share/bash-completion/completions/$program"
		echo "$program zsh share/zsh/site-functions/_$program"
		echo "$program fish share/fish/vendor_completions.d/$program.fish"
	done
}

put() {
	for program in $programs; do
		if [ ! -x "$release/$program" ]; then
			echo "install.sh: $release/$program is not built yet. Run 'make build' first, without sudo." >&2
			exit 2
		fi
	done
	for program in $programs; do
		install -D -m 755 "$release/$program" "$root/bin/$program"
	done
	packaged | while read -r file where; do
		install -D -m 644 "$file" "$root/$where"
		# Units name the programs where a distribution puts them; here they are where the prefix says.
		sed -i "s#/usr/bin/\(scream-rx\|frame-rx\)#$prefix/bin/\1#g" "$root/$where"
	done
	generated | while read -r program what where; do
		mkdir -p "$root/$(dirname "$where")"
		case $what in
		man) "$release/$program" man >"$root/$where" ;;
		*) "$release/$program" completions "$what" >"$root/$where" ;;
		esac
		chmod 644 "$root/$where"
	done
	echo "Installed under $root. Programs: $programs."
	if [ -z "$destdir" ]; then
		echo "Next: 'scream-rx doctor' and 'frame-rx doctor' say what is still missing; 'make uninstall' takes all away."
	fi
}

take_away() {
	for program in $programs; do
		rm -f "$root/bin/$program"
	done
	packaged | while read -r _ where; do rm -f "$root/$where"; done
	generated | while read -r _ _ where; do rm -f "$root/$where"; done
	rmdir "$root/share/doc/scream-rx/examples" "$root/share/doc/scream-rx" "$root/share/doc/frame-rx" 2>/dev/null || true
	echo "Nothing of scream-rx, frame-rx and rx-bench is left under $root. Settings in your home folder stay."
}

case $action in
install) put ;;
uninstall) take_away ;;
*)
	echo "usage: scripts/install.sh install|uninstall DESTDIR PREFIX FOLDER" >&2
	exit 1
	;;
esac
