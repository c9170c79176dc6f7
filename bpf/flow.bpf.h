/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which flow a packet belongs to: IPv4 and IPv6, TCP, UDP and ICMP (RFC 791, 8200, 9293, 768, 792, 4443). */
#ifndef PLAINWIRE_FLOW_BPF_H
#define PLAINWIRE_FLOW_BPF_H

#define ETHERNET_HEADER_SIZE 14
#define ETHERNET_TYPE_OFFSET 12
#define VLAN_TAG_SIZE 4
#define MAX_VLAN_TAGS 2
#define MAX_EXTENSION_HEADERS 8
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_HEADER_SIZE 8
#define ICMPV6_FIRST_INFORMATIONAL 128
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129
#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_AUTHENTICATION 51
#define IPV6_DESTINATION 60

struct ipv4_header {
	__u8 version_and_length;
	__u8 service;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 time_to_live;
	__u8 protocol;
	__sum16 checksum;
	__be32 source;
	__be32 destination;
};

struct ipv6_header {
	__be32 version_class_flow;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__be32 source[4];
	__be32 destination[4];
};

/* Bytes of a flow's packet, from the header after IP's on. */
struct transport_header {
	union {
		struct {
			__be16 source_port;
			__be16 destination_port;
		};
		struct {
			__u8 icmp_type;
			__u8 icmp_code;
			__be16 checksum;
			__be16 icmp_id;
		};
	};
};

/* What of an IP packet comes after its headers: where, and whose. Negative: nothing that has ports. */
struct transport {
	int offset;
	__u32 protocol;
};

static __always_inline int ip_offset(struct __sk_buff *skb, bool has_ethernet_header)
{
	int offset = ETHERNET_HEADER_SIZE;
	__be16 type;

	if (!has_ethernet_header)
		return 0;
	for (int i = 0; i <= MAX_VLAN_TAGS; i++) {
		if (bpf_skb_load_bytes(skb, offset - 2, &type, sizeof(type)))
			return -1;
		if (type == bpf_htons(ETHERTYPE_IPV4) || type == bpf_htons(ETHERTYPE_IPV6))
			return offset;
		if (type != bpf_htons(ETHERTYPE_VLAN) && type != bpf_htons(ETHERTYPE_QINQ))
			return -1;
		offset += VLAN_TAG_SIZE;
	}
	return -1;
}

static __always_inline int read_ipv4(struct __sk_buff *skb, int offset, bool outgoing, struct net_id_t *id,
				     struct transport *transport)
{
	struct ipv4_header header;

	if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)))
		return -1;
	id->src_ip4 = outgoing ? header.source : header.destination;
	id->dst_ip4 = outgoing ? header.destination : header.source;
	transport->protocol = header.protocol;
	transport->offset = offset + (header.version_and_length & 0x0f) * 4;
	/* Only the first fragment has the ports. */
	return header.fragment & bpf_htons(IPV4_FRAGMENT_OFFSET) ? -1 : 0;
}

/*
 * The header behind IPv6's extension headers: where it is, shifted left by 8, and its protocol. Negative: there is none.
 * Not static: the verifier then looks at its loop once, for any offset, instead of once for each way to it.
 */
__noinline int skip_extension_headers(struct __sk_buff *skb, __u32 offset, __u32 next)
{
	__u8 extension[8];

	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		bool fragment = next == IPV6_FRAGMENT;

		if (next != IPV6_HOP_BY_HOP && next != IPV6_ROUTING && next != IPV6_DESTINATION &&
		    next != IPV6_AUTHENTICATION && !fragment)
			break;
		if (bpf_skb_load_bytes(skb, offset, extension, sizeof(extension)))
			return -1;
		if (fragment && (extension[2] || extension[3] & 0xf8))
			return -1;
		if (fragment)
			offset += 8;
		else if (next == IPV6_AUTHENTICATION)
			offset += (extension[1] + 2) * 4;
		else
			offset += (extension[1] + 1) * 8;
		next = extension[0];
	}
	return offset << 8 | (next & 0xff);
}

static __always_inline int read_ipv6(struct __sk_buff *skb, int offset, bool outgoing, struct net_id_t *id,
				     struct transport *transport)
{
	struct ipv6_header header;
	int found;

	if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)))
		return -1;
	__builtin_memcpy(id->src_ip6, outgoing ? header.source : header.destination, sizeof(id->src_ip6));
	__builtin_memcpy(id->dst_ip6, outgoing ? header.destination : header.source, sizeof(id->dst_ip6));
	found = skip_extension_headers(skb, offset + sizeof(header), header.next_header);
	if (found < 0)
		return -1;
	transport->protocol = found & 0xff;
	transport->offset = found >> 8;
	return 0;
}

static __always_inline int read_ip(struct __sk_buff *skb, int offset, bool outgoing, struct net_id_t *id,
				   struct transport *transport)
{
	__u8 version;

	if (offset < 0 || bpf_skb_load_bytes(skb, offset, &version, sizeof(version)))
		return -1;
	if (version >> 4 == 4)
		return read_ipv4(skb, offset, outgoing, id, transport);
	if (version >> 4 == 6)
		return read_ipv6(skb, offset, outgoing, id, transport);
	return -1;
}

static __always_inline bool is_icmp_error(__u32 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type < ICMPV6_FIRST_INFORMATIONAL;
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

static __always_inline bool is_icmp(__u32 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

static __always_inline int read_ports(struct __sk_buff *skb, bool outgoing, struct net_id_t *id,
				      struct transport *transport, struct transport_header *header)
{
	int size = is_icmp(transport->protocol) ? 6 : 4;

	id->protocol = transport->protocol;
	if (transport->protocol != IPPROTO_TCP && transport->protocol != IPPROTO_UDP && size == 4)
		return -1;
	/* Two calls, since the size must be a constant for older kernels. */
	if (size == 6 ? bpf_skb_load_bytes(skb, transport->offset, header, 6)
		      : bpf_skb_load_bytes(skb, transport->offset, header, 4))
		return -1;
	if (size == 6) {
		id->src_port = id->dst_port = bpf_ntohs(header->icmp_id);
		return 0;
	}
	id->src_port = bpf_ntohs(outgoing ? header->source_port : header->destination_port);
	id->dst_port = bpf_ntohs(outgoing ? header->destination_port : header->source_port);
	return 0;
}

/*
 * The flow of a packet as the process on this host sees it. An ICMP error belongs to the flow of the packet that it
 * quotes. Negative: it has no ports or is none of these protocols.
 */
static __noinline int read_flow(struct __sk_buff *skb, bool has_ethernet_header, bool outgoing, struct net_id_t *id)
{
	struct transport_header header = {};
	struct transport transport = {};

	if (!id || read_ip(skb, ip_offset(skb, has_ethernet_header), outgoing, id, &transport) ||
	    read_ports(skb, outgoing, id, &transport, &header))
		return -1;
	if (!is_icmp(transport.protocol) || !is_icmp_error(transport.protocol, header.icmp_type))
		return 0;
	__builtin_memset(id, 0, sizeof(*id));
	if (read_ip(skb, transport.offset + ICMP_HEADER_SIZE, !outgoing, id, &transport))
		return -1;
	return read_ports(skb, !outgoing, id, &transport, &header);
}

#endif
