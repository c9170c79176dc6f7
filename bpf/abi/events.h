/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every event begins with; the common constants. */
#ifndef PLAINWIRE_ABI_EVENTS_H
#define PLAINWIRE_ABI_EVENTS_H

#define TASK_COMM_LEN 16

/* What an event is: the first field of each. Numbers are never reused, since recordings hold them. */
enum event_kind {
	EVENT_SSL_DATA = 1,
	EVENT_PROCESS_EXEC = 2,
	EVENT_PROCESS_FORK = 3,
	EVENT_PROCESS_EXIT = 4,
	EVENT_LIBRARIES_CHANGED = 5,
	EVENT_CONNECT = 6,
	EVENT_MASTER_SECRET = 7,
	EVENT_KEYLOG_LINE = 8,
	EVENT_TLS_STATE = 9,
	EVENT_GO_TLS_DATA = 16,
	EVENT_GO_SECRET = 17,
	EVENT_PACKET = 32,
	EVENT_SOCKET_OWNER = 33,
	EVENT_SHELL_COMMAND = 48,
};

#endif
