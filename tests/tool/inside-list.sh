# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring list, info and stat, and what all that look have in common. Sourced by inside-suite.

list_names_every_stream() {
	exits 0 sgring list
	for label in rx0 rx1 rx2 rx3 xilinx0 pl330-0 bcm2835-0; do
		says $T/out "^sgring[0-9]+ +$label +idle "
	done
	live rx1
	exits 0 sgring list
	says $T/out '^sgring[0-9]+ +rx1 +running +[0-9]+ x '
	says $T/out '^sgring[0-9]+ +rx0 +idle '
	exits 0 sgring list --json
	jq -e 'map(select(.label == "rx1")) | length == 1 and .[0].state == "running"' $T/out >/dev/null ||
		fail "$(cat $T/out)"
}


list_and_info_tell_who_owns_a_stream_and_what_was_refused() {
	exits 1 sgring record rx2 -o $D/run --slot-bytes 512M --slots 64
	exits 0 sgring info rx2 --json
	holds $T/out name "$(sgring list | awk '$2 == "rx2" {print $1}')" owner_pid 0
	jq -e '.refused >= 1 and (.refused_last | test("^-E[A-Z]+ "))' $T/out >/dev/null || fail "$(cat $T/out)"
	exits 0 sgring info rx2
	says $T/out '^refused +[0-9]+, the last: -E'
	live rx2
	exits 0 sgring list
	says $T/out "^sgring[0-9]+ +rx2 +running .* sgring \($live\) "
	exits 0 sgring info rx2
	says $T/out "^owner +sgring \($live\)"
	exits 0 sgring info rx2 --json
	holds $T/out owner_pid $live
}

# In all slots together, and each size that there is.
info_counts_the_chunks_of_all_slots() {
	live rx2 --slots 12 --slot-bytes 1M
	exits 0 sgring info rx2 --json
	jq -e '.slots_counted == 12 and ([.chunks[] | .chunk_bytes * .chunks] | add) == .slot_count * .slot_bytes' $T/out >/dev/null ||
		fail "$(cat $T/out)"
	exits 0 sgring info rx2
	says $T/out '^chunks of all slots +[0-9.]+ [KM]iB +[0-9]+ +#'
	wait_for 20 sh -c 'sgring info rx2 | grep -q "^application had it .*#"' || fail "$(sgring info rx2)"
}

# What there is of the commands that look, once each.
look() {
	for _c in list "info $1" "stat $1 0.05 2" "dump $1" "top $1 --once" "pcap $1 -c 1 -w /dev/null"; do
		! sgring ${_c%% *} --help >/dev/null 2>&1 || timeout 20 sgring $_c >>$T/look.out 2>&1
	done
}
look_for_long() { while :; do look $1; done; }

# The device stands still, so the stream does: all it has counted is what it did itself.
observers_leave_no_trace_in_the_counters() {
	live rx0
	echo 1 >$DUMMY/rx0/stall
	wait_for 30 quiet || fail "it goes on: $(cat $T/then)"
	quiet || fail "it goes on: $(cat $T/then)"
	for _i in 1 2 3 4 5 6 7 8; do
		look rx0 &
		_lookers="${_lookers:-} $!"
	done
	wait $_lookers
	figures >$T/now
	cmp $T/then $T/now || fail "$(cat $T/then) and then $(cat $T/now)"
	echo 0 >$DUMMY/rx0/stall
	wait_for 30 sh -c "! sgring info rx0 --json | grep -q '\"slots_done\": $(jq .slots_done $T/now),'" ||
		fail "it does not go on"
}
# Its owner wakes to look whether there is something: these polls are its own.
figures() { sgring info rx0 --json | jq -c 'del(.polls)'; }
quiet() {
	figures >$T/then
	sleep 1
	figures >$T/again
	cmp $T/then $T/again
}

# Flat out, each byte verified at the end: nothing dropped or lost, and the owner was told nothing.
eight_observers_under_full_load_are_not_noticed() {
	sgring recv :9800 -o $D/run --json >$T/recv.out 2>$T/recv.err &
	recv=$!
	comes $recv -- listens '' 9800
	sgring send rx0 tcp://127.0.0.1:9800 --json --size 32M >$T/send.out 2>$T/send.err &
	send=$!
	_lookers=
	for _i in 1 2 3 4 5 6 7 8; do
		look_for_long rx0 &
		_lookers="$_lookers $!"
	done
	ends $send 0
	kill $_lookers
	ends $recv 0
	holds $T/send.out bytes $((32 << 20)) dropped_bytes 0 lost_bytes 0
	exits 0 sgring verify $D/run --pattern 0 --json
	holds $T/out bytes $((32 << 20)) lost_bytes 0
	grep -c 'running' $T/look.out >/dev/null || fail "nobody looked: $(tail -n 3 $T/look.out)"
}

device_of() { sgring info $1 --json | jq -r .device; }
bound_again() { echo $device >/sys/bus/platform/drivers/sgring-dummy/bind; }

a_stream_that_goes_away_under_the_tool() {
	live rx3
	device=$(device_of rx3)
	trap bound_again EXIT
	sgring stat rx3 0.1 >$T/stat.out 2>$T/stat.err &
	stat=$!
	comes $stat $T/stat.out 1
	echo $device >/sys/bus/platform/drivers/sgring-dummy/unbind
	ends $stat 1
	says $T/stat.err 'gone'
	exits 1 sgring info rx3
	says $T/err 'rx3'
	exits 0 sgring list
	! grep -q ' rx3 ' $T/out || fail "$(cat $T/out)"
	bound_again
	trap - EXIT
	wait_for 20 test -e $DUMMY/rx3/rate
	exits 0 sgring info rx3
}

a_closed_stream_ends_stat() {
	live rx3
	sgring stat rx3 0.1 >$T/stat.out 2>$T/stat.err &
	stat=$!
	comes $stat $T/stat.out 1
	kill -9 $live
	ends $stat 0
}

TESTS="list_names_every_stream list_and_info_tell_who_owns_a_stream_and_what_was_refused
	info_counts_the_chunks_of_all_slots observers_leave_no_trace_in_the_counters
	eight_observers_under_full_load_are_not_noticed a_stream_that_goes_away_under_the_tool
	a_closed_stream_ends_stat"
