/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes and threads that talk TLS with themselves in memory, as fast as they can. Each 16 bytes of what they write
 * and read name the process, the thread, the call and the place in it, so that any mixture of two tasks' bytes shows.
 *
 * usage: writers CERTIFICATE KEY PROCESSES THREADS CALLS
 *
 * libssl's functions are declared here, so that its headers need not be installed.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct bio_st BIO;
typedef struct ssl_method_st SSL_METHOD;

const SSL_METHOD *TLS_method(void);
SSL_CTX *SSL_CTX_new(const SSL_METHOD *method);
int SSL_CTX_use_certificate_file(SSL_CTX *context, const char *file, int type);
int SSL_CTX_use_PrivateKey_file(SSL_CTX *context, const char *file, int type);
SSL *SSL_new(SSL_CTX *context);
void SSL_set_bio(SSL *ssl, BIO *from, BIO *to);
void SSL_set_connect_state(SSL *ssl);
void SSL_set_accept_state(SSL *ssl);
int SSL_do_handshake(SSL *ssl);
int SSL_read(SSL *ssl, void *buffer, int size);
int SSL_write(SSL *ssl, const void *buffer, int size);
int BIO_new_bio_pair(BIO **one, size_t one_size, BIO **other, size_t other_size);

#define PEM 1
#define BLOCK 16
#define MOST 16384

struct block {
	uint32_t pid;
	uint32_t tid;
	uint32_t call;
	uint32_t index;
};

static char **arguments;

static void fail(const char *what)
{
	fprintf(stderr, "writers: %s\n", what);
	exit(1);
}

static SSL *endpoint(SSL_CTX *context, BIO *bio)
{
	SSL *ssl = SSL_new(context);

	SSL_set_bio(ssl, bio, bio);
	return ssl;
}

static void *talk(void *unused)
{
	SSL_CTX *context = SSL_CTX_new(TLS_method());
	BIO *one, *other;

	if (SSL_CTX_use_certificate_file(context, arguments[1], PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, arguments[2], PEM) != 1 ||
	    BIO_new_bio_pair(&one, 4 * MOST, &other, 4 * MOST) != 1)
		fail("no certificate");

	SSL *client = endpoint(context, one), *server = endpoint(context, other);
	struct block sent[MOST / BLOCK], received[MOST / BLOCK];
	unsigned int seed = gettid();
	int calls = atoi(arguments[5]);

	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	while (SSL_do_handshake(client) + SSL_do_handshake(server) != 2)
		;
	for (int call = 0; call < calls; call++) {
		/* Half of them full records: the longer an event takes to fill, the likelier is a switch in it. */
		int blocks = call % 2 ? MOST / BLOCK : 1 + rand_r(&seed) % (MOST / BLOCK);

		for (int i = 0; i < blocks; i++)
			sent[i] = (struct block){getpid(), gettid(), call, i};
		if (SSL_write(client, sent, blocks * BLOCK) != blocks * BLOCK)
			fail("short write");
		if (SSL_read(server, received, sizeof(received)) != blocks * BLOCK)
			fail("short read");
		if (memcmp(sent, received, blocks * BLOCK))
			fail("TLS changed the bytes");
	}
	return unused;
}

int main(int count, char **values)
{
	if (count != 6)
		fail("usage: writers CERTIFICATE KEY PROCESSES THREADS CALLS");
	arguments = values;

	int processes = atoi(values[3]), threads = atoi(values[4]), status, failed = 0;

	for (int process = 0; process < processes; process++) {
		if (fork())
			continue;
		pthread_t others[threads];
		for (int i = 0; i < threads; i++)
			pthread_create(&others[i], NULL, talk, NULL);
		for (int i = 0; i < threads; i++)
			pthread_join(others[i], NULL);
		exit(0);
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
