/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes system calls, and no TLS. For each line "COUNT" on stdin it prints three medians in nanoseconds: of getppid(), in
 * stretches of 100, of sending and receiving 100 bytes over TCP on loopback, and of opening and closing such a connection;
 * COUNT stretches, COUNT exchanges and COUNT / 10 connections.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "timing.h"

#define MOST 100000
#define STRETCH 100
#define SIZE 100

static uint64_t taken[MOST];

static void open_pair(int listener, const struct sockaddr_in *name, int ends[2])
{
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	require(connect(ends[0], (const void *)name, sizeof(*name)) == 0, "connect");
	ends[1] = accept(listener, NULL, NULL);
	require(ends[1] >= 0, "accept");
}

static void close_pair(int ends[2])
{
	const struct linger at_once = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */

	setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM, 0), pair[2], opened[2];
	socklen_t length = sizeof(name);
	unsigned count;
	char buffer[SIZE] = "";

	require(bind(listener, (void *)&name, length) == 0 && listen(listener, 1) == 0, "listening");
	require(getsockname(listener, (void *)&name, &length) == 0, "getsockname");
	open_pair(listener, &name, pair);
	while (scanf("%u", &count) == 1 && count >= 10 && count <= MOST) {
		for (unsigned i = 0; i < count; i++) {
			taken[i] = now();
			for (int j = 0; j < STRETCH; j++)
				syscall(SYS_getppid);
			taken[i] = now() - taken[i];
		}
		printf("%llu ", median(taken, count));
		for (unsigned i = 0; i < count; i++) {
			taken[i] = now();
			require(send(pair[0], buffer, SIZE, 0) == SIZE, "send");
			require(recv(pair[1], buffer, SIZE, MSG_WAITALL) == SIZE, "recv");
			taken[i] = now() - taken[i];
		}
		printf("%llu ", median(taken, count));
		for (unsigned i = 0; i < count / 10; i++) {
			taken[i] = now();
			open_pair(listener, &name, opened);
			close_pair(opened);
			taken[i] = now() - taken[i];
		}
		printf("%llu\n", median(taken, count / 10));
		fflush(stdout);
	}
	return 0;
}
