/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plaintext and keys of Go's crypto/tls.
 *
 * Probes stand on instructions that userspace has found in each program (src/plainwire/layouts/gotls.py): behind a
 * function's stack check, and on the RETs of (*Conn).Read. There are no return probes, since Go moves stacks. Writes are
 * taken where writeRecordLocked begins: the bytes are about to be sent then, so a request is seen before its answer also
 * when another goroutine reads that; and they are not cut into records yet.
 *
 * A goroutine may change threads while it reads, and its stack may move with the buffer in it, so a read is known by its
 * goroutine and by distances from the stack's upper end, which a move keeps (runtime.copystack).
 *
 * Two calling conventions: registers (since Go 1.17 on x86-64, 1.18 on arm64), all arguments on the stack before.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include "abi.h"
#include "bounds.bpf.h"
#include "btf.bpf.h"
#include "filter.bpf.h"
#include "emit.bpf.h"
#include "sockets.bpf.h"

char LICENSE[] SEC("license") = "GPL";

KEEP_IN_BTF(enum, gotls_event_type);
KEEP_IN_BTF(struct, mastersecret_gotls_t);

#define SAME_PLACE(go, ssl)                                                                                            \
	_Static_assert(__builtin_offsetof(struct go_tls_event, go) ==                                                  \
			       __builtin_offsetof(struct ssl_data_event_t, ssl),                                       \
		       #go " is not where " #ssl " is")

SAME_PLACE(event_type, type);
SAME_PLACE(ts_ns, timestamp_ns);
SAME_PLACE(pid, pid);
SAME_PLACE(library, library);
SAME_PLACE(conn, ssl);
SAME_PLACE(sequence, sequence);
SAME_PLACE(fd, fd);
SAME_PLACE(data_len, data_len);
SAME_PLACE(connection, connection);
SAME_PLACE(thread_comm, thread_comm);
SAME_PLACE(data, data);
_Static_assert(sizeof(struct go_tls_event) == sizeof(struct ssl_data_event_t), "they are read as one");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} events SEC(".maps") PURPOSE("plaintext events to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} mastersecret_go_events SEC(".maps") PURPOSE("secrets of connections to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct go_tls_event);
	__uint(max_entries, 1);
} gte_context_gen SEC(".maps") PURPOSE("where an event is built: too large for the stack");

#define DATA_EVENTS events
#define DATA_EVENT_HEAP gte_context_gen
#define DATA_EVENT_KIND EVENT_GO_TLS_DATA
#include "send_data.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* the program: lower half of the attach cookie */
	__type(value, struct go_layout_t);
	__uint(max_entries, 4096);
} go_layouts SEC(".maps") PURPOSE("what differs between Go programs, by program");

/* LRU: a goroutine may wait in a read for ever, or leave it by a panic. What is pushed out counts as a parked read. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct go_read_key_t);
	__type(value, struct go_read_t);
	__uint(max_entries, 32768);
} go_reads SEC(".maps") PURPOSE("the arguments of reads under way, by goroutine and frame");

#if defined(__TARGET_ARCH_x86)
#define GOROUTINE(ctx) ((ctx)->r14)
#define RESULT(ctx) ((ctx)->ax)
static __always_inline __u64 register_argument(struct pt_regs *ctx, int index)
{
	switch (index) {
	case 0:
		return ctx->ax;
	case 1:
		return ctx->bx;
	case 2:
		return ctx->cx;
	case 3:
		return ctx->di;
	case 4:
		return ctx->si;
	case 6:
		return ctx->r9;
	case 7:
		return ctx->r10;
	}
	return 0;
}
#else
#define GOROUTINE(ctx) (((const struct user_pt_regs *)(ctx))->regs[28])
#define RESULT(ctx) (((const struct user_pt_regs *)(ctx))->regs[0])
static __always_inline __u64 register_argument(struct pt_regs *ctx, int index)
{
	return ((const struct user_pt_regs *)ctx)->regs[index];
}
#endif

/*
 * A word of the caller's frame, where the stack ABI has the arguments, then the results; arguments in registers have a
 * place there too. Word 0 is the first argument.
 */
static __always_inline __u64 stack_word(struct pt_regs *ctx, int index)
{
	__u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)(PT_REGS_SP(ctx) + 8 + 8 * index));
	return word;
}

static __always_inline __u64 argument(struct pt_regs *ctx, bool registers, int index)
{
	return registers ? register_argument(ctx, index) : stack_word(ctx, index);
}

#include "go_sockets.bpf.h"

static __always_inline bool is_wanted(void)
{
	return is_target(bpf_get_current_pid_tgid() >> 32, (__u32)bpf_get_current_uid_gid());
}

