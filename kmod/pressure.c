// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pressure: what other clients can spare is asked for before a request is refused.
 *
 * A client that answers has said so, for a client that never does would be waited for
 * in vain. It is asked by an event on its descriptor, frees what it can spare, and says
 * that it has. Then every request that was there before is tried again, and refused
 * only if none of those who were asked may still answer:
 *
 *	            a request begins that is newer than the answer
 *	      RESTED ------------------------------------------> ASKED
 *	         ^               it answers                        |
 *	         +-------------------------------------------------+
 *
 * So a request is refused when each client that answers has, at some moment after the
 * request began, had nothing to spare, or has been asked ANSWER_NS ago and not
 * answered. The latter is left alone from then on: nobody waits for it, nor asks it
 * anew, until it answers.
 *
 * Whoever asks pays, however often and however many ask at once. A client is asked once
 * at a time, and rests for REST_NS between an answer and being asked again. Who frees
 * pages wakes nobody, and looks at nothing for it: those who wait nap, ever
 * longer, and try again. No lock is held meanwhile.
 *
 * Signals that do not kill are seen when the nap is over. If they interrupted it, a request
 * restarted by the signals of a profiler would wait without end.
 */
#include <linux/file.h>
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "client.h"
#include "pressure.h"
#include "stats.h"

/* How long an answer is waited for. */
#define ANSWER_NS	(10 * NSEC_PER_MSEC)

/* How long a client is left in peace once it has answered; leaves the next answer its time. */
#define REST_NS		(5 * NSEC_PER_MSEC)

/* The first nap and the longest: an answer takes a fraction of a millisecond. */
#define NAP_SHORTEST_NS	(100 * NSEC_PER_USEC)
#define NAP_LONGEST_NS	(1 * NSEC_PER_MSEC)

/* Clients looked at in one hold of the lock. */
#define LOOK_MOST	64

/**
 * pressure_init() - start with no client that answers
 * @pressure: the pressure
 */
void pressure_init(struct pressure *pressure)
{
	spin_lock_init(&pressure->lock);
	INIT_LIST_HEAD(&pressure->rested);
	INIT_LIST_HEAD(&pressure->asked);
	pressure->nr = 0;
}

/**
 * pressure_client_init() - start as a client that is not asked
 * @client: the client
 */
void pressure_client_init(struct client *client)
{
	INIT_LIST_HEAD(&client->pressure.siblings);
	init_waitqueue_head(&client->pressure.polled);
}

/* Whether a client is one of those that answer; changes under the lock. */
static bool does_answer(const struct client *client)
{
	return !list_empty(&client->pressure.siblings);
}

/* It has nothing to spare at this moment. */
static void rest(struct pressure *pressure, struct client *client)
{
	lockdep_assert_held(&pressure->lock);
	client->pressure.since = ktime_get_ns();
	WRITE_ONCE(client->pressure.answered, client->pressure.asked);
	list_move_tail(&client->pressure.siblings, &pressure->rested);
}

/* Never asked, so it need not rest. */
static void join(struct pressure *pressure, struct client *client)
{
	lockdep_assert_held(&pressure->lock);
	client->pressure.since = 0;
	list_add(&client->pressure.siblings, &pressure->rested);
	WRITE_ONCE(pressure->nr, pressure->nr + 1);
}

static void leave(struct pressure *pressure, struct client *client)
{
	lockdep_assert_held(&pressure->lock);
	WRITE_ONCE(client->pressure.answered, client->pressure.asked);
	list_del_init(&client->pressure.siblings);
	WRITE_ONCE(pressure->nr, pressure->nr - 1);
}

/**
 * pressure_client_exit() - the client is asked no more
 * @client: the client, of which nobody has a descriptor
 */
void pressure_client_exit(struct client *client)
{
	struct pressure *pressure = &client->registry->pressure;

	spin_lock(&pressure->lock);
	if (does_answer(client))
		leave(pressure, client);
	spin_unlock(&pressure->lock);
}

/**
 * pressure_poll() - poll() of the device
 * @client: the client
 * @file: its file
 * @table: of poll()
 *
 * Return: EPOLLPRI while it is asked and has not answered. Not EPOLLIN, for there is
 * nothing to be read: the like is so for /proc/pressure and for what changes in sysfs.
 */
__poll_t pressure_poll(struct client *client, struct file *file, struct poll_table_struct *table)
{
	const struct pressure_client *mine = &client->pressure;

	poll_wait(file, &client->pressure.polled, table);
	return READ_ONCE(mine->asked) != READ_ONCE(mine->answered) ? EPOLLPRI : 0;
}

/**
 * pressure_tell() - what a client is asked for, once it has answered
 * @client: the client
 * @answered: which of the times that it was asked it is going to answer, and all before
 * @asked: where to put how often it was asked
 * @nr_pages: where to put the run that is wanted, 0 if nothing is then
 *
 * Changes nothing.
 *
 * Return: 0, or -EINVAL if it was not asked so often.
 */
int pressure_tell(struct client *client, u64 answered, u64 *asked, u32 *nr_pages)
{
	struct pressure *pressure = &client->registry->pressure;
	const struct pressure_client *mine = &client->pressure;
	int ret = -EINVAL;

	spin_lock(&pressure->lock);
	if (answered <= mine->asked) {
		*asked = mine->asked;
		*nr_pages = max(answered, mine->answered) < mine->asked ? mine->nr_pages : 0;
		ret = 0;
	}
	spin_unlock(&pressure->lock);
	return ret;
}

