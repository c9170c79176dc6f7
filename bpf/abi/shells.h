/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands entered in shells. */
#ifndef PLAINWIRE_ABI_SHELLS_H
#define PLAINWIRE_ABI_SHELLS_H

#include "events.h"

#define SHELL_PART_SIZE 2048   /* bytes of a command that one event carries */
#define MAX_COMMAND_PARTS 512  /* a command of more is cut, and marked */
#define ANY_RETURN_CODE 128    /* target_errno: every command is told */
#define UNKNOWN_RETURN_CODE -1 /* the command still runs, or the shell has become another program */

enum shell_flag {
	SHELL_TRUNCATED = 1,  /* the command has more than MAX_COMMAND_PARTS parts */
	SHELL_UNREADABLE = 2, /* a line could not be read, and is missing */
	SHELL_METAFIED = 4,   /* as zsh keeps text: byte 0x83 means that 32 is to be xored to the next one */
};

/* A command that a user entered, or a part of it: its lines, each with its \n. */
struct shell_event_t {
	__u32 kind;	    /* EVENT_SHELL_COMMAND */
	__u32 library;	    /* the attach cookie: which file the shell is */
	__u64 timestamp_ns; /* CLOCK_MONOTONIC when the first line was entered */
	__u32 pid;
	__u32 uid;
	__u64 ended_ns; /* when the shell asked for the next command, or ended; 0: not yet */
	__s32 return_code;
	__u32 part;  /* from 0 on */
	__u32 parts; /* that the command has; 0 while it runs */
	__u32 flags; /* enum shell_flag, of what is known of the command by this part */
	__u32 data_len;
	char comm[TASK_COMM_LEN];
	__u8 data[SHELL_PART_SIZE];
};

/* A command that runs, or is being entered: value of the map shell_commands. */
struct shell_command_t {
	__u64 started_ns;
	__u32 pid;
	__u32 uid;
	__u32 library;
	__u32 parts;
	__u32 flags;
	__u32 reserved;
};

struct shell_part_key_t {
	__u32 pid;
	__u32 part;
};

/* A part of such a command. The verifier wants room behind the place where a line is added to what is there. */
struct shell_part_t {
	struct shell_event_t event;
	__u8 room[SHELL_PART_SIZE];
};

/* Where a shell keeps what; value of the map shell_layouts. Addresses are as linked. */
struct shell_layout_t {
	__u64 text_base;   /* the address of an instruction less its offset in the file */
	__u64 exit_status; /* of the last command, in 4 bytes */
	/* bash alone: two variables that are equal while the first line of a command is asked for */
	__u64 current_prompt;
	__u64 first_prompt;
};

#endif
