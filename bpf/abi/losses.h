/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was lost, counted. */
#ifndef PLAINWIRE_ABI_LOSSES_H
#define PLAINWIRE_ABI_LOSSES_H

/* Why something did not reach userspace: index into the map `loss_counters`. */
enum loss_kind {
	LOSS_BUFFER_FULL = 0,	  /* userspace reads too slowly, or the buffer is too small */
	LOSS_ARGUMENTS_FULL = 1,  /* more calls under way at once than active_ssl_*_args_map holds */
	LOSS_UNREADABLE = 2,	  /* the caller's memory was not in core, or not mapped */
	LOSS_TRUNCATED_BYTES = 3, /* bytes of a call beyond MAX_CALL_SIZE */
	LOSS_NO_SCRATCH = 4,	  /* every event buffer was held by a preempted task */
	LOSS_PROCESS_EVENTS = 5,  /* process_events was full */
	LOSS_KINDS,
};

#endif
