/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds an SSL structure's connection by its client random: the socket on which the ClientHello with that random went, if
 * the process holds it. Only that is proof, since a proxy that passes TLS on sends and receives the same hello.
 */
#ifndef PLAINWIRE_HELLO_CONNECTION_BPF_H
#define PLAINWIRE_HELLO_CONNECTION_BPF_H

#include "client_hellos.bpf.h"
#include "scratch.bpf.h"

#define NO_FD -1
#define SLOTS 64 /* of a descriptor table, read at once: its size is a multiple of BITS_PER_LONG (fs/file.c) */
#define MAX_DESCRIPTORS 65536

/* What a search has in hand. It is made in an event's buffer, since the stack is 512 bytes for all functions together. */
struct hello_search_t {
	struct client_hello_key_t key;
	struct connection_t now;
	__u64 slots[SLOTS];
};

/* Which of SLOTS entries of a descriptor table is `file`; NO_FD: none. Not inlined, so that it is verified once. */
__attribute__((noinline)) int find_file(struct hello_search_t *search, __u64 slots, __u64 file)
{
	int found = NO_FD;

	if (!search || bpf_probe_read_kernel(search->slots, sizeof(search->slots), (void *)slots))
		return NO_FD;
	for (int i = 0; i < SLOTS; i++)
		if (search->slots[i] == file)
			found = i;
	return found;
}

/* The current process's descriptor of a file, of the first MAX_DESCRIPTORS; NO_FD where it has none. */
__attribute__((noinline)) int find_descriptor(struct hello_search_t *search, __u64 file)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	__u64 slots = (__u64)BPF_CORE_READ(table, fd);
	__u32 count = BPF_CORE_READ(table, max_fds);

	if (!file)
		return NO_FD;
	for (__u32 first = 0; first < MAX_DESCRIPTORS; first += SLOTS) {
		int at;

		if (first >= count)
			break;
		at = find_file(search, slots + first * sizeof(file), file);
		if (at >= 0)
			return first + at;
	}
	return NO_FD;
}

static __always_inline bool same_ends(const struct connection_t *one, const struct connection_t *other)
{
	const __u64 *left = (const __u64 *)one->saddr, *right = (const __u64 *)other->saddr;

	return left[0] == right[0] && left[1] == right[1] && left[2] == right[2] && left[3] == right[3] &&
	       one->sport == other->sport && one->dport == other->dport && one->family == other->family;
}

/* Give `state` a socket that was seen, and its descriptor, if the process holds it. */
static __always_inline bool take_held_socket(struct hello_search_t *search, struct ssl_state_t *state,
					     struct connection_t *seen)
{
	struct sock *sock = (struct sock *)seen->sock;
	__s32 fd;

	__builtin_memset(&search->now, 0, sizeof(search->now));
	/* Read again: an accepted socket had no file before accept(), and the address may be another socket's by now. */
	if (!read_socket(sock, &search->now) || !same_ends(&search->now, seen))
		return false;
	fd = find_descriptor(search, (__u64)BPF_CORE_READ(sock, sk_socket, file));
	if (fd == NO_FD)
		return false;
	search->now.way = seen->way;
	state->connection = search->now;
	state->fd = fd;
	return true;
}

/* Look one end's socket up. Gives CONNECTION_BY_CLIENT_RANDOM, and `state` has it, where the process holds it; else why not. */
static __always_inline __u16 find_hello_socket(struct hello_search_t *search, struct ssl_state_t *state)
{
	struct connection_t *seen = bpf_map_lookup_elem(&client_hellos, &search->key);

	if (!seen)
		return CONNECTION_HELLO_UNSEEN;
	return take_held_socket(search, state, seen) ? CONNECTION_BY_CLIENT_RANDOM : CONNECTION_NOT_HELD;
}

static __always_inline void learn_by_search(struct hello_search_t *search, struct ssl_state_t *state, __u64 ssl,
					    __u32 library)
{
	struct library_layout_t *layout = bpf_map_lookup_elem(&library_layouts, &library);
	__u16 way, other;
	__u32 server;

	search->key.received = 0;
	if (!layout || !read_by_layout(search->key.random, sizeof(search->key.random), ssl, &layout->client_random)) {
		if (state->connection.way == CONNECTION_UNKNOWN)
			state->connection.way = CONNECTION_LAYOUT_UNKNOWN;
		return;
	}
	state->hello_sought = 1;
	if (read_by_layout(&server, sizeof(server), ssl, &layout->server)) {
		search->key.received = server != 0;
		way = find_hello_socket(search, state);
	} else {
		way = find_hello_socket(search, state);
		search->key.received = 1;
		other = find_hello_socket(search, state);
		if (way == CONNECTION_BY_CLIENT_RANDOM && other == CONNECTION_BY_CLIENT_RANDOM)
			way = CONNECTION_AMBIGUOUS;
		else if (way == CONNECTION_HELLO_UNSEEN || other == CONNECTION_BY_CLIENT_RANDOM)
			way = other;
	}
	if (state->connection.way != CONNECTION_AMBIGUOUS || way == CONNECTION_BY_CLIENT_RANDOM)
		state->connection.way = way;
}

/*
 * Learn an SSL structure's connection by its client random, or why it can't be learned. Not inlined, so that it is verified
 * once. Where the build's SSL_is_server tells no role, a process that holds both ends leaves it open which one this is.
 */
__attribute__((noinline)) int learn_by_hello(struct ssl_state_t *state, __u64 ssl, __u32 library)
{
	struct scratch scratch;

	if (!state || !claim_scratch(&scratch))
		return 0;
	learn_by_search((struct hello_search_t *)scratch.event->data, state, ssl, library);
	release_scratch(&scratch);
	return 0;
}

#endif
