/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Fuzzing: included before all else in the tool's files: their variables have a place (wrap.c). */
#pragma clang section bss = "tool_variables"
