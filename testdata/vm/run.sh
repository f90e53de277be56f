#!/bin/sh
# Runs a command as root in a virtual machine; README.md tells of the options.
# The exit status is the command's, 124 when the time was over, 125 when there
# was no machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${RACOON2_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/racoon2-vm}
limit=120 messages='' packages=''

"$here/setup.sh" || exit 125

tmp=$(mktemp -d)
qemu='' reader=''
finish() {
	for pid in $qemu $reader; do
		kill "$pid" 2>/dev/null || :
	done
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' HUP INT TERM

# quote writes a word so that the guest's shell reads it back as it is.
quote() {
	printf "'%s' " "$(printf %s "$1" | sed "s/'/'\\\\''/g")"
}

mkdir "$tmp/root"
while getopts t:f:p:e:k option; do
	case $option in
	t) limit=$OPTARG ;;
	f)
		mkdir -p "$tmp/root/$(dirname "${OPTARG#*:}")"
		cp -RL --preserve=mode "${OPTARG%%:*}" "$tmp/root/${OPTARG#*:}"
		;;
	p) packages="$packages $OPTARG" ;;
	e) echo "export ${OPTARG%%=*}=$(quote "${OPTARG#*=}")" >>"$tmp/root/command" ;;
	k) messages=1 ;;
	*) exit 125 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || {
	echo "usage: run.sh [-t SECONDS] [-f FILE:PATH]... [-p PACKAGES]... [-e NAME=VALUE]... [-k] COMMAND [ARG...]" >&2
	exit 125
}
{
	printf 'cd /root && exec '
	for word; do quote "$word"; done
	echo
} >>"$tmp/root/command"

more=''
# shellcheck disable=SC2086 # a list of words
[ -z "$packages" ] || more=$("$here/packages.sh" $packages) || exit 125

# An initramfs may be several archives, one after the other.
{
	cat "$cache/base.cpio" ${more:+"$more"}
	(cd "$tmp/root" && find . -mindepth 1 | "$cache/busybox" cpio -o -H newc -R 0:0 2>/dev/null)
} >"$tmp/initrd"

mkfifo "$tmp/output"
cat "$tmp/output" &
reader=$!
timeout -k 5 "$limit" qemu-system-x86_64 \
	-machine q35,sata=off,smbus=off,usb=off -bios qboot.rom -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
	-nodefaults -no-user-config -display none -no-reboot \
	-serial "file:$tmp/messages" -serial "file:$tmp/output" -serial "file:$tmp/status" \
	-kernel "$cache/vmlinuz" -initrd "$tmp/initrd" \
	-append 'console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable cryptomgr.notests' \
	</dev/null >"$tmp/qemu" 2>&1 &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=''
[ -e "$tmp/messages" ] || kill "$reader" # QEMU never opened the pipe: nothing will end the reader
wait "$reader" 2>/dev/null || :
reader=''

status=$(sed -n 's/^exit \([0-9]*\)$/\1/p' "$tmp/status" 2>/dev/null || :)
if [ -n "$messages" ] || [ -z "$status" ]; then
	cat "$tmp/qemu" "$tmp/messages" 2>/dev/null | tail -n 50 >&2 || :
fi
case $status:$ended in
:124 | :137)
	echo "vm: not done after $limit seconds" >&2
	exit 124
	;;
:*)
	echo "vm: no status (QEMU ended with $ended)" >&2
	exit 125
	;;
esac
exit "$status"
