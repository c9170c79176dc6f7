/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets, each with the process that sent or receives it. A classifier looks up the interface and goes on by tail call:
 * to the user's packet filter, a program that userspace makes, and from there to capture_*; or to capture_* at once.
 * Whatever happens, the packet itself is left to the filters of others.
 */
#include "kernel_types.bpf.h"
#include "packet_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "abi.h"
#include "btf.bpf.h"
#include "emit.bpf.h"
#include "flow.bpf.h"
#include "packet_owners.bpf.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 snaplen = 262144;	      /* of each packet, capture at most so many bytes */
const volatile bool filter_packets = false;   /* there is a packet filter */
const volatile bool filter_processes = false; /* only packets of processes that are `wanted` */

/* A perf array's sample ends at 64 KiB, its own headers included. */
#define MAX_PERF_PACKET 65000
/* What snaplen is at most. Linux itself hands over packets of up to 512 KiB to be segmented. */
#define MAX_RING_PACKET 262144

/* Programs that classifiers go on to. */
enum packet_program {
	CAPTURE_EGRESS = 0,
	CAPTURE_INGRESS = 1,
	FILTER_EGRESS = 2, /* and the one of interfaces without an Ethernet header, two further on */
	FILTER_INGRESS = 3,
	PACKET_PROGRAMS = 6,
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, PACKET_PROGRAMS);
} packet_programs SEC(".maps") PURPOSE("the programs that a classifier goes on to: the packet filter, the capture");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* interface index */
	__type(value, struct packet_interface_t);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} packet_interfaces SEC(".maps") PURPOSE("the interfaces on which packets are captured, and their counts");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct skb_data_event_t);
	__uint(max_entries, 1);
} skb_data_buffer_heap SEC(".maps") PURPOSE("where a packet's event is made, without the packet");

static __always_inline int classify(struct __sk_buff *skb, __u32 capture, __u32 filter)
{
	__u32 ifindex = skb->ifindex;
	struct packet_interface_t *interface = bpf_map_lookup_elem(&packet_interfaces, &ifindex);

	if (!interface)
		return TC_ACT_UNSPEC;
	if (!filter_packets)
		bpf_tail_call(skb, &packet_programs, capture);
	else if (interface->has_ethernet_header)
		bpf_tail_call(skb, &packet_programs, filter);
	else
		bpf_tail_call(skb, &packet_programs, filter + 2);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int egress_cls_func(struct __sk_buff *skb)
{
	return classify(skb, CAPTURE_EGRESS, FILTER_EGRESS);
}

SEC("tc")
int ingress_cls_func(struct __sk_buff *skb)
{
	return classify(skb, CAPTURE_INGRESS, FILTER_INGRESS);
}

/* The packet's event, without the packet and its process. Classifiers run with softirqs off: nobody comes between. */
static __always_inline struct skb_data_event_t *make_skb_data_event(struct __sk_buff *skb, __u32 flags)
{
	__u32 key = 0;
	struct skb_data_event_t *event = bpf_map_lookup_elem(&skb_data_buffer_heap, &key);

	if (!event)
		return NULL;
	event->kind = EVENT_PACKET;
	event->ifindex = skb->ifindex;
	event->ts = bpf_ktime_get_ns();
	event->len = skb->len;
	event->captured_len = skb->len < snaplen ? skb->len : snaplen;
	event->vlan_protocol = skb->vlan_present ? bpf_ntohs(skb->vlan_proto) : 0;
	event->vlan_tci = skb->vlan_present ? skb->vlan_tci : 0;
	event->flags = flags;
	event->pid = 0;
	event->uid = 0;
	__builtin_memset(event->comm, 0, sizeof(event->comm));
	return event;
}

/* Whose socket it is; false where that is not known. */
static __always_inline bool owner_of_socket(struct bpf_sock *sk, struct net_ctx_t *process, __u32 *flags)
{
	struct socket_owner_t *owner = bpf_sk_storage_get(&socket_owners, sk, NULL, 0);

	if (!owner || !owner->process.pid)
		return false;
	*process = owner->process;
	/* A listener has no packets of its own: they belong to a connection that is not accepted yet. */
	if (owner->confirmed_for != (__u64)sk || sk->state == BPF_TCP_LISTEN)
		*flags |= PACKET_OWNER_INHERITED;
	return true;
}

/*
 * The socket of this host that packets of the flow are delivered to, to be released. Of a connection that is not yet
 * accepted it is the listener's.
 */
static __always_inline struct bpf_sock *find_socket(struct __sk_buff *skb, struct net_id_t *id)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv4);

	if (id->src_ip4 | id->dst_ip4) {
		tuple.ipv4.saddr = id->dst_ip4;
		tuple.ipv4.daddr = id->src_ip4;
		tuple.ipv4.sport = bpf_htons(id->dst_port);
		tuple.ipv4.dport = bpf_htons(id->src_port);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, id->dst_ip6, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, id->src_ip6, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = bpf_htons(id->dst_port);
		tuple.ipv6.dport = bpf_htons(id->src_port);
		size = sizeof(tuple.ipv6);
	}
	if (id->protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (id->protocol == IPPROTO_UDP)
		return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return NULL;
}

