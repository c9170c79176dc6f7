/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TCP connections that are open, and how userspace is told of their opening and end. bpf/connections.bpf.c follows
 * them; the programs that send data tell of a connection before its first data.
 */
#ifndef PLAINWIRE_CONNECTIONS_BPF_H
#define PLAINWIRE_CONNECTIONS_BPF_H

#include "sockets.bpf.h"

KEEP_IN_BTF(struct, connect_event_t);

enum connections_told {
	CONNECTIONS_NONE = 0,
	CONNECTIONS_CAPTURED = 1, /* those that carry captured data */
	CONNECTIONS_ALL = 2,	  /* every one of the captured processes */
};

const volatile __u32 connections_told = CONNECTIONS_NONE;

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} connect_events SEC(".maps") PURPOSE("opened and closed connections to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct open_connection_t);
	__uint(max_entries, 65536);
} open_connections SEC(".maps") PURPOSE("TCP connections: since when, whose, how many bytes");

static __always_inline void fill_connect_event(struct connect_event_t *event, struct open_connection_t *open)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->kind = EVENT_CONNECT;
	event->direction = open->direction;
	event->timestamp_ns = bpf_ktime_get_ns();
	event->pid = open->pid;
	event->tid = open->tid;
	event->uid = open->uid;
	event->fd = open->fd;
	event->opened_ns = open->opened_ns;
	__builtin_memcpy(&event->saddr, open->connection.saddr, sizeof(event->saddr));
	__builtin_memcpy(&event->daddr, open->connection.daddr, sizeof(event->daddr));
	event->sock = open->connection.sock;
	event->sport = open->connection.sport;
	event->dport = open->connection.dport;
	event->family = open->connection.family;
	event->net_namespace = open->connection.net_namespace;
	event->inode = open->connection.inode;
	__builtin_memcpy(event->comm, open->comm, sizeof(event->comm));
	__builtin_memcpy(event->thread_comm, open->thread_comm, sizeof(event->thread_comm));
}

static __always_inline void emit_connect_event(void *ctx, struct connect_event_t *event)
{
	if (emit(ctx, &connect_events, event, sizeof(*event)))
		count_loss(LOSS_BUFFER_FULL, 1);
}

/* Whether nobody has told userspace of the connection yet; the caller does. */
static __always_inline bool is_first_to_tell(struct open_connection_t *open)
{
	return __sync_val_compare_and_swap(&open->told, 0, 1) == 0;
}

/* The current thread uses the connection: it is the process's. */
static __always_inline void note_user(struct open_connection_t *open)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	open->pid = pid_tgid >> 32;
	open->tid = (__u32)pid_tgid;
	open->uid = (__u32)bpf_get_current_uid_gid();
	open->wanted = is_target(open->pid, open->uid);
	read_process_comm(open->comm);
	bpf_get_current_comm(open->thread_comm, sizeof(open->thread_comm));
}

#endif
