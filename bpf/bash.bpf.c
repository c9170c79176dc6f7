/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands entered in bash. Probes stand on the one call of readline that reads them
 * (src/plainwire/layouts/shell_prompt.py).
 */
#include "kernel_types.bpf.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "abi.h"
#include "btf.bpf.h"
#include "filter.bpf.h"
#include "emit.bpf.h"
#include "shell_commands.bpf.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline __u64 read_pointer(__u64 address)
{
	__u64 pointer = 0;

	bpf_probe_read_user(&pointer, sizeof(pointer), (void *)address);
	return pointer;
}

/* On the call: bash is about to show the first prompt of a command, or one for a further line of it (`$PS2`). */
SEC("uprobe")
int probe_bash_prompt(struct pt_regs *ctx)
{
	struct shell_layout_t *layout = find_layout(ctx);
	__u64 bias;

	if (!layout)
		return 0;
	bias = load_address(ctx, layout);
	if (read_pointer(layout->current_prompt + bias) != read_pointer(layout->first_prompt + bias))
		return 0;
	return command_asked_for(ctx, layout);
}

/* Behind the call: readline has returned a line, without its \n. */
SEC("uprobe")
int probe_bash_line(struct pt_regs *ctx)
{
	return line_entered(ctx, 0, false);
}
