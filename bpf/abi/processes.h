/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes and the files that they load. */
#ifndef PLAINWIRE_ABI_PROCESSES_H
#define PLAINWIRE_ABI_PROCESSES_H

#include "events.h"

/* A process forked, ended, or loaded libraries. */
struct process_event_t {
	__u32 kind; /* EVENT_PROCESS_FORK, EVENT_PROCESS_EXIT, EVENT_LIBRARIES_CHANGED */
	__u32 pid;
	__u64 timestamp_ns;
	__u32 parent_pid;    /* of a fork; else 0 */
	__u32 namespace_pid; /* of a fork: as in exec_event_t; else 0 */
	__u32 stopped;	     /* 1: the process waits, stopped, until userspace has attached to what it loaded */
	char comm[TASK_COMM_LEN];
};

#define MAX_EXEC_TEXT 4096

/* A process runs a new program. */
struct exec_event_t {
	__u32 kind; /* EVENT_PROCESS_EXEC */
	__u32 pid;
	__u64 timestamp_ns;
	__u64 cgroup_id;     /* of the cgroup2 hierarchy: the inode number of the cgroup's folder */
	__u32 namespace_pid; /* its number in its own pid namespace; `pid` in the host's */
	__u32 uid;
	__u32 stopped;	    /* as in process_event_t */
	__u32 filename_len; /* bytes of the program's name at the start of text, its NUL included */
	__u32 text_len;
	char comm[TASK_COMM_LEN];
	char text[MAX_EXEC_TEXT]; /* the program's name as execve got it, then the arguments, each ended by NUL */
};

/* Which processes are captured, and what is done with them: value of the map target_pids. */
enum target_flag {
	TARGET_PROCESS = 1,
	TARGET_FOLLOW = 2, /* the processes that it starts from now on are targets too */
	TARGET_STOP = 4,   /* stop it when it loads a file for the first time, until userspace has attached to it */
};

/* A file on a mounted file system. */
struct file_key_t {
	__u64 inode;
	__u32 device;
	__u32 reserved;
};

#define MAX_LIBRARY_PATH 252

/* A library as the dynamic linker names it. */
struct library_key_t {
	__u32 mount_namespace;
	char path[MAX_LIBRARY_PATH];
};

#endif
