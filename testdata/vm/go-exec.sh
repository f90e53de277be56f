#!/bin/sh
# Lets "go test -exec" run a test binary in the virtual machine, with the
# package's testdata. RACOON2_VM_FLAGS has options for run.sh.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
binary=$1
shift
data=''
[ ! -d testdata ] || data='-f testdata:/root/testdata'

# go's own cache log has a path of the host, which means nothing in the guest.
words=$#
while [ "$words" -gt 0 ]; do
	case $1 in
	-test.testlogfile=*) ;;
	*) set -- "$@" "$1" ;;
	esac
	shift
	words=$((words - 1))
done
# shellcheck disable=SC2086
exec "$here/run.sh" ${RACOON2_VM_FLAGS:-} $data -f "$binary:/root/package.test" ./package.test "$@"
