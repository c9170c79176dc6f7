/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys of the OpenSSL family, in two ways.
 *
 * The library's own function for the lines of a key log, which has no exported name, is
 * called for each secret, whether or not the program wants a key log; userspace has found it, and what its arguments
 * mean (src/plainwire/layouts/keylog_function.py). A connection's data costs nothing then.
 *
 * And the SSL structure, when data goes through a connection that is not known yet: for connections whose handshake was
 * missed, and for libraries without such a function. Userspace has learned where it keeps what (src/plainwire/layouts/).
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "bounds.bpf.h"
#include "btf.bpf.h"
#include "filter.bpf.h"
#include "emit.bpf.h"
#include "layout.bpf.h"

char LICENSE[] SEC("license") = "GPL";

KEEP_IN_BTF(struct, keylog_event_t);
KEEP_IN_BTF(struct, mastersecret_t);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} mastersecret_events SEC(".maps") PURPOSE("secrets of connections to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* the library: the attach cookie */
	__type(value, struct keylog_function_t);
	__uint(max_entries, 1024);
} keylog_functions SEC(".maps") PURPOSE("how each library's key log function takes its arguments");

/* Connections whose secrets were sent, by the start of their client random: renewed, it is another connection. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct ssl_key_t);
	__type(value, __u64);
	__uint(max_entries, 65536);
} sent_secrets SEC(".maps") PURPOSE("connections whose secrets were sent");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* pid */
	__type(value, __u8);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} excluded_pids SEC(".maps") PURPOSE("plainwire's own helpers, whose handshakes are trials");

static __always_inline bool is_excluded(__u32 pid)
{
	return bpf_map_lookup_elem(&excluded_pids, &pid) != NULL;
}

#if defined(__TARGET_ARCH_x86)
#define SIXTH_ARGUMENT(ctx) ((ctx)->r9)
#else
#define SIXTH_ARGUMENT(ctx) (((const struct user_pt_regs *)(ctx))->regs[5])
#endif

/* Where the client random is, or 0. */
static __always_inline __u64 find_random(const struct keylog_function_t *function, __u64 address)
{
	for (int step = 0; step < MAX_RANDOM_STEPS && step < function->random_steps; step++) {
		if (step && bpf_probe_read_user(&address, sizeof(address), (void *)address))
			return 0;
		address += function->random_offsets[step];
	}
	return address;
}

/* int ssl_log_secret(ssl, label, secret, secret_len), or what it hands its arguments on to */
SEC("uprobe")
int probe_keylog_function(struct pt_regs *ctx)
{
	__u64 arguments[8] = {PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			      PT_REGS_PARM4(ctx), PT_REGS_PARM5(ctx), SIXTH_ARGUMENT(ctx)};
	__u64 pid_tgid = bpf_get_current_pid_tgid(), random_len = RANDOM_SIZE, secret_len;
	__u32 library = (__u32)bpf_get_attach_cookie(ctx);
	struct keylog_event_t event = {};
	struct keylog_function_t *function;

	if (!is_target(pid_tgid >> 32, (__u32)bpf_get_current_uid_gid()))
		return 0;
	function = bpf_map_lookup_elem(&keylog_functions, &library);
	if (!function || is_excluded(pid_tgid >> 32))
		return 0;
	secret_len = arguments[function->secret_len & 7];
	if (function->random_len != NO_ARGUMENT)
		random_len = arguments[function->random_len & 7];
	if (!secret_len || secret_len > MAX_SECRET_SIZE || !random_len || random_len > RANDOM_SIZE)
		return 0;
	event.kind = EVENT_KEYLOG_LINE;
	event.library = library;
	event.timestamp_ns = bpf_ktime_get_ns();
	event.pid = pid_tgid >> 32;
	event.tid = (__u32)pid_tgid;
	event.uid = (__u32)bpf_get_current_uid_gid();
	event.random_len = random_len;
	event.secret_len = secret_len;
	read_process_comm(event.comm);
	if (bpf_probe_read_user_str(event.label, sizeof(event.label), (void *)arguments[function->label & 7]) <= 1 ||
	    bpf_probe_read_user(event.secret, at_most(secret_len, MAX_SECRET_SIZE),
				(void *)arguments[function->secret & 7]) ||
	    bpf_probe_read_user(event.client_random, at_most(random_len, RANDOM_SIZE),
				(void *)find_random(function, arguments[function->random & 7]))) {
		count_loss(LOSS_UNREADABLE, 1);
		return 0;
	}
	if (emit(ctx, &mastersecret_events, &event, sizeof(event)))
		count_loss(LOSS_BUFFER_FULL, 1);
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct mastersecret_t);
	__uint(max_entries, 2048);
} bpf_context SEC(".maps") PURPOSE("a connection's secrets while a thread reads them");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct mastersecret_t);
	__uint(max_entries, 1);
} bpf_context_gen SEC(".maps") PURPOSE("the empty event that bpf_context's entries begin as");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* the library: the attach cookie */
	__type(value, struct handshake_layout_t);
	__uint(max_entries, 1024);
} handshake_layouts SEC(".maps") PURPOSE("where each library keeps what secrets need besides library_layouts");

