#!/bin/sh
# Makes one archive of Debian packages and the libraries that they need, for
# run.sh -p, and prints its path. Packages are unpacked, never installed: no
# script of theirs runs, and users or files that one would make are the test's
# to make. The archive is kept, so that a second call needs no network.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${RACOON2_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/racoon2-vm}
[ $# -gt 0 ] || {
	echo "usage: packages.sh PACKAGE..." >&2
	exit 2
}
"$here/setup.sh"

# What packages name for their installation alone, and what no program here runs.
unwanted='adduser|cdebconf|debconf|dpkg|init-system-helpers|install-info|lsb-base|netbase|sysvinit-utils|tar|usrmerge'
unwanted="$unwanted|usr-is-merged|gcc-12-base|perl.*|lib.*perl.*|libdebian-installer4|libnewt.*|libslang2|libtextwrap1|dns-root-data|bind9-.*"

archive=$cache/packages-$(echo "$* $unwanted" | cat - "$0" | sha256sum | cut -c1-16).cpio
exec 9>"$cache/packages.lock" # tests of several packages may come at once
flock 9
if [ -s "$archive" ]; then
	echo "$archive"
	exit 0
fi

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/debs" "$work/root"
apt-cache depends --recurse --important "$@" | grep -v '^[ <]' | sed 's/:.*//' | sort -u |
	grep -vxE "$unwanted" >"$work/list"
[ -s "$work/list" ] || {
	echo "vm packages: apt knows none of: $*" >&2
	exit 1
}
(cd "$work/debs" && xargs apt-get -q -o APT::Sandbox::User=root download <"$work/list" >&2)
for package in "$work"/debs/*.deb; do
	dpkg -x "$package" "$work/one"
	rm -rf "$work/one/usr/share/doc" "$work/one/usr/share/man" "$work/one/usr/share/locale"
	for folder in bin sbin lib lib64; do # the guest's are not links into /usr
		[ ! -d "$work/one/$folder" ] || {
			mkdir -p "$work/one/usr/$folder"
			cp -a "$work/one/$folder/." "$work/one/usr/$folder/"
			rm -rf "${work:?}/one/$folder"
		}
	done
	cp -a "$work/one/." "$work/root/"
	rm -rf "$work/one"
done
# Programs and libraries name these paths.
mkdir -p "$work/root/lib" "$work/root/lib64"
ln -s ../usr/lib/x86_64-linux-gnu "$work/root/lib/x86_64-linux-gnu"
ln -s ../usr/lib64/ld-linux-x86-64.so.2 "$work/root/lib64/ld-linux-x86-64.so.2"
(cd "$work/root" && find . -mindepth 1 | "$cache/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/archive"
mv "$work/archive" "$archive"
echo "$archive"
