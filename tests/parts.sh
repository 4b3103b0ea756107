# shellcheck shell=bash
# Running the parts of a large test and counting what they say; for check and check-debug.
# Sourced after vm/lib.sh, by whoever has set $log, the folder of the parts' logs.

: "${log:?}"
passed=0 failed=0 nth=0

# Tests passed and failed in a log. The VM suite has counted for itself; elsewhere a test that
# was begun and is not OK has failed, and cmocka names it again in the end.
tests_in() {
	local ok bad
	if grep -q '^GUEST ' "$1"; then
		sed -n 's/^GUEST passed=\([0-9]*\) failed=\([0-9]*\)$/\1 \2/p' "$1" | tail -1
		return
	fi
	ok=$(grep -ac '^\[       OK \]' "$1" || true)
	bad=$(grep -aE '^\[  FAILED  \] [A-Za-z_0-9]+$' "$1" | sort -u | wc -l) || true
	echo "$ok $bad"
}

# part NAME COMMAND...: runs it, counts what it prints. Of how many, $of may say.
part() {
	local name=$1 rc=0 ok bad start=$SECONDS
	shift
	printf '== %s%s\n' "$name" "${of:+ ($((++nth)) of $of)}"
	"$@" >"$log/$name.log" 2>&1 || rc=$?
	read -r ok bad < <(tests_in "$log/$name.log")
	if [ $rc != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
	if [ $rc = 0 ] && [ "$ok" = 0 ]; then
		echo "   it ran no test" && bad=1
	fi
	[ "$bad" = 0 ] || grep -aE '^\[  FAILED  \]|[Ee]rror|failed|FAILED|BUG|WARNING|^ *[a-z/_]*\.c:[0-9]+:' "$log/$name.log" | head -40
	[ "$bad" = 0 ] || echo "   all of it: $log/$name.log"
	printf '   %d passed, %d failed (%d s)\n' "$ok" "$bad" $((SECONDS - start))
	passed=$((passed + ok)) failed=$((failed + bad))
}
