/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counts the plaintext of connections, and tells of a connection before its first data. */
#ifndef PLAINWIRE_CONNECTION_BYTES_BPF_H
#define PLAINWIRE_CONNECTION_BYTES_BPF_H

#include "connections.bpf.h"

/* The connection's first captured data are about to be sent: what was seen of its opening goes before them. */
static __attribute__((noinline)) int tell_opening(void *ctx, struct open_connection_t *open, struct ssl_state_t *state,
						  __s32 fd)
{
	struct connect_event_t event;

	if (!is_first_to_tell(open))
		return 0;
	open->connection = state->connection;
	if (open->pid != bpf_get_current_pid_tgid() >> 32)
		note_user(open); /* it was accepted, inherited or received */
	if (fd >= 0)
		open->fd = fd;
	if (!open->opened_ns)
		return 0;
	fill_connect_event(&event, open);
	emit_connect_event(ctx, &event);
	return 0;
}

/* A connection that is older than the capture. */
static __attribute__((noinline)) struct open_connection_t *adopt_connection(struct ssl_state_t *state)
{
	struct open_connection_t open = {.connection = state->connection, .fd = -1};

	bpf_map_update_elem(&open_connections, &open.connection.sock, &open, BPF_NOEXIST);
	return bpf_map_lookup_elem(&open_connections, &open.connection.sock);
}

/* A call has moved bytes. Bytes of a connection that is not known yet are counted when it is. */
static __always_inline void count_connection_bytes(void *ctx, struct ssl_state_t *state, __s32 fd, __u32 type,
						   __u64 length)
{
	__u16 family = state->connection.family;
	struct open_connection_t *open;

	if (!connections_told)
		return;
	if (!is_known(state->connection.way) || (family != AF_INET && family != AF_INET6)) {
		__sync_fetch_and_add(&state->uncounted[type & 1], length);
		return;
	}
	open = bpf_map_lookup_elem(&open_connections, &state->connection.sock);
	if (!open)
		open = adopt_connection(state);
	if (!open)
		return;
	if (!open->told)
		tell_opening(ctx, open, state, fd);
	for (int i = 0; i < 2; i++) {
		__u64 bytes = state->uncounted[i];

		if (bytes) {
			state->uncounted[i] = 0;
			__sync_fetch_and_add(&open->tls_bytes[i], bytes);
		}
	}
	__sync_fetch_and_add(&open->tls_bytes[type & 1], length);
}

#endif
