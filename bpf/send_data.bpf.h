/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends the plaintext of a call: in as many events as it takes, each with its number in the connection. Before this file
 * is included, DATA_EVENTS names the event map, DATA_EVENT_HEAP the per-CPU array to build an event in, and
 * DATA_EVENT_KIND what kind of event it is.
 */
#ifndef PLAINWIRE_SEND_DATA_BPF_H
#define PLAINWIRE_SEND_DATA_BPF_H

#include "connection_bytes.bpf.h"
#include "scratch.bpf.h"

#define MAX_EVENTS_A_CALL (MAX_CALL_SIZE / MAX_DATA_SIZE_OPENSSL)
#define CHUNKS_A_TURN 32
#define EVENT_HEADER_SIZE __builtin_offsetof(struct ssl_data_event_t, data)

const volatile bool lengths_only = false; /* of every call; none of its bytes */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct ssl_key_t);
	__type(value, struct ssl_state_t);
	__uint(max_entries, 65536);
} ssl_states SEC(".maps") PURPOSE("the next events' numbers of each SSL structure, and its connection");

/* Not inlined: its stack would be every call's. */
static __attribute__((noinline)) struct ssl_state_t *create_state(struct ssl_key_t *key)
{
	struct ssl_state_t fresh = {};

	bpf_map_update_elem(&ssl_states, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&ssl_states, key);
}

static __always_inline struct ssl_state_t *find_state(__u64 ssl, __u32 pid)
{
	struct ssl_key_t key = {.ssl = ssl, .pid = pid};
	struct ssl_state_t *state = bpf_map_lookup_elem(&ssl_states, &key);

	return state ? state : create_state(&key);
}

/*
 * Send one event: the bytes at `offset` of the call's buffer. This function and the next ones are not inlined, and not
 * static: the verifier then looks at each by itself, once, instead of once a turn of the loop.
 */
__attribute__((noinline)) int send_chunk(struct bpf_user_pt_regs_t *ctx, struct ssl_data_event_t *event, __u64 buf,
					 __u32 offset)
{
	__u64 size;

	if (!event)
		return 0;
	size = event->call_length - offset;
	if (size > MAX_DATA_SIZE_OPENSSL)
		size = MAX_DATA_SIZE_OPENSSL;
	event->flags &= ~SSL_DATA_UNREADABLE;
	if (event->flags & SSL_DATA_LENGTH_ONLY) {
		size = 0;
	} else if (bpf_probe_read_user(event->data, size, (void *)(buf + offset))) {
		count_loss(LOSS_UNREADABLE, 1);
		event->flags |= SSL_DATA_UNREADABLE;
		size = 0;
	}
	event->offset = offset;
	event->data_len = size;
	if (emit(ctx, &DATA_EVENTS, event, EVENT_HEADER_SIZE + size))
		count_loss(LOSS_BUFFER_FULL, 1);
	event->sequence++;
	return 0;
}

/* Send up to CHUNKS_A_TURN of a call's events, from the one that begins at `offset` on. */
__attribute__((noinline)) int send_some_chunks(struct bpf_user_pt_regs_t *ctx, struct ssl_data_event_t *event,
					       __u64 buf, __u32 offset, __u32 end)
{
	for (__u32 i = 0; i < CHUNKS_A_TURN; i++, offset += MAX_DATA_SIZE_OPENSSL) {
		if (offset >= end)
			break;
		send_chunk(ctx, event, buf, offset);
	}
	return 0;
}

/*
 * Send the bytes of a call, in as many events as it takes; `event` holds what is common to all. Loops in a loop: the
 * verifier looks at 32 and 32 turns instead of at 1,024.
 */
__attribute__((noinline)) int send_chunks(struct bpf_user_pt_regs_t *ctx, struct ssl_data_event_t *event, __u64 buf,
					  __u32 count)
{
	for (__u32 i = 0; i < MAX_EVENTS_A_CALL / CHUNKS_A_TURN; i++) {
		if (i * CHUNKS_A_TURN >= count)
			break;
		send_some_chunks(ctx, event, buf, i * CHUNKS_A_TURN * MAX_DATA_SIZE_OPENSSL,
				 count * MAX_DATA_SIZE_OPENSSL);
	}
	return 0;
}

/* Send the `length` bytes of a call of a connection. */
static __always_inline int send_data(struct pt_regs *ctx, struct ssl_state_t *state, struct active_ssl_buf *call,
				     __u32 type, __u64 length)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u64 sendable = length < MAX_CALL_SIZE ? length : MAX_CALL_SIZE;
	bool length_only = lengths_only || call->flags & SSL_DATA_LENGTH_ONLY;
	__u32 count = length_only ? 1 : (sendable + MAX_DATA_SIZE_OPENSSL - 1) / MAX_DATA_SIZE_OPENSSL;
	struct ssl_data_event_t *event;
	struct scratch scratch;
	/* Lost events keep their numbers. */
	__u64 sequence = __sync_fetch_and_add(&state->sequence[type & 1], count);

	count_connection_bytes(ctx, state, call->fd, type, length);
	if (!claim_scratch(&scratch)) {
		count_loss(LOSS_NO_SCRATCH, count);
		return 0;
	}
	event = scratch.event;
	event->kind = DATA_EVENT_KIND;
	event->type = type;
	event->timestamp_ns = bpf_ktime_get_ns();
	event->pid = pid_tgid >> 32;
	event->tid = (__u32)pid_tgid;
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->library = call->library;
	event->ssl = call->ssl;
	event->sequence = sequence;
	event->call_length = length;
	event->flags = call->flags | (length_only ? SSL_DATA_LENGTH_ONLY : 0);
	event->fd = call->fd;
	event->version = call->version;
	event->bio_type = call->bio_type;
	event->connection = state->connection;
	read_process_comm(event->comm);
	bpf_get_current_comm(event->thread_comm, sizeof(event->thread_comm));
	if (length > sendable && !length_only) {
		event->flags |= SSL_DATA_TRUNCATED;
		count_loss(LOSS_TRUNCATED_BYTES, length - sendable);
	}
	send_chunks((struct bpf_user_pt_regs_t *)ctx, event, call->buf, count);
	release_scratch(&scratch);
	return 0;
}

#endif
