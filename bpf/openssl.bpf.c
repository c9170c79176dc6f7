/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plaintext of the OpenSSL family: what SSL_write is given and SSL_read returns, by a uprobe at the entry of each
 * function and one at its return. Prototypes: <openssl/ssl.h>.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "abi.h"
#include "btf.bpf.h"
#include "filter.bpf.h"
#include "emit.bpf.h"
#include "socket_use.bpf.h"
#include "sockets.bpf.h"

char LICENSE[] SEC("license") = "GPL";

KEEP_IN_BTF(enum, ssl_data_event_type);
KEEP_IN_BTF(struct, tls_state_event_t);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} tls_events SEC(".maps") PURPOSE("plaintext to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct ssl_data_event_t);
	__uint(max_entries, 1);
} data_buffer_heap SEC(".maps") PURPOSE("where an event is built: too large for the stack");

#define DATA_EVENTS tls_events
#define DATA_EVENT_HEAP data_buffer_heap
#define DATA_EVENT_KIND EVENT_SSL_DATA
#include "send_data.bpf.h"
#include "ssl_calls.bpf.h"
#include "layout.bpf.h"
#include "hello_connection.bpf.h"
#include "written_records.bpf.h"

/* Descriptors that are sockets (<openssl/bio.h>). */
#define BIO_TYPE_FD 0x0504
#define BIO_TYPE_SOCKET 0x0505
#define BIO_TYPE_DGRAM 0x0515

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64);   /* address of the SSL structure */
	__type(value, __u64); /* lower half: file descriptor; upper half: the process, since addresses are its own */
	__uint(max_entries, 10240);
} ssl_st_fd SEC(".maps") PURPOSE("descriptor of each SSL structure, from SSL_set_fd");

/* The processes that may have entries in ssl_st_fd. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32); /* pid */
	__type(value, __u8);
	__uint(max_entries, 10240);
} fd_owners SEC(".maps") PURPOSE("processes that may have entries in ssl_st_fd");

static __always_inline __s32 find_fd(__u64 ssl, __u32 pid)
{
	__u64 *owner_and_fd = bpf_map_lookup_elem(&ssl_st_fd, &ssl);

	if (!owner_and_fd || *owner_and_fd >> 32 != pid)
		return -1;
	return (__s32)*owner_and_fd;
}

/* A learned place may be wrong: what is no version of TLS or DTLS is not believed. */
static __always_inline bool is_tls_version(__u16 version)
{
	return (version >= 0x0300 && version <= 0x0304) || (version >= 0xfefc && version <= 0xfeff);
}

static __always_inline void send_tls_state(struct pt_regs *ctx, struct active_ssl_buf *call, __u16 version,
					   const struct layout_path_t *cipher_id)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct tls_state_event_t event = {
		.kind = EVENT_TLS_STATE,
		.library = call->library,
		.timestamp_ns = bpf_ktime_get_ns(),
		.pid = pid_tgid >> 32,
		.tid = (__u32)pid_tgid,
		.uid = (__u32)bpf_get_current_uid_gid(),
		.version = version,
		.ssl = call->ssl,
	};

	read_by_layout(&event.cipher_id, sizeof(event.cipher_id), call->ssl, cipher_id);
	read_process_comm(event.comm);
	if (emit(ctx, &tls_events, &event, sizeof(event)))
		count_loss(LOSS_BUFFER_FULL, 1);
}

/*
 * Learn what the SSL structure itself tells. It is read until it tells a version, then no more. Not inlined: its stack
 * would be every call's.
 */
static __attribute__((noinline)) void learn_from_structure(struct pt_regs *ctx, struct ssl_state_t *state,
							   struct active_ssl_buf *call)
{
	struct library_layout_t *layout = bpf_map_lookup_elem(&library_layouts, &call->library);
	__u16 version;

	if (!layout || !read_by_layout(&version, sizeof(version), call->ssl, &layout->version) ||
	    !is_tls_version(version))
		return;
	state->version = version;
	send_tls_state(ctx, call, version, &layout->cipher_id);
	read_by_layout(&state->bio_type, sizeof(state->bio_type), call->ssl, &layout->bio_type);
	if (state->connection.way == CONNECTION_BY_SET_FD ||
	    (state->bio_type != BIO_TYPE_SOCKET && state->bio_type != BIO_TYPE_DGRAM && state->bio_type != BIO_TYPE_FD))
		return;
	if (read_by_layout(&state->fd, sizeof(state->fd), call->ssl, &layout->bio_fd) &&
	    read_connection_of_fd(state->fd, &state->connection))
		state->connection.way = CONNECTION_BY_BIO;
}

/*
 * Learn which connection an SSL structure serves. A descriptor that the program or the structure names is believed, and a
 * ClientHello; the socket that the thread used inside the call is the next best, and follows the structure to another one.
 */
