/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands that are entered in shells: kept, line by line, until the shell asks for the next one, since only then is
 * it known what they returned, by which they are filtered. A shell is known by its process: it reads in one thread.
 */
#ifndef PLAINWIRE_SHELL_COMMANDS_BPF_H
#define PLAINWIRE_SHELL_COMMANDS_BPF_H

KEEP_IN_BTF(struct, shell_event_t);

const volatile __s32 target_errno = ANY_RETURN_CODE; /* else: only commands that return this */

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__type(key, __u32);
	__type(value, __u32);
	__uint(max_entries, 1024);
} shell_events SEC(".maps") PURPOSE("commands to userspace");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* pid */
	__type(value, struct shell_command_t);
	__uint(max_entries, 4096);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC: few are in use */
} shell_commands SEC(".maps") PURPOSE("the command that each shell runs, or that is being entered in it");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct shell_part_key_t);
	__type(value, struct shell_part_t);
	__uint(max_entries, 16384);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
} shell_parts SEC(".maps") PURPOSE("the text of these commands, part by part");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct shell_part_t);
	__uint(max_entries, 1);
} empty_part SEC(".maps") PURPOSE("what a part begins as: too large for the stack");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32); /* the program: lower half of the attach cookie */
	__type(value, struct shell_layout_t);
	__uint(max_entries, 256);
} shell_layouts SEC(".maps") PURPOSE("where each shell keeps its variables, by program");

/* A new part of a command, to which text can be added; NULL if there is no room for it. */
static __always_inline struct shell_part_t *begin_part(struct shell_command_t *command)
{
	struct shell_part_key_t key = {.pid = command->pid, .part = command->parts};
	struct shell_part_t *part;
	__u32 zero = 0;

	if (command->parts >= MAX_COMMAND_PARTS) {
		command->flags |= SHELL_TRUNCATED;
		return NULL;
	}
	part = bpf_map_lookup_elem(&empty_part, &zero);
	if (!part || bpf_map_update_elem(&shell_parts, &key, part, BPF_ANY)) {
		count_loss(LOSS_ARGUMENTS_FULL, 1);
		command->flags |= SHELL_TRUNCATED;
		return NULL;
	}
	part = bpf_map_lookup_elem(&shell_parts, &key);
	if (!part)
		return NULL;
	command->parts++;
	part->event.kind = EVENT_SHELL_COMMAND;
	part->event.library = command->library;
	part->event.timestamp_ns = command->started_ns;
	part->event.pid = command->pid;
	part->event.uid = command->uid;
	part->event.part = key.part;
	part->event.return_code = UNKNOWN_RETURN_CODE;
	read_process_comm(part->event.comm);
	return part;
}

static __always_inline struct shell_part_t *last_part(struct shell_command_t *command)
{
	struct shell_part_key_t key = {.pid = command->pid, .part = command->parts - 1};
	struct shell_part_t *part = command->parts ? bpf_map_lookup_elem(&shell_parts, &key) : NULL;

	return part && part->event.data_len < SHELL_PART_SIZE ? part : begin_part(command);
}

/*
 * Add as much of a text as the command's last part takes. Returns how many bytes; -1 where no more can be added. Not
 * inlined, and not static: the verifier looks at it once instead of once a turn of the loop.
 */
__attribute__((noinline)) long add_some(struct shell_command_t *command, __u64 text)
{
	struct shell_part_t *part;
	__u64 used, room;
	long size;

	if (!command)
		return -1;
	part = last_part(command);
	if (!part)
		return -1;
	used = part->event.data_len & (SHELL_PART_SIZE - 1);
	room = SHELL_PART_SIZE - used;
	/* With its NUL, for which there is room too. */
	size = bpf_probe_read_user_str(part->event.data + used, room + 1, (void *)text);
	if (size <= 0) {
		command->flags |= SHELL_UNREADABLE;
		part->event.flags = command->flags;
		count_loss(LOSS_UNREADABLE, 1);
		return -1;
	}
	part->event.data_len = used + size - 1;
	part->event.flags = command->flags;
	return size - 1;
}

/* Add a line and, if the shell keeps lines without, its \n. */
static __always_inline void add_line(struct shell_command_t *command, __u64 line, bool ends_itself)
{
	struct shell_part_t *part;
	long size = 1;

	for (int i = 0; i < MAX_COMMAND_PARTS && size > 0; i++) {
		size = add_some(command, line);
		line += size;
	}
	if (ends_itself)
		return;
	part = last_part(command);
	if (part) {
		part->event.data[part->event.data_len & (SHELL_PART_SIZE - 1)] = '\n';
		part->event.data_len++;
	}
}

