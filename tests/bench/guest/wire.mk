# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# The programs of part-wire and part-setup. make -f wire.mk O=dir [V=1]

O ?= build
here := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
top := $(here)/../../..
CFLAGS ?= -O2 -g
flags := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Werror \
	 -I$(top)/uapi -I$(top)/userlib -I$(top)/kernel/dummy
headers := $(wildcard $(top)/uapi/linux/*.h) $(wildcard $(top)/userlib/*.h) \
	   $(top)/kernel/dummy/pattern.h
programs := $(patsubst $(here)/%.c,$(O)/%,$(wildcard $(here)/wire*.c $(here)/setup*.c))
lib := $(abspath $(O))/userlib

ifeq ($(V),1)
q :=
else
q := @
endif

all: $(programs)

$(O)/%: $(here)/%.c $(headers) $(lib)/libsgring.a
	$(q)mkdir -p $(O)
	$(q)$(CC) $(flags) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(lib)/libsgring.a -luring

$(lib)/libsgring.a: FORCE
	$(q)$(MAKE) $(if $(q),-s) --no-print-directory -f $(top)/userlib/Makefile O=$(lib) $@
FORCE:

.PHONY: all FORCE
