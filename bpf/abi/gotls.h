/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Go's crypto/tls. */
#ifndef PLAINWIRE_ABI_GOTLS_H
#define PLAINWIRE_ABI_GOTLS_H

#include "ssl_data.h"

enum gotls_event_type {
	GOTLS_EVENT_TYPE_WRITE = 0,
	GOTLS_EVENT_TYPE_READ = 1,
};

/*
 * Up to MAX_DATA_SIZE_OPENSSL bytes of one call of Go's crypto/tls: ssl_data_event_t under the names of the reference's
 * Go module, field by field (bpf/gotls.bpf.c asserts it), so that userspace reads both in the same way. Only the two
 * directions have each other's numbers.
 */
struct go_tls_event {
	__u32 kind;	  /* EVENT_GO_TLS_DATA */
	__u32 event_type; /* enum gotls_event_type */
	__u64 ts_ns;	  /* CLOCK_MONOTONIC: when a read returned, or when a write began to be sent */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 library;
	__u64 conn; /* address of the tls.Conn */
	__u64 sequence;
	__u64 call_length;
	__u32 offset;
	__u32 flags;
	__s32 fd;
	__u32 version;
	__u32 bio_type; /* always 0 */
	__u32 data_len;
	struct connection_t connection;
	char comm[TASK_COMM_LEN];
	char thread_comm[TASK_COMM_LEN];
	__u8 data[MAX_DATA_SIZE_OPENSSL];
};

#define GO_LABEL_SIZE 32  /* MASTER_SECRET_KEY_LEN of the reference: the longest label of a key log has 31 bytes */
#define GO_SECRET_SIZE 64 /* EVP_MAX_MD_SIZE of the reference */

/* What Go's (*Config).writeKeyLog was called with: one line of a key log. */
struct mastersecret_gotls_t {
	__u32 kind; /* EVENT_GO_SECRET */
	__u32 library;
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 labellen;
	__u32 client_random_len;
	__u32 secret_len;
	char comm[TASK_COMM_LEN];
	char label[GO_LABEL_SIZE];
	__u8 client_random[GO_SECRET_SIZE];
	__u8 secret_[GO_SECRET_SIZE];
};

#define MAX_GO_SOCKET_ITABS 4
#define GO_KEY_LABELS 5 /* those of go_key_labels in bpf/gotls.bpf.c */
#define NO_OFFSET 0xffffffff

/* What differs between Go programs: value of the map go_layouts. Addresses are as linked. */
struct go_layout_t {
	__u64 text_base; /* the address of an instruction less its offset in the file */
	/* The first word of a net.Conn that holds a TCP or Unix socket is one of these; the rest are 0. */
	__u64 socket_itabs[MAX_GO_SOCKET_ITABS];
	__u64 key_labels[GO_KEY_LABELS]; /* where the program has the labels of key logs; 0 where not known */
	__u32 version_offset;		 /* of `vers` in tls.Conn; NO_OFFSET where not known */
	__u32 parked_reads;		 /* 1: the arguments of a read stand in the caller's frame until it returns */
};

/* Which call of Go's (*Conn).Read. */
struct go_read_key_t {
	__u64 goroutine; /* address of its runtime.g */
	__u64 depth;	 /* bytes of its stack in use at entry: the frame's place, also when the stack is moved */
	__u32 pid;
	__u32 reserved;
};

/* Its arguments. */
struct go_read_t {
	__u64 conn;
	__u64 buf; /* the buffer's address, or how far below the stack's upper end it is */
	__u32 on_stack;
	__u32 reserved;
};

/* Where on a stack the return address of a call stands. */
struct go_call_key_t {
	__u64 goroutine; /* address of its runtime.g; 0 where not known */
	__u64 slot;	 /* bytes below the upper end of its stack; the address, where the goroutine is not known */
	__u32 pid;
	__u32 reserved;
};

/* A call on a tls.Conn whose net.Conn is no socket. */
struct go_call_t {
	__u64 conn;
	__u64 return_address;
	__u64 sock; /* address of the struct sock that was used inside it; 0: none yet */
};

#endif
