/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets and their two ends. */
#ifndef PLAINWIRE_ABI_CONNECTIONS_H
#define PLAINWIRE_ABI_CONNECTIONS_H

#include "events.h"

/* How it was found out which connection bytes belong to. */
enum connection_way {
	CONNECTION_UNKNOWN = 0,
	CONNECTION_BY_SET_FD = 1,	 /* SSL_set_fd and its relatives named the descriptor */
	CONNECTION_BY_BIO = 2,		 /* the descriptor in the SSL structure's BIO */
	CONNECTION_BY_THREAD = 3,	 /* the one socket that the thread used inside the call */
	CONNECTION_AMBIGUOUS = 4,	 /* the thread used several sockets inside the call: unknown */
	CONNECTION_BY_NET_CONN = 5,	 /* the descriptor in the net.Conn of Go's tls.Conn */
	CONNECTION_BY_CLIENT_RANDOM = 6, /* its ClientHello had the client random of the SSL structure */
	CONNECTION_BY_CIPHERTEXT = 10,	 /* it sent a record that the SSL structure had written */
	/* Unknown: no socket used inside a call, and the client random did not tell either, since … */
	CONNECTION_LAYOUT_UNKNOWN = 7, /* where this build keeps it is not known, or not yet */
	CONNECTION_HELLO_UNSEEN = 8,   /* no socket of this host sent or received it while it was looked for */
	CONNECTION_NOT_HELD = 9,       /* the socket is not among the process's descriptors */
};

#define FAMILY_PIPE 0xffff /* no family of sockets: a pipe, known by its inode alone */

/* A socket and its two ends, or a pipe. */
struct connection_t {
	__u64 sock;	     /* address of the kernel's struct sock: an identity while it is open */
	__u8 saddr[16];	     /* the local address, in network order; of IPv4 the first four bytes */
	__u8 daddr[16];	     /* the remote address */
	__u16 sport;	     /* local port */
	__u16 dport;	     /* remote port */
	__u16 family;	     /* AF_INET, AF_INET6, AF_UNIX or FAMILY_PIPE */
	__u16 way;	     /* enum connection_way */
	__u32 net_namespace; /* inode number of the network namespace, as /proc/PID/ns/net has it */
	__u32 inode;	     /* of the socket, as /proc/PID/fd has it: tells sockets apart that had one address */
};

/* A socket on its way from connect() or accept() to a connection, in one thread. */
struct tcp_fd_info {
	__u64 sock; /* 0: not known yet, or told already */
	__u64 fd;
	__u8 daddr[16]; /* where connect() is to lead, as in connection_t */
	__u16 dport;
	__u16 family;
	__u32 reserved;
};

enum connect_direction {
	DIRECTION_UNKNOWN = 0, /* the connection is older than the capture */
	DIRECTION_CONNECT = 1,
	DIRECTION_ACCEPT = 2,
};

/* A TCP connection from its opening to its end: value of the map open_connections. */
struct open_connection_t {
	struct connection_t connection;
	__u64 opened_ns;    /* CLOCK_MONOTONIC; 0: not open yet, or older than the capture */
	__u64 tls_bytes[2]; /* plaintext that TLS calls moved, by enum ssl_data_event_type */
	__u32 pid;	    /* the process that uses it; 0: not known yet */
	__u32 tid;
	__u32 uid;
	__s32 fd;	 /* -1 where not known */
	__u32 direction; /* enum connect_direction */
	__u32 wanted;	 /* 1: the filters for processes let it through */
	__u32 told;	 /* 1: userspace knows of it, and is to know of its end */
	__u32 reserved;
	char comm[TASK_COMM_LEN];
	char thread_comm[TASK_COMM_LEN];
};

/* A connection was opened or has ended, or could not be opened. */
struct connect_event_t {
	__u32 kind;	    /* EVENT_CONNECT */
	__u32 direction;    /* enum connect_direction */
	__u64 timestamp_ns; /* CLOCK_MONOTONIC: now */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__s32 fd;
	__u64 opened_ns; /* as in open_connection_t */
	unsigned __int128 saddr;
	unsigned __int128 daddr;
	__u64 sock;
	__u16 sport;
	__u16 dport;
	__u16 family;
	__u8 is_destroy;
	__u8 failed;
	__u32 error; /* errno of a failed one; 0 where not known */
	__u32 net_namespace;
	__u32 inode;
	/* at its end: plaintext of TLS calls, and what TCP moved, each byte once */
	__u64 tls_read;
	__u64 tls_written;
	__u64 tcp_received;
	__u64 tcp_sent;
	char comm[TASK_COMM_LEN];
	char thread_comm[TASK_COMM_LEN];
} __attribute__((packed));

#endif
