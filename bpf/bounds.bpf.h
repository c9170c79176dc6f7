/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the verifier what the program knows about a number. */
#ifndef PLAINWIRE_BOUNDS_BPF_H
#define PLAINWIRE_BOUNDS_BPF_H

/*
 * A length that was compared with `most` before. The compiler may have compared a copy of it, and kept another one in a
 * register or on the stack: verifiers as late as Linux 6.1's know nothing of that one then.
 */
static __always_inline __u64 at_most(__u64 length, __u64 most)
{
	barrier_var(length);
	return length > most ? most : length;
}

#endif
