/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys of the OpenSSL family. The library's own function for the lines of a key log, which has no exported name, is
 * called for each secret, whether or not the program wants a key log; userspace has found it, and what its arguments
 * mean (src/plainwire/layouts/keylog_function.py). A connection's data costs nothing then.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "btf.bpf.h"
#include "filter.bpf.h"
#include "emit.bpf.h"

char LICENSE[] SEC("license") = "GPL";

KEEP_IN_BTF(struct, keylog_event_t);

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
	if (!function)
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
	    bpf_probe_read_user(event.secret, secret_len, (void *)arguments[function->secret & 7]) ||
	    bpf_probe_read_user(event.client_random, random_len,
				(void *)find_random(function, arguments[function->random & 7]))) {
		count_loss(LOSS_UNREADABLE, 1);
		return 0;
	}
	if (emit(ctx, &mastersecret_events, &event, sizeof(event)))
		count_loss(LOSS_BUFFER_FULL, 1);
	return 0;
}
