# SPDX-License-Identifier: GPL-2.0-only
# sgring: `make demo`, `make check`, and the kernel's own build
#
# In a kernel tree, or called back by a module build, this is a kbuild file.
ifneq ($(KERNELRELEASE),)

obj-$(CONFIG_SGRING) += kernel/

else

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory -r

V ?= 0
Q := $(if $(filter 1,$(V)),,@)
B := $(CURDIR)/build
CC ?= gcc

# KDIR=/path/to/headers builds the modules against those; without it the
# distribution's kernel is downloaded and unpacked below build/, never installed.
KDIR ?=

KSOURCE := $(shell find kernel uapi -name '*.[ch]' -o -name Makefile) Kconfig Makefile
USER := $(B)/user

help:
	@echo 'make demo       stream more than 1 GiB from the dummy engine in a VM to a'
	@echo '                receiver on this machine, with no copy, every byte checked'
	@echo 'make check      all tests: user space, and the modules in a VM'
	@echo 'make            library, examples and tool'
	@echo 'make modules    the modules; KDIR=/path/to/headers for a kernel of your own'
	@echo 'make install    library, header, man pages, tool (PREFIX=, DESTDIR=)'
	@echo 'make lint       checkpatch --strict, sparse and W=1 on the kernel code'
	@echo 'make check-debug  all that can be looked at closely: the VM tests, failed allocations,'
	@echo '                hostile programs, violent ends on a kernel with KASAN, lockdep, DMA-API'
	@echo '                debug and kmemleak; data races; coverage. Builds two kernels first, once'
	@echo '                (about ten minutes each), and takes most of an hour'
	@echo 'make check-tools  the commands that look inside, against live streams in a VM; CHECK_TOOLS=PATTERN'
	@echo 'make check-kernels  builds for and tests on the kernels of five Debian suites,'
	@echo '                5.10 to 7.3 (about three minutes and 150 MB each)'
	@echo 'make bench      what sgring costs beside other ways, on this machine: tables, plots'
	@echo '                (about fifteen minutes; BENCH=--quick to see that it works)'
	@echo 'make fuzz       every reader of untrusted input, fuzzed: its corpus, then FUZZ_SECONDS=N'
	@echo '                of new inputs each (about a minute in all)'
	@echo 'make soak       three streams for SOAK_MINUTES (30) in a VM, every byte verified, and'
	@echo '                memory as much as before; 0 drops and 0 errors, or it fails'
	@echo 'make clean      remove what was built, keep what was downloaded'
	@echo 'V=1 shows every command.'

all: user

# --- user space

user: need-user
	$(Q)$(MAKE) -f userlib/Makefile O=$(USER)/userlib
	$(Q)$(MAKE) -f examples/Makefile O=$(USER)/examples LIB=$(USER)/userlib
	$(Q)$(MAKE) -f tools/Makefile O=$(USER)/tools LIB=$(USER)/userlib

install: user
	$(Q)$(MAKE) -s -f userlib/Makefile O=$(USER)/userlib install
	$(Q)$(MAKE) -s -f tools/Makefile O=$(USER)/tools LIB=$(USER)/userlib install

need-user:
	@tests/vm/need gcc libc6-dev liburing-dev libjson-c-dev libncurses-dev libpcap-dev make pkg-config

# --- the kernel's side

ifneq ($(KDIR),)
modules:
	@echo '  MODULES $(B)/modules/kdir'
	$(Q)KDIR='$(KDIR)' tests/vm/build-modules $(B)/modules/kdir
else
modules: $(B)/modules/vm/.done
endif

$(B)/kernel/current:
	$(Q)tests/vm/fetch-kernel >/dev/null

$(B)/modules/vm/.done: $(B)/kernel/current $(KSOURCE)
	@echo '  MODULES $(B)/modules/vm'
	$(Q)tests/vm/build-modules $(B)/modules/vm
	$(Q)touch $@

# --- the two commands

demo: $(B)/modules/vm/.done user
	$(Q)tests/demo/run $(B)/modules/vm $(USER)/examples

check: $(B)/modules/vm/.done user
	$(Q)tests/check $(B)/modules/vm

# Its kernels take about ten minutes each to build, once. CHECK: arguments of tests/check-debug.
check-debug:
	$(Q)tests/check-debug $(CHECK)

check-kernels:
	$(Q)tests/kernels

# CHECK_TOOLS: arguments after MODULES and TOOLS, which tests to run.
check-tools: $(B)/modules/vm/.done user
	$(Q)tests/tool/inside $(B)/modules/vm $(USER)/tools $(CHECK_TOOLS)

# BENCH: arguments of tests/bench/run.
bench:
	@tests/vm/need python3
	$(Q)tests/bench/run $(BENCH)

fuzz:
	$(Q)tests/fuzz/run

soak: $(B)/modules/vm/.done user
	$(Q)tests/soak/run $(B)/modules/vm $(USER)/tools

lint: $(B)/kernel/current
	$(Q)tests/lint

clean:
	$(Q)for d in $(B)/*; do case $$d in */cache | */kernel | */kernel-* | */source) ;; *) rm -rf "$$d" ;; esac; done

distclean:
	$(Q)rm -rf $(B)

.PHONY: help all user install need-user modules demo check check-debug check-tools check-kernels bench fuzz soak lint clean distclean

endif