static __always_inline void learn_connection(struct ssl_state_t *state, struct active_ssl_buf *call)
{
	if (state->connection.way == CONNECTION_BY_SET_FD || state->connection.way == CONNECTION_BY_BIO ||
	    state->connection.way == CONNECTION_BY_CLIENT_RANDOM || state->connection.way == CONNECTION_BY_CIPHERTEXT)
		return;
	if (call->fd >= 0 && read_connection_of_fd(call->fd, &state->connection)) {
		state->connection.way = CONNECTION_BY_SET_FD;
		return;
	}
	if (call->connection.way == CONNECTION_BY_THREAD)
		state->connection = call->connection;
	else if (state->connection.way != CONNECTION_BY_THREAD && call->connection.way == CONNECTION_AMBIGUOUS)
		state->connection.way = CONNECTION_AMBIGUOUS;
}

/* Send the `length` bytes of a call that has returned. */
static __always_inline int send_call(struct pt_regs *ctx, struct active_ssl_buf *call, __u32 type, __u64 length)
{
	struct ssl_state_t *state = find_state(call->ssl, bpf_get_current_pid_tgid() >> 32);

	if (!state)
		return 0;
	learn_connection(state, call);
	if (!state->version)
		learn_from_structure(ctx, state, call);
	if (!state->hello_sought && !is_known(state->connection.way))
		learn_by_hello(state, call->ssl, call->library);
	if (state->connection.way == CONNECTION_HELLO_UNSEEN)
		learn_by_record(state, call->ssl);
	call->version = state->version;
	call->bio_type = state->bio_type;
	if (state->connection.way == CONNECTION_BY_BIO || state->connection.way == CONNECTION_BY_CLIENT_RANDOM ||
	    state->connection.way == CONNECTION_BY_CIPHERTEXT)
		call->fd = state->fd;
	return send_data(ctx, state, call, type, length);
}

static __always_inline int enter_call(struct pt_regs *ctx, void *active_calls, __u64 ssl, __u64 buf, __u64 num,
				      __u64 length_ptr, __u32 flags)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct active_ssl_buf call = {};

	if (!is_target(pid, (__u32)bpf_get_current_uid_gid()))
		return 0;
	call.ssl = ssl;
	call.buf = buf;
	call.num = num;
	call.length_ptr = length_ptr;
	call.stack_pointer = PT_REGS_SP(ctx);
	call.fd = find_fd(ssl, pid);
	call.library = (__u32)bpf_get_attach_cookie(ctx);
	call.flags = flags;
	begin_call(active_calls, &call);
	return 0;
}

/* How many bytes the returning call has moved; 0 where it failed or would have blocked. */
static __always_inline __u64 moved_bytes(struct pt_regs *ctx, struct active_ssl_buf *call)
{
	__u64 length = 0;

	if (call->length_ptr) {
		if ((__s32)PT_REGS_RC(ctx) != 1) /* SSL_READ_EARLY_DATA_SUCCESS is 1 too */
			return 0;
		if (bpf_probe_read_user(&length, sizeof(length), (void *)call->length_ptr)) {
			count_loss(LOSS_UNREADABLE, 1);
			return 0;
		}
		return length;
	}
	if (call->flags & SSL_DATA_LENGTH_ONLY)
		return (__s64)PT_REGS_RC(ctx) > 0 ? PT_REGS_RC(ctx) : 0; /* ossl_ssize_t */
	return (__s32)PT_REGS_RC(ctx) > 0 ? (__s32)PT_REGS_RC(ctx) : 0;
}

static __always_inline int leave_call(struct pt_regs *ctx, void *active_calls, __u32 type)
{
	struct active_ssl_buf call;
	__u64 length;

	if (!end_call(active_calls, PT_REGS_SP(ctx), &call))
		return 0;
	length = moved_bytes(ctx, &call);
	if (length == 0 || call.sent_by_inner)
		return 0;
	if (call.same_as_outer)
		mark_outer_as_sent(active_calls);
	return send_call(ctx, &call, type, length);
}