static __always_inline __u32 find_version(const struct go_layout_t *layout, __u64 conn)
{
	__u16 version = 0;

	if (layout->version_offset == NO_OFFSET)
		return 0;
	bpf_probe_read_user(&version, sizeof(version), (void *)(conn + layout->version_offset));
	return version >= 0x0301 && version <= 0x0304 ? version : 0;
}

static __always_inline int send_go(struct pt_regs *ctx, __u64 conn, __u64 buf, __u64 length, __u32 type)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 library = (__u32)cookie;
	struct go_layout_t *layout = bpf_map_lookup_elem(&go_layouts, &library);
	struct ssl_state_t *state = find_state(conn, bpf_get_current_pid_tgid() >> 32);
	struct active_ssl_buf call = {};

	if (!layout || !state)
		return 0;
	call.ssl = conn;
	call.buf = buf;
	call.library = library;
	call.version = find_version(layout, conn);
	call.fd = find_fd(ctx, layout, conn);
	if (call.fd >= 0 && read_connection_of_fd(call.fd, &state->connection))
		state->connection.way = CONNECTION_BY_NET_CONN;
	return send_data(ctx, state, &call, type, length);
}

/* RFC 9850; in the order of layouts/gotls.py. */
const char go_key_labels[GO_KEY_LABELS][GO_LABEL_SIZE] = {
	"CLIENT_RANDOM",	   "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET",
	"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0",
};

#define RECORD_TYPE_APPLICATION_DATA 23 /* RFC 8446, section 5.1 */

/* func (c *Conn) writeRecordLocked(typ recordType, data []byte) (int, error) */
static __always_inline int write_record(struct pt_regs *ctx, bool registers)
{
	__u64 length = argument(ctx, registers, 3);

	if (!is_wanted())
		return 0;
	begin_call(ctx, registers, argument(ctx, registers, 0));
	if ((__u8)argument(ctx, registers, 1) != RECORD_TYPE_APPLICATION_DATA || (__s64)length <= 0)
		return 0;
	return send_go(ctx, argument(ctx, registers, 0), argument(ctx, registers, 2), length, GOTLS_EVENT_TYPE_WRITE);
}

SEC("uprobe")
int probe_go_write_register(struct pt_regs *ctx)
{
	return write_record(ctx, true);
}

SEC("uprobe")
int probe_go_write_stack(struct pt_regs *ctx)
{
	return write_record(ctx, false);
}

/* Which frame of which goroutine this is, and the bounds of its stack: runtime.g begins with them. */
static __always_inline bool find_frame(struct pt_regs *ctx, struct go_read_key_t *key, __u64 stack[2])
{
	key->goroutine = GOROUTINE(ctx);
	key->pid = bpf_get_current_pid_tgid() >> 32;
	if (bpf_probe_read_user(stack, 2 * sizeof(__u64), (void *)key->goroutine))
		return false;
	key->depth = stack[1] - PT_REGS_SP(ctx);
	return true;
}

/* func (c *Conn) Read(b []byte) (int, error) */
SEC("uprobe")
int probe_go_read_register(struct pt_regs *ctx)
{
	struct go_read_key_t key = {};
	struct go_read_t read = {};
	__u64 stack[2];

	if (!is_wanted() || !find_frame(ctx, &key, stack))
		return 0;
	read.conn = register_argument(ctx, 0);
	begin_call(ctx, true, read.conn);
	read.buf = register_argument(ctx, 1);
	if (read.buf >= stack[0] && read.buf < stack[1]) {
		read.buf = stack[1] - read.buf;
		read.on_stack = 1;
	}
	if (bpf_map_update_elem(&go_reads, &key, &read, BPF_ANY))
		count_loss(LOSS_ARGUMENTS_FULL, 1);
	return 0;
}

/* The arguments of a read that began before the capture, or was pushed out of go_reads. */
static __always_inline bool find_parked_read(struct pt_regs *ctx, struct go_read_t *read)
{
	__u32 library = (__u32)bpf_get_attach_cookie(ctx);
	struct go_layout_t *layout = bpf_map_lookup_elem(&go_layouts, &library);

	if (!layout || !layout->parked_reads)
		return false;
	read->conn = stack_word(ctx, 0);
	read->buf = stack_word(ctx, 1);
	return true;
}