/* Too large for the stack: a copy of the empty one, which is this thread's own though it may be preempted. */
static __always_inline struct mastersecret_t *make_event(__u64 pid_tgid)
{
	__u32 first = 0;
	struct mastersecret_t *empty = bpf_map_lookup_elem(&bpf_context_gen, &first);

	if (!empty || bpf_map_update_elem(&bpf_context, &pid_tgid, empty, BPF_ANY))
		return NULL;
	return bpf_map_lookup_elem(&bpf_context, &pid_tgid);
}

#define READ(event, field, path) read_by_layout((event)->field, sizeof((event)->field), (event)->ssl, path)

#define TLS1_3_VERSION 0x0304

static __always_inline bool is_zero(const __u8 *secret)
{
	return *(const __u64 *)secret == 0;
}

/* False where the connection has no secrets yet, or they can't be read. */
static __always_inline bool read_secrets(struct mastersecret_t *event, const struct library_layout_t *layout,
					 const struct handshake_layout_t *handshake)
{
	__u32 in_init = 1;
	__u8 length;

	if (!read_by_layout(&in_init, sizeof(in_init), event->ssl, &handshake->in_init) || in_init)
		return false;
	if (!read_by_layout(&event->version, sizeof(event->version), event->ssl, &layout->version) ||
	    !READ(event, client_random, &layout->client_random))
		return false;
	read_by_layout(&event->cipher_id, sizeof(event->cipher_id), event->ssl, &layout->cipher_id);
	if (event->version != TLS1_3_VERSION)
		return read_by_layout(&length, sizeof(length), event->ssl, &layout->master_key_length) &&
		       length == MASTER_SECRET_SIZE && READ(event, master_key, &layout->master_key);
	READ(event, early_secret, &layout->early_secret);
	READ(event, client_app_traffic_secret, &layout->client_app_traffic_secret);
	READ(event, server_app_traffic_secret, &layout->server_app_traffic_secret);
	return READ(event, handshake_secret, &layout->handshake_secret) &&
	       READ(event, handshake_traffic_hash, &layout->handshake_traffic_hash) &&
	       READ(event, server_finished_hash, &handshake->server_finished_hash) &&
	       READ(event, server_finished_key, &handshake->server_finished_key) &&
	       READ(event, exporter_master_secret, &layout->exporter_master_secret) &&
	       !is_zero(event->exporter_master_secret);
}

static __always_inline void send_secrets(struct pt_regs *ctx, __u64 ssl)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid(), random = 0, *sent;
	struct ssl_key_t key = {.ssl = ssl, .pid = pid_tgid >> 32};
	__u32 library = (__u32)bpf_get_attach_cookie(ctx);
	const struct handshake_layout_t *handshake;
	const struct library_layout_t *layout;
	struct mastersecret_t *event;

	if (!is_target(key.pid, (__u32)bpf_get_current_uid_gid()))
		return;
	layout = bpf_map_lookup_elem(&library_layouts, &library);
	if (!layout || !read_by_layout(&random, sizeof(random), ssl, &layout->client_random) || !random)
		return;
	sent = bpf_map_lookup_elem(&sent_secrets, &key);
	if ((sent && *sent == random) || is_excluded(key.pid))
		return;
	handshake = bpf_map_lookup_elem(&handshake_layouts, &library);
	event = handshake ? make_event(pid_tgid) : NULL;
	if (!event)
		return;
	event->ssl = ssl;
	if (read_secrets(event, layout, handshake)) {
		event->kind = EVENT_MASTER_SECRET;
		event->library = library;
		event->timestamp_ns = bpf_ktime_get_ns();
		event->pid = key.pid;
		event->tid = (__u32)pid_tgid;
		event->uid = (__u32)bpf_get_current_uid_gid();
		read_process_comm(event->comm);
		if (emit(ctx, &mastersecret_events, event, sizeof(*event)))
			count_loss(LOSS_BUFFER_FULL, 1); /* the next call tries again */
		else
			bpf_map_update_elem(&sent_secrets, &key, &random, BPF_ANY);
	}
	bpf_map_delete_elem(&bpf_context, &pid_tgid);
}

/* SSL_read, SSL_write, their _ex forms, SSL_shutdown: the first argument is the SSL structure */
SEC("uprobe")
int BPF_KPROBE(probe_secrets, __u64 ssl)
{
	send_secrets(ctx, ssl);
	return 0;
}

/* void SSL_free(SSL *ssl): the last occasion */
SEC("uprobe")
int BPF_KPROBE(probe_secrets_free, __u64 ssl)
{
	struct ssl_key_t key = {.ssl = ssl, .pid = bpf_get_current_pid_tgid() >> 32};

	send_secrets(ctx, ssl);
	bpf_map_delete_elem(&sent_secrets, &key);
	return 0;
}
