# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# What the runs of the tool in a VM share: their arguments, what every guest has, the boot, and what
# the guest has counted. Sourced by run and inside, which have set $here.
: "${here:?}"
# shellcheck source=../vm/lib.sh
. "$here/../vm/lib.sh"

# arguments DEFAULT-LOG ARG...: --live, --log DIR, MODULES TOOLS [PATTERN...] are in these.
live=() log='' modules='' tools='' patterns=()
arguments() {
	log=$1
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--live) live=(--live) ;;
		--log) log=$2 && shift ;;
		-*) die "unknown option $1" ;;
		*) break ;;
		esac
		shift
	done
	[ $# -ge 2 ] || die "usage: $ME [--live] [--log DIR] MODULES TOOLS [PATTERN...]"
	modules=$1 tools=$2
	shift 2
	patterns=("$@")
	kernel
	log=$(mkdir -p "$log" && cd "$log" && pwd)
	PATH=$PATH:/usr/sbin:/sbin
}

# guest INITRAMFS ITEM...: the kernel's and our modules, the tool, its judge, and what is named.
guest() {
	local out=$1 flags
	shift
	"$VM/need" gcc libc6-dev e2fsprogs jq
	flags=(-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -I"$ROOT/uapi" -I"$ROOT/kernel/dummy")
	for p in pattern net; do gcc "${flags[@]}" -o "$log/$p" "$here/$p.c"; done
	"$VM/mkinitramfs" "$out" mod:e1000e mod:virtio_pci mod:virtio_blk mod:ext4 mod:sch_tbf \
		"ko:$modules/kernel/sgring.ko" "ko:$modules/kernel/dummy/sgring-dummy.ko" \
		"$here/lib.sh:/lib/test.sh" "$here/alice.sh:/lib/alice.sh" \
		"$ROOT/tools/60-sgring.rules:/lib/sgring.rules" \
		"$ROOT/tools/sgring.limits:/lib/sgring.limits" "$ROOT/tools/sgring.sysusers:/lib/sgring.sysusers" \
		"$tools/sgring" "$log/pattern" "$log/net" "$(command -v jq)" "$@"
}

# boot INITRAMFS OPTION...: runs the patterns in it; $passed and $failed.
passed=0 failed=0
boot() {
	local initramfs=$1 rc=0
	shift
	"$VM/run" "${live[@]}" "$@" --memory 2G --log "$log" "$initramfs" -- "${patterns[@]}" || rc=$?
	read -r passed failed < <(sed -n 's/^GUEST passed=\([0-9]*\) failed=\([0-9]*\)$/\1 \2/p' "$log/result.log" | tail -1) || true
	passed=${passed:-0} failed=${failed:-0}
	# The kernel complained, or the VM did not come to its end.
	[ $rc = 0 ] || [ "$failed" != 0 ] || failed=1
}