/**
 * pressure_answer() - answer, and say whether to be asked from now on
 * @client: the client
 * @answers: whether it is
 * @answered: as of pressure_tell(), which took it
 */
void pressure_answer(struct client *client, bool answers, u64 answered)
{
	struct pressure *pressure = &client->registry->pressure;
	struct pressure_client *mine = &client->pressure;

	spin_lock(&pressure->lock);
	if (!answers && does_answer(client))
		leave(pressure, client);
	else if (answers && !does_answer(client))
		join(pressure, client);
	else if (mine->answered < mine->asked && answered == mine->asked)
		rest(pressure, client);
	spin_unlock(&pressure->lock);
}

static bool rests(const struct client *client)
{
	return ktime_get_ns() < client->pressure.since + REST_NS;
}

/* Whether somebody else may still answer who was asked. */
static bool answer_may_come(const struct pressure *pressure, const struct client *client)
{
	const struct client *other;
	u64 now = ktime_get_ns();

	lockdep_assert_held(&pressure->lock);
	list_for_each_entry_reverse(other, &pressure->asked, pressure.siblings) {
		if (now >= other->pressure.since + ANSWER_NS)
			return false;
		if (other != client)
			return true;
	}
	return false;
}

static void ask(struct pressure *pressure, struct client *client, u32 nr_pages)
{
	lockdep_assert_held(&pressure->lock);
	client->pressure.since = ktime_get_ns();
	client->pressure.nr_pages = nr_pages;
	WRITE_ONCE(client->pressure.asked, client->pressure.asked + 1);
	list_move_tail(&client->pressure.siblings, &pressure->asked);
}

/*
 * Asks the next client that has not answered since the request began; NULL if that
 * one still rests, or there is none. One that owns nothing has answered by that.
 */
static struct client *ask_next(struct pressure *pressure, struct pressure_request *request,
			       u32 *most)
{
	struct client *other, *next;

	lockdep_assert_held(&pressure->lock);
	list_for_each_entry_safe(other, next, &pressure->rested, pressure.siblings) {
		if (other->pressure.since >= request->start || !--*most)
			break;
		if (other == request->client)
			continue;
		if (!atomic64_read(&other->nr_owned)) {
			rest(pressure, other);
			continue;
		}
		if (rests(other)) {
			request->hopes = true;
			break;
		}
		ask(pressure, other, request->nr_pages);
		return other;
	}
	return NULL;
}

/* Asks all that can be, and finds out whether there is hope. */
static void ask_others(struct pressure_request *request)
{
	struct pressure *pressure = &request->client->registry->pressure;
	struct client *other;
	u32 most;

	do {
		most = LOOK_MOST;
		request->hopes = false;
		spin_lock(&pressure->lock);
		other = ask_next(pressure, request, &most);
		if (other)
			refcount_inc(&other->refs);
		request->hopes |= answer_may_come(pressure, request->client);
		spin_unlock(&pressure->lock);
		if (other) {
			wake_up_poll(&other->pressure.polled, EPOLLPRI);
			stats_count(STATS_ASK, ask, other->id, request->nr_pages);
			client_put(other);
		}
		cond_resched();
	} while (other || !most);
}

/**
 * pressure_begin() - begin with a request that would be refused
 * @request: the request
 * @client: whose
 * @nr_pages: the run that is wanted
 */
void pressure_begin(struct pressure_request *request, struct client *client, u32 nr_pages)
{
	*request = (struct pressure_request){
		.client = client,
		.nr_pages = nr_pages,
		.start = ktime_get_ns(),
		.nap_ns = NAP_SHORTEST_NS,
	};
}

/* Whether nobody can help: no other client answers, or the pool is too small. */
static bool is_hopeless(const struct pressure_request *request)
{
	const struct registry *registry = request->client->registry;

	return READ_ONCE(registry->pressure.nr) == does_answer(request->client) ||
	       request->nr_pages > READ_ONCE(registry->pool->present);
}

static int nap(struct pressure_request *request)
{
	u64 end = min(ktime_get_ns() + request->nap_ns, request->start + ANSWER_NS);
	ktime_t until = ns_to_ktime(end);

	if (!request->waited)
		stats_count(STATS_WAIT, wait, request->client->id, request->nr_pages);
	request->waited = true;
	request->nap_ns = min_t(u64, 2 * request->nap_ns, NAP_LONGEST_NS);
	set_current_state(TASK_KILLABLE);
	schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/**
 * pressure_wait() - ask other clients for pages, and give them some time
 * @request: the request, which did not find a run
 *
 * Returns at once where nobody can be hoped for. Whoever answered between the last time
 * it was tried and this call is not hoped for any more, so it is tried a last
 * time then.
 *
 * Context: process context; no lock held.
 * Return: 0 if it is to be tried again, -ENOMEM if it is to be refused, -EINTR if a
 * fatal signal arrived.
 */
int pressure_wait(struct pressure_request *request)
{
	if (request->is_last || is_hopeless(request))
		return -ENOMEM;
	/* Also if it overslept, so that whoever has rested is asked before it is refused. */
	ask_others(request);
	if (ktime_get_ns() >= request->start + ANSWER_NS ||
	    request->client->file->f_flags & O_NONBLOCK)
		return -ENOMEM;
	if (request->hopes)
		return nap(request);
	request->is_last = true;
	return 0;
}

/**
 * pressure_end() - end with a request
 * @request: the request
 * @served: whether it found a run in the end
 */
void pressure_end(const struct pressure_request *request, bool served)
{
	if (request->waited && served)
		stats_count(STATS_SERVED, served, request->client->id, request->nr_pages);
}
