// SPDX-License-Identifier: GPL-2.0-only
/* sgring: the module that runs the KUnit suites; see sgring_kunit.h */
#include <linux/module.h>

#include "sgring_kunit.h"

kunit_test_suites(&sgring_plan_suite, &sgring_rings_suite, &sgring_slot_suite,
		  &sgring_pump_suite);

MODULE_DESCRIPTION("KUnit tests of sgring");
MODULE_LICENSE("GPL");
