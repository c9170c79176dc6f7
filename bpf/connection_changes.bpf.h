/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What becomes of a TCP connection, as connections.bpf.c sees it happen: noted in open_connections, and told to those
 * that want to know.
 */
#ifndef PLAINWIRE_CONNECTION_CHANGES_BPF_H
#define PLAINWIRE_CONNECTION_CHANGES_BPF_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "connections.bpf.h"
#include "emit.bpf.h"
#include "filter.bpf.h"

#define IPPROTO_TCP 6

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_CLOSE 7
#define TCP_LISTEN 10

#if defined(__TARGET_ARCH_x86)
#define FIRST_ARGUMENT di
#else
#define FIRST_ARGUMENT orig_x0
#endif

#define SOCK_DONE 1 /* bit of skc_flags, include/net/sock.h: a FIN has come */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct tcp_fd_info);
	__uint(max_entries, 10240);
} tcp_fd_infos SEC(".maps") PURPOSE("sockets on their way from connect() or accept() to a connection");

static __always_inline bool is_tcp(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return (family == AF_INET || family == AF_INET6) && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP;
}

/* The descriptor in the first argument of the current thread's system call, if it is this socket's; else -1. */
static __always_inline __s32 find_fd_in_call(struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__s32 fd = (__s32)BPF_CORE_READ(regs, FIRST_ARGUMENT);

	struct file *file = file_of_fd(fd);

	return file && find_sock_of_file(file) == sk ? fd : -1;
}

static __always_inline void tell(void *ctx, struct open_connection_t *open, __u32 error, bool failed)
{
	struct connect_event_t event;

	fill_connect_event(&event, open);
	event.failed = failed;
	event.error = error;
	emit_connect_event(ctx, &event);
}

/* Tell that it has opened, if each one is wanted. */
static __always_inline void tell_open(void *ctx, struct open_connection_t *open, struct sock *sk)
{
	if (connections_told != CONNECTIONS_ALL || !open->wanted || !is_first_to_tell(open))
		return;
	read_socket(sk, &open->connection);
	tell(ctx, open, 0, false);
}

static __always_inline void tell_end(void *ctx, struct open_connection_t *open, struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	struct connect_event_t event;

	fill_connect_event(&event, open);
	event.is_destroy = 1;
	event.tls_read = open->tls_bytes[kSSLRead];
	event.tls_written = open->tls_bytes[kSSLWrite];
	event.tcp_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	event.tcp_received = BPF_CORE_READ(tcp, bytes_received);
	if (event.tcp_received && BPF_CORE_READ(sk, __sk_common.skc_flags) & 1 << SOCK_DONE)
		event.tcp_received--; /* the FIN counts as a byte */
	emit_connect_event(ctx, &event);
}

/* connect() is about to send a SYN. Its ends are read when it is told: most connections of a machine never are. */
static __always_inline void note_connecting(void *ctx, struct sock *sk)
{
	struct open_connection_t open = {.fd = -1, .direction = DIRECTION_CONNECT};
	__u64 key = (__u64)sk, pid_tgid = bpf_get_current_pid_tgid();
	struct open_connection_t *last = bpf_map_lookup_elem(&open_connections, &key);
	struct tcp_fd_info *info = bpf_map_lookup_elem(&tcp_fd_infos, &pid_tgid);

	if (last && last->told) /* the socket was disconnected, and is used again */
		tell_end(ctx, last, sk);
	note_user(&open);
	if (info && info->sock == key) {
		open.fd = (__s32)info->fd;
		info->sock = 0;				  /* how it ends is seen by its state */
	} else if (connections_told == CONNECTIONS_ALL) { /* else the data name it */
		open.fd = find_fd_in_call(sk);
	}
	bpf_map_update_elem(&open_connections, &key, &open, BPF_ANY);
}

/* The connection stands. Runs in whatever thread the packet interrupted. */
static __always_inline void note_established(void *ctx, struct sock *sk, int old_state)
{
	__u64 key = (__u64)sk;
	struct open_connection_t *open = bpf_map_lookup_elem(&open_connections, &key);

	if (open && open->direction == DIRECTION_CONNECT && !open->opened_ns) {
		open->opened_ns = bpf_ktime_get_ns();
		tell_open(ctx, open, sk);
	} else if (old_state == TCP_SYN_RECV) {
		struct open_connection_t accepted = {.fd = -1, .direction = DIRECTION_ACCEPT};

		accepted.opened_ns = bpf_ktime_get_ns();
		bpf_map_update_elem(&open_connections, &key, &accepted, BPF_ANY);
	}
}

static __always_inline void note_failed(void *ctx, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct open_connection_t *open = bpf_map_lookup_elem(&open_connections, &key);

	if (!open)
		return;
	if (connections_told == CONNECTIONS_ALL && open->wanted) {
		read_socket(sk, &open->connection);
		/* The port is free already, its number still stands here. */
		open->connection.sport = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
		tell(ctx, open, BPF_CORE_READ(sk, sk_err), true);
	}
	bpf_map_delete_elem(&open_connections, &key);
}

/* The current thread has accepted this connection, or uses it for the first time. */
static __always_inline void note_accepted(void *ctx, struct sock *sk, __s32 fd)
{
	__u64 key = (__u64)sk;
	struct open_connection_t *open = bpf_map_lookup_elem(&open_connections, &key);

	if (!open || open->pid)
		return;
	note_user(open);
	open->fd = fd;
	tell_open(ctx, open, sk);
}

#endif