/* By the packet's socket, by the socket that its flow has on this host, by what is remembered of the flow. */
static __always_inline void find_owner(struct __sk_buff *skb, bool has_ethernet_header, struct net_ctx_t *process,
				       __u32 *flags)
{
	struct bpf_sock *sk = skb->sk;
	struct net_ctx_t *remembered;
	struct net_id_t id = {};
	bool found = false, has_flow;
	__u64 address = 0;

	has_flow = read_flow(skb, has_ethernet_header, *flags & PACKET_OUTGOING, &id) == 0;
	if (*flags & PACKET_OUTGOING && sk) {
		sk = bpf_sk_fullsock(sk);
		address = (__u64)sk;
		found = sk && owner_of_socket(sk, process, flags);
	}
	if (!has_flow)
		return;
	if (!found) {
		sk = find_socket(skb, &id);
		if (sk) {
			address = (__u64)sk;
			found = owner_of_socket(sk, process, flags);
			bpf_sk_release(sk);
		}
	}
	remembered = bpf_map_lookup_elem(&network_map, &id);
	if (remembered && remembered->sock && remembered->sock == address) {
		*process = *remembered;
		*flags &= ~PACKET_OWNER_INHERITED;
	} else if (found && !(*flags & PACKET_OWNER_INHERITED)) {
		/* A lookup costs less than an update. */
		if (!remembered || remembered->pid != process->pid)
			bpf_map_update_elem(&network_map, &id, process, BPF_ANY);
	} else if (remembered && !found) {
		*process = *remembered;
	}
}

static __always_inline struct skb_data_event_t *current_event(void)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&skb_data_buffer_heap, &key);
}

/*
 * Puts the sender, or the receiver where the packet comes in, into the event that is being made; what is known already
 * stays. Not static, as emit_packet: the verifier then looks at it once, apart from where it is called.
 *
 * A packet on loopback is looked at from both ends: it is wanted for its receiver's sake too, and where no process has
 * sent it (a reset), it is the receiver's.
 */
__noinline int set_owner(struct __sk_buff *skb, __u32 has_ethernet_header, __u32 flags)
{
	struct skb_data_event_t *event = current_event();
	struct net_ctx_t process = {};

	if (!event)
		return 0;
	find_owner(skb, has_ethernet_header, &process, &flags);
	event->flags |= flags;
	if (process.wanted)
		event->flags |= PACKET_OWNER_WANTED;
	if (event->pid)
		return 0;
	event->pid = process.pid;
	event->uid = process.uid;
	__builtin_memcpy(event->comm, process.comm, sizeof(event->comm));
	return 0;
}

