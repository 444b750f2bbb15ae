/* SPDX-License-Identifier: GPL-2.0-only */
/* Pressure: before a request is refused, other clients are asked for pages. */
#ifndef PAGESPAN_PRESSURE_H
#define PAGESPAN_PRESSURE_H

#include <linux/list.h>
#include <linux/poll.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

struct client;

/**
 * struct pressure - the clients that answer, of a pool
 * @lock: protects all of it, and what clients have of it
 * @rested: those that can be asked; the one that answered first is first
 * @asked: those that have not answered; the one that was asked last is last
 * @nr: how many they are together
 */
struct pressure {
	spinlock_t lock;	/* see client.c for the order of locks */
	struct list_head rested;
	struct list_head asked;
	u32 nr;
};

/**
 * struct pressure_client - what a client has of it
 * @siblings: in one of the two lists, or empty: it is not asked
 * @since: when it was asked, or when it answered, in ns of the monotonic clock
 * @asked: how often it was asked; read without the lock
 * @answered: which of these it has answered, and all before; read without the lock
 * @nr_pages: the run that is wanted
 * @polled: who polls
 */
struct pressure_client {
	struct list_head siblings;
	u64 since;
	u64 asked;
	u64 answered;
	u32 nr_pages;
	wait_queue_head_t polled;
};

/**
 * struct pressure_request - a request that would be refused
 * @client: whose
 * @nr_pages: the run that is wanted
 * @start: since when it is, in ns of the monotonic clock
 * @nap_ns: how long the next nap is
 * @hopes: an answer may come
 * @is_last: it was tried for the last time
 * @waited: it took a nap
 */
struct pressure_request {
	struct client *client;
	u32 nr_pages;
	u64 start;
	u64 nap_ns;
	bool hopes;
	bool is_last;
	bool waited;
};

void pressure_init(struct pressure *pressure);
void pressure_client_init(struct client *client);
void pressure_client_exit(struct client *client);
__poll_t pressure_poll(struct client *client, struct file *file, struct poll_table_struct *table);
int pressure_tell(struct client *client, u64 answered, u64 *asked, u32 *nr_pages);
void pressure_answer(struct client *client, bool answers, u64 answered);
void pressure_begin(struct pressure_request *request, struct client *client, u32 nr_pages);
int pressure_wait(struct pressure_request *request);
void pressure_end(const struct pressure_request *request, bool served);

#endif
