/*
 * Threads that write on one connection at once, as a library that allows it may be used: `shared_connection THREADS
 * WRITES`. SSL_write does nothing here; each call's bytes are the thread's number and the call's.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

static int connection, writes;

__attribute__((noinline)) int SSL_read(void *ssl, void *buffer, int size)
{
	__asm__ volatile("" : : "r"(ssl), "r"(buffer) : "memory");
	return size;
}

__attribute__((noinline)) int SSL_write(void *ssl, const void *buffer, int size)
{
	__asm__ volatile("" : : "r"(ssl), "r"(buffer) : "memory");
	return size;
}

static void *write_all(void *number)
{
	for (uint32_t i = 0; i < (uint32_t)writes; i++) {
		uint32_t bytes[2] = {(uint32_t)(uintptr_t)number, i};

		SSL_write(&connection, bytes, sizeof(bytes));
	}
	return NULL;
}

int main(int count, char **arguments)
{
	int threads = count > 2 ? atoi(arguments[1]) : 1;
	pthread_t *started = calloc(threads, sizeof(*started));

	writes = count > 2 ? atoi(arguments[2]) : 1;
	for (int i = 0; i < threads; i++)
		pthread_create(&started[i], NULL, write_all, (void *)(uintptr_t)i);
	for (int i = 0; i < threads; i++)
		pthread_join(started[i], NULL);
	SSL_read(&connection, &writes, 0);
	return 0;
}
