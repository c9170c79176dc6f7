/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The maps of the programs that follow a connection from connect() or accept() to its end. */
#ifndef PLAINWIRE_CONNECTIONS_BPF_H
#define PLAINWIRE_CONNECTIONS_BPF_H

KEEP_IN_BTF(struct, connect_event_t);

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} connect_events SEC(".maps") PURPOSE("opened and closed connections to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u64); /* bpf_get_current_pid_tgid() */
	__type(value, struct tcp_fd_info);
	__uint(max_entries, 10240);
} tcp_fd_infos SEC(".maps") PURPOSE("sockets on their way from connect() or accept() to a connection");

#endif
