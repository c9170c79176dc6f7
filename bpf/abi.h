/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every structure, enum and constant that the eBPF programs share with userspace, and their only definition. Userspace
 * takes offsets and sizes from the BTF that the compiler writes for them (src/plainwire/decode/).
 *
 * Each event begins with `kind`, 4 bytes of its own and `timestamp_ns`, since one buffer carries events of several
 * kinds; what a module sends goes on with `pid`. A payload stands last, so that an event can be sent at its actual length.
 */
#ifndef PLAINWIRE_ABI_H
#define PLAINWIRE_ABI_H

#define TASK_COMM_LEN 16
/* The most payload that one event carries: the most that one TLS record carries (RFC 8446, section 5.1). */
#define MAX_DATA_SIZE_OPENSSL 16384
/* A call of more bytes than this is sent up to here and marked as truncated. */
#define MAX_CALL_SIZE (16 * 1024 * 1024)

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
	EVENT_GO_TLS_DATA = 16,
	EVENT_GO_SECRET = 17,
	EVENT_PACKET = 32,
	EVENT_SOCKET_OWNER = 33,
};

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

enum ssl_data_event_type {
	kSSLRead = 0,
	kSSLWrite = 1,
};

enum ssl_data_flag {
	SSL_DATA_TRUNCATED = 1,	  /* the call had more bytes than MAX_CALL_SIZE */
	SSL_DATA_LENGTH_ONLY = 2, /* SSL_sendfile: the bytes never were in the process's memory */
	SSL_DATA_UNREADABLE = 4, /* the bytes could not be read: data_len is 0, call_length tells how many there were */
	SSL_DATA_EARLY = 8,	 /* TLS 1.3 early data (0-RTT) */
};

/* How it was found out which connection bytes belong to. */
enum connection_way {
	CONNECTION_UNKNOWN = 0,
	CONNECTION_BY_SET_FD = 1,   /* SSL_set_fd and its relatives named the descriptor */
	CONNECTION_BY_BIO = 2,	    /* the descriptor in the SSL structure's BIO */
	CONNECTION_BY_THREAD = 3,   /* the one socket that the thread used inside the call */
	CONNECTION_AMBIGUOUS = 4,   /* the thread used several sockets inside the call: unknown */
	CONNECTION_BY_NET_CONN = 5, /* the descriptor in the net.Conn of Go's tls.Conn */
};

/* A socket and its two ends. */
struct connection_t {
	__u64 sock;	     /* address of the kernel's struct sock: an identity while it is open */
	__u8 saddr[16];	     /* the local address, in network order; of IPv4 the first four bytes */
	__u8 daddr[16];	     /* the remote address */
	__u16 sport;	     /* local port */
	__u16 dport;	     /* remote port */
	__u16 family;	     /* AF_INET, AF_INET6 or AF_UNIX */
	__u16 way;	     /* enum connection_way */
	__u32 net_namespace; /* inode number of the network namespace, as /proc/PID/ns/net has it */
	__u32 inode;	     /* of the socket, as /proc/PID/fd has it: tells sockets apart that had one address */
};

/* Up to MAX_DATA_SIZE_OPENSSL bytes of one call of SSL_read, SSL_write or a relative. */
struct ssl_data_event_t {
	__u32 kind;	    /* EVENT_SSL_DATA */
	__u32 type;	    /* enum ssl_data_event_type */
	__u64 timestamp_ns; /* CLOCK_MONOTONIC when the call returned; the same in each event of a call */
	__u32 pid;	    /* the process, as the host numbers it (tgid) */
	__u32 tid;
	__u32 uid;
	__u32 library;	   /* the attach cookie: which attached file the probe stands in */
	__u64 ssl;	   /* address of the SSL structure; identifies a connection only together with pid */
	__u64 sequence;	   /* events of this pid, ssl and type before this one, lost ones included */
	__u64 call_length; /* bytes that the whole call moved */
	__u32 offset;	   /* of this event's bytes in the call */
	__u32 flags;	   /* enum ssl_data_flag */
	__s32 fd;	   /* -1 where not known */
	__u32 version;	   /* TLS version as on the wire (0x0303); 0 where not known */
	__u32 bio_type;	   /* BIO_TYPE_* of <openssl/bio.h>; 0 where not known */
	__u32 data_len;
	struct connection_t connection;
	char comm[TASK_COMM_LEN];	 /* the process's name: its first thread's */
	char thread_comm[TASK_COMM_LEN]; /* the calling thread's name */
	__u8 data[MAX_DATA_SIZE_OPENSSL];
};

enum gotls_event_type {
	GOTLS_EVENT_TYPE_WRITE = 0,
	GOTLS_EVENT_TYPE_READ = 1,
};

