// SPDX-License-Identifier: GPL-2.0-only
/* sgring: the tracepoints of trace.h are here */
#define CREATE_TRACE_POINTS
#include "trace.h"
