/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drains a ring buffer with libbpf: what the userspace side is compared with. It copies each sample, as whoever keeps
 * it must, and adds up what the samples say that they hold.
 *
 * usage: drain RING_FD. Then for each line "COUNT" on stdin it takes COUNT samples and prints "NANOSECONDS BYTES", the
 * processor time that this took and the payload.
 */
#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/types.h>
#include "abi.h"

static struct ssl_data_event_t kept;
static unsigned long long left, bytes;

static int take(void *context, void *data, size_t size)
{
	memcpy(&kept, data, size);
	if (kept.kind == EVENT_SSL_DATA)
		bytes += kept.data_len;
	return --left ? 0 : -1;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

int main(int argc, char **argv)
{
	struct ring_buffer *ring = argc == 2 ? ring_buffer__new(atoi(argv[1]), take, NULL, NULL) : NULL;
	uint64_t started;

	if (!ring) {
		fprintf(stderr, "drain: no ring\n");
		return 1;
	}
	while (scanf("%llu", &left) == 1 && left > 0) {
		bytes = 0;
		started = now();
		while (left > 0)
			ring_buffer__consume(ring);
		printf("%llu %llu\n", (unsigned long long)(now() - started), bytes);
		fflush(stdout);
	}
	return 0;
}