/* Sends the event and `size` bytes of room for the packet, in a ring. */
#define SUBMIT_TO_RING(size)                                                                                           \
	do {                                                                                                           \
		struct {                                                                                               \
			struct skb_data_event_t event;                                                                 \
			__u8 packet[size];                                                                             \
		} *sample = bpf_ringbuf_reserve(&skb_events, sizeof(*sample), 0);                                      \
		if (!sample)                                                                                           \
			return -1;                                                                                     \
		sample->event = *event;                                                                                \
		barrier_var(last); /* counted on from here: the verifier knows that it is not 0 bytes */               \
		if (bpf_skb_load_bytes(skb, 0, sample->packet, last + 1)) {                                            \
			bpf_ringbuf_discard(sample, 0);                                                                \
			return -1;                                                                                     \
		}                                                                                                      \
		bpf_ringbuf_submit(sample, 0);                                                                         \
		return 0;                                                                                              \
	} while (0)

/*
 * A ring's sample must have a size that the verifier knows, so the packet gets the next larger of some sizes: its bytes
 * are copied once, and a per-CPU buffer, which ends at 32 KiB, could not hold the packets that network cards segment.
 */
__noinline int emit_packet(struct __sk_buff *skb)
{
	struct skb_data_event_t *event = current_event();
	__u64 length, last;

	if (!event)
		return -1;
	length = event->captured_len;
	if (!use_ring) {
		if (length > MAX_PERF_PACKET)
			length = event->captured_len = MAX_PERF_PACKET;
		return bpf_perf_event_output(skb, &skb_events, length << 32 | BPF_F_CURRENT_CPU, event, sizeof(*event));
	}
	last = length - 1;
	if (last < 64)
		SUBMIT_TO_RING(64);
	if (last < 128)
		SUBMIT_TO_RING(128);
	if (last < 256)
		SUBMIT_TO_RING(256);
	if (last < 512)
		SUBMIT_TO_RING(512);
	if (last < 1024)
		SUBMIT_TO_RING(1024);
	if (last < 1536) /* a whole Ethernet frame */
		SUBMIT_TO_RING(1536);
	if (last < 4096)
		SUBMIT_TO_RING(4096);
	if (last < 16384)
		SUBMIT_TO_RING(16384);
	if (last < 32768)
		SUBMIT_TO_RING(32768);
	if (last < 65536 + 64) /* what network cards segment, with their headers */
		SUBMIT_TO_RING(65536 + 64);
	if (last < 131072)
		SUBMIT_TO_RING(131072);
	if (last >= MAX_RING_PACKET) {
		event->captured_len = MAX_RING_PACKET;
		last = MAX_RING_PACKET - 1;
	}
	SUBMIT_TO_RING(MAX_RING_PACKET);
}

static __always_inline int capture(struct __sk_buff *skb, __u32 flags)
{
	__u32 ifindex = skb->ifindex;
	struct packet_interface_t *interface = bpf_map_lookup_elem(&packet_interfaces, &ifindex);
	struct skb_data_event_t *event = make_skb_data_event(skb, flags);

	if (!interface || !event)
		return TC_ACT_UNSPEC;
	set_owner(skb, interface->has_ethernet_header, flags);
	if (interface->is_loopback && !(event->flags & PACKET_OWNER_WANTED))
		set_owner(skb, interface->has_ethernet_header, 0);
	/* Of an inherited one, userspace will know the process soon. */
	if (filter_processes && !(event->flags & (PACKET_OWNER_WANTED | PACKET_OWNER_INHERITED)))
		return TC_ACT_UNSPEC;
	__sync_fetch_and_add(&interface->packets, 1);
	if (emit_packet(skb))
		__sync_fetch_and_add(&interface->lost, 1);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int capture_egress(struct __sk_buff *skb)
{
	return capture(skb, PACKET_OUTGOING);
}

SEC("tc")
int capture_ingress(struct __sk_buff *skb)
{
	return capture(skb, 0);
}
