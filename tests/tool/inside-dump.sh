# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring dump. Sourced by inside-suite.

dumps() { # what jq says of the last --json: true
	jq -e "$1" $T/out >/dev/null || fail "not $1: $(head -c 2000 $T/out)"
}
# Nothing moves for a while.
stands_still() {
	sgring dump $1 --json | jq -e '.owners.user + .owners.done == 0' >/dev/null || return 1
	_before=$(sgring dump $1 --json | jq -c '[.at, .owners]')
	sleep 1
	[ "$_before" = "$(sgring dump $1 --json | jq -c '[.at, .owners]')" ]
}

# The engine gets to finish what it has, and nothing of what it is given then.
goes_on() {
	echo 1 >$DUMMY/$1/hold_completion
	echo 0 >$DUMMY/$1/stall
	sleep 1
	echo 1 >$DUMMY/$1/stall
	echo 0 >$DUMMY/$1/hold_completion
	sleep 1
	[ "$(sgring dump $1 --json | jq .at.cq_producer)" != $2 ] && stands_still $1
}

dump_of_a_stream_that_is_not_set_up_says_so() {
	exits 2 sgring dump rx0
	says $T/err 'nobody has set up'
	exits 1 sgring dump there-is-none
	exits 1 sgring dump
}

dump_shows_each_slot_once() {
	echo 20000000 >$DUMMY/rx1/rate
	live rx1 --slots 16
	exits "0 2" sgring dump rx1 --json
	dumps '.slot_count == 16 and (.slots | length) == 16'
	dumps '[.owners[]] | add == 16'
	dumps '.at.state == "running" and .at.epoch == 1'
	exits "0 2" sgring dump rx1 --table
	says $T/out '^rx1: running, epoch 1, 16 slots'
}

# The engine stands still: so does the stream, once everything is back.
dump_tells_what_the_engine_has_and_fills_next() {
	live rx1 --slots 16
	echo 1 >$DUMMY/rx1/stall
	wait_for 30 stands_still rx1 || fail "it goes on: $(sgring dump rx1)"
	exits 0 sgring dump rx1 --json
	dumps '.torn == false and .contradictions == []'
	# What was returned waits in the SQ until the engine has done something.
	dumps '.owners.dma >= 1 and .owners.done == 0 and .owners.gated == 0'
	dumps '.user_side and .owners.user == 0 and .owners.queued == .sq_pending and .sq_pending > 0'
	dumps '[.slots[] | select(.next)] | length == 1 and .[0].owner == "dma"'
	next=$(jq '.slots[] | select(.next) | .slot' $T/out)
	producer=$(jq .at.cq_producer $T/out)
	exits 0 sgring dump rx1
	says $T/out "next filled +slot $next "
	says $T/out 'consistent'
	exits 0 sgring dump rx1 --table
	says $T/out "^ +$next dma .* next"
	# What it finishes first, from here on, is that slot.
	wait_for 30 goes_on rx1 $producer || fail "it does not go on: $(sgring dump rx1)"
	exits 0 sgring dump rx1 --json
	dumps ".slots[$next].sequence == $producer"
}

an_image_is_kept_and_looked_at_later() {
	live rx2 --slots 64
	echo 1 >$DUMMY/rx2/stall
	wait_for 30 stands_still rx2
	exits 0 sgring dump rx2 --json --raw $T/image
	mv $T/out $T/then
	kill $live
	ends $live 0 1 2 143
	exits 0 sgring dump --from $T/image --json
	cmp $T/then $T/out || fail "another: $(diff $T/then $T/out | head -n 5)"
	head -c 1000 $T/image >$T/short
	exits 1 sgring dump --from $T/short
	says $T/err 'cut short'
	exits 1 sgring dump --from $T/then
	says $T/err 'not an image'
}

# gate-send returns a slot as soon as it is handed to the socket, whose peer reads nothing: packets
# hold its pages.
slots_at_the_gate_are_shown() {
	nc -ll -p 8998 -e sleep 1000 </dev/null >/dev/null 2>&1 &
	comes $! -- listens '' 8998
	ex-gate-send rx2 127.0.0.1 8998 >/dev/null 2>$T/gate.err &
	comes $! -- at_the_gate rx2
	exits 0 sgring dump rx2
	says $T/out '[1-9][0-9]* gated'
	says $T/out '^ +0  .*G'
	says $T/out 'longest gated'
	says $T/out 'flags .*STARVED'
	cat $T/out
	terminal vt100 24x80 'see rx2           running' 'see rx2 (rx2): running' 'see per s: kick' 'show' 'type q' 'exit 0' \
		-- sgring top -i 100ms rx2 >$T/screen || fail "$(cat $T/screen)"
	says $T/screen '^\|gate +[1-9]'
}
at_the_gate() { sgring dump $1 --json | jq -e '.owners.gated > 0 and .at.starved' >/dev/null; }

a_dump_needs_no_root() {
	make_alice alice
	live rx1
	as_alice sgring dump rx1 --json >$T/out 2>$T/err || [ $? = 2 ] || fail "$(cat $T/err)"
	dumps '.slot_count == ([.owners[]] | add)'
	make_alice nobody
	as_alice sgring dump rx1 >$T/out 2>$T/err && fail "no permission, and it works"
	says $T/err 'no permission'
}

TESTS="dump_of_a_stream_that_is_not_set_up_says_so dump_shows_each_slot_once
	dump_tells_what_the_engine_has_and_fills_next
	an_image_is_kept_and_looked_at_later slots_at_the_gate_are_shown a_dump_needs_no_root"
