# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# What a guest's shell test is made of. A test is a function; it has passed if it comes to its
# end. Sourced by a /test, which ends with
#
#	run_tests "$@" -- one_test another_test ...
#
# Arguments before the -- are patterns of the tests to run. Each runs in a shell and a session of
# its own, ends after $LIMIT seconds, and takes with it whatever it left running. Lines are those of
# cmocka, and in the end  GUEST passed=N failed=N.
#
# It finds the dummy's knobs as they were at the start, an empty folder $T on a tmpfs and $D on the disk
# (/dev/vda with ext4, on /disk), and the ends of the wire (see guest-init) behind $L and $R, which go
# before a command. What it says on standard error is shown if it fails.
LIMIT=${LIMIT:-60}
T=/tmp/test D=/disk/test
# shellcheck disable=SC2034
L="nsenter --net=/run/netns/left" R="nsenter --net=/run/netns/right"
DUMMY=/sys/kernel/debug/sgring-dummy

fail() {
	echo "[  ERROR   ] --- $*"
	exit 1
}

# wait_for SECONDS CONDITION...: true as soon as the command is. Generous: nothing waits for the
# end of it unless it fails.
wait_for() {
	_until=$(($(now) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now)" -lt $_until ] || return 1
		usleep 50000
	done
}
now() { cut -d. -f1 /proc/uptime; }

# exits "CODE..." COMMAND...: it ends with one of these; its output is in $T/out, its errors in $T/err.
exits() {
	_want=$1 _rc=0
	shift
	"$@" >$T/out 2>$T/err || _rc=$?
	case " $_want " in
	*" $_rc "*) ;;
	*) fail "exit $_rc, not $_want: $*: $(tail -n 3 $T/err)" ;;
	esac
}

# ends PID CODE...: a process in the background comes to its end, with one of these.
ends() {
	_pid=$1 _rc=0
	shift
	wait "$_pid" || _rc=$?
	case " $* " in
	*" $_rc "*) ;;
	*) fail "exit $_rc, not $*: $(tail -n 3 $T/*.err 2>/dev/null)" ;;
	esac
}

# says FILE PATTERN: an extended regular expression, any case.
says() { grep -qiE -e "$2" "$1" || fail "not in $1: $2: $(tail -n 5 "$1")"; }

same() { [ "$1" = "$2" ] || fail "${3:-}: $1, not $2"; }

# value FILE KEY: of the JSON in its last line, the first one of that name. The whole of it is parsed
# outside (tests/tool/run), and where a test needs more: jq takes a third of a second here.
value() {
	_line=$(tail -n 1 "$1")
	case $_line in
	*"\"$2\": "*) ;;
	*) fail "no $2 in $1: $_line" ;;
	esac
	_line=${_line#*"\"$2\": "}
	_line=${_line%%[,\}]*}
	_line=${_line% }
	_line=${_line#\"}
	echo "${_line%\"}"
}
# holds FILE KEY VALUE...: so it is.
holds() {
	_file=$1
	shift
	while [ $# != 0 ]; do
		[ "$(value "$_file" "$1")" = "$2" ] || fail "not $1 $2 in $_file: $(tail -n 1 "$_file")"
		shift 2
	done
}

knob() { echo "$3" >$DUMMY/"$1"/"$2" || fail "knob $1 $2 $3"; }
counter() { cat $DUMMY/"$1"/"$2"; }

file_bytes() { stat -c %s "$1"; }
file_has() { [ -e "$1" ] && [ "$(file_bytes "$1")" -ge "$2" ]; }
listens() { # NAMESPACE-PREFIX PORT [udp]
	$1 netstat -ln"${3:+u}" | grep -qE "[:.]$2 "
}
gone() { ! [ -e "/proc/$1" ] || grep -q ') Z' "/proc/$1/stat"; }

# comes PID FILE BYTES: its writer makes the file so long; comes PID -- CONDITION...: it becomes true.
# Not waited for any more when the process is gone.
comes() {
	_comes=$1
	shift
	[ "$1" = -- ] && shift || set -- file_has "$@"
	wait_for 30 or_gone $_comes "$@"
	"$@" >/dev/null 2>&1 || fail "it did not come to this: $*: $(tail -n 3 $T/*.err 2>/dev/null)"
}
or_gone() {
	_gone=$1
	shift
	"$@" || gone $_gone
}

# A run has a wire and a disk, or has not.
set_up() {
	for _ns in /run/netns/*; do
		[ -e "$_ns" ] || continue
		wait_for 30 sh -c "nsenter --net=$_ns ip link show wire | grep -q LOWER_UP" ||
			fail "the wire does not come up"
	done
	mkdir -p /disk
	[ ! -b /dev/vda ] || mount -t ext4 /dev/vda /disk || fail "no disk"
}

knobs_reset() {
	for _d in $DUMMY/*; do
		for _k in "rate 0" "fifo_bytes 1048576" "packet_bytes 0" "packet_jitter 0" "stall 0"; do
			echo "${_k#* }" >"$_d/${_k% *}"
		done
	done
}

run_one() {
	rm -rf $T $D
	mkdir -p $T $D
	chmod 777 $T $D
	knobs_reset
	echo "[ RUN      ] $1"
	setsid timeout -k 2 "$LIMIT" sh "$0" --one "$1" 2>/tmp/errors &
	_pid=$! _rc=0 _start=$(now)
	wait $_pid || _rc=$?
	kill -KILL -$_pid 2>/dev/null
	wait_for 20 gone_all || echo "something is still running: $(ps | grep sgring)"
	echo "--- $1: exit $_rc, $(($(now) - _start)) s"
	dmesg | grep -E 'segfault|traps:' >/tmp/crashes
	if [ "$(wc -l </tmp/crashes)" != $_crashes ]; then
		_crashes=$(wc -l </tmp/crashes) _rc=139
		tail -n 1 /tmp/crashes
	fi
	case $_rc in
	0) echo "[       OK ] $1" ;;
	*)
		[ $(($(now) - _start)) -lt "$LIMIT" ] || echo "it took more than $LIMIT s"
		tail -n 20 /tmp/errors
		echo "[  FAILED  ] $1"
		;;
	esac
	return $_rc
}
gone_all() { ! pidof sgring; }

run_tests() {
	if [ "${1:-}" = --one ]; then
		"$2"
		exit
	fi
	_patterns='' _passed=0 _failed=0 _crashes=0
	set_up
	while [ "$1" != -- ]; do _patterns="$_patterns $1" && shift; done
	shift
	for _t; do
		if [ -n "$_patterns" ]; then
			_run=
			for _p in $_patterns; do
				# shellcheck disable=SC2254
				case $_t in $_p) _run=1 ;; esac
			done
			[ -n "$_run" ] || continue
		fi
		_rc=0
		run_one "$_t" || _rc=$?
		case $_rc in
		0) _passed=$((_passed + 1)) ;;
		*) _failed=$((_failed + 1)) ;;
		esac
	done
	[ ! -b /dev/vda ] || umount /disk || _failed=$((_failed + 1))
	echo "GUEST passed=$_passed failed=$_failed"
	[ $_failed = 0 ] && [ $_passed != 0 ]
}
