/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The secrets of connections, and how a library hands them to its log function. */
#ifndef PLAINWIRE_ABI_SECRETS_H
#define PLAINWIRE_ABI_SECRETS_H

#include "events.h"

#define RANDOM_SIZE 32	   /* RFC 8446, section 4.1.2 */
#define MAX_SECRET_SIZE 64 /* EVP_MAX_MD_SIZE of <openssl/evp.h> */
#define MAX_LABEL_SIZE 40  /* the longest label of a key log has 31 bytes; then NUL */

/* What a library's own function for the lines of a key log was called with. */
struct keylog_event_t {
	__u32 kind;    /* EVENT_KEYLOG_LINE */
	__u32 library; /* as in ssl_data_event_t */
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 random_len; /* RANDOM_SIZE; less where a line names its connection in another way (OpenSSL's "RSA": 8) */
	__u32 secret_len;
	__u32 reserved;
	char comm[TASK_COMM_LEN];
	char label[MAX_LABEL_SIZE]; /* ended by NUL */
	__u8 client_random[RANDOM_SIZE];
	__u8 secret[MAX_SECRET_SIZE];
};

#define NO_ARGUMENT 0xff
#define MAX_ARGUMENTS 6 /* that are passed in registers on each machine */
#define MAX_RANDOM_STEPS 4

/* A library's log function: which of its arguments, counted from 0, holds what. Value of the map keylog_functions. */
struct keylog_function_t {
	__u8 label;
	__u8 secret;
	__u8 secret_len;
	__u8 random_len; /* NO_ARGUMENT: always RANDOM_SIZE */
	__u8 random;	 /* the client random is reached from here: */
	__u8 random_steps;
	__u8 reserved[2];
	/* add the first offset, and for each further one load a pointer there and add it */
	__u32 random_offsets[MAX_RANDOM_STEPS];
};

#define MASTER_SECRET_SIZE 48 /* RFC 5246, section 8.1 */

/* The secrets of a connection whose handshake is complete, as they stand in the SSL structure. */
struct mastersecret_t {
	__u32 kind;    /* EVENT_MASTER_SECRET */
	__u32 library; /* as in ssl_data_event_t */
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u16 version;	 /* as on the wire */
	__u16 cipher_id; /* as on the wire; 0 where not known */
	__u64 ssl;
	char comm[TASK_COMM_LEN];
	__u8 client_random[RANDOM_SIZE];
	__u8 master_key[MASTER_SECRET_SIZE]; /* up to TLS 1.2 */
	__u8 early_secret[MAX_SECRET_SIZE];
	__u8 handshake_secret[MAX_SECRET_SIZE];
	__u8 handshake_traffic_hash[MAX_SECRET_SIZE]; /* of the messages up to ServerHello */
	__u8 server_finished_hash[MAX_SECRET_SIZE];   /* of the messages up to the server's Finished */
	__u8 server_finished_key[MAX_SECRET_SIZE];    /* RFC 8446, section 4.4 */
	__u8 client_app_traffic_secret[MAX_SECRET_SIZE];
	__u8 server_app_traffic_secret[MAX_SECRET_SIZE];
	__u8 exporter_master_secret[MAX_SECRET_SIZE];
};

#endif
