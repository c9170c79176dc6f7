/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads values of an SSL structure where the library's layout says they stand. */
#ifndef PLAINWIRE_LAYOUT_BPF_H
#define PLAINWIRE_LAYOUT_BPF_H

#include "btf.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* the library: the attach cookie */
	__type(value, struct library_layout_t);
	__uint(max_entries, 1024);
} library_layouts SEC(".maps") PURPOSE("where each attached file keeps what in its SSL structure");

/* Copy `size` bytes from the end of `path`. False where the place is not known or can't be read; `to` is zeroed then. */
static __always_inline bool read_by_layout(void *to, __u32 size, __u64 ssl, const struct layout_path_t *path)
{
	__u64 address = ssl;

	for (int step = 0; step < MAX_LAYOUT_STEPS && step < path->steps; step++) {
		if (step && (bpf_probe_read_user(&address, sizeof(address), (void *)address) || !address))
			break;
		address += path->offsets[step];
		if (step + 1 == path->steps)
			return bpf_probe_read_user(to, size, (void *)address) == 0;
	}
	__builtin_memset(to, 0, size);
	return false;
}

#endif
