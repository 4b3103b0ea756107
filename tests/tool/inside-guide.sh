# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# The runs of tools/dropping.md, "why is my stream dropping?": each makes a trouble with the dummy's
# knobs or by what an application does wrong, looks at it as the guide says, and finds what the guide
# says is to be seen. What was typed and what came is in /disk/guide for tests/tool/guide.
# Sourced by inside-suite.

# guide NAME: what is seen from now on belongs to it.
guide() {
	mkdir -p /disk/guide
	page=/disk/guide/$1
	: >$page
}

# see COMMAND...: as somebody types it; what it says is in $T/out, too.
see() {
	[ ! -s $page ] || echo >>$page
	echo "\$ $*" >>$page
	_rc=0
	"$@" >$T/out 2>&1 || _rc=$?
	cat $T/out >>$page
	[ $_rc != 1 ] || fail "$*: $(tail -n 3 $T/out)"
}

# Columns of `sgring stat`, by their names; the sum over all lines.
column() {
	awk -v name="$1" '$1 == "MB/s" {for (i = 1; i <= NF; i++) if ($i == name) at = i; next}
		at {n += $at} END {print n + 0}' $T/out
}
more() { awk -v a="$1" -v b="$2" 'BEGIN {exit !(a > b)}' || fail "$3: $1, not more than $2: $(cat $T/out)"; }

# receiver [PAUSE_USEC]: takes all there is, or 256 KiB at a time with pauses; its port is 9000.
receiver() {
	if [ $# = 0 ]; then
		nc -ll -p 9000 -e sh -c 'cat >/dev/null' </dev/null >/dev/null 2>&1 &
	else
		nc -ll -p 9000 -e sh -c "while dd bs=64k count=4 iflag=fullblock 2>/dev/null | grep -q .; do usleep $1; done" \
			</dev/null >/dev/null 2>&1 &
	fi
	comes $! -- listens '' 9000
}
sender() {
	sgring send --raw -q "$@" >$T/send.out 2>$T/send.err &
	sender=$!
	comes $sender -- running rx0
}

# The far end takes less than the device gives.
guide_slow_receiver() {
	guide slow-receiver
	knob rx0 rate 4000000
	receiver 100000
	sender rx0 tcp://127.0.0.1:9000 --slots 8 --slot-bytes 256K
	wait_for 30 losing || fail "nothing is lost"
	see sgring stat rx0 1 4
	more "$(column stall%)" 20 'stall%'
	more "$(column lost)" 0 lost
	same "$(column err)" 0 err
	see sgring info rx0
	says $T/out 'bytes lost by the device'
}
starving() { sgring stat rx0 1 1 >$T/out && [ "$(column stall%)" = 100 ]; }
losing() { sgring stat rx0 1 1 >$T/out && [ "$(column lost)" -gt 0 ]; }

# The application stands still, with all slots.
guide_application_that_stopped() {
	guide stopped-application
	knob rx0 rate 4000000
	receiver
	sender rx0 tcp://127.0.0.1:9000 --slots 8 --slot-bytes 256K
	kill -STOP $sender
	wait_for 30 starving || fail "the engine does not run out of slots"
	see sgring stat rx0 1 3
	more "$(column app)" 20 app
	same "$(column slots/s)" 0 slots/s
	see sgring dump rx0
	(sleep 2 && kill -CONT $sender) &
	see sgring stat rx0 1 5
	more "$(column lost)" 0 lost
}

# Slots are there, and the engine does not take the device's data in time.
guide_engine_too_late() {
	guide late-engine
	knob rx0 rate 4000000
	receiver
	sender rx0 tcp://127.0.0.1:9000 --slots 8 --slot-bytes 256K
	(
		while :; do
			echo 1 >$DUMMY/rx0/stall && usleep 400000
			echo 0 >$DUMMY/rx0/stall && usleep 600000
		done
	) &
	wait_for 30 losing || fail "nothing is lost"
	see sgring stat rx0 1 4
	more "$(column lost)" 0 lost
	more "$(column eng)" 4 eng
	kill $!
	knob rx0 stall 0
}

# The engine gives up transfers.
guide_engine_that_fails() {
	guide failing-engine
	knob rx0 rate 4000000
	receiver
	sender rx0 tcp://127.0.0.1:9000 --slots 8 --slot-bytes 256K
	(sleep 1 && knob rx0 fail_next 3) &
	see sgring stat rx0 1 4
	same "$(column err)" 3 err
}

# A receiver that is fast enough, but pauses: two slots do not last for its pauses, 32 do.
guide_too_few_slots() {
	guide few-slots
	knob rx0 rate 4000000
	knob rx0 fifo_bytes 16384
	receiver 30000
	sender rx0 tcp://127.0.0.1:9000 --slots 2 --slot-bytes 64K
	see sgring stat rx0 1 3
	kill $sender
	wait $sender
	more "$(column stalls)" 3 stalls
}

# Here nothing is lost: on the way it is. The receiver may not have a large buffer.
guide_lost_on_the_way() {
	guide lost-on-the-way
	knob rx0 rate 2000000
	make_alice ''
	as_alice "exec sgring recv udp://127.0.0.1:9001 -o $T/run --json >$T/recv.out 2>$T/recv.err" &
	recv=$!
	comes $recv -- listens '' 9001 udp
	sgring send -q rx0 udp://127.0.0.1:9001 --slots 32 --slot-bytes 64K --time 8s >$T/send.out 2>$T/send.err &
	send=$!
	comes $send $T/run.data 1000000
	kill -STOP "$(pidof_recv)"
	see sgring stat rx0 1 3
	same "$(column lost)" 0 lost
	same "$(column drop)" 0 drop
	kill -CONT "$(pidof_recv)"
	ends $recv 2
	ends $send 0
	cd $T || fail cd
	see sgring verify run
	says $T/out 'lost'
	cd / || fail cd
}
pidof_recv() { for _p in $(pidof sgring); do ! grep -q recv /proc/$_p/cmdline || echo $_p; done | head -n 1; }

TESTS="guide_slow_receiver guide_application_that_stopped guide_engine_too_late
	guide_engine_that_fails guide_too_few_slots guide_lost_on_the_way"
