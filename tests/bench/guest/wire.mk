# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The programs of part-wire and part-setup. make -f wire.mk O=dir [V=1]

O ?= build
here := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
top := $(here)/../../..
CFLAGS ?= -O2 -g
flags := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror \
	 -I$(top)/uapi -I$(top)/userlib -I$(here)/../modules -I$(here)
headers := $(wildcard $(top)/uapi/linux/*.h) $(wildcard $(top)/userlib/*.h) $(here)/wire.h \
	   $(here)/../modules/bench.h
lib := $(abspath $(O))/userlib

ifeq ($(V),1)
q :=
else
q := @
endif

all: $(O)/wire $(O)/setup $(O)/setup_sim

$(O)/wire: $(wildcard $(here)/wire*.c) $(headers) $(lib)/libsgring.a
	$(q)mkdir -p $(O)
	$(q)$(CC) $(flags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.c %.a,$^) -luring

$(O)/setup: $(here)/setup.c $(headers)
	$(q)mkdir -p $(O)
	$(q)$(CC) $(flags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $<

$(O)/setup_sim: $(here)/setup_sim.c $(headers) $(lib)/libsgring.a
	$(q)mkdir -p $(O)
	$(q)$(CC) $(flags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $(filter %.c %.a,$^) -luring

$(lib)/libsgring.a: FORCE
	$(q)$(MAKE) $(if $(q),-s) --no-print-directory -f $(top)/userlib/Makefile O=$(lib) $@
FORCE:

.PHONY: all FORCE
