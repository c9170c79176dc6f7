/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One small program for each way to hook something: `plainwire doctor` loads and attaches them one by one, to tell what
 * this kernel allows. They do nothing.
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

static __u32 counter;

SEC("uprobe")
int trial_uprobe(void *ctx)
{
	return 0;
}

SEC("uprobe")
int trial_attach_cookie(void *ctx)
{
	return bpf_get_attach_cookie(ctx) == 0;
}

SEC("uprobe")
int trial_atomics(void *ctx)
{
	return __sync_val_compare_and_swap(&counter, 0, 0);
}

SEC("uprobe")
int trial_core(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(task, group_leader, tgid) == 0;
}

SEC("raw_tp/sched_process_exit")
int trial_raw_tracepoint(void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_process_exec")
int trial_send_signal(void *ctx)
{
	/* Signal 0 only asks whether there is a process; this one is never attached. */
	return bpf_send_signal(0);
}

SEC("tp_btf/sched_process_exit")
int trial_btf_tracepoint(void *ctx)
{
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int trial_tracepoint(void *ctx)
{
	return 0;
}

SEC("kprobe/tcp_sendmsg")
int trial_kprobe(void *ctx)
{
	return 0;
}

SEC("fentry/tcp_sendmsg")
int trial_fentry(void *ctx)
{
	return 0;
}