SEC("uprobe")
int probe_go_read_return_register(struct pt_regs *ctx)
{
	struct go_read_key_t key = {};
	struct go_read_t read = {};
	__s64 length = RESULT(ctx);
	struct go_read_t *begun;
	__u64 stack[2];

	if (!is_wanted() || !find_frame(ctx, &key, stack))
		return 0;
	begun = bpf_map_lookup_elem(&go_reads, &key);
	if (begun) {
		read = *begun;
		bpf_map_delete_elem(&go_reads, &key);
	}
	if (length <= 0 || (!begun && !find_parked_read(ctx, &read)))
		return 0;
	if (read.on_stack)
		read.buf = stack[1] - read.buf;
	return send_go(ctx, read.conn, read.buf, length, GOTLS_EVENT_TYPE_READ);
}

/* The arguments are still in the frame, before the result: nothing is kept at the entry. */
SEC("uprobe")
int probe_go_read_return_stack(struct pt_regs *ctx)
{
	__s64 length = stack_word(ctx, 4);

	if (length <= 0 || !is_wanted())
		return 0;
	return send_go(ctx, stack_word(ctx, 0), stack_word(ctx, 1), length, GOTLS_EVENT_TYPE_READ);
}

/* func (c *Conn) Close() error: its address may be a new connection's next */
static __always_inline int forget_connection(struct pt_regs *ctx, bool registers)
{
	struct ssl_key_t key = {.ssl = argument(ctx, registers, 0), .pid = bpf_get_current_pid_tgid() >> 32};

	bpf_map_delete_elem(&ssl_states, &key);
	return 0;
}

SEC("uprobe")
int probe_go_close_register(struct pt_regs *ctx)
{
	return forget_connection(ctx, true);
}

SEC("uprobe")
int probe_go_close_stack(struct pt_regs *ctx)
{
	return forget_connection(ctx, false);
}

/* func (c *Config) writeKeyLog(label string, clientRandom, secret []byte) error: called also where nobody wants it */
static __always_inline bool read_label(struct pt_regs *ctx, struct mastersecret_gotls_t *event, __u64 label)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 library = (__u32)cookie;
	struct go_layout_t *layout;
	__u64 bias;

	if (!bpf_probe_read_user(event->label, event->labellen & (GO_LABEL_SIZE - 1), (void *)label))
		return true;
	/* A constant of the program, which may never have looked at it itself: its page is not in memory then. */
	layout = bpf_map_lookup_elem(&go_layouts, &library);
	if (!layout)
		return false;
	bias = PT_REGS_IP(ctx) - (cookie >> 32) - layout->text_base;
	for (int i = 0; i < GO_KEY_LABELS; i++) {
		if (layout->key_labels[i] && layout->key_labels[i] + bias == label) {
			bpf_probe_read_kernel(event->label, GO_LABEL_SIZE, go_key_labels[i]);
			return true;
		}
	}
	return false;
}

static __always_inline int write_key_log(struct pt_regs *ctx, bool registers)
{
	__u64 label_len = argument(ctx, registers, 2), random_len = argument(ctx, registers, 4);
	__u64 secret_len = argument(ctx, registers, 7), pid_tgid = bpf_get_current_pid_tgid();
	struct mastersecret_gotls_t event = {};

	if (!is_wanted())
		return 0;
	if (label_len >= GO_LABEL_SIZE || random_len > GO_SECRET_SIZE || secret_len > GO_SECRET_SIZE)
		return 0;
	event.kind = EVENT_GO_SECRET;
	event.library = (__u32)bpf_get_attach_cookie(ctx);
	event.timestamp_ns = bpf_ktime_get_ns();
	event.pid = pid_tgid >> 32;
	event.tid = (__u32)pid_tgid;
	event.uid = (__u32)bpf_get_current_uid_gid();
	event.labellen = label_len;
	event.client_random_len = random_len;
	event.secret_len = secret_len;
	read_process_comm(event.comm);
	if (!read_label(ctx, &event, argument(ctx, registers, 1)) ||
	    bpf_probe_read_user(event.client_random, at_most(random_len, GO_SECRET_SIZE),
				(void *)argument(ctx, registers, 3)) ||
	    bpf_probe_read_user(event.secret_, at_most(secret_len, GO_SECRET_SIZE),
				(void *)argument(ctx, registers, 6))) {
		count_loss(LOSS_UNREADABLE, 1);
		return 0;
	}
	if (emit(ctx, &mastersecret_go_events, &event, sizeof(event)))
		count_loss(LOSS_BUFFER_FULL, 1);
	return 0;
}

SEC("uprobe")
int probe_go_key_log_register(struct pt_regs *ctx)
{
	return write_key_log(ctx, true);
}

SEC("uprobe")
int probe_go_key_log_stack(struct pt_regs *ctx)
{
	return write_key_log(ctx, false);
}
