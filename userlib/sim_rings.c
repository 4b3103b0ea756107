/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the driver's own side of the rings, for the simulator
 *
 * The files that the module is made of, as they are.
 */
#include "sim_kernel.h"

#include "../kernel/sq.c"
#include "../kernel/cq.c"
#include "../kernel/table.c"
