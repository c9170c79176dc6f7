/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes on which socket each TLS ClientHello is sent and received, for SSL structures that know no socket themselves
 * (memory BIOs): its random goes over the wire in clear, and stands in the SSL structures of both ends, where
 * hello_connection.bpf.h finds it. The programs are attached to the root of the cgroup2 hierarchy: they see every socket
 * of the host, in all network namespaces. Formats: RFC 8446, sections 4, 4.1.2 and 5.1; RFC 791, 8200, 9293.
 */
#ifndef PLAINWIRE_CLIENT_HELLOS_BPF_H
#define PLAINWIRE_CLIENT_HELLOS_BPF_H

#include "packet_types.bpf.h"
#include "sockets.bpf.h"

struct client_hello_key_t {
	__u8 random[RANDOM_SIZE];
	__u32 received; /* 1: on the server's socket; 0: on the client's */
};

/* Needed from the handshake to the first call that moves data. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct client_hello_key_t);
	__type(value, struct connection_t);
	__uint(max_entries, 10240);
} client_hellos SEC(".maps") PURPOSE("the socket of each ClientHello, by its random");

#define LET_THROUGH 1
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define IPV6_HEADER_SIZE 40
#define CONTENT_TYPE_HANDSHAKE 22
#define HANDSHAKE_CLIENT_HELLO 1

/* The first bytes of a connection's TLS. A hello of several packets or records has its random in the first. */
struct hello_start {
	__u8 content_type;
	__u8 record_version[2];
	__u8 record_length[2];
	__u8 message_type;
	__u8 message_length[3];
	__u8 version[2];
	__u8 random[RANDOM_SIZE];
};

struct ipv4_start {
	__u8 version_and_words;
	__u8 tos_to_ttl[8];
	__u8 protocol;
};

/* Where the TCP payload begins, counted from the network header; 0: no TCP, or options of IPv6 before it. */
static __always_inline __u32 tcp_payload(struct __sk_buff *skb)
{
	__u32 tcp = IPV6_HEADER_SIZE;
	struct ipv4_start ipv4;
	__u8 byte;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 0, &ipv4, sizeof(ipv4)) || ipv4.protocol != IPPROTO_TCP)
			return 0;
		tcp = (ipv4.version_and_words & 0xf) * 4;
	} else if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 6, &byte, 1) ||
		   byte != IPPROTO_TCP) {
		return 0;
	}
	if (bpf_skb_load_bytes(skb, tcp + 12, &byte, 1)) /* the data offset, in words, in the upper half */
		return 0;
	return tcp + (byte >> 4) * 4;
}

static __always_inline bool load_client_hello(struct __sk_buff *skb, struct hello_start *hello)
{
	__u32 payload = tcp_payload(skb);

	if (!payload || skb->len < payload + sizeof(*hello))
		return false;
	return bpf_skb_load_bytes(skb, payload, hello, sizeof(*hello)) == 0 &&
	       hello->content_type == CONTENT_TYPE_HANDSHAKE && hello->record_version[0] == 3 &&
	       hello->message_type == HANDSHAKE_CLIENT_HELLO && hello->version[0] == 3;
}

static __always_inline int note_hello(struct __sk_buff *skb, bool received)
{
	struct client_hello_key_t key = {.received = received};
	struct connection_t connection = {.way = CONNECTION_BY_CLIENT_RANDOM};
	struct hello_start hello;
	struct tcp_sock *sock;

	if (!load_client_hello(skb, &hello))
		return LET_THROUGH;
	/* The verifier lets nothing but the fields of struct bpf_sock be read through skb->sk itself. */
	sock = skb->sk ? bpf_skc_to_tcp_sock(skb->sk) : NULL;
	if (!sock || !read_socket((struct sock *)sock, &connection))
		return LET_THROUGH;
	__builtin_memcpy(key.random, hello.random, sizeof(key.random));
	/*
	 * A proxy on this host that passes the handshake on receives and sends the same hello. Of those that send it the
	 * client is the first, of those that receive it the server is the last.
	 */
	bpf_map_update_elem(&client_hellos, &key, &connection, received ? BPF_ANY : BPF_NOEXIST);
	return LET_THROUGH;
}

SEC("?cgroup_skb/egress")
int hello_sent(struct __sk_buff *skb)
{
	return note_hello(skb, false);
}

SEC("?cgroup_skb/ingress")
int hello_received(struct __sk_buff *skb)
{
	return note_hello(skb, true);
}

#endif
