/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands entered in zsh. Probes stand on the one call of zleentry that reads them
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

/* On the call: char *zleentry(ZLE_CMD_READ, char **left_prompt, char **right_prompt, int flags, int context, …) */
#define ZLCON_LINE_START 0 /* Src/zsh.h: not a further line of a command, nor `select`, nor `vared` */

SEC("uprobe")
int probe_zsh_prompt(struct pt_regs *ctx)
{
	struct shell_layout_t *layout = find_layout(ctx);

	if (!layout || (__u32)PT_REGS_PARM5(ctx) != ZLCON_LINE_START)
		return 0;
	return command_asked_for(ctx, layout);
}

/* Behind the call: zle has returned a line, with its \n. */
SEC("uprobe")
int probe_zsh_line(struct pt_regs *ctx)
{
	return line_entered(ctx, SHELL_METAFIED, true);
}
