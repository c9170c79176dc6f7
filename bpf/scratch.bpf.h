/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A buffer to build an event in: too large for the stack of 512 bytes.
 *
 * One buffer a CPU would do if a program ran to its end undisturbed. Uprobes do not: since Linux 6.0 they may be
 * preempted, and another task on the same CPU would then write into the same buffer. So each buffer is claimed, and
 * a task that finds its CPU's taken uses a spare one. DATA_EVENT_HEAP names the map of one buffer a CPU.
 */
#ifndef PLAINWIRE_SCRATCH_BPF_H
#define PLAINWIRE_SCRATCH_BPF_H

#include "claim.bpf.h"

#define SPARE_BUFFERS 32

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u32); /* 1: this CPU's DATA_EVENT_HEAP is in use */
	__uint(max_entries, 1);
} data_buffer_claims SEC(".maps") PURPOSE("whether this CPU's event buffer is in use");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct ssl_data_event_t);
	__uint(max_entries, SPARE_BUFFERS);
} spare_buffers SEC(".maps") PURPOSE("for a task that finds its CPU's event buffer in use");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32); /* 1: the spare buffer with this index is in use */
	__uint(max_entries, SPARE_BUFFERS);
} spare_claims SEC(".maps") PURPOSE("which of spare_buffers are in use");

/* A claimed buffer. The program keeps its CPU until it ends, so `held` stays valid though it may be preempted. */
struct scratch {
	struct ssl_data_event_t *event;
	__u32 *held;
};

static __always_inline bool claim_scratch(struct scratch *scratch)
{
	__u32 index = 0;

	scratch->held = bpf_map_lookup_elem(&data_buffer_claims, &index);
	if (claim(scratch->held)) {
		scratch->event = bpf_map_lookup_elem(&DATA_EVENT_HEAP, &index);
		return scratch->event != NULL;
	}
	for (int i = 0; i < SPARE_BUFFERS; i++) {
		index = i;
		scratch->held = bpf_map_lookup_elem(&spare_claims, &index);
		if (claim(scratch->held)) {
			scratch->event = bpf_map_lookup_elem(&spare_buffers, &index);
			return scratch->event != NULL;
		}
	}
	return false;
}

static __always_inline void release_scratch(struct scratch *scratch)
{
	release(scratch->held);
}

#endif
