/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Follows TCP connections from connect() or accept() to their end. Loaded once, serves every TLS module.
 *
 * The state of each connection is seen where it changes (inet_sock_set_state): it gives both ends their time and, where
 * this process connects, the process, since a SYN is sent by the thread that calls connect(). Who accepts is seen on the
 * way out of accept(), or where the connection is used first. None of it runs in a process that opens no connection: the
 * tracepoints of system calls would be a further way, but they slow down every system call of the machine.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "btf.bpf.h"
#include "emit.bpf.h"
#include "filter.bpf.h"
#include "connection_changes.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* include/linux/errno.h, <asm-generic/errno.h>: what connect() says though the connection may still open */
#define EINTR 4
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512

/* trace_inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate), Linux 4.16 */
SEC("raw_tp/inet_sock_set_state")
int connection_state(struct bpf_raw_tracepoint_args *ctx)
{
	struct sock *sk = (struct sock *)ctx->args[0];
	int old_state = (int)ctx->args[1], state = (int)ctx->args[2];

	if (state == TCP_SYN_SENT) {
		if (is_tcp(sk))
			note_connecting(ctx, sk);
	} else if (state == TCP_ESTABLISHED) {
		if (is_tcp(sk))
			note_established(ctx, sk, old_state);
	} else if (state == TCP_CLOSE && old_state == TCP_SYN_SENT) {
		note_failed(ctx, sk);
	}
	return 0;
}

static __always_inline int end_connection(void *ctx, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct open_connection_t *open = bpf_map_lookup_elem(&open_connections, &key);

	if (!open)
		return 0;
	if (open->told)
		tell_end(ctx, open, sk);
	bpf_map_delete_elem(&open_connections, &key);
	return 0;
}

/* trace_tcp_destroy_sock(struct sock *sk), Linux 4.16 */
SEC("raw_tp/tcp_destroy_sock")
int connection_destroyed(struct bpf_raw_tracepoint_args *ctx)
{
	return end_connection(ctx, (struct sock *)ctx->args[0]);
}

/* void tcp_v4_destroy_sock(struct sock *sk): of IPv6 too */
SEC("kprobe/tcp_v4_destroy_sock")
int BPF_KPROBE(probe_tcp_v4_destroy_sock, struct sock *sk)
{
	return end_connection(ctx, sk);
}

SEC("?fentry/tcp_v4_destroy_sock")
int BPF_PROG(enter_tcp_v4_destroy_sock, struct sock *sk)
{
	return end_connection(ctx, sk);
}

/* connect() and accept() begin: the descriptor is known, the connection is not. */
static __always_inline int begin_call(__s32 fd)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tcp_fd_info info = {.fd = (__u32)fd};

	bpf_map_update_elem(&tcp_fd_infos, &pid_tgid, &info, BPF_ANY);
	return 0;
}

/* Within connect(): the socket, and where it is to lead. */
static __always_inline int continue_connect(struct socket *socket, void *address)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tcp_fd_info *info = bpf_map_lookup_elem(&tcp_fd_infos, &pid_tgid);
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct sockaddr_in4_or_6 remote = {};

	if (!info || !is_tcp(sk))
		return 0;
	info->sock = (__u64)sk;
	bpf_probe_read_kernel(&remote, sizeof(remote), address);
	info->family = remote.family;
	info->dport = bpf_ntohs(remote.port);
	if (remote.family == AF_INET6)
		__builtin_memcpy(info->daddr, remote.address6, sizeof(info->daddr));
	else
		__builtin_memcpy(info->daddr, remote.address4, sizeof(remote.address4));
	return 0;
}

/* connect() returns. Where a SYN was sent, its state tells what came of it; else it has failed before. */
static __always_inline int end_connect(void *ctx, __s32 result)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tcp_fd_info *info = bpf_map_lookup_elem(&tcp_fd_infos, &pid_tgid);
	struct open_connection_t open = {.direction = DIRECTION_CONNECT};
	struct sock *sk;

	if (!info)
		return 0;
	sk = (struct sock *)info->sock;
	if (sk && result < 0 && result != -EINPROGRESS && result != -EALREADY && result != -EINTR &&
	    result != -ERESTARTSYS) {
		open.fd = (__s32)info->fd;
		open.connection.sock = (__u64)sk;
		open.connection.family = info->family;
		open.connection.dport = info->dport;
		__builtin_memcpy(open.connection.daddr, info->daddr, sizeof(info->daddr));
		open.connection.net_namespace = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		open.connection.sport = BPF_CORE_READ(sk, __sk_common.skc_num);
		note_user(&open);
		if (connections_told == CONNECTIONS_ALL && open.wanted)
			tell(ctx, &open, -result, true);
	}
	bpf_map_delete_elem(&tcp_fd_infos, &pid_tgid);
	return 0;
}

/* Within accept(): a connection was taken from the queue; it has no descriptor yet. */
static __always_inline int continue_accept(struct sock *sk)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tcp_fd_info *info = bpf_map_lookup_elem(&tcp_fd_infos, &pid_tgid);

	if (info)
		info->sock = (__u64)sk;
	return 0;
}

