/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls under way: what the entry of SSL_read, SSL_write or a relative keeps for its return.
 *
 * A thread may be in two calls of one direction at once: a TLS connection inside another one, or a function that calls
 * another hooked one for the same bytes (LibreSSL's SSL_read_ex calls SSL_read). The stack pointer tells the frames
 * apart: a return's is the entry's plus the size of the return address that was popped.
 */
#ifndef PLAINWIRE_SSL_CALLS_BPF_H
#define PLAINWIRE_SSL_CALLS_BPF_H

#if defined(__TARGET_ARCH_x86)
#define RETURN_ADDRESS_SIZE 8
#else
#define RETURN_ADDRESS_SIZE 0 /* arm64 returns through the link register */
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct active_ssl_buf);
	__uint(max_entries, 1024);
} active_ssl_read_args_map SEC(".maps") PURPOSE("arguments of the reads under way, from entry to return");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct active_ssl_buf);
	__uint(max_entries, 1024);
} active_ssl_write_args_map SEC(".maps") PURPOSE("arguments of the writes under way, from entry to return");

/* The calls inside a call. LRU, since a thread that is killed leaves its own behind. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct nested_call_t);
	__type(value, struct active_ssl_buf);
	__uint(max_entries, 1024);
} nested_ssl_calls SEC(".maps") PURPOSE("arguments of calls inside other calls (TLS in TLS)");

/*
 * Whether a thread may be in a call: a look into an array instead of two into hash maps, since every send and receive of
 * the machine asks. Threads whose numbers have the same remainder share a count.
 */
#define THREAD_COUNTS 4096

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, THREAD_COUNTS);
} calls_of_threads SEC(".maps") PURPOSE("calls under way, by the remainder of the thread's number");

static __always_inline __u32 *count_of_thread(void)
{
	__u32 index = (__u32)bpf_get_current_pid_tgid() % THREAD_COUNTS;

	return bpf_map_lookup_elem(&calls_of_threads, &index);
}

/* Forget the arguments of the current thread's outer call. */
static __always_inline void forget_call(void *active_calls)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 *count = count_of_thread();

	if (bpf_map_delete_elem(active_calls, &pid_tgid) == 0 && count)
		__sync_fetch_and_add(count, -1);
}

/* Keep a call's arguments until it returns. */
static __always_inline void begin_call(void *active_calls, struct active_ssl_buf *call)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct active_ssl_buf *outer = bpf_map_lookup_elem(active_calls, &pid_tgid);
	__u32 *count = count_of_thread();

	/* The stack grows down: a frame at or below this one has been left without a return (longjmp). */
	if (outer && outer->stack_pointer > call->stack_pointer) {
		struct nested_call_t key = {.pid_tgid = pid_tgid, .stack_pointer = call->stack_pointer};

		call->same_as_outer = outer->ssl == call->ssl && call->buf - outer->buf <= outer->num;
		if (call->same_as_outer)
			call->flags |= outer->flags; /* SSL_write_early_data calls SSL_write_ex */
		bpf_map_update_elem(&nested_ssl_calls, &key, call, BPF_ANY);
		return;
	}
	if (bpf_map_update_elem(active_calls, &pid_tgid, call, BPF_ANY))
		count_loss(LOSS_ARGUMENTS_FULL, 1);
	else if (!outer && count)
		__sync_fetch_and_add(count, 1);
}

/* Take the arguments of the call that returns now. False where its entry was not seen. */
static __always_inline bool end_call(void *active_calls, __u64 stack_pointer, struct active_ssl_buf *call)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct nested_call_t key = {.pid_tgid = pid_tgid, .stack_pointer = stack_pointer - RETURN_ADDRESS_SIZE};
	struct active_ssl_buf *active = bpf_map_lookup_elem(active_calls, &pid_tgid);

	if (!active)
		return false;
	if (active->stack_pointer == key.stack_pointer) {
		*call = *active;
		forget_call(active_calls);
		return true;
	}
	active = bpf_map_lookup_elem(&nested_ssl_calls, &key);
	if (!active)
		return false;
	*call = *active;
	bpf_map_delete_elem(&nested_ssl_calls, &key);
	return true;
}

/*
 * The innermost call of the current thread, a read or a write; of two nested calls of one direction the outer one, which
 * stands for both. NULL outside of a call.
 */
static __always_inline struct active_ssl_buf *current_call(void)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 *count = count_of_thread();
	struct active_ssl_buf *read, *write;

	if (!count || !*count)
		return NULL;
	read = bpf_map_lookup_elem(&active_ssl_read_args_map, &pid_tgid);
	write = bpf_map_lookup_elem(&active_ssl_write_args_map, &pid_tgid);
	if (!read || !write)
		return read ? read : write;
	return read->stack_pointer < write->stack_pointer ? read : write;
}

/* An inner call has sent the bytes of the call around it: its return must not send them again. */
static __always_inline void mark_outer_as_sent(void *active_calls)
{
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct active_ssl_buf *outer = bpf_map_lookup_elem(active_calls, &pid_tgid);

	if (outer)
		outer->sent_by_inner = 1;
}

#endif
