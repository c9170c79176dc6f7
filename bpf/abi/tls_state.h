/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two ends of a connection have agreed on. */
#ifndef PLAINWIRE_ABI_TLS_STATE_H
#define PLAINWIRE_ABI_TLS_STATE_H

#include "events.h"

/* Sent once for each SSL structure, before the data of the call at which it was read. */
struct tls_state_event_t {
	__u32 kind;	    /* EVENT_TLS_STATE */
	__u32 library;	    /* as in ssl_data_event_t */
	__u64 timestamp_ns; /* CLOCK_MONOTONIC */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u16 version;	 /* as on the wire */
	__u16 cipher_id; /* as on the wire; 0 where not known */
	__u64 ssl;	 /* as in ssl_data_event_t */
	char comm[TASK_COMM_LEN];
};

#endif
