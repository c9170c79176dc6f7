/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets and their two ends. */
#ifndef PLAINWIRE_ABI_CONNECTIONS_H
#define PLAINWIRE_ABI_CONNECTIONS_H

#include "events.h"

/* How it was found out which connection bytes belong to. */
enum connection_way {
	CONNECTION_UNKNOWN = 0,
	CONNECTION_BY_SET_FD = 1,   /* SSL_set_fd and its relatives named the descriptor */
	CONNECTION_BY_BIO = 2,	    /* the descriptor in the SSL structure's BIO */
	CONNECTION_BY_THREAD = 3,   /* the one socket that the thread used inside the call */
	CONNECTION_AMBIGUOUS = 4,   /* the thread used several sockets inside the call: unknown */
	CONNECTION_BY_NET_CONN = 5, /* the descriptor in the net.Conn of Go's tls.Conn */
};

/* A socket and its two ends. */
struct connection_t {
	__u64 sock;	     /* address of the kernel's struct sock: an identity while it is open */
	__u8 saddr[16];	     /* the local address, in network order; of IPv4 the first four bytes */
	__u8 daddr[16];	     /* the remote address */
	__u16 sport;	     /* local port */
	__u16 dport;	     /* remote port */
	__u16 family;	     /* AF_INET, AF_INET6 or AF_UNIX */
	__u16 way;	     /* enum connection_way */
	__u32 net_namespace; /* inode number of the network namespace, as /proc/PID/ns/net has it */
	__u32 inode;	     /* of the socket, as /proc/PID/fd has it: tells sockets apart that had one address */
};

/* A socket on its way from connect() or accept() to a connection. */
struct tcp_fd_info {
	__u64 sock;
	__u64 fd;
};

/* One end of a connection, opened or destroyed. */
struct connect_event_t {
	__u32 kind; /* EVENT_CONNECT */
	__u32 reserved;
	__u64 timestamp_ns;
	unsigned __int128 saddr;
	unsigned __int128 daddr;
	__u64 sock;
	__u32 pid;
	__u32 tid;
	__s32 fd;
	__u16 sport;
	__u16 dport;
	__u16 family;
	__u8 is_destroy;
	char comm[TASK_COMM_LEN];
} __attribute__((packed));

#endif
