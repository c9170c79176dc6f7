/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Userspace reads events by the object's BTF, and the compiler writes BTF for no type that only functions use. */
#ifndef PLAINWIRE_BTF_BPF_H
#define PLAINWIRE_BTF_BPF_H

#define KEEP_IN_BTF(kind, name) const kind name *const btf_of_##name = NULL

/* What a map is for, in the object itself: `plainwire maps` shows it. */
#define PURPOSE(text) __attribute__((btf_decl_tag("purpose: " text)))

KEEP_IN_BTF(enum, event_kind);
KEEP_IN_BTF(enum, loss_kind);

#endif