/* int SSL_read(SSL *ssl, void *buf, int num) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_read, __u64 ssl, __u64 buf, __u64 num)
{
	return enter_call(ctx, &active_ssl_read_args_map, ssl, buf, (__u32)num, 0, 0);
}

/* int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *readbytes) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_read_ex, __u64 ssl, __u64 buf, __u64 num, __u64 readbytes)
{
	return enter_call(ctx, &active_ssl_read_args_map, ssl, buf, num, readbytes, 0);
}

/* int SSL_read_early_data(SSL *s, void *buf, size_t num, size_t *readbytes) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_read_early_data, __u64 ssl, __u64 buf, __u64 num, __u64 readbytes)
{
	return enter_call(ctx, &active_ssl_read_args_map, ssl, buf, num, readbytes, SSL_DATA_EARLY);
}

SEC("uretprobe")
int BPF_KRETPROBE(probe_ret_SSL_read)
{
	return leave_call(ctx, &active_ssl_read_args_map, kSSLRead);
}

/* int SSL_write(SSL *ssl, const void *buf, int num) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_write, __u64 ssl, __u64 buf, __u64 num)
{
	return enter_call(ctx, &active_ssl_write_args_map, ssl, buf, (__u32)num, 0, 0);
}

/* int SSL_write_ex(SSL *s, const void *buf, size_t num, size_t *written) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_write_ex, __u64 ssl, __u64 buf, __u64 num, __u64 written)
{
	return enter_call(ctx, &active_ssl_write_args_map, ssl, buf, num, written, 0);
}

/* int SSL_write_ex2(SSL *s, const void *buf, size_t num, uint64_t flags, size_t *written) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_write_ex2, __u64 ssl, __u64 buf, __u64 num, __u64 flags, __u64 written)
{
	return enter_call(ctx, &active_ssl_write_args_map, ssl, buf, num, written, 0);
}

/* int SSL_write_early_data(SSL *s, const void *buf, size_t num, size_t *written) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_write_early_data, __u64 ssl, __u64 buf, __u64 num, __u64 written)
{
	return enter_call(ctx, &active_ssl_write_args_map, ssl, buf, num, written, SSL_DATA_EARLY);
}

/* ossl_ssize_t SSL_sendfile(SSL *s, int fd, off_t offset, size_t size, int flags): the kernel encrypts (kTLS) */
SEC("uprobe")
int BPF_KPROBE(probe_entry_SSL_sendfile, __u64 ssl, __u64 fd, __u64 offset, __u64 size)
{
	return enter_call(ctx, &active_ssl_write_args_map, ssl, 0, size, 0, SSL_DATA_LENGTH_ONLY);
}

SEC("uretprobe")
int BPF_KRETPROBE(probe_ret_SSL_write)
{
	return leave_call(ctx, &active_ssl_write_args_map, kSSLWrite);
}

/* int SSL_set_fd(SSL *ssl, int fd); SSL_set_rfd and SSL_set_wfd have the same arguments and the same program */
SEC("uprobe")
int BPF_KPROBE(probe_SSL_set_fd, __u64 ssl, __u64 fd)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 owner_and_fd = (__u64)pid << 32 | (__u32)fd;

	struct ssl_state_t *state;
	__u8 one = 1;

	if (!is_target(pid, (__u32)bpf_get_current_uid_gid()))
		return 0;
	bpf_map_update_elem(&ssl_st_fd, &ssl, &owner_and_fd, BPF_ANY);
	bpf_map_update_elem(&fd_owners, &pid, &one, BPF_ANY);
	/* Looked up at once: ssl_st_fd has room for one process only, and forked workers use the same addresses. */
	state = find_state(ssl, pid);
	if (state)
		state->connection.way = read_connection_of_fd((__s32)fd, &state->connection) ? CONNECTION_BY_SET_FD
											     : CONNECTION_UNKNOWN;
	return 0;
}

/* void SSL_free(SSL *ssl): its address may be a new connection's next */
SEC("uprobe")
int BPF_KPROBE(probe_SSL_free, __u64 ssl)
{
	struct ssl_key_t key = {.ssl = ssl, .pid = bpf_get_current_pid_tgid() >> 32};

	struct ssl_state_t *state = bpf_map_lookup_elem(&ssl_states, &key);

	if (find_fd(ssl, key.pid) >= 0)
		bpf_map_delete_elem(&ssl_st_fd, &ssl);
	if (state && state->seek && !is_known(state->connection.way))
		end_seek(key.pid);
	bpf_map_delete_elem(&ssl_states, &key);
	return 0;
}

/* A socket has sent or received: if the thread is in a call, that is where the call's bytes travel. */
static __always_inline int use_socket(struct sock *sock)
{
	struct active_ssl_buf *call = current_call();

	if (!call || call->connection.sock == (__u64)sock)
		return 0;
	if (call->connection.way != CONNECTION_UNKNOWN)
		call->connection.way = CONNECTION_AMBIGUOUS;
	else if (read_socket(sock, &call->connection))
		call->connection.way = CONNECTION_BY_THREAD;
	return 0;
}

ON_SOCKET_USE(, use_socket)

struct bpf_map;

static long forget_fd_of(struct bpf_map *map, __u64 *ssl, __u64 *owner_and_fd, __u32 *pid)
{
	if (*owner_and_fd >> 32 == *pid)
		bpf_map_delete_elem(map, ssl);
	return 0;
}

/* A thread ends, perhaps killed in the middle of a call that will never return; with the last one, the process. */
SEC("raw_tp/sched_process_exit")
int forget_calls(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	forget_call(&active_ssl_read_args_map);
	forget_call(&active_ssl_write_args_map);
	if (BPF_CORE_READ(task, signal, live.counter) == 0 && bpf_map_delete_elem(&fd_owners, &pid) == 0)
		bpf_for_each_map_elem(&ssl_st_fd, forget_fd_of, &pid, 0);
	return 0;
}
