/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs that see which socket a thread sends or receives on: a tracepoint, or kprobes, or fentry, whichever of
 * them the kernel has. modules/ has their order.
 */
#ifndef PLAINWIRE_SOCKET_USE_BPF_H
#define PLAINWIRE_SOCKET_USE_BPF_H

#include <bpf/bpf_tracing.h>

/*
 * Calls use(sock) at each of these places; PREFIX sets their names apart where two objects have them. The arguments:
 * trace_sock_send_length and trace_sock_recv_length(struct sock *sk, int ret, int flags), Linux 6.3;
 * int tcp_sendmsg and tcp_recvmsg(struct sock *sk, struct msghdr *msg, size_t size, …)
 */
#define ON_SOCKET_USE(PREFIX, use)                                                                                     \
	SEC("raw_tp/sock_send_length")                                                                                 \
	int PREFIX##socket_sent(struct bpf_raw_tracepoint_args *ctx)                                                   \
	{                                                                                                              \
		return use((struct sock *)ctx->args[0]);                                                               \
	}                                                                                                              \
	SEC("raw_tp/sock_recv_length")                                                                                 \
	int PREFIX##socket_received(struct bpf_raw_tracepoint_args *ctx)                                               \
	{                                                                                                              \
		return use((struct sock *)ctx->args[0]);                                                               \
	}                                                                                                              \
	SEC("kprobe/tcp_sendmsg")                                                                                      \
	int BPF_KPROBE(PREFIX##probe_tcp_sendmsg, struct sock *sock)                                                   \
	{                                                                                                              \
		return use(sock);                                                                                      \
	}                                                                                                              \
	SEC("kprobe/tcp_recvmsg")                                                                                      \
	int BPF_KPROBE(PREFIX##probe_tcp_recvmsg, struct sock *sock)                                                   \
	{                                                                                                              \
		return use(sock);                                                                                      \
	}                                                                                                              \
	SEC("?fentry/tcp_sendmsg")                                                                                     \
	int BPF_PROG(PREFIX##enter_tcp_sendmsg, struct sock *sock)                                                     \
	{                                                                                                              \
		return use(sock);                                                                                      \
	}                                                                                                              \
	SEC("?fentry/tcp_recvmsg")                                                                                     \
	int BPF_PROG(PREFIX##enter_tcp_recvmsg, struct sock *sock)                                                     \
	{                                                                                                              \
		return use(sock);                                                                                      \
	}

#endif
