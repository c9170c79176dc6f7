/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that a probe can do: what a captured call is compared with. */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("uprobe")
int empty_entry(void *ctx)
{
	return 0;
}

SEC("uretprobe")
int empty_return(void *ctx)
{
	return 0;
}

SEC("raw_tp")
int empty_tracepoint(void *ctx)
{
	return 0;
}
