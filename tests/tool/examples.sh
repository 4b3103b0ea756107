# shellcheck shell=dash disable=SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The examples as examples/README.md runs them. Sourced by the suite; in the guest each is ex-NAME.

# example NAME [NAMESPACE-PREFIX] ARGUMENT...: in the background: $example.
example() {
	_name=$1
	shift
	if [ "$1" = nsenter ]; then
		_ns="$1 $2"
		shift 2
	else
		_ns=
	fi
	$_ns ex-$_name "$@" >$T/example.out 2>$T/example.err &
	example=$!
}
# They end when the stream is silent for a second: when so much has come, it is.
silent_after() { # FILE BYTES
	comes $example $1 $2
	knob rx0 rate 1
}

# all_of NAME: the example has ended well, and so has its receiver; every byte is there.
all_of() {
	ends $recv 0
	right_bytes $T/$1 0
	same "$(judged first) $(judged lost)" "0 0" $1
	[ "$(judged bytes)" -ge $((2 * MIB)) ] || fail "$1: $(judged bytes) bytes"
}

example_capture_send() {
	knob rx0 rate 8000000
	recv run :9000
	example capture-send $L rx0 tcp://10.77.0.2:9000
	silent_after $T/run.data $((2 * MIB))
	ends $example 0
	all_of run
}

example_record() {
	knob rx0 rate 8000000
	example record rx0 $D/run.data
	silent_after $D/run.data $((2 * MIB))
	ends $example 0
	right_bytes $D/run 0
	same "$(judged first) $(judged lost)" "0 0"
	says $T/example.err 'O_DIRECT'
}

example_multicast() {
	knob rx0 rate 4000000
	recv one udp://239.7.7.7:9000
	one=$recv
	recv two udp://239.7.7.7:9000
	example multicast $L rx0 udp://239.7.7.7:9000 wire
	silent_after $T/one.data $((2 * MIB))
	ends $example 0
	# What a network loses is marked, and both saw the same end.
	for n in one two; do
		if [ $n = one ]; then ends $one 0 2; else ends $recv 0 2; fi
		last $n
		right_bytes $T/$n 0 "0 2"
		[ "$(judged bytes)" -gt 0 ] || fail "$n: nothing"
	done
	same $(($(value $T/one.json bytes) + $(value $T/one.json lost_bytes))) \
		$(($(value $T/two.json bytes) + $(value $T/two.json lost_bytes)))
}

example_fanout() {
	knob rx0 rate 8000000
	recv one :9000
	one=$recv
	recv two :9001
	example fanout $L rx0 tcp://10.77.0.2:9000 tcp://10.77.0.2:9001 file:$D/three.data
	comes $example $T/one.data $((2 * MIB))
	comes $example $T/two.data $((2 * MIB))
	kill -INT $example
	ends $example 0
	all_of two
	recv=$one
	all_of one
	right_bytes $D/three 0
	cmp $T/one.data $T/two.data || fail "not the same"
	cmp $T/one.data $D/three.data || fail "not the same in the file"
}

example_fanout_goes_on_without_one() {
	knob rx0 rate 8000000
	recv one :9000
	one=$recv
	recv two :9001
	example fanout $L rx0 tcp://10.77.0.2:9000 tcp://10.77.0.2:9001
	comes $example $T/one.data $MIB
	kill -KILL $one
	_from=$(file_bytes $T/two.data)
	comes $example $T/two.data $((_from + 4 * MIB))
	kill -INT $example
	ends $example 1
	all_of two
	says $T/example.out ':9000: .*FAILED'
}

example_epoll() {
	knob rx0 rate 8000000
	recv run :9000
	mkfifo $T/keys
	# Open at both ends before the program is, so that nobody waits for the other.
	exec 3<>$T/keys
	ex_epoll() { $L ex-epoll rx0 tcp://10.77.0.2:9000 <$T/keys; }
	ex_epoll >$T/example.out 2>$T/example.err &
	example=$!
	comes $example $T/run.data $((4 * MIB))
	wait_for 20 grep -q 'MB/s' $T/example.out || fail "its timer does not tick"
	echo >&3
	ends $example 0
	all_of run
}

example_realtime() {
	exits 0 ex-realtime rx0 1 2
	says $T/out '^[1-9][0-9]* slots, after [0-9.]+ us'
}

example_gate_send() {
	$R nc -l -p 9001 >$T/raw &
	nc=$!
	comes $nc -- listens "$R" 9001
	exits 0 $L ex-gate-send rx0 10.77.0.2 9001 $((48 * MIB + 1))
	ends $nc 0
	judge 0 $T/raw
	same "$(judged bytes) $(judged first) $(judged runs)" "$((48 * MIB + 1)) 0 1"
	says $T/out '[1-9][0-9]* slots waited at the gate'
}

# shellcheck disable=SC2034
EXAMPLES="example_capture_send example_record example_multicast example_fanout
	example_fanout_goes_on_without_one example_epoll example_realtime example_gate_send"
