/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What processes do that capture has to know: they fork, run programs, load libraries, end. Loaded once, serves every
 * module. Userspace learns from it where to attach, and what a process was called that is gone by now.
 *
 * The descendants of a command that plainwire itself started (TARGET_STOP) are stopped by SIGSTOP when they load a file
 * that was not seen before, so that userspace can attach to it before its first instruction runs.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "btf.bpf.h"
#include "claim.bpf.h"
#include "emit.bpf.h"
#include "filter.bpf.h"

char LICENSE[] SEC("license") = "GPL";

KEEP_IN_BTF(struct, process_event_t);

/* A smaller file has no room for a TLS library. */
#define MIN_TLS_FILE_SIZE (256 * 1024)
/* Another process that meets a new file within this time is stopped too: userspace may still be attaching to it. */
#define NEW_FOR_NS (200 * 1000 * 1000ULL)
#define MAX_LIBRARIES 512

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} process_events SEC(".maps") PURPOSE("forks, execs, exits and loaded libraries to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct file_key_t);
	__type(value, __u64); /* when it was first run, CLOCK_MONOTONIC ns; 0: before the capture */
	__uint(max_entries, 16384);
} known_executables SEC(".maps") PURPOSE("programs that have been run before");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct library_key_t);
	__type(value, __u64); /* when it was first loaded, CLOCK_MONOTONIC ns */
	__uint(max_entries, 4096);
} known_libraries SEC(".maps") PURPOSE("libraries that have been loaded before");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct exec_event_t);
	__uint(max_entries, 1);
} exec_buffer_heap SEC(".maps") PURPOSE("where an exec event is built: too large for the stack");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u32); /* 1: this CPU's exec_buffer_heap is in use */
	__uint(max_entries, 1);
} exec_buffer_claims SEC(".maps") PURPOSE("whether this CPU's exec_buffer_heap is in use");

/* The number of a process in its own pid namespace. */
static __always_inline __u32 read_namespace_pid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	void *number = (void *)pid + bpf_core_field_offset(struct pid, numbers);
	__u32 found = 0;

	number += level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
	bpf_probe_read_kernel(&found, sizeof(found), number);
	return found;
}

static __always_inline void emit_process_event(void *ctx, __u32 kind, __u32 pid, __u32 parent_pid, __u32 namespace_pid,
					       bool stopped)
{
	struct process_event_t event = {
		.kind = kind,
		.pid = pid,
		.timestamp_ns = bpf_ktime_get_ns(),
		.parent_pid = parent_pid,
		.namespace_pid = namespace_pid,
		.stopped = stopped,
	};

	read_process_comm(event.comm);
	if (emit(ctx, &process_events, &event, sizeof(event)))
		count_loss(LOSS_PROCESS_EVENTS, 1);
}

/* Whether userspace needs to know of this process: its events have no name, and its libraries no probes, otherwise. */
static __always_inline bool is_watched(__u32 pid)
{
	if (target_pid)
		return pid == target_pid;
	return !filter_pids || bpf_map_lookup_elem(&target_pids, &pid);
}

static __always_inline bool is_new(void *known, void *key)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *first_seen = bpf_map_lookup_elem(known, key);

	if (first_seen)
		return now - *first_seen < NEW_FOR_NS;
	bpf_map_update_elem(known, key, &now, BPF_ANY);
	return true;
}

static __always_inline bool stop_wanted(__u32 pid)
{
	__u32 *flags = bpf_map_lookup_elem(&target_pids, &pid);

	return flags && *flags & TARGET_STOP;
}

SEC("raw_tp/sched_process_fork")
int process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 parent_pid = BPF_CORE_READ(parent, tgid);
	__u32 pid = BPF_CORE_READ(child, tgid);
	__u32 *flags;

	if (pid == parent_pid) /* a thread */
		return 0;
	flags = bpf_map_lookup_elem(&target_pids, &parent_pid);
	if (flags && *flags & TARGET_FOLLOW)
		bpf_map_update_elem(&target_pids, &pid, flags, BPF_ANY);
	if (is_watched(parent_pid))
		emit_process_event(ctx, EVENT_PROCESS_FORK, pid, parent_pid, read_namespace_pid(child), false);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (BPF_CORE_READ(task, signal, live.counter) > 0) /* a thread; others go on */
		return 0;
	if (is_watched(pid))
		emit_process_event(ctx, EVENT_PROCESS_EXIT, pid, 0, 0, false);
	bpf_map_delete_elem(&target_pids, &pid);
	return 0;
}