/* A user has entered a line. */
static __always_inline int line_entered(struct pt_regs *ctx, __u32 flags, bool ends_itself)
{
	__u32 uid = (__u32)bpf_get_current_uid_gid(), pid = bpf_get_current_pid_tgid() >> 32;
	__u64 line = PT_REGS_RC(ctx);
	struct shell_command_t *command;

	if (!line || !is_target(pid, uid)) /* NULL: the end of input */
		return 0;
	command = bpf_map_lookup_elem(&shell_commands, &pid);
	if (!command) {
		struct shell_command_t fresh = {
			.started_ns = bpf_ktime_get_ns(),
			.pid = pid,
			.uid = uid,
			.library = (__u32)bpf_get_attach_cookie(ctx),
			.flags = flags,
		};

		if (bpf_map_update_elem(&shell_commands, &pid, &fresh, BPF_ANY))
			count_loss(LOSS_ARGUMENTS_FULL, 1);
		command = bpf_map_lookup_elem(&shell_commands, &pid);
	}
	if (command)
		add_line(command, line, ends_itself);
	return 0;
}

/* Send a part of a command that has returned, if that is wanted, and forget it. False: there is no such part. */
static __always_inline bool send_part(void *ctx, struct shell_command_t *command, __u32 index, __s32 return_code)
{
	struct shell_part_key_t key = {.part = index};
	struct shell_part_t *part;
	__u64 size;

	if (!command)
		return false;
	key.pid = command->pid;
	part = bpf_map_lookup_elem(&shell_parts, &key);
	if (!part)
		return false;
	if (target_errno == ANY_RETURN_CODE || target_errno == return_code) {
		part->event.parts = command->parts;
		part->event.return_code = return_code;
		part->event.ended_ns = bpf_ktime_get_ns();
		part->event.flags = command->flags;
		size = __builtin_offsetof(struct shell_event_t, data) + part->event.data_len;
		if (size > sizeof(part->event))
			size = sizeof(part->event);
		if (emit(ctx, &shell_events, &part->event, size))
			count_loss(LOSS_BUFFER_FULL, 1);
	}
	bpf_map_delete_elem(&shell_parts, &key);
	return true;
}

/* The same, for each kind of program, as functions that the verifier looks at once: see add_some(). */
__attribute__((noinline)) int send_part_at_probe(struct bpf_user_pt_regs_t *ctx, struct shell_command_t *command,
						 __u32 index, __s32 return_code)
{
	return send_part(ctx, command, index, return_code);
}

__attribute__((noinline)) int send_part_at_tracepoint(struct bpf_raw_tracepoint_args *ctx,
						      struct shell_command_t *command, __u32 index, __s32 return_code)
{
	return send_part(ctx, command, index, return_code);
}

/* The command that a shell was running has returned. */
#define COMMAND_RETURNED(send, ctx, shell, return_code)                                                                \
	({                                                                                                             \
		__u32 pid = (shell);                                                                                   \
		struct shell_command_t *command = bpf_map_lookup_elem(&shell_commands, &pid);                          \
                                                                                                                       \
		for (__u32 i = 0; i < MAX_COMMAND_PARTS && command; i++) {                                             \
			if (!send(ctx, command, i, return_code))                                                       \
				break;                                                                                 \
		}                                                                                                      \
		bpf_map_delete_elem(&shell_commands, &pid);                                                            \
		0;                                                                                                     \
	})

/* The load address of the program in which the probe stands: the cookie's upper half is the probe's offset in the file. */
static __always_inline __u64 load_address(struct pt_regs *ctx, const struct shell_layout_t *layout)
{
	return PT_REGS_IP(ctx) - (bpf_get_attach_cookie(ctx) >> 32) - layout->text_base;
}

static __always_inline struct shell_layout_t *find_layout(struct pt_regs *ctx)
{
	__u32 library = (__u32)bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&shell_layouts, &library);
}

/* The shell asks for a command: what `$?` says now is what the last one returned. */
static __always_inline int command_asked_for(struct pt_regs *ctx, const struct shell_layout_t *layout)
{
	__s32 return_code = UNKNOWN_RETURN_CODE;

	bpf_probe_read_user(&return_code, sizeof(return_code),
			    (void *)(layout->exit_status + load_address(ctx, layout)));
	return COMMAND_RETURNED(send_part_at_probe, (struct bpf_user_pt_regs_t *)ctx, bpf_get_current_pid_tgid() >> 32,
				return_code);
}

#define SIGNAL_MASK 0x7f
#define SIGNAL_RETURN_CODE 128

/* A shell ends, by `exit`, by its input's end, or killed: the status that its parent gets is the last command's. */
SEC("raw_tp/sched_process_exit")
int shell_ended(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	int status = BPF_CORE_READ(task, exit_code), killed_by = status & SIGNAL_MASK;

	if (BPF_CORE_READ(task, signal, live.counter) > 0) /* a thread; others go on */
		return 0;
	return COMMAND_RETURNED(send_part_at_tracepoint, ctx, bpf_get_current_pid_tgid() >> 32,
				killed_by ? SIGNAL_RETURN_CODE + killed_by : status >> 8 & 0xff);
}

/* A shell becomes another program (`exec`): what its last command returns nobody will know. */
SEC("raw_tp/sched_process_exec")
int shell_replaced(struct bpf_raw_tracepoint_args *ctx)
{
	return COMMAND_RETURNED(send_part_at_tracepoint, ctx, bpf_get_current_pid_tgid() >> 32, UNKNOWN_RETURN_CODE);
}

#endif
