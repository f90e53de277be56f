#!/bin/sh
# Prepares what run.sh needs, once: QEMU, a kernel, and a base image with
# busybox and the modules that IPsec and its tests use. Calling it again costs
# nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${RACOON2_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/racoon2-vm}
meta=linux-image-cloud-amd64

mkdir -p "$cache"
exec 9>"$cache/lock" # tests of several packages may come at once
flock 9

# A change of these scripts makes a new image.
stamp=$(cat "$here/setup.sh" "$here/init" | sha256sum | cut -c1-16)
if [ "$(cat "$cache/stamp" 2>/dev/null)" = "$stamp" ] && command -v qemu-system-x86_64 >/dev/null; then
	exit 0
fi
rm -f "$cache/stamp"

fail() {
	echo "vm setup: $*" >&2
	exit 1
}
command -v apt-get >/dev/null || fail "only Debian's apt is known here"
if ! command -v qemu-system-x86_64 >/dev/null || ! apt-cache show "$meta" >/dev/null 2>&1; then
	[ "$(id -u)" = 0 ] || fail "install qemu-system-x86 and run apt-get update, as root"
	apt-get update -q >&2
	DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 install -y \
		--no-install-recommends qemu-system-x86 >&2
fi

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The metapackage names the kernel.
image=$(apt-cache depends "$meta" | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
[ -n "$image" ] || fail "$meta names no kernel"
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$image" busybox-static >&2)
for package in "$image" busybox-static; do
	dpkg -x "$work/${package}"_*.deb "$work/unpacked"
done
busybox=$work/unpacked/bin/busybox
version=$(ls "$work/unpacked/lib/modules")
modules=lib/modules/$version

# The image: busybox, its links, and the modules' folders.
root=$work/root
mkdir -p "$root/bin" "$root/sbin" "$root/dev" "$root/proc" "$root/sys" "$root/run" "$root/tmp" "$root/etc" "$root/root" \
	"$root/var" "$root/$modules/kernel"
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while read -r name; do
	[ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done
ln -s ../bin/busybox "$root/sbin/modprobe" # the path that the kernel calls
ln -s ../run "$root/var/run"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
cp "$here/init" "$root/init"
for folder in net crypto arch/x86/crypto lib drivers/net; do
	[ ! -d "$work/unpacked/$modules/kernel/$folder" ] || {
		mkdir -p "$root/$modules/kernel/$(dirname "$folder")"
		cp -a "$work/unpacked/$modules/kernel/$folder" "$root/$modules/kernel/$(dirname "$folder")/"
	}
done
rm -rf "$root/$modules/kernel/drivers/net/ethernet" "$root/$modules/kernel/net/sunrpc"
cp "$work/unpacked/$modules/modules.builtin" "$work/unpacked/$modules/modules.order" "$root/$modules/"
"$busybox" depmod -b "$root" "$version" 2>/dev/null
(cd "$root" && find . -mindepth 1 | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/base.cpio"

cp "$busybox" "$cache/busybox"
cp "$work/unpacked/boot/vmlinuz-$version" "$cache/vmlinuz"
mv "$work/base.cpio" "$cache/base.cpio"
echo "$stamp" >"$cache/stamp"
echo "vm setup: kernel $version, image of $(($(wc -c <"$cache/base.cpio") >> 20)) MiB" >&2
