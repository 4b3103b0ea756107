# shellcheck shell=dash disable=SC2034,SC2086,SC2154
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# sgring list and info. Sourced by inside-suite.

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

TESTS="list_names_every_stream"
