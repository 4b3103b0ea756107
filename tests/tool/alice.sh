# shellcheck shell=dash disable=SC2086
# SPDX-License-Identifier: GPL-2.0-only OR MIT
# Somebody who is not root, for the tests of the tool. Sourced after lib.sh.
# What "make install" and usermod do, from the files that it installs: the group, its device files,
# what it may lock.
set_rule() { sed -n "s/.*$1=\"\([a-z0-9]*\)\".*/\1/p" /lib/sgring.rules | head -n 1; }
make_alice() {
	group=$(awk '$1 == "g" {print $2}' /lib/sgring.sysusers)
	mkdir -p /etc
	echo "alice:x:1000:1000::/tmp:/bin/sh" >/etc/passwd
	printf 'alice:x:1000:\n%s:x:900:%s\n' $group "$1" >/etc/group
	chgrp "$(set_rule GROUP)" /dev/sgring[0-9]*
	chmod "$(set_rule MODE)" /dev/sgring[0-9]*
}
memlock() { awk -v g="@$group" '$1 == g && $3 == "memlock" {print $4}' /lib/sgring.limits; }
as_alice() { su -s /bin/sh -c "$*" alice; }
