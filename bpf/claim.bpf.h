/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A flag in a map that one task at a time holds. Nobody waits for it: who does not get it goes another way. */
#ifndef PLAINWIRE_CLAIM_BPF_H
#define PLAINWIRE_CLAIM_BPF_H

static __always_inline bool claim(__u32 *held)
{
	return held && __sync_val_compare_and_swap(held, 0, 1) == 0;
}

static __always_inline void release(__u32 *held)
{
	__sync_lock_test_and_set(held, 0);
}

#endif
