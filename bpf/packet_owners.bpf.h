/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose packets are these. Two memories: each socket bears its process (socket_owners), and network_map knows flows
 * whose socket is gone, not reachable from the packet, or not of a kind that can be looked up.
 */
#ifndef PLAINWIRE_PACKET_OWNERS_BPF_H
#define PLAINWIRE_PACKET_OWNERS_BPF_H

/* What goes through skb_events. */
KEEP_IN_BTF(struct, skb_data_event_t);
KEEP_IN_BTF(struct, socket_owner_event_t);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 10240);
} skb_events SEC(".maps") PURPOSE("packets on their way to userspace, and the owners of sockets");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct socket_owner_t);
} socket_owners SEC(".maps") PURPOSE("the process that uses a socket");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct net_id_t);
	__type(value, struct net_ctx_t);
	__uint(max_entries, 10240);
} network_map SEC(".maps") PURPOSE("the process of a flow, for packets whose socket is not at hand");

#endif
