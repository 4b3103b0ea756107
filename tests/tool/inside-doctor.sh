# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring doctor, on the machine it is about. Sourced by inside-suite; what makes each trouble, on
# made-up machines, is in tests/unit/test_doctor.c.

trouble() { # NAME-OF-FINDING
	jq -e --arg a "$1" '[.findings[] | select(.about == $a and .level == "trouble" and .cure != null)] != []' $T/out >/dev/null ||
		fail "no trouble $1: $(cat $T/out)"
}

doctor_finds_nothing_amiss() {
	exits 0 sgring doctor
	says $T/out 'all is well$'
	says $T/out 'ABI 1: the module'
	says $T/out 'rx0\): idle'
	says $T/out 'sgring-dummy-dma.*: 4 of 5 channels in use'
	says $T/out 'dma[0-9]+chan[0-9]+: held by .*rx'
	says $T/out 'streams have 0 B of at most'
	! grep -q "$(printf '\033')" $T/out || fail "colours in a pipe"
	exits 0 sgring doctor --json
	jq -e '.trouble == 0 and .unseen == 0 and .streams >= 7' $T/out >/dev/null || fail "$(cat $T/out)"
}

modules_again() {
	[ -d /sys/module/sgring ] || insmod /mod/sgring.ko
	[ -d /sys/module/sgring_dummy ] || insmod /mod/sgring-dummy.ko
	wait_for 20 test -e $DUMMY/rx0
}

doctor_without_module_and_streams() {
	trap modules_again EXIT
	rmmod sgring-dummy
	exits 2 sgring doctor --json
	trouble streams
	rmmod sgring
	exits 2 sgring doctor --json
	trouble module
	exits 2 sgring doctor
	says $T/out 'insmod build/modules/kdir/kernel/sgring.ko'
	insmod /mod/sgring.ko
	exits 2 sgring doctor
	says $T/out 'version 1'
	modules_again
	exits 0 sgring doctor
}

doctor_tells_who_holds_a_stream() {
	live rx1
	exits 0 sgring doctor
	says $T/out "rx1\): running, held by sgring \($live\)"
	says $T/out 'streams have [1-9][0-9.]* [KM]iB of at most'
}

doctor_of_a_user_with_nothing() {
	make_alice ''
	ulimit -l 64
	exits 2 as_alice sgring doctor --json
	trouble memlock
	trouble group
	trouble devices
	jq -e '.unseen >= 2 and .uid == 1000' $T/out >/dev/null || fail "$(cat $T/out)"
	make_alice alice
	ulimit -l "$(memlock)"
	exits 0 as_alice sgring doctor
	says $T/out 'you may use all streams'
	says $T/out 'unseen'
	says $T/out 'locked memory: unlimited'
}

TESTS="doctor_finds_nothing_amiss doctor_without_module_and_streams doctor_tells_who_holds_a_stream
	doctor_of_a_user_with_nothing"
