/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring: the KUnit suites; each tests the file it is named after
 *
 * They are linked into the driver, for they call what it does not export, and do nothing there;
 * the module of sgring_kunit.c hands them to KUnit.
 */
#ifndef SGRING_KUNIT_H
#define SGRING_KUNIT_H

#include <kunit/test.h>

/* Numbers of any type: the macros of 5.10 take two of one type only. */
#define SGRING_EXPECT(test, left, right)	KUNIT_EXPECT_EQ(test, (s64)(left), (s64)(right))
#define SGRING_ASSERT(test, left, right)	KUNIT_ASSERT_EQ(test, (s64)(left), (s64)(right))

extern struct kunit_suite sgring_plan_suite;
extern struct kunit_suite sgring_rings_suite;
extern struct kunit_suite sgring_slot_suite;
extern struct kunit_suite sgring_pump_suite;

#endif /* SGRING_KUNIT_H */