/* The program's name and arguments, in `text`. */
static __always_inline void read_exec_text(struct exec_event_t *event, struct task_struct *task,
					   struct linux_binprm *bprm)
{
	unsigned long start = BPF_CORE_READ(task, mm, arg_start);
	unsigned long size = BPF_CORE_READ(task, mm, arg_end) - start;
	long filename_len = bpf_probe_read_kernel_str(event->text, MAX_EXEC_TEXT / 4, BPF_CORE_READ(bprm, filename));

	event->filename_len = filename_len > 0 ? filename_len : 0;
	if (event->filename_len > MAX_EXEC_TEXT / 4)
		event->filename_len = MAX_EXEC_TEXT / 4;
	event->text_len = event->filename_len;
	if (size > MAX_EXEC_TEXT / 2)
		size = MAX_EXEC_TEXT / 2;
	if (bpf_probe_read_user(event->text + event->filename_len, size, (void *)start) == 0)
		event->text_len += size;
}

SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct linux_binprm *bprm = (struct linux_binprm *)ctx->args[2];
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);
	struct file_key_t key = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
	};
	__u32 index = 0, pid = bpf_get_current_pid_tgid() >> 32;
	__u32 *held = bpf_map_lookup_elem(&exec_buffer_claims, &index);
	struct exec_event_t *event = bpf_map_lookup_elem(&exec_buffer_heap, &index);
	bool new_file;

	if (!is_watched(pid))
		return 0;
	new_file = is_new(&known_executables, &key) && BPF_CORE_READ(inode, i_size) >= MIN_TLS_FILE_SIZE;

	if (!event || !claim(held)) {
		count_loss(LOSS_PROCESS_EVENTS, 1);
		return 0;
	}
	event->kind = EVENT_PROCESS_EXEC;
	event->pid = pid;
	event->timestamp_ns = bpf_ktime_get_ns();
	event->cgroup_id = bpf_get_current_cgroup_id();
	event->namespace_pid = read_namespace_pid(task);
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->stopped = new_file && stop_wanted(pid) && bpf_send_signal(SIGSTOP) == 0;
	read_process_comm(event->comm);
	read_exec_text(event, task, bprm);
	if (emit(ctx, &process_events, event, __builtin_offsetof(struct exec_event_t, text) + (event->text_len & 4095)))
		count_loss(LOSS_PROCESS_EVENTS, 1);
	release(held);
	return 0;
}

/*
 * The list of loaded libraries that the dynamic linker keeps for debuggers (<link.h>: struct r_debug, struct link_map),
 * at the offsets of a 64-bit process.
 */
#define R_DEBUG_MAP 8
#define R_DEBUG_STATE 24
#define RT_CONSISTENT 0
#define LINK_MAP_NAME 8
#define LINK_MAP_NEXT 24

static __always_inline __u64 read_user_word(__u64 address)
{
	__u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)address);
	return word;
}

/* Whether the library of one struct link_map was not seen before. Not inlined: see send_chunk() in openssl.bpf.c. */
__attribute__((noinline)) int is_new_library(__u64 link_map)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct library_key_t key = {};
	__u64 name = read_user_word(link_map + LINK_MAP_NAME);

	key.mount_namespace = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	return bpf_probe_read_user_str(key.path, sizeof(key.path), (void *)name) > 1 && is_new(&known_libraries, &key);
}

/* Whether the process has loaded a library that was not seen before. */
__attribute__((noinline)) int has_new_library(__u64 r_debug)
{
	__u64 link_map = read_user_word(r_debug + R_DEBUG_MAP);
	int found = 0;

	for (int i = 0; i < MAX_LIBRARIES && link_map; i++) {
		if (is_new_library(link_map))
			found = 1;
		link_map = read_user_word(link_map + LINK_MAP_NEXT);
	}
	return found;
}

/*
 * void _dl_debug_state(void): called by the dynamic linker of glibc and musl whenever its list of libraries begins to
 * change or has changed, before the constructors of the new ones run. The cookie is the distance from it to the
 * variable _r_debug, 0 where the linker has no such variable.
 */
SEC("uprobe")
int BPF_KPROBE(probe__dl_debug_state)
{
	__u64 distance = bpf_get_attach_cookie(ctx);
	__u64 r_debug = PT_REGS_IP(ctx) + distance;
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	if (!is_watched(pid))
		return 0;
	if (distance && ((__u32)read_user_word(r_debug + R_DEBUG_STATE) != RT_CONSISTENT || !has_new_library(r_debug)))
		return 0;
	emit_process_event(ctx, EVENT_LIBRARIES_CHANGED, pid, 0, 0, stop_wanted(pid) && bpf_send_signal(SIGSTOP) == 0);
	return 0;
}
