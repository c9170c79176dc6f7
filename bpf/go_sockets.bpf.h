/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which socket a tls.Conn's bytes travel on: the one in its net.Conn; or, where that is a type of the program's own which
 * holds none in sight, the one that is used inside a call on it.
 *
 * Such a call is known by the place on the stack where its return address stands. When a socket is used, the chain of
 * frames that leads there (Go keeps frame pointers) is followed up: if it passes that place, the call is under way on this
 * very goroutine, whatever thread it runs on. A call that has returned is on no chain, so its entry claims nothing.
 */
#ifndef PLAINWIRE_GO_SOCKETS_BPF_H
#define PLAINWIRE_GO_SOCKETS_BPF_H

#include "socket_use.bpf.h"

#define MAX_GO_FRAMES 40

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, __u32); /* pid */
	__type(value, __u8);
	__uint(max_entries, 4096);
} go_wrappers SEC(".maps") PURPOSE("processes with TLS connections over a net.Conn that is no socket");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct go_call_key_t);
	__type(value, struct go_call_t);
	__uint(max_entries, 8192);
} go_calls SEC(".maps") PURPOSE("calls on such connections, by where their return address stands");

/*
 * The descriptor of the socket below a tls.Conn, or -1. A tls.Conn begins with its net.Conn: an itab and a pointer. If
 * that is no socket but a type that itself begins with a net.Conn (an embedded one, or another tls.Conn), its is looked
 * at. A TCPConn begins with its netFD, which holds the descriptor at byte 16.
 */
static __always_inline __s32 find_fd(struct pt_regs *ctx, const struct go_layout_t *layout, __u64 conn)
{
	/* The cookie's upper half is the probe's offset in the file: what is between that and here is the load address. */
	__u64 bias = PT_REGS_IP(ctx) - (bpf_get_attach_cookie(ctx) >> 32) - layout->text_base;

	for (int depth = 0; depth < 4; depth++) {
		__u64 interface[2], descriptor;
		__s64 fd;

		if (bpf_probe_read_user(interface, sizeof(interface), (void *)conn))
			return -1;
		for (int i = 0; i < MAX_GO_SOCKET_ITABS; i++) {
			if (!layout->socket_itabs[i] || layout->socket_itabs[i] + bias != interface[0])
				continue;
			if (bpf_probe_read_user(&descriptor, sizeof(descriptor), (void *)interface[1]) ||
			    bpf_probe_read_user(&fd, sizeof(fd), (void *)(descriptor + 16)))
				return -1;
			return fd >= 0 && fd < 0x7fffffff ? fd : -1;
		}
		conn = interface[1];
	}
	return -1;
}

/*
 * Where the word at an address of the current goroutine's stack is, so that it is found again when the stack was moved: by
 * its distance from the stack's upper end. goroutine: address of its runtime.g, which begins with the bounds of the stack;
 * if that is none (it is not at hand where arguments are passed on the stack), by the address alone.
 */
static __always_inline void set_place(struct go_call_key_t *place, __u64 goroutine, __u64 address)
{
	__u64 stack[2];

	place->goroutine = 0;
	place->slot = address;
	if (bpf_probe_read_user(stack, sizeof(stack), (void *)goroutine) || address < stack[0] || address >= stack[1])
		return;
	place->goroutine = goroutine;
	place->slot = stack[1] - address;
}

/* A call on a connection begins. The probe stands behind the stack check: the return address is on top of the stack. */
static __always_inline void begin_call(struct pt_regs *ctx, bool registers, __u64 conn)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, library = (__u32)bpf_get_attach_cookie(ctx);
	struct ssl_key_t key = {.ssl = conn, .pid = pid};
	struct ssl_state_t *state = bpf_map_lookup_elem(&ssl_states, &key);
	struct go_layout_t *layout = bpf_map_lookup_elem(&go_layouts, &library);
	struct go_call_key_t place = {.pid = pid};
	struct go_call_t call = {.conn = conn};
	bool has_socket;
	__u8 yes = 1;

	if (!layout)
		return;
	has_socket = (state && state->connection.way == CONNECTION_BY_NET_CONN) || find_fd(ctx, layout, conn) >= 0;
	if (has_socket && !bpf_map_lookup_elem(&go_wrappers, &pid))
		return;
	set_place(&place, registers ? GOROUTINE(ctx) : 0, PT_REGS_SP(ctx));
	if (has_socket) { /* an earlier call may have had its frame in the same place */
		bpf_map_delete_elem(&go_calls, &place);
		return;
	}
	if (bpf_probe_read_user(&call.return_address, sizeof(call.return_address), (void *)PT_REGS_SP(ctx)))
		return;
	bpf_map_update_elem(&go_wrappers, &pid, &yes, BPF_ANY);
	bpf_map_update_elem(&go_calls, &place, &call, BPF_ANY);
}

static __always_inline int found_call(struct go_call_t *call, struct sock *sock, __u32 pid)
{
	struct ssl_state_t *state;

	if (call->sock == (__u64)sock)
		return 0;
	state = find_state(call->conn, pid);
	if (!state)
		return 0;
	if (call->sock)
		state->connection.way = CONNECTION_AMBIGUOUS;
	else if (read_socket(sock, &state->connection))
		state->connection.way = CONNECTION_BY_THREAD;
	call->sock = (__u64)sock;
	return 0;
}

#if defined(__TARGET_ARCH_x86)
/* A socket has sent or received: the innermost call on the way there is that of its connection. */
static __always_inline int use_go_socket(struct sock *sock)
{
	struct go_call_key_t place = {.pid = bpf_get_current_pid_tgid() >> 32};
	struct go_call_t *call;
	struct pt_regs *regs;
	__u64 frame, goroutine;

	if (!bpf_map_lookup_elem(&go_wrappers, &place.pid))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	frame = BPF_CORE_READ(regs, bp);
	goroutine = BPF_CORE_READ(regs, r14);
	for (int i = 0; i < MAX_GO_FRAMES; i++) {
		__u64 words[2]; /* the caller's frame, the return address */

		if (bpf_probe_read_user(words, sizeof(words), (void *)frame))
			return 0;
		set_place(&place, goroutine, frame + sizeof(__u64));
		call = bpf_map_lookup_elem(&go_calls, &place);
		if (call && call->return_address == words[1])
			return found_call(call, sock, place.pid);
		if (words[0] <= frame)
			return 0;
		frame = words[0];
	}
	return 0;
}
#else /* frames are laid out differently there */
static __always_inline int use_go_socket(struct sock *sock)
{
	return 0;
}
#endif

ON_SOCKET_USE(go_, use_go_socket)

#endif
