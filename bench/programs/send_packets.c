/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sends UDP datagrams at a steady rate, in bursts of a millisecond.
 *
 * usage: send_packets IPV4 PORT PAYLOAD RATE COUNT        prints the nanoseconds that it took
 *
 * RATE: datagrams a second, 0 for as many as go. Each payload begins with the datagram's number.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define MOST_AT_ONCE 512

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(int64_t moment)
{
	struct timespec until = {moment / 1000000000, moment % 1000000000};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

int main(int argc, char **argv)
{
	static char payloads[MOST_AT_ONCE][65536];
	static struct mmsghdr messages[MOST_AT_ONCE];
	static struct iovec parts[MOST_AT_ONCE];
	struct sockaddr_in to = {.sin_family = AF_INET};
	int64_t start, rate, count, sent = 0;
	int size, fd;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons(atoi(argv[2]));
	size = atoi(argv[3]);
	rate = atoll(argv[4]);
	count = atoll(argv[5]);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	for (int i = 0; i < MOST_AT_ONCE; i++) {
		parts[i] = (struct iovec){payloads[i], size};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	start = now_ns();
	while (sent < count) {
		int64_t due = rate ? (now_ns() - start) * rate / 1000000000 - sent : count;
		int burst, done;

		if (due <= 0) {
			sleep_until(start + (sent + rate / 1000) * 1000000000 / rate);
			continue;
		}
		burst = due < MOST_AT_ONCE ? due : MOST_AT_ONCE;
		if (burst > count - sent)
			burst = count - sent;
		for (int i = 0; i < burst; i++) {
			uint32_t number = htonl(sent + i);

			memcpy(payloads[i], &number, sizeof(number));
		}
		done = sendmmsg(fd, messages, burst, 0);
		if (done > 0)
			sent += done;
	}
	printf("%lld\n", (long long)(now_ns() - start));
	return 0;
}
