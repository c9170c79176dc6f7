/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls SSL_write and SSL_read over a pair of memory BIOs: no socket, no other process, so the calls' own time is all.
 * With `tcp`, over a connection of the process with itself.
 *
 * usage: ssl_calls CERTIFICATE KEY [tcp]. Then for each line "SIZE COUNT" on stdin it writes and reads COUNT times SIZE bytes
 * and prints "WRITE_MEDIAN READ_MEDIAN WRITE_MEAN READ_MEAN", nanoseconds a call. (Where others use the processor, their
 * share is in few of the calls: in the mean, not in the median.)
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "timing.h"

#define MOST 16384
#define MOST_CALLS 100000

static char payload[MOST], received[MOST];
static uint64_t write_ns[MOST_CALLS], read_ns[MOST_CALLS];

static unsigned long long mean(const uint64_t *values, unsigned count)
{
	unsigned long long sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += values[i];
	return sum / count;
}

static void join_by_memory(SSL *client, SSL *server)
{
	BIO *ends[2];

	require(BIO_new_bio_pair(&ends[0], 1 << 17, &ends[1], 1 << 17), "BIO_new_bio_pair");
	SSL_set_bio(client, ends[0], ends[0]);
	SSL_set_bio(server, ends[1], ends[1]);
}

static void join_by_tcp(SSL *client, SSL *server)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0), far;
	socklen_t length = sizeof(name);
	const int yes = 1;

	require(bind(listener, (void *)&name, length) == 0 && listen(listener, 1) == 0, "listening");
	require(getsockname(listener, (void *)&name, &length) == 0, "getsockname");
	require(connect(near, (void *)&name, length) == 0, "connect");
	far = accept(listener, NULL, NULL);
	require(far >= 0, "accept");
	fcntl(near, F_SETFL, O_NONBLOCK); /* until the handshake is done: one thread serves both ends */
	fcntl(far, F_SETFL, O_NONBLOCK);
	require(setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0, "TCP_NODELAY");
	SSL_set_fd(client, near);
	SSL_set_fd(server, far);
}

static void shake_hands(SSL *client, SSL *server)
{
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	while (!SSL_is_init_finished(client) || !SSL_is_init_finished(server)) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
}

int main(int argc, char **argv)
{
	SSL_CTX *client_context = SSL_CTX_new(TLS_client_method()), *server_context = SSL_CTX_new(TLS_server_method());
	uint64_t started, written;
	unsigned size, count;
	SSL *client, *server;

	require(argc == 3 || (argc == 4 && strcmp(argv[3], "tcp") == 0), "ssl_calls CERTIFICATE KEY [tcp]");
	require(SSL_CTX_use_certificate_file(server_context, argv[1], SSL_FILETYPE_PEM) == 1,
		"reading the certificate");
	require(SSL_CTX_use_PrivateKey_file(server_context, argv[2], SSL_FILETYPE_PEM) == 1, "reading the key");
	client = SSL_new(client_context);
	server = SSL_new(server_context);
	(argc == 4 ? join_by_tcp : join_by_memory)(client, server);
	shake_hands(client, server);
	if (argc == 4) {
		fcntl(SSL_get_fd(client), F_SETFL, 0);
		fcntl(SSL_get_fd(server), F_SETFL, 0);
	}
	for (int i = 0; i < MOST; i++)
		payload[i] = "<p>All that an ordinary page holds, line by line.</p>\n"[i % 54];
	while (scanf("%u %u", &size, &count) == 2 && size > 0 && size <= MOST && count > 0 && count <= MOST_CALLS) {
		for (unsigned i = 0; i < count; i++) {
			started = now();
			require(SSL_write(client, payload, size) == (int)size, "SSL_write");
			written = now();
			require(SSL_read(server, received, size) == (int)size, "SSL_read");
			read_ns[i] = now() - written;
			write_ns[i] = written - started;
		}
		require(memcmp(payload, received, size) == 0, "comparing");
		printf("%llu %llu ", median(write_ns, count), median(read_ns, count));
		printf("%llu %llu\n", mean(write_ns, count), mean(read_ns, count));
		fflush(stdout);
	}
	return 0;
}
