/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fills the event buffer with events as the OpenSSL module sends them, faster than any program could call it. */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include "abi.h"

char LICENSE[] SEC("license") = "GPL";

#define CONNECTIONS 50
#define HEADER_SIZE __builtin_offsetof(struct ssl_data_event_t, data)

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} tls_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct ssl_data_event_t);
	__uint(max_entries, 1);
} event_template SEC(".maps");

struct request {
	__u32 count; /* how many events to send */
	__u32 first; /* how many were sent before */
	__u32 lost;  /* out: how many found the buffer full */
};

struct progress {
	struct request *request;
	struct ssl_data_event_t *event;
};

static long send_one(__u32 index, struct progress *progress)
{
	struct ssl_data_event_t *event = progress->event;
	__u32 number = progress->request->first + index;
	__u32 size = event->data_len;

	if (size > MAX_DATA_SIZE_OPENSSL)
		return 1;
	/* The connections take turns, each with 64 reads, then 64 writes. */
	event->type = number / 64 % 2;
	event->ssl = 0x7f0000001000 + number / 128 % CONNECTIONS * 4096;
	event->sequence = number / (128 * CONNECTIONS) * 64 + number % 64;
	event->timestamp_ns = bpf_ktime_get_ns();
	if (bpf_ringbuf_output(&tls_events, event, HEADER_SIZE + size, 0))
		progress->request->lost++;
	return 0;
}

SEC("syscall")
int fill(struct request *request)
{
	__u32 zero = 0;
	struct request copy = {.count = request->count, .first = request->first};
	struct progress progress = {.request = &copy, .event = bpf_map_lookup_elem(&event_template, &zero)};

	if (!progress.event)
		return 1;
	bpf_loop(copy.count, send_one, &progress, 0);
	request->lost = copy.lost;
	return 0;
}
