/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads a socket's two ends from the kernel's structures (include/net/sock.h). */
#ifndef PLAINWIRE_SOCKETS_BPF_H
#define PLAINWIRE_SOCKETS_BPF_H

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
/* A name of a socket of either family (<linux/in.h>, <linux/in6.h>), in network order. */
struct sockaddr_in4_or_6 {
	__u16 family;
	__u16 port;
	__u8 address4[4]; /* of IPv6 the flow's label */
	__u8 address6[16];
};

#define S_IFMT 0170000 /* <linux/stat.h> */
#define S_IFSOCK 0140000
#define S_IFIFO 0010000

static __always_inline bool is_known(__u16 way) /* enum connection_way */
{
	return way == CONNECTION_BY_SET_FD || way == CONNECTION_BY_BIO || way == CONNECTION_BY_THREAD ||
	       way == CONNECTION_BY_NET_CONN || way == CONNECTION_BY_CLIENT_RANDOM || way == CONNECTION_BY_CIPHERTEXT;
}

/* False where it is no socket of these families, or has no peer yet. */
static __always_inline bool read_socket(struct sock *sock, struct connection_t *connection)
{
	__u16 family = BPF_CORE_READ(sock, __sk_common.skc_family);
	__u16 remote_port = bpf_ntohs(BPF_CORE_READ(sock, __sk_common.skc_dport));

	if (family == AF_INET) {
		BPF_CORE_READ_INTO((__be32 *)connection->saddr, sock, __sk_common.skc_rcv_saddr);
		BPF_CORE_READ_INTO((__be32 *)connection->daddr, sock, __sk_common.skc_daddr);
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&connection->saddr, sock, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&connection->daddr, sock, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	} else if (family != AF_UNIX) {
		return false;
	}
	if (family != AF_UNIX) {
		if (remote_port == 0)
			return false;
		connection->sport = BPF_CORE_READ(sock, __sk_common.skc_num);
		connection->dport = remote_port;
	}
	connection->sock = (__u64)sock;
	connection->family = family;
	connection->net_namespace = BPF_CORE_READ(sock, __sk_common.skc_net.net, ns.inum);
	connection->inode = BPF_CORE_READ(sock, sk_socket, file, f_inode, i_ino);
	return true;
}

/* The file of a descriptor of the current process; NULL where it has none of this number. */
static __always_inline struct file *file_of_fd(__s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **slot;
	struct file *file;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	slot = BPF_CORE_READ(table, fd) + fd;
	return bpf_probe_read_kernel(&file, sizeof(file), slot) ? NULL : file;
}

/* NULL where the file is no socket. */
static __always_inline struct sock *find_sock_of_file(struct file *file)
{
	struct socket *socket;

	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* The connection of a descriptor of the current process. False where it is neither a socket with a peer nor a pipe. */
static __always_inline bool read_connection_of_fd(__s32 fd, struct connection_t *connection)
{
	struct file *file = file_of_fd(fd);
	struct sock *sock;

	if (!file)
		return false;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) == S_IFIFO) {
		connection->family = FAMILY_PIPE;
		connection->inode = BPF_CORE_READ(file, f_inode, i_ino);
		return true;
	}
	sock = find_sock_of_file(file);
	return sock && read_socket(sock, connection);
}

#endif