static __always_inline int end_accept(void *ctx, __s32 result)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tcp_fd_info *info = bpf_map_lookup_elem(&tcp_fd_infos, &pid_tgid);

	if (!info)
		return 0;
	if (info->sock && result >= 0)
		note_accepted(ctx, (struct sock *)info->sock, result);
	bpf_map_delete_elem(&tcp_fd_infos, &pid_tgid);
	return 0;
}

/* int __sys_connect(int fd, struct sockaddr __user *uservaddr, int addrlen) */
SEC("kprobe/__sys_connect")
int BPF_KPROBE(probe_connect, int fd)
{
	return begin_call(fd);
}

/* int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags) */
SEC("kprobe/inet_stream_connect")
int BPF_KPROBE(probe_inet_stream_connect, struct socket *socket, void *address)
{
	return continue_connect(socket, address);
}

SEC("kretprobe/__sys_connect")
int BPF_KRETPROBE(retprobe_connect, int result)
{
	return end_connect(ctx, result);
}

/* int __sys_accept4(int fd, struct sockaddr __user *upeer_sockaddr, int __user *upeer_addrlen, int flags) */
SEC("kprobe/__sys_accept4")
int BPF_KPROBE(probe_accept4, int fd)
{
	return begin_call(fd);
}

/* struct sock *inet_csk_accept(struct sock *sk, …): what follows sk differs between kernels */
SEC("kretprobe/inet_csk_accept")
int BPF_KRETPROBE(retprobe_inet_csk_accept, struct sock *sk)
{
	return continue_accept(sk);
}

SEC("kretprobe/__sys_accept4")
int BPF_KRETPROBE(retprobe_accept4, int result)
{
	return end_accept(ctx, result);
}

SEC("?fentry/__sys_connect")
int BPF_PROG(enter_connect, int fd)
{
	return begin_call(fd);
}

SEC("?fentry/inet_stream_connect")
int BPF_PROG(enter_inet_stream_connect, struct socket *socket, void *address)
{
	return continue_connect(socket, address);
}

SEC("?fexit/__sys_connect")
int BPF_PROG(exit_connect, int fd, void *address, int length, int result)
{
	return end_connect(ctx, result);
}

SEC("?fentry/__sys_accept4")
int BPF_PROG(enter_accept4, int fd)
{
	return begin_call(fd);
}

SEC("?fexit/inet_csk_accept")
int BPF_PROG(exit_inet_csk_accept)
{
	__u64 sk = 0;

	bpf_get_func_ret(ctx, &sk);
	return continue_accept((struct sock *)sk);
}

SEC("?fexit/__sys_accept4")
int BPF_PROG(exit_accept4, int fd, void *address, void *length, int flags, int result)
{
	return end_accept(ctx, result);
}

/* The tracepoints' way: who accepted a connection is seen where it is used first. */
static __always_inline int use_connection(void *ctx, struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct open_connection_t *open = bpf_map_lookup_elem(&open_connections, &key);

	if (open && !open->pid)
		note_accepted(ctx, sk, find_fd_in_call(sk));
	return 0;
}

/* trace_sock_send_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_send_length")
int connection_sent(struct bpf_raw_tracepoint_args *ctx)
{
	return use_connection(ctx, (struct sock *)ctx->args[0]);
}

/* trace_sock_recv_length(struct sock *sk, int ret, int flags), Linux 6.3 */
SEC("raw_tp/sock_recv_length")
int connection_received(struct bpf_raw_tracepoint_args *ctx)
{
	return use_connection(ctx, (struct sock *)ctx->args[0]);
}

/* Once for each open file of each process, when the capture begins: connections that are older. */
SEC("?iter/task_file")
int connection_found(struct bpf_iter__task_file *ctx)
{
	struct open_connection_t open = {.fd = (__s32)ctx->fd};
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct open_connection_t *known;
	struct socket *socket;
	struct sock *sk;
	__u8 state;
	__u64 key;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = BPF_CORE_READ(socket, sk); /* a number: the verifier lets no pointer be stored in a packed event */
	if (!is_tcp(sk))
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_SYN_SENT || state == TCP_CLOSE || state == TCP_LISTEN || !read_socket(sk, &open.connection))
		return 0;
	key = (__u64)sk;
	open.pid = task->tgid;
	open.tid = task->tgid;
	open.uid = BPF_CORE_READ(task, cred, uid.val);
	open.wanted = is_target_task(task, open.pid, open.uid);
	known = bpf_map_lookup_elem(&open_connections, &key);
	/* Of several processes that share it, it is the first's that is captured. */
	if (known && (known->opened_ns || known->told || !open.wanted))
		return 0;
	open.told = open.wanted;
	read_comm_of(task, open.comm);
	read_comm_of(task, open.thread_comm);
	bpf_map_update_elem(&open_connections, &key, &open, BPF_ANY);
	if (open.told)
		tell(ctx, &open, 0, false);
	return 0;
}