/*
 * Up to MAX_DATA_SIZE_OPENSSL bytes of one call of Go's crypto/tls: ssl_data_event_t under the names of the reference's
 * Go module, field by field (bpf/gotls.bpf.c asserts it), so that userspace reads both in the same way. Only the two
 * directions have each other's numbers.
 */
struct go_tls_event {
	__u32 kind;	  /* EVENT_GO_TLS_DATA */
	__u32 event_type; /* enum gotls_event_type */
	__u64 ts_ns;	  /* CLOCK_MONOTONIC: when a read returned, or when a write began to be sent */
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 library;
	__u64 conn; /* address of the tls.Conn */
	__u64 sequence;
	__u64 call_length;
	__u32 offset;
	__u32 flags;
	__s32 fd;
	__u32 version;
	__u32 bio_type; /* always 0 */
	__u32 data_len;
	struct connection_t connection;
	char comm[TASK_COMM_LEN];
	char thread_comm[TASK_COMM_LEN];
	__u8 data[MAX_DATA_SIZE_OPENSSL];
};

#define GO_LABEL_SIZE 32  /* MASTER_SECRET_KEY_LEN of the reference: the longest label of a key log has 31 bytes */
#define GO_SECRET_SIZE 64 /* EVP_MAX_MD_SIZE of the reference */

/* What Go's (*Config).writeKeyLog was called with: one line of a key log. */
struct mastersecret_gotls_t {
	__u32 kind; /* EVENT_GO_SECRET */
	__u32 library;
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 labellen;
	__u32 client_random_len;
	__u32 secret_len;
	char comm[TASK_COMM_LEN];
	char label[GO_LABEL_SIZE];
	__u8 client_random[GO_SECRET_SIZE];
	__u8 secret_[GO_SECRET_SIZE];
};

#define MAX_GO_SOCKET_ITABS 4
#define GO_KEY_LABELS 5 /* those of go_key_labels in bpf/gotls.bpf.c */
#define NO_OFFSET 0xffffffff

/* What differs between Go programs: value of the map go_layouts. Addresses are as linked. */
struct go_layout_t {
	__u64 text_base; /* the address of an instruction less its offset in the file */
	/* The first word of a net.Conn that holds a TCP or Unix socket is one of these; the rest are 0. */
	__u64 socket_itabs[MAX_GO_SOCKET_ITABS];
	__u64 key_labels[GO_KEY_LABELS]; /* where the program has the labels of key logs; 0 where not known */
	__u32 version_offset;		 /* of `vers` in tls.Conn; NO_OFFSET where not known */
	__u32 parked_reads;		 /* 1: the arguments of a read stand in the caller's frame until it returns */
};

/* Which call of Go's (*Conn).Read. */
struct go_read_key_t {
	__u64 goroutine; /* address of its runtime.g */
	__u64 depth;	 /* bytes of its stack in use at entry: the frame's place, also when the stack is moved */
	__u32 pid;
	__u32 reserved;
};

/* Its arguments. */
struct go_read_t {
	__u64 conn;
	__u64 buf; /* the buffer's address, or how far below the stack's upper end it is */
	__u32 on_stack;
	__u32 reserved;
};

/* The arguments of a call that has begun and not returned. */
struct active_ssl_buf {
	__u64 ssl;
	__u64 buf;
	__u64 num;	     /* size of buf in bytes */
	__u64 length_ptr;    /* where the function stores how many bytes it moved (the _ex forms); 0: it returns them */
	__u64 stack_pointer; /* at entry: tells the frames of nested calls apart */
	__s32 fd;
	__u32 version;
	__u32 bio_type;
	__u32 library;
	__u32 flags;			/* enum ssl_data_flag, known at entry */
	__u16 same_as_outer;		/* a call inside another one, for the same bytes */
	__u16 sent_by_inner;		/* such a call has sent the bytes */
	struct connection_t connection; /* the socket that the thread has used inside the call */
};

/* A call inside another one of the same direction on the same thread (TLS in TLS). */
struct nested_call_t {
	__u64 pid_tgid;
	__u64 stack_pointer;
};

/* A socket on its way from connect() or accept() to a connection. */
struct tcp_fd_info {
	__u64 sock;
	__u64 fd;
};

/* One end of a connection, opened or destroyed. */
struct connect_event_t {
	__u32 kind; /* EVENT_CONNECT */
	__u32 reserved;
	__u64 timestamp_ns;
	unsigned __int128 saddr;
	unsigned __int128 daddr;
	__u64 sock;
	__u32 pid;
	__u32 tid;
	__s32 fd;
	__u16 sport;
	__u16 dport;
	__u16 family;
	__u8 is_destroy;
	char comm[TASK_COMM_LEN];
} __attribute__((packed));

