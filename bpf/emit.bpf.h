/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How an event reaches userspace, and how it is counted where it does not. */
#ifndef PLAINWIRE_EMIT_BPF_H
#define PLAINWIRE_EMIT_BPF_H

/* Set when userspace has turned the event maps, perf arrays on disk, into ring buffers. */
const volatile bool use_ring = false;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32); /* enum loss_kind */
	__type(value, __u64);
	__uint(max_entries, LOSS_KINDS);
} loss_counters SEC(".maps") PURPOSE("what was lost, by reason (enum loss_kind)");

static __always_inline void count_loss(__u32 kind, __u64 count)
{
	__u64 *counter = bpf_map_lookup_elem(&loss_counters, &kind);

	if (counter)
		__sync_fetch_and_add(counter, count);
}

/*
 * Flags 0: the reader is woken only when it had read everything. It sleeps a few ms after each round, so a busy
 * program pays for no wake-up, and a single event still is seen at once.
 */
static __always_inline long emit(void *ctx, void *map, void *event, __u64 size)
{
	if (use_ring)
		return bpf_ringbuf_output(map, event, size, 0);
	return bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, event, size);
}

#endif
