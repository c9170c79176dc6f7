/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which processes are captured. Userspace sets the constants before a program is loaded; the maps may change later. */
#ifndef PLAINWIRE_FILTER_BPF_H
#define PLAINWIRE_FILTER_BPF_H

const volatile __u32 less52 = 0;	  /* 1: nothing is filtered here, userspace does it */
const volatile __u32 target_pid = 0;	  /* 0: every process */
const volatile __u32 target_uid = 0;	  /* 0: every user */
const volatile bool target_root = false;  /* uid 0 is wanted, which target_uid can't say */
const volatile bool filter_pids = false;  /* only the processes in target_pids */
const volatile bool filter_comms = false; /* only the processes whose name is in target_comms */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);   /* pid */
	__type(value, __u32); /* enum target_flag */
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* few are in use */
} target_pids SEC(".maps") PURPOSE("the processes to capture, and whether their children are too");

struct comm_key_t {
	char comm[TASK_COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct comm_key_t);
	__type(value, __u8);
	__uint(max_entries, 256);
} target_comms SEC(".maps") PURPOSE("the process names to capture");

/* The process's name is its first thread's; threads may have names of their own. */
static __always_inline void read_comm_of(struct task_struct *task, char comm[TASK_COMM_LEN])
{
	BPF_CORE_READ_INTO((char (*)[TASK_COMM_LEN])comm, task, group_leader, comm);
}

static __always_inline void read_process_comm(char comm[TASK_COMM_LEN])
{
	read_comm_of((struct task_struct *)bpf_get_current_task(), comm);
}

static __always_inline bool is_target_task(struct task_struct *task, __u32 pid, __u32 uid)
{
	if (less52)
		return true;
	if (target_pid && pid != target_pid)
		return false;
	if (target_uid && uid != target_uid)
		return false;
	if (target_root && uid != 0)
		return false;
	if (filter_pids && !bpf_map_lookup_elem(&target_pids, &pid))
		return false;
	if (filter_comms) {
		struct comm_key_t key = {};

		read_comm_of(task, key.comm);
		return bpf_map_lookup_elem(&target_comms, &key) != NULL;
	}
	return true;
}

static __always_inline bool is_target(__u32 pid, __u32 uid)
{
	return is_target_task((struct task_struct *)bpf_get_current_task(), pid, uid);
}

#endif