#define RANDOM_SIZE 32	   /* RFC 8446, section 4.1.2 */
#define MAX_SECRET_SIZE 64 /* EVP_MAX_MD_SIZE of <openssl/evp.h> */
#define MAX_LABEL_SIZE 40  /* the longest label of a key log has 31 bytes; then NUL */

/* What a library's own function for the lines of a key log was called with. */
struct keylog_event_t {
	__u32 kind;    /* EVENT_KEYLOG_LINE */
	__u32 library; /* as in ssl_data_event_t */
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 random_len; /* RANDOM_SIZE; less where a line names its connection in another way (OpenSSL's "RSA": 8) */
	__u32 secret_len;
	__u32 reserved;
	char comm[TASK_COMM_LEN];
	char label[MAX_LABEL_SIZE]; /* ended by NUL */
	__u8 client_random[RANDOM_SIZE];
	__u8 secret[MAX_SECRET_SIZE];
};

#define NO_ARGUMENT 0xff
#define MAX_ARGUMENTS 6 /* that are passed in registers on each machine */
#define MAX_RANDOM_STEPS 4

/* A library's log function: which of its arguments, counted from 0, holds what. Value of the map keylog_functions. */
struct keylog_function_t {
	__u8 label;
	__u8 secret;
	__u8 secret_len;
	__u8 random_len; /* NO_ARGUMENT: always RANDOM_SIZE */
	__u8 random;	 /* the client random is reached from here: */
	__u8 random_steps;
	__u8 reserved[2];
	/* add the first offset, and for each further one load a pointer there and add it */
	__u32 random_offsets[MAX_RANDOM_STEPS];
};

#define MAX_LAYOUT_STEPS 4

/*
 * How a value is reached from an SSL structure's address: add the first offset, and for each further one load a pointer
 * there and add it. The value stands there. steps: how many offsets there are; 0 where the place is not known.
 */
struct layout_path_t {
	__u16 steps;
	__u16 offsets[MAX_LAYOUT_STEPS];
};

/* Where one build of a library keeps what (src/plainwire/layouts/layout.py). Value of the map library_layouts. */
struct library_layout_t {
	struct layout_path_t version; /* 16 bits count of it, and of the cipher's number */
	struct layout_path_t rbio;
	struct layout_path_t wbio;
	struct layout_path_t bio_fd; /* of rbio: 32 bits, like the type */
	struct layout_path_t bio_type;
	struct layout_path_t master_key;
	struct layout_path_t master_key_length; /* 8 bits */
	struct layout_path_t client_random;
	struct layout_path_t cipher_id;
	struct layout_path_t early_secret;
	struct layout_path_t handshake_secret;
	struct layout_path_t handshake_traffic_hash;
	struct layout_path_t client_app_traffic_secret;
	struct layout_path_t server_app_traffic_secret;
	struct layout_path_t exporter_master_secret;
};

/* What else the secrets of a connection need of a build. Value of the map handshake_layouts. */
struct handshake_layout_t {
	struct layout_path_t in_init; /* 32 bits: not 0 until the handshake is complete */
	struct layout_path_t server_finished_hash;
};

#define MASTER_SECRET_SIZE 48 /* RFC 5246, section 8.1 */

/* The secrets of a connection whose handshake is complete, as they stand in the SSL structure. */
struct mastersecret_t {
	__u32 kind;    /* EVENT_MASTER_SECRET */
	__u32 library; /* as in ssl_data_event_t */
	__u64 timestamp_ns;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u16 version;	 /* as on the wire */
	__u16 cipher_id; /* as on the wire; 0 where not known */
	__u64 ssl;
	char comm[TASK_COMM_LEN];
	__u8 client_random[RANDOM_SIZE];
	__u8 master_key[MASTER_SECRET_SIZE]; /* up to TLS 1.2 */
	__u8 early_secret[MAX_SECRET_SIZE];
	__u8 handshake_secret[MAX_SECRET_SIZE];
	__u8 handshake_traffic_hash[MAX_SECRET_SIZE]; /* of the messages up to ServerHello */
	__u8 server_finished_hash[MAX_SECRET_SIZE];   /* of the messages up to the server's Finished */
	__u8 client_app_traffic_secret[MAX_SECRET_SIZE];
	__u8 server_app_traffic_secret[MAX_SECRET_SIZE];
	__u8 exporter_master_secret[MAX_SECRET_SIZE];
};

/* Which connection an event belongs to. */
struct ssl_key_t {
	__u64 ssl;
	__u32 pid;
	__u32 reserved;
};

