# shellcheck shell=bash disable=SC1090,SC2034,SC2016
# What every script of the VM laboratory shares: where things go, one way to speak, one way
# to fail, and one way to get a Debian package without installing it. Sourced, never run.
#
#   SGRING_BUILD  everything made        (default: build/ in the checkout)
#   SGRING_CACHE  everything downloaded  (default: $SGRING_BUILD/cache)
#   SGRING_SUITE  Debian suite to take kernels from (default: the machine's own)

VM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$VM/../.." && pwd)
B=${SGRING_BUILD:-$ROOT/build}
CACHE=${SGRING_CACHE:-$B/cache}
SUITE=${SGRING_SUITE:-}
mkdir -p "$B" "$CACHE"
B=$(cd "$B" && pwd) CACHE=$(cd "$CACHE" && pwd)
ME=$(basename "$0")

say() { echo "$ME: $*" >&2; }
die() { say "$*"; exit 1; }

# One writer at a time for a directory of results; waits for the other to finish.
lock() { mkdir -p "$(dirname "$1")"; exec 9>"$1.lock"; flock 9; }

# The apt state in use: the machine's own lists when they know the package; otherwise, or for
# another suite, a private state in the cache, so that the machine's stays as it is and no
# root is needed. Mirrors are the user's own, signatures are checked by the Debian keyring.
APT=(-o APT::Sandbox::User="$(id -un)")
apt_init() {
	if [ -z "$SUITE" ] && apt-cache show linux-image-amd64 >/dev/null 2>&1; then return; fi
	apt_private
}

apt_private() {
	local d=$CACHE/apt/${SUITE:-own} main sec
	mkdir -p "$d/lists/partial" "$d/archives/partial"
	: >"$d/status"
	APT+=(-o Dir::State="$d" -o Dir::State::Lists="$d/lists" -o Dir::State::status="$d/status"
		-o Dir::Cache="$d" -o Dir::Cache::Archives="$d/archives")
	if [ -n "$SUITE" ]; then
		main=$(sites | awk '$2 !~ /security/ {print $1; exit}')
		sec=$(sites | awk '$2 ~ /security/ {print $1; exit}')
		[ -n "$main" ] || die "apt has no Debian archive configured: cannot reach $SUITE"
		{
			echo "deb $main $SUITE main"
			case $SUITE in
			*-backports) echo "deb $main ${SUITE%-backports} main" ;;
			sid | unstable | testing) ;;
			*) [ -z "$sec" ] || echo "deb $sec $SUITE-security main" ;;
			esac
		} >"$d/sources.list"
		APT+=(-o Dir::Etc::SourceList="$d/sources.list" -o Dir::Etc::SourceParts=-)
		case $SUITE in *-backports) APT+=(-o APT::Default-Release="$SUITE") ;; esac
	fi
	if [ -z "$(find "$d/updated" -mmin -720 2>/dev/null)" ]; then
		say "reading the package lists of ${SUITE:-this machine}"
		retry apt-get "${APT[@]}" -qq -o APT::Update::Error-Mode=any update ||
			die "no package lists for ${SUITE:-this machine}: is the network there?"
		touch "$d/updated"
	fi
}

# The user's own Debian archives, "site release" a line; from what apt would fetch when
# nothing has been fetched yet.
sites() {
	apt-get indextargets --format '$(SITE) $(RELEASE)' 'ORIGIN: Debian' 2>/dev/null |
		sort -u | grep . && return
	mkdir -p "$CACHE/apt/none/partial"
	apt-get -o Dir::State::Lists="$CACHE/apt/none" -q --print-uris update |
		sed -nE "s,^'([^']*/debian(-security)?)/*/dists/([^/']*)/InRelease'.*,\1 \3,p" | sort -u
}

# The kernel in use: SGRING_KERNEL names a variable file of fetch-kernel or build-debug-kernel.
kernel() {
	local mark=${SGRING_KERNEL:-$B/kernel/current}
	[ -f "$mark" ] || die "no kernel at $mark: run tests/vm/fetch-kernel or build-debug-kernel"
	. "$mark"
}

# Three tries; what the command complained about is shown, in one line, by the last only.
retry() {
	local i err
	for i in 0 3 6; do
		sleep $i
		err=$("$@" 2>&1 >/dev/null) && return
	done
	say "$(grep -m1 '^E:' <<<"$err" || tail -1 <<<"$err")"
	return 1
}

# Debian packages in the closure of PKG... whose name matches the pattern: name a line.
apt_closure() {
	local pattern=$1
	shift
	apt-cache "${APT[@]}" depends -i --recurse "$@" 2>/dev/null | grep -E "^$pattern" | sort -u
}

# apt_get DIR PKG...: the .debs, verified, into DIR; prints their file names.
apt_get() {
	local dir=$1
	shift
	mkdir -p "$dir"
	(
		cd "$dir" || exit
		retry apt-get "${APT[@]}" -qq download "$@" ||
			die "cannot download $*: is the network there?"
		cd /	# it does not name what is here already
		apt-get "${APT[@]}" -qq --print-uris download "$@" | awk '{print $2}'
	)
}

# scratch_disk FILE SIZE [FILE-SYSTEM]: an empty disk for a VM; sparse, so it takes no room.
scratch_disk() {
	rm -f "$1"
	truncate -s "$2" "$1"
	# Nothing is left to the guest to finish in the background.
	[ $# = 2 ] || PATH=$PATH:/usr/sbin:/sbin mke2fs -q -F -t "$3" -E lazy_itable_init=0,lazy_journal_init=0 "$1"
}
