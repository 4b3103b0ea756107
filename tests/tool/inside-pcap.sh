# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring pcap and replay. Sourced by inside-suite.

# tcpdump wants to be somebody, also where there are no users.
tcpdump() {
	grep -qs ^root: /etc/passwd || echo 'root:x:0:0:root:/root:/bin/sh' >>/etc/passwd
	command tcpdump -Z root -n "$@"
}
# It shows what it does not know in hexadecimal: only counted, or short.
packets() { tcpdump --count -r "$1" 2>$T/tcpdump.err | sed -n 's/ packets*$//p'; }

# What is in a capture file is what the dummy makes, and in order: it is played, recorded, verified.
is_pattern() { # FILE STREAM
	sgring record sim:speed=0,replay=$1 -o $D/played --overwrite -q >$T/played.out 2>$T/played.err
	exits "0 2" sgring verify $D/played --pattern $2 --json
	holds $T/out wrong_bytes 0 faults 0
}

pcap_is_what_tcpdump_reads() {
	knob rx0 rate 20000000
	live rx0 --slots 32
	sgring pcap rx0 -w - -c 20 -s 16 2>$T/err | tcpdump -r - >$T/out 2>$T/tcpdump.err
	same "$(grep -c '^[0-9][0-9]:' $T/out)" 20 "packets ($(head -n 3 $T/out; cat $T/tcpdump.err $T/err))"
	sgring pcap rx0 -w - -s 16 2>$T/err | tcpdump -c 7 -r - >$T/out 2>$T/tcpdump.err
	same "$(grep -c '^[0-9][0-9]:' $T/out)" 7
	says $T/err 'the reader has gone'
}

pcap_writes_what_the_device_made() {
	knob rx1 rate 20000000
	knob rx1 packet_bytes 50000
	live rx1 --slots 32 --slot-bytes 65536
	exits "0 2" sgring pcap rx1 -w $T/a.pcap -c 100
	same "$(packets $T/a.pcap)" 100
	is_pattern $T/a.pcap 1
	exits "0 2" sgring pcap rx1 -w $T/b.pcap -c 10 -s 64 greater 1000 --json
	holds $T/out slots 10 packets 10 bytes 1920
	exits "0 2" sgring pcap rx1 --link RAW -w $T/c.pcap -c 10
	same "$(packets $T/c.pcap)" 10
	exits 1 sgring pcap rx1 -w $T/d.pcap tcp port 80
	says $T/err 'filter "tcp port 80"'
}

# Flat out, and with the engine's faults: slots are filled again under it, and none is written wrong.
pcap_writes_nothing_that_changed_under_it() {
	live rx2 --slots 3 --slot-bytes 262144
	knob rx2 fail_next 3
	exits "0 2" sgring pcap rx2 -w $T/a.pcap --time 2s --json
	is_pattern $T/a.pcap 2
}

pcap_survives_the_end_of_the_owner() {
	knob rx0 rate 20000000
	live rx0 --slots 16
	sgring pcap rx0 -w $T/a.pcap 2>$T/a.err &
	_pcap=$!
	comes $_pcap $T/a.pcap 1000000
	kill -KILL $live
	ends $_pcap 0 2
	says $T/a.err 'its owner has closed the stream'
	is_pattern $T/a.pcap 0
	exits 2 sgring pcap rx0 -w $T/b.pcap
	says $T/err 'nobody has set up'
}

pcap_survives_the_end_of_the_device() {
	knob rx0 rate 20000000
	live rx0 --slots 16
	sgring pcap rx0 -w $T/a.pcap 2>$T/a.err &
	_pcap=$!
	comes $_pcap $T/a.pcap 1000000
	echo sgring-dummy.0 >/sys/bus/platform/devices/sgring-dummy.0/driver/unbind
	ends $_pcap 0 1 2
	says $T/a.err 'the device is gone|its owner has closed'
	echo sgring-dummy.0 >/sys/bus/platform/drivers/sgring-dummy/bind
	wait_for 10 sgring info rx0 || fail "rx0 does not come back"
}

replay_is_the_same_through_the_driver() {
	knob rx2 packet_bytes 50000
	knob rx2 packet_jitter 20000
	exits "0 2" sgring record rx2 -o $D/a --size 4000000 --slots 16 --slot-bytes 65536 -q
	exits "0 2" sgring record sim:replay=$D/a -o $D/b -q
	cmp $D/a.data $D/b.data && cmp $D/a.index $D/b.index || fail "the recording of a replay is another"
	knob rx1 source feed
	sgring record rx1 -o $D/c --size 4000000 --slots 16 --slot-bytes 65536 -q >$T/c.out 2>$T/c.err &
	_record=$!
	wait_for 20 running rx1 || fail "rx1 does not run"
	exits 0 sgring replay --to rx1 --flat-out --json $D/a
	ends $_record 0
	cmp $D/a.data $D/c.data || fail "the data is other data"
	_slots=$(value $T/out slots)
	exits 0 sgring replay --flat-out --json $D/c
	holds $T/out slots "$_slots" bytes 4000000 gaps 0
	knob rx1 source pattern
	exits 1 sgring replay --to none $D/a
	says $T/err 'is sgring-dummy loaded'
}

TESTS="pcap_is_what_tcpdump_reads pcap_writes_what_the_device_made pcap_writes_nothing_that_changed_under_it
	pcap_survives_the_end_of_the_owner pcap_survives_the_end_of_the_device
	replay_is_the_same_through_the_driver"
