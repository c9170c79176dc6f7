/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the measuring programs share: the clock, medians, and how they end when something fails. */
#ifndef PLAINWIRE_BENCH_TIMING_H
#define PLAINWIRE_BENCH_TIMING_H

#include <error.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

/* CLOCK_MONOTONIC, in nanoseconds. */
static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static void require(int ok, const char *what)
{
	if (!ok)
		error(1, 0, "%s failed", what);
}

static int compare(const void *a, const void *b)
{
	uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

	return (first > second) - (first < second);
}

/* Sorts the values. */
static unsigned long long median(uint64_t *values, unsigned count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

#endif
