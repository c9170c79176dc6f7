/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept of calls and of SSL structures between two probes. */
#ifndef PLAINWIRE_ABI_SSL_CALLS_H
#define PLAINWIRE_ABI_SSL_CALLS_H

#include "connections.h"

/* The arguments of a call that has begun and not returned. */
struct active_ssl_buf {
	__u64 ssl;
	__u64 buf;
	__u64 num;	     /* size of buf in bytes */
	__u64 length_ptr;    /* where the function stores how many bytes it moved (the _ex forms); 0: it returns them */
	__u64 stack_pointer; /* at entry: tells the frames of nested calls apart */
	__s32 fd;
	__u32 version;
	__u32 bio_type;
	__u32 library;
	__u32 flags;			/* enum ssl_data_flag, known at entry */
	__u16 same_as_outer;		/* a call inside another one, for the same bytes */
	__u16 sent_by_inner;		/* such a call has sent the bytes */
	struct connection_t connection; /* the socket that the thread has used inside the call */
};

/* A call inside another one of the same direction on the same thread (TLS in TLS). */
struct nested_call_t {
	__u64 pid_tgid;
	__u64 stack_pointer;
};

/* Which connection an event belongs to. */
struct ssl_key_t {
	__u64 ssl;
	__u32 pid;
	__u32 reserved;
};

/* What is remembered of an SSL structure between calls. */
struct ssl_state_t {
	__u64 sequence[2]; /* by enum ssl_data_event_type */
	struct connection_t connection;
	__u64 uncounted[2]; /* bytes of calls whose connection was not known yet, by enum ssl_data_event_type */
	__u32 version;	    /* TLS version; 0 where not known */
	__u32 bio_type;	    /* BIO_TYPE_* of <openssl/bio.h>; 0 where not known */
	__s32 fd;	    /* valid if the connection was found by BIO, client random or record */
	__u16 hello_sought; /* 1: the socket of its ClientHello was looked for; it will not be seen later */
	__u16 calls_sought; /* calls since, in which it was not known either */
	__u32 reserved;
	__u64 seek; /* when its records began to be sought; tells it from another structure at its address; 0: not sought */
};

#endif
