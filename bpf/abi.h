/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every structure, enum and constant that the eBPF programs share with userspace, and their only definition, a header
 * for each subject. Userspace takes offsets and sizes from the BTF that the compiler writes (src/plainwire/decode/).
 *
 * Each event begins with `kind`, 4 bytes of its own and `timestamp_ns`, since one buffer carries events of several
 * kinds; what a module sends goes on with `pid`. A payload stands last, so that an event can be sent at its actual length.
 */
#ifndef PLAINWIRE_ABI_H
#define PLAINWIRE_ABI_H

#include "abi/events.h"
#include "abi/losses.h"
#include "abi/connections.h"
#include "abi/ssl_data.h"
#include "abi/ssl_calls.h"
#include "abi/tls_state.h"
#include "abi/layouts.h"
#include "abi/secrets.h"
#include "abi/gotls.h"
#include "abi/processes.h"
#include "abi/packets.h"
#include "abi/shells.h"

#endif
