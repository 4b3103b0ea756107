# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring trace. Sourced by inside-suite.

tracefs=/sys/kernel/tracing
tracing() { [ -d $tracefs/events ] || mount -t tracefs tracefs $tracefs || fail "no tracefs"; }
no_instance() { ! ls -d $tracefs/instances/sgring-trace-* 2>/dev/null; }
# The last event it asks for is on.
listens_to() { grep -q 1 $tracefs/instances/sgring-trace-*/events/sgring/sgring_$1/enable; }
instance() { ls -d $tracefs/instances/sgring-trace-*; }

trace_tells_a_run_as_a_time_line() {
	tracing
	knob rx0 rate 4000000
	sgring trace rx0 >$T/line.out 2>$T/line.err &
	trace=$!
	comes $trace -- listens_to stop
	exits 0 sgring record rx0 -o $T/run --size 1M --slot-bytes 64K
	comes $trace -- grep -q ' stop ' $T/line.out
	kill -INT $trace
	ends $trace 0
	for event in setup submit complete publish stop; do
		says $T/line.out "^. +[0-9]+\.[0-9]{6} +\+[0-9.]+ +rx0 +$event "
	done
	says $T/line.out 'rx0 +setup +[0-9]+ slots of 65536 bytes'
	says $T/line.out 'rx0 +publish +slot 0, number 0, 65536 bytes at 0[,;]'
	says $T/line.out 'rx0 +publish +slot [0-9]+, number 15, 65536 bytes at 983040[,;]'
	says $T/line.out 'rx0 +publish +end of stream at'
	says $T/line.err '^[0-9]+ events in .* s, 0 lost'
	no_instance || fail "the instance is still there"
}

trace_of_one_stream_has_no_other() {
	tracing
	live rx1
	sgring trace rx0 --json >$T/one.out 2>$T/one.err &
	trace=$!
	comes $trace -- listens_to stop
	exits 0 sgring record rx0 -o $T/run --size 1M --slot-bytes 64K
	comes $trace -- grep -q '"event": "stop"' $T/one.out
	kill -INT $trace
	ends $trace 0
	jq -es 'map(select(.event)) | length > 20 and all(.[]; .label == "rx0")' $T/one.out >/dev/null ||
		fail "$(head -n 3 $T/one.out)"
	jq -es '(map(select(.event == "publish" and .slot >= 0)) | map(.sequence)) as $s |
		$s == [range($s | length)]' $T/one.out >/dev/null || fail "sequences"
	jq -es '.[-1].events == (map(select(.event)) | length) and .[-1].lost == 0' $T/one.out >/dev/null ||
		fail "$(tail -n 1 $T/one.out)"
}

trace_tells_the_faults_of_a_device() {
	tracing
	knob rx0 rate 8000000
	knob rx0 fifo_bytes 65536
	sgring trace --events starve,drop,error,gate,publish >$T/faults.out 2>$T/faults.err &
	trace=$!
	comes $trace -- listens_to error
	live rx0 --slots 4 --slot-bytes 64K
	knob rx0 fail_next 1
	comes $trace -- grep -qE '^! .*rx0 +error +A TRANSFER FAILED' $T/faults.out
	kill -STOP $live
	comes $trace -- grep -qE '^! .*rx0 +starve +THE ENGINE HAS NO SLOT' $T/faults.out
	was=$(counter rx0 overflowed_bytes)
	wait_for 30 overflowed "$was" || fail "nothing overflows"
	kill -CONT $live
	comes $trace -- grep -qE '^! .*rx0 +starve +it has one again, after [0-9.]+ ms' $T/faults.out
	comes $trace -- grep -qE '^! .*rx0 +drop +[0-9]+ BYTES LOST at [0-9]+: by the device' $T/faults.out
	comes $trace -- grep -qE '^! .*rx0 +publish .*gap.*A GAP BEFORE IT' $T/faults.out
	kill -INT $trace
	ends $trace 0 2
	! grep -q ' submit ' $T/faults.out || fail "events nobody asked for"
}
overflowed() { [ "$(counter rx0 overflowed_bytes)" -gt "$1" ]; }

trace_ends_after_a_count_and_leaves_nothing() {
	tracing
	live rx0
	exits 0 sgring trace --count 7 --json
	same "$(grep -c '"event"' $T/out)" 7
	no_instance || fail "the instance is still there"
	# Whoever reads it closes: it ends, and takes its instance along.
	sgring trace 2>$T/closed.err | head -n 3 >$T/closed.out
	same "$(wc -l <$T/closed.out)" 3
	wait_for 20 no_instance || fail "the instance is still there"
	says $T/closed.err 'output cannot be written'
	# Nothing is to be written, and nobody would read it.
	kill -KILL $live

	sgring trace 2>$T/closed.err | true
	wait_for 20 no_instance || fail "the instance is still there"
	# What one that was killed has left behind the next one removes.
	sgring trace >/dev/null 2>&1 &
	trace=$!
	comes $trace -- instance
	kill -KILL $trace
	wait $trace || true
	instance >/dev/null || fail "it was to be left behind"
	exits 2 sgring trace --seconds 1
	no_instance || fail "the instance is still there"
}

trace_disturbs_nobody_elses() {
	tracing
	echo 1 >$tracefs/events/sgring/sgring_stop/enable
	echo >$tracefs/trace
	live rx0
	exits 0 sgring trace --count 20
	same "$(cat $tracefs/events/sgring/sgring_stop/enable)" 1
	same "$(cat $tracefs/events/sgring/sgring_submit/enable)" 0
	! grep -q sgring_submit $tracefs/trace || fail "its events are in another's buffer"
	kill -INT $live
	wait $live || true
	grep -q 'sgring_stop: stream=' $tracefs/trace || fail "another's events are gone"
	echo 0 >$tracefs/events/sgring/sgring_stop/enable
}

trace_says_what_is_missing() {
	tracing
	exits 1 sgring trace nosuch
	says $T/err 'no stream "nosuch"'
	exits 1 sgring trace --events submit,nosuch
	says $T/err 'is not one of setup'
	make_alice ''
	exits 1 as_alice sgring trace
	says $T/err 'root'
	umount $tracefs
	umount /sys/kernel/debug/tracing 2>/dev/null || true
	mount -t tmpfs none /sys/kernel/debug || fail "no tmpfs"
	exits 1 sgring trace
	umount /sys/kernel/debug
	says $T/err 'mount -t tracefs'
}

TESTS="trace_tells_a_run_as_a_time_line trace_of_one_stream_has_no_other trace_tells_the_faults_of_a_device
	trace_ends_after_a_count_and_leaves_nothing trace_disturbs_nobody_elses trace_says_what_is_missing"
