# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring top, in a terminal (terminal.c). Sourced by inside-suite.

# screen STEP... : in a vt100 of 80 by 24
screen() {
	terminal vt100 24x80 "$@" -- sgring top -i 200ms >$T/screen 2>$T/err || fail "$(cat $T/err)"
}

top_shows_all_streams_and_their_troubles() {
	echo 50000000 >$DUMMY/rx0/rate
	live rx0 --slots 16
	live rx1 --slots 16
	screen 'see 7 streams, every 0.2 s' 'see rx0           running' 'see rx1           running' \
		'see rx2           unused' 'see completion to return, last minute: half' \
		"run echo 3 >$DUMMY/rx0/fail_next" 'see 3 failed' \
		"run echo 1 >$DUMMY/rx0/stall" 'see rx0           running       0.0       0' \
		"run echo 0 >$DUMMY/rx0/stall" 'down' 'down' 'see (sgring2): unused' \
		'size 40x120' 'see (sgring2): unused' 'show' 'type q' 'exit 0' 'restored'
	says $T/screen '^\|rx1 +running +[0-9.]+ +[0-9]+ '
}

# Nobody takes what is sent: all slots are with the application, and the engine starves.
top_shows_who_is_slow() {
	nc -ll -p 8999 -e sleep 1000 </dev/null >/dev/null 2>&1 &
	comes $! -- listens '' 8999
	sgring send rx3 tcp://127.0.0.1:8999 --raw --slots 16 >/dev/null 2>&1 &
	screen 'see rx3           running' 'down' 'down' 'down' 'see rx3 (sgring3): running' \
		'see   0.0       0     0    0    16    0 ' 'show' 'type q' 'exit 0' 'restored'
	cat $T/screen
	exits 0 sgring top --once --json rx3
	jq -e '.[0] | .label == "rx3" and .slots_app == 16 and .delta.stalled_ns > 0 and .total.stalls >= 1' \
		$T/out >/dev/null || fail "$(cat $T/out)"
}

top_counts_what_is_dropped() {
	nc -ll -p 8999 -e sleep 1000 </dev/null >/dev/null 2>&1 &
	comes $! -- listens '' 8999
	sgring send rx1 tcp://127.0.0.1:8999 --raw --slots 16 --overrun drop >/dev/null 2>&1 &
	screen 'see rx1           running' 'down' 'see rx1 (sgring1): running' 'see ago: it drops:' 'type q' \
		'exit 0' 'restored'
	exits 0 sgring top --once --json rx1
	jq -e '.[0].delta.dropped_slots > 0' $T/out >/dev/null || fail "$(cat $T/out)"
}

top_survives_streams_that_come_and_go() {
	live rx0
	screen 'see rx0           running' "run kill $live" 'see rx0           unused' \
		'see ago: its owner has closed it' 'run rmmod sgring-dummy' 'see rx0           gone' \
		'see ago: the stream is gone' 'run insmod /mod/sgring-dummy.ko' 'see rx0           unused' \
		'see ago: the stream is back' 'type q' 'exit 0' 'restored'
}

top_ends_with_its_terminal() {
	for signal in 1 2 15; do
		screen 'see rx0           unused' "kill $signal" 'exit 0' 'restored'
	done
	screen 'see rx0           unused' 'close' 'exit 1'
	terminal dumb 24x80 'see cannot be drawn on' 'exit 1' 'restored' -- sgring top || fail "dumb"
	exits 1 sgring top
	says $T/err 'no terminal.*--once'
	exits 2 sgring top --once
	says $T/out '^rx0 +unused'
	exits 1 sgring top --once there-is-none
}

TESTS="top_shows_all_streams_and_their_troubles top_shows_who_is_slow top_counts_what_is_dropped
	top_survives_streams_that_come_and_go top_ends_with_its_terminal"
