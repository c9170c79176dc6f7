/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of calls. */
#ifndef PLAINWIRE_ABI_SSL_DATA_H
#define PLAINWIRE_ABI_SSL_DATA_H

#include "connections.h"

/* The most payload that one event carries: the most that one TLS record carries (RFC 8446, section 5.1). */
#define MAX_DATA_SIZE_OPENSSL 16384
/* A call of more bytes than this is sent up to here and marked as truncated. */
#define MAX_CALL_SIZE (16 * 1024 * 1024)

enum ssl_data_event_type {
	kSSLRead = 0,
	kSSLWrite = 1,
};

enum ssl_data_flag {
	SSL_DATA_TRUNCATED = 1, /* the call had more bytes than MAX_CALL_SIZE */
	SSL_DATA_LENGTH_ONLY =
		2,		 /* the bytes are not sent: SSL_sendfile, whose never were in memory, or lengths_only */
	SSL_DATA_UNREADABLE = 4, /* the bytes could not be read: data_len is 0, call_length tells how many there were */
	SSL_DATA_EARLY = 8,	 /* TLS 1.3 early data (0-RTT) */
};

/* Up to MAX_DATA_SIZE_OPENSSL bytes of one call of SSL_read, SSL_write or a relative. */
struct ssl_data_event_t {
	__u32 kind;	    /* EVENT_SSL_DATA */
	__u32 type;	    /* enum ssl_data_event_type */
	__u64 timestamp_ns; /* CLOCK_MONOTONIC when the call returned; the same in each event of a call */
	__u32 pid;	    /* the process, as the host numbers it (tgid) */
	__u32 tid;
	__u32 uid;
	__u32 library;	   /* the attach cookie: which attached file the probe stands in */
	__u64 ssl;	   /* address of the SSL structure; identifies a connection only together with pid */
	__u64 sequence;	   /* events of this pid, ssl and type before this one, lost ones included */
	__u64 call_length; /* bytes that the whole call moved */
	__u32 offset;	   /* of this event's bytes in the call */
	__u32 flags;	   /* enum ssl_data_flag */
	__s32 fd;	   /* -1 where not known */
	__u32 version;	   /* TLS version as on the wire (0x0303); 0 where not known */
	__u32 bio_type;	   /* BIO_TYPE_* of <openssl/bio.h>; 0 where not known */
	__u32 data_len;
	struct connection_t connection;
	char comm[TASK_COMM_LEN];	 /* the process's name: its first thread's */
	char thread_comm[TASK_COMM_LEN]; /* the calling thread's name */
	__u8 data[MAX_DATA_SIZE_OPENSSL];
};

#endif