/* What is remembered of an SSL structure between calls. */
struct ssl_state_t {
	__u64 sequence[2]; /* by enum ssl_data_event_type */
	struct connection_t connection;
	__u32 version;	/* TLS version; 0 where not known */
	__u32 bio_type; /* BIO_TYPE_* of <openssl/bio.h>; 0 where not known */
	__s32 bio_fd;	/* descriptor of a socket BIO; valid if the connection's way is CONNECTION_BY_BIO */
	__u32 reserved;
};

/* A process forked, ended, or loaded libraries. */
struct process_event_t {
	__u32 kind; /* EVENT_PROCESS_FORK, EVENT_PROCESS_EXIT, EVENT_LIBRARIES_CHANGED */
	__u32 pid;
	__u64 timestamp_ns;
	__u32 parent_pid; /* of a fork; else 0 */
	__u32 stopped;	  /* 1: the process waits, stopped, until userspace has attached to what it loaded */
	char comm[TASK_COMM_LEN];
};

#define MAX_EXEC_TEXT 4096

/* A process runs a new program. */
struct exec_event_t {
	__u32 kind; /* EVENT_PROCESS_EXEC */
	__u32 pid;
	__u64 timestamp_ns;
	__u32 uid;
	__u32 stopped;	    /* as in process_event_t */
	__u32 filename_len; /* bytes of the program's name at the start of text, its NUL included */
	__u32 text_len;
	char comm[TASK_COMM_LEN];
	char text[MAX_EXEC_TEXT]; /* the program's name as execve got it, then the arguments, each ended by NUL */
};

/* Which processes are captured, and what is done with them: value of the map target_pids. */
enum target_flag {
	TARGET_PROCESS = 1,
	TARGET_FOLLOW = 2, /* the processes that it starts from now on are targets too */
	TARGET_STOP = 4,   /* stop it when it loads a file for the first time, until userspace has attached to it */
};

/* A file on a mounted file system. */
struct file_key_t {
	__u64 inode;
	__u32 device;
	__u32 reserved;
};

#define MAX_LIBRARY_PATH 252

/* A library as the dynamic linker names it. */
struct library_key_t {
	__u32 mount_namespace;
	char path[MAX_LIBRARY_PATH];
};

/* Ends of a flow as the process sees them: `src` is its own. Key of the map network_map. */
struct net_id_t {
	__u32 protocol; /* IPPROTO_* */
	__u32 src_ip4;	/* as on the wire; 0 with IPv6 */
	__u32 dst_ip4;
	__u32 src_ip6[4]; /* as on the wire; 0 with IPv4 */
	__u32 dst_ip6[4];
	__u16 src_port; /* a number; of ICMP echo both ports are the identifier */
	__u16 dst_port;
};

/* A process that uses a socket. */
struct net_ctx_t {
	__u32 pid; /* 0: not known */
	__u32 uid;
	__u32 wanted; /* 1: the filters for processes let it through */
	char comm[TASK_COMM_LEN];
};

/* What is remembered of a socket. An accepted one begins with a copy of its listener's. */
struct socket_owner_t {
	struct net_ctx_t process;
	__u64 confirmed_for; /* address of the struct sock on which the process itself acted */
};

/* An interface on which packets are captured. */
struct packet_interface_t {
	__u32 has_ethernet_header;
	__u32 is_loopback; /* receivers are on this host: each packet is captured when it is sent, and never again */
	__u64 packets;	   /* wanted ones, lost ones included */
	__u64 lost;	   /* of these: the buffer was full */
};

enum packet_flag {
	PACKET_OUTGOING = 1,
	PACKET_OWNER_INHERITED = 2, /* pid is the listener's: who serves the connection is not known yet */
	PACKET_OWNER_WANTED = 4,    /* as `wanted` in net_ctx_t */
};

/* A packet. Its bytes follow, `captured_len` of them; a ring's sample may be longer. */
struct skb_data_event_t {
	__u32 kind; /* EVENT_PACKET */
	__u32 ifindex;
	__u64 ts;  /* CLOCK_MONOTONIC */
	__u32 pid; /* 0: not known */
	__u32 uid;
	__u32 len; /* on the wire, without a VLAN tag that the kernel keeps beside the packet */
	__u32 captured_len;
	__u16 vlan_protocol; /* of such a tag, as numbers; 0: there is none */
	__u16 vlan_tci;
	__u32 flags; /* enum packet_flag */
	char comm[TASK_COMM_LEN];
};

/*
 * A process has begun to use a connected socket that it did not create: packets before this one may be its too.
 * Addresses are of IPv6, or of IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2).
 */
struct socket_owner_event_t {
	__u32 kind;	/* EVENT_SOCKET_OWNER */
	__u32 protocol; /* IPPROTO_* */
	__u64 timestamp_ns;
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 pid;
	__u32 uid;
	__u32 wanted; /* as in net_ctx_t */
	char comm[TASK_COMM_LEN];
};

#endif
