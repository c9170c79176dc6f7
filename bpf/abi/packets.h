/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets and the processes that they belong to. */
#ifndef PLAINWIRE_ABI_PACKETS_H
#define PLAINWIRE_ABI_PACKETS_H

#include "events.h"

/* Ends of a flow as the process sees them: `src` is its own. Key of the map network_map. */
struct net_id_t {
	__u32 protocol; /* IPPROTO_* */
	__u32 src_ip4;	/* as on the wire; 0 with IPv6 */
	__u32 dst_ip4;
	__u32 src_ip6[4]; /* as on the wire; 0 with IPv4 */
	__u32 dst_ip6[4];
	__u16 src_port; /* a number; of ICMP echo both ports are the identifier */
	__u16 dst_port;
};

/* A process that uses a socket. */
struct net_ctx_t {
	__u32 pid; /* 0: not known */
	__u32 uid;
	__u32 wanted; /* 1: the filters for processes let it through */
	char comm[TASK_COMM_LEN];
	__u32 unused; /* no padding: verifiers before Linux 6.3 refuse it uninitialised */
	__u64 sock;   /* by a kprobe: address of the struct sock that the process acted on; else 0 */
};

/* What is remembered of a socket. An accepted one begins with a copy of its listener's. */
struct socket_owner_t {
	struct net_ctx_t process;
	__u64 confirmed_for; /* address of the struct sock on which the process itself acted */
};

/* An interface on which packets are captured. */
struct packet_interface_t {
	__u32 has_ethernet_header;
	__u32 is_loopback; /* receivers are on this host: each packet is captured when it is sent, and never again */
	__u64 packets;	   /* wanted ones, lost ones included */
	__u64 lost;	   /* of these: the buffer was full */
};

enum packet_flag {
	PACKET_OUTGOING = 1,
	PACKET_OWNER_INHERITED = 2, /* pid is the listener's: who serves the connection is not known yet */
	PACKET_OWNER_WANTED = 4,    /* as `wanted` in net_ctx_t */
};

/* A packet. Its bytes follow, `captured_len` of them; a ring's sample may be longer. */
struct skb_data_event_t {
	__u32 kind; /* EVENT_PACKET */
	__u32 ifindex;
	__u64 ts;  /* CLOCK_MONOTONIC */
	__u32 pid; /* 0: not known */
	__u32 uid;
	__u32 len; /* on the wire, without a VLAN tag that the kernel keeps beside the packet */
	__u32 captured_len;
	__u16 vlan_protocol; /* of such a tag, as numbers; 0: there is none */
	__u16 vlan_tci;
	__u32 flags; /* enum packet_flag */
	char comm[TASK_COMM_LEN];
};

/*
 * A process has begun to use a connected socket that it did not create: packets before this one may be its too.
 * Addresses are of IPv6, or of IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2).
 */
struct socket_owner_event_t {
	__u32 kind;	/* EVENT_SOCKET_OWNER */
	__u32 protocol; /* IPPROTO_* */
	__u64 timestamp_ns;
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 pid;
	__u32 uid;
	__u32 wanted; /* as in net_ctx_t */
	char comm[TASK_COMM_LEN];
};

#endif
