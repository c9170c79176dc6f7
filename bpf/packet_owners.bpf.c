/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes on each socket, and in network_map, which process uses it. Which of the programs are loaded is the choice of
 * userspace, by what the kernel takes: noting at the socket's creation (cgroup) and at each send and receive
 * (tracepoints of Linux 6.3, fentry, kprobes), and for sockets older than the capture an iterator over all open files.
 */
#include "kernel_types.bpf.h"
#include "packet_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "btf.bpf.h"
#include "emit.bpf.h"
#include "filter.bpf.h"
#include "packet_owners.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define IPV4_MAPPED bpf_htonl(0xffff) /* third word of ::ffff:a.b.c.d */

static __always_inline void note_process(struct task_struct *task, __u32 pid, __u32 uid, struct net_ctx_t *process)
{
	process->pid = pid;
	process->uid = uid;
	process->wanted = is_target_task(task, pid, uid);
	read_comm_of(task, process->comm);
}

static __always_inline void note_current_process(struct net_ctx_t *process)
{
	note_process((struct task_struct *)bpf_get_current_task(), bpf_get_current_pid_tgid() >> 32,
		     (__u32)bpf_get_current_uid_gid(), process);
}

/* The flow of a connected socket; false for others. */
static __always_inline bool flow_of_socket(struct sock *sk, struct net_id_t *id)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	id->protocol = BPF_CORE_READ(sk, sk_protocol);
	id->src_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	id->dst_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&id->src_ip6, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32);
		BPF_CORE_READ_INTO(&id->dst_ip6, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32);
		if (id->dst_ip6[0] == 0 && id->dst_ip6[1] == 0 && id->dst_ip6[2] == IPV4_MAPPED) {
			id->src_ip4 = id->src_ip6[3];
			id->dst_ip4 = id->dst_ip6[3];
			__builtin_memset(id->src_ip6, 0, sizeof(id->src_ip6));
			__builtin_memset(id->dst_ip6, 0, sizeof(id->dst_ip6));
		}
	} else {
		id->src_ip4 = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		id->dst_ip4 = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
	return id->dst_port != 0;
}

static __always_inline bool is_internet_socket(struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

SEC("cgroup/sock_create")
int socket_created(struct bpf_sock *ctx)
{
	struct socket_owner_t *owner;

	if (ctx->family != AF_INET && ctx->family != AF_INET6)
		return 1;
	owner = bpf_sk_storage_get(&socket_owners, ctx, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (owner) {
		note_current_process(&owner->process);
		owner->confirmed_for = (__u64)ctx;
	}
	return 1; /* whether the socket may be made is not ours to say */
}

static __always_inline void set_address(__u8 address[16], __u32 ip4, __u32 ip6[4])
{
	__u32 mapped[4] = {0, 0, IPV4_MAPPED, ip4};

	__builtin_memcpy(address, ip4 ? mapped : ip6, sizeof(mapped));
}

static __always_inline void emit_owner(void *ctx, struct net_id_t *id, struct net_ctx_t *process)
{
	struct socket_owner_event_t event = {
		.kind = EVENT_SOCKET_OWNER,
		.protocol = id->protocol,
		.timestamp_ns = bpf_ktime_get_ns(),
		.local_port = id->src_port,
		.remote_port = id->dst_port,
		.pid = process->pid,
		.uid = process->uid,
		.wanted = process->wanted,
	};

	set_address(event.local_address, id->src_ip4, id->src_ip6);
	set_address(event.remote_address, id->dst_ip4, id->dst_ip6);
	__builtin_memcpy(event.comm, process->comm, sizeof(event.comm));
	if (emit(ctx, &skb_events, &event, sizeof(event)))
		count_loss(LOSS_PROCESS_EVENTS, 1);
}

/* The current process acts on a socket. Most calls end at the comparison. */
static __always_inline void note_use(void *ctx, struct sock *sk)
{
	struct socket_owner_t *owner;
	struct net_id_t id = {};

	if (!sk || !is_internet_socket(sk))
		return;
	owner = bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!owner)
		return;
	if (owner->confirmed_for == (__u64)sk && owner->process.pid == bpf_get_current_pid_tgid() >> 32)
		return;
	note_current_process(&owner->process);
	owner->confirmed_for = (__u64)sk;
	if (!flow_of_socket(sk, &id))
		return;
	bpf_map_update_elem(&network_map, &id, &owner->process, BPF_ANY);
	emit_owner(ctx, &id, &owner->process);
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

/*
 * The same by hooks in the functions that send and receive, for kernels without the tracepoints. Ping's sockets are left
 * to their creation.
 */
SEC("?fentry/tcp_sendmsg")
int BPF_PROG(enter_tcp_sendmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?fentry/tcp_recvmsg")
int BPF_PROG(enter_tcp_recvmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?fentry/udp_sendmsg")
int BPF_PROG(enter_udp_sendmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?fentry/udp_recvmsg")
int BPF_PROG(enter_udp_recvmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?fentry/udpv6_sendmsg")
int BPF_PROG(enter_udpv6_sendmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

SEC("?fentry/udpv6_recvmsg")
int BPF_PROG(enter_udpv6_recvmsg, struct sock *sk)
{
	note_use(ctx, sk);
	return 0;
}

/*
 * A kprobe may not touch the notes on sockets: it notes the flow, and which socket's it is. A UDP socket that is not
 * connected has no flow, so what it sends stays its creator's.
 */
static __always_inline int note_flow(void *ctx, struct sock *sk)
{
	struct net_ctx_t process = {}, *known;
	struct net_id_t id = {};

	if (!is_internet_socket(sk) || !flow_of_socket(sk, &id))
		return 0;
	known = bpf_map_lookup_elem(&network_map, &id);
	if (known && known->sock == (__u64)sk && known->pid == bpf_get_current_pid_tgid() >> 32)
		return 0;
	note_current_process(&process);
	process.sock = (__u64)sk;
	bpf_map_update_elem(&network_map, &id, &process, BPF_ANY);
	emit_owner(ctx, &id, &process);
	return 0;
}

SEC("kprobe/tcp_sendmsg")
int BPF_KPROBE(probe_tcp_sendmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

SEC("kprobe/tcp_recvmsg")
int BPF_KPROBE(probe_tcp_recvmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

SEC("kprobe/udp_sendmsg")
int BPF_KPROBE(probe_udp_sendmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

SEC("kprobe/udp_recvmsg")
int BPF_KPROBE(probe_udp_recvmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

SEC("kprobe/udpv6_sendmsg")
int BPF_KPROBE(probe_udpv6_sendmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

SEC("kprobe/udpv6_recvmsg")
int BPF_KPROBE(probe_udpv6_recvmsg, struct sock *sk)
{
	return note_flow(ctx, sk);
}

/* Once for each open file of each process, when the capture begins. */
SEC("iter/task_file")
int socket_found(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket_owner_t *owner;
	struct net_id_t id = {};
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !is_internet_socket(sk))
		return 0;
	owner = bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	/* Of several processes that share it, the first keeps it until another one uses it. */
	if (!owner || owner->process.pid)
		return 0;
	note_process(task, task->tgid, BPF_CORE_READ(task, cred, uid.val), &owner->process);
	owner->confirmed_for = (__u64)sk;
	if (flow_of_socket(sk, &id))
		bpf_map_update_elem(&network_map, &id, &owner->process, BPF_ANY);
	return 0;
}
