/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the connections of memory BIOs whose handshake was not seen, by what their records look like: the bytes that an
 * SSL_write gives to BIO_write are those that a socket sends later. BIO_write has a probe only in processes with such a
 * connection, and the sockets of the host are watched only meanwhile. Format of a record: RFC 8446, section 5.1.
 */
#ifndef PLAINWIRE_WRITTEN_RECORDS_BPF_H
#define PLAINWIRE_WRITTEN_RECORDS_BPF_H

#include "client_hellos.bpf.h"
#include "hello_connection.bpf.h"

#define RECORD_HEADER_SIZE 5
#define RECORD_START_SIZE 22 /* the least record of TLS 1.3: 17 bytes of ciphertext */
#define CONTENT_TYPE_FIRST 20
#define CONTENT_TYPE_APPLICATION_DATA 23
#define MAX_RECORDS_A_PACKET 16
/* An SSL structure whose records do not come by in so many calls and so long is given up. */
#define MAX_CALLS_SOUGHT 64
#define MAX_SEEK_NS 60000000000ULL

struct record_start_t {
	__u8 content_type;
	__u8 version[2];
	__u8 length[2];
	__u8 ciphertext[RECORD_START_SIZE - RECORD_HEADER_SIZE];
};

/* Who wrote a record. */
struct record_writer_t {
	__u64 ssl;
	__u64 seek; /* as in ssl_state_t: the address may be a new SSL structure's by now */
	__u32 pid;
	__u32 reserved;
};

/* A process with SSL structures whose connection is sought. Userspace takes the entry away when it takes the probe away. */
struct record_seeker_t {
	__u64 last_ns; /* when one was last in a call (CLOCK_MONOTONIC) */
	__s64 sought;  /* how many there are */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct record_start_t);
	__type(value, struct record_writer_t);
	__uint(max_entries, 4096);
} written_records SEC(".maps")
	PURPOSE("records of SSL structures whose connection is sought, until a socket sends them");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct record_writer_t);
	__type(value, struct connection_t);
	__uint(max_entries, 4096);
} record_sockets SEC(".maps") PURPOSE("the sockets that sent such records");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32); /* pid */
	__type(value, struct record_seeker_t);
	__uint(max_entries, 1024);
} record_seekers SEC(".maps") PURPOSE("processes in which BIO_write needs a probe");

static __always_inline void count_seek(__u32 pid, bool is_new)
{
	struct record_seeker_t *seeker = bpf_map_lookup_elem(&record_seekers, &pid);
	struct record_seeker_t first = {.last_ns = bpf_ktime_get_ns(), .sought = 1};

	if (!seeker) {
		bpf_map_update_elem(&record_seekers, &pid, &first, BPF_NOEXIST);
		return;
	}
	seeker->last_ns = first.last_ns;
	if (is_new)
		__sync_fetch_and_add(&seeker->sought, 1);
}

/* It is found, given up or freed. */
static __always_inline void end_seek(__u32 pid)
{
	struct record_seeker_t *seeker = bpf_map_lookup_elem(&record_seekers, &pid);

	if (seeker)
		__sync_fetch_and_add(&seeker->sought, -1);
}

/* Learn the connection of an SSL structure whose handshake was not seen. Not inlined, so that it is verified once. */
__attribute__((noinline)) int learn_by_record(struct ssl_state_t *state, __u64 ssl)
{
	struct record_writer_t writer = {.ssl = ssl, .pid = bpf_get_current_pid_tgid() >> 32};
	struct connection_t *seen;
	struct scratch scratch;

	if (!state)
		return 0;
	if (!state->seek) {
		state->seek = bpf_ktime_get_ns();
		count_seek(writer.pid, true);
		return 0;
	}
	writer.seek = state->seek;
	seen = bpf_map_lookup_elem(&record_sockets, &writer);
	if (seen) {
		if (!claim_scratch(&scratch))
			return 0;
		if (take_held_socket((struct hello_search_t *)scratch.event->data, state, seen))
			end_seek(writer.pid);
		release_scratch(&scratch);
		bpf_map_delete_elem(&record_sockets, &writer);
	} else if (state->calls_sought < MAX_CALLS_SOUGHT || bpf_ktime_get_ns() - state->seek < MAX_SEEK_NS) {
		if (state->calls_sought < MAX_CALLS_SOUGHT)
			state->calls_sought++;
		count_seek(writer.pid, false);
	} else if (state->calls_sought == MAX_CALLS_SOUGHT) {
		state->calls_sought++;
		end_seek(writer.pid);
	}
	return 0;
}

/* int BIO_write(BIO *b, const void *data, int dlen) */
SEC("uprobe")
int BPF_KPROBE(probe_BIO_write, __u64 bio, __u64 data, __u64 length)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct active_ssl_buf *call = bpf_map_lookup_elem(&active_ssl_write_args_map, &pid_tgid);
	struct ssl_key_t key = {.pid = pid_tgid >> 32};
	struct record_start_t record;
	struct record_writer_t writer;
	struct ssl_state_t *state;

	if (!call || (__s32)length < RECORD_START_SIZE)
		return 0;
	key.ssl = call->ssl;
	state = bpf_map_lookup_elem(&ssl_states, &key);
	if (!state || !state->seek || is_known(state->connection.way))
		return 0;
	if (bpf_probe_read_user(&record, sizeof(record), (void *)data) ||
	    record.content_type != CONTENT_TYPE_APPLICATION_DATA || record.version[0] != 3)
		return 0;
	writer = (struct record_writer_t){.ssl = key.ssl, .pid = key.pid, .seek = state->seek};
	bpf_map_update_elem(&written_records, &record, &writer, BPF_ANY);
	return 0;
}

static __always_inline void note_record(struct __sk_buff *skb, struct record_start_t *record)
{
	struct record_writer_t *found = bpf_map_lookup_elem(&written_records, record);
	struct connection_t connection = {.way = CONNECTION_BY_CIPHERTEXT};
	struct record_writer_t writer;
	struct tcp_sock *sock;

	if (!found)
		return;
	writer = *found;
	/* The first to send it is its writer; a proxy on this host may pass it on. */
	bpf_map_delete_elem(&written_records, record);
	sock = skb->sk ? bpf_skc_to_tcp_sock(skb->sk) : NULL;
	if (sock && read_socket((struct sock *)sock, &connection))
		bpf_map_update_elem(&record_sockets, &writer, &connection, BPF_ANY);
}

/* Senders join records: each that begins in the packet is looked at, if the packet begins with one. */
SEC("?cgroup_skb/egress")
int record_sent(struct __sk_buff *skb)
{
	__u32 at = tcp_payload(skb);
	struct record_start_t record;

	if (!at)
		return LET_THROUGH;
	for (int i = 0; i < MAX_RECORDS_A_PACKET; i++) {
		if (bpf_skb_load_bytes(skb, at, &record, sizeof(record)) || record.version[0] != 3 ||
		    record.content_type < CONTENT_TYPE_FIRST || record.content_type > CONTENT_TYPE_APPLICATION_DATA)
			break;
		if (record.content_type == CONTENT_TYPE_APPLICATION_DATA)
			note_record(skb, &record);
		at += RECORD_HEADER_SIZE + (record.length[0] << 8 | record.length[1]);
	}
	return LET_THROUGH;
}

#endif
