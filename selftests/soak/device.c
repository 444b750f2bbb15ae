// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device under load for as long as one likes. Processes allocate, fill every
 * page with a tag that says whose it is and which, look whether it still does, free
 * any subset, and hand pages to each other; one after the other dies by SIGKILL, at
 * any moment, and another takes its place.
 *
 * What passes from process to process goes through the inbox of a place, which
 * outlives its processes: a message carries a descriptor, and so keeps pages of a
 * client that may be dead by the time it is read, or that nobody reads.
 *
 *	given	  the client itself: the receiver looks at the pages and frees them
 *	exported  a dma-buf of pages that the sender has freed: nobody's, until the
 *		  receiver lets go of it
 *
 * After each round all are killed at once. Then the pool must be whole again, by
 * its counters and by an allocation of all of it, in which nothing may be left.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "../pagespan_test.h"
#include "../random.h"

#define WORKERS		4
#define WORDS		(PAGE / sizeof(uint64_t))
#define ROUND_SECONDS	30
#define MEGABLOCK	512

/* Pages handed on at once, and what a process has received and not let go of yet. */
#define MOST_SHARED	8
#define MOST_HELD	8

/* What the processes have done, and what they have found. */
struct figures {
	uint64_t tagged, verified, freed;	/* pages */
	uint64_t given, exported, pinned;	/* times */
	uint64_t killed;			/* processes */
	uint64_t foreign_bytes, lost_pages;
};

enum kind { GIVEN, EXPORTED };

/* Of pages whose tags count up from the first. */
struct message {
	enum kind kind;
	uint32_t nr_pages;
	uint64_t first;
	uint64_t tag;
};

struct held {
	struct message message;
	uint64_t *pages;	/* NULL for an empty place */
	int fd;
};

/* A process and its client. */
struct worker {
	uint64_t random;
	uint64_t owner;		/* the upper half of each tag */
	uint64_t sequence;	/* the lower half of the last one */
	uint64_t nr_pages;
	uint64_t *tags;		/* of each page that is owned, else 0 */
	char *window;
	int fd;
	int inbox;
	int pipe[2];
	struct held held[MOST_HELD];
};

struct inbox {
	int to, from;
};

static struct figures *figures;
static struct worker worker;
static struct inbox inboxes[WORKERS];

static void count(uint64_t *figure, uint64_t nr)
{
	__atomic_add_fetch(figure, nr, __ATOMIC_RELAXED);
}

static noreturn void wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	printf("# client %llu: ", (unsigned long long)worker.owner);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static uint64_t below(uint64_t limit)
{
	return random_below(&worker.random, limit);
}

/* ---- pages ------------------------------------------------------------------------------ */

static uint64_t *page_at(uint64_t index)
{
	return (uint64_t *)(worker.window + index * PAGE);
}

static void fill(uint64_t *page, uint64_t tag)
{
	for (size_t i = 0; i < WORDS; i++)
		page[i] = tag;
}

static noreturn void foreign(const uint64_t *page, uint64_t index, uint64_t expected)
{
	uint64_t nr = 0, seen = 0;

	for (size_t i = 0; i < WORDS; i++)
		if (page[i] != expected) {
			seen = page[i];
			nr++;
		}
	count(&figures->foreign_bytes, nr * sizeof(*page));
	wrong("page %llu holds %llx instead of %llx in %llu words", (unsigned long long)index,
	      (unsigned long long)seen, (unsigned long long)expected, (unsigned long long)nr);
}

static void verify(const uint64_t *page, uint64_t index, uint64_t tag)
{
	uint64_t difference = 0;

	for (size_t i = 0; i < WORDS; i++)
		difference |= page[i] ^ tag;
	if (difference)
		foreign(page, index, tag);
	count(&figures->verified, 1);
}

/* A page that is new to the client, or that it had before. */
static void verify_new(const uint64_t *page, uint64_t index, bool zeroed)
{
	for (size_t i = 0; i < WORDS; i++)
		if (page[i] && (zeroed || page[i] >> 32 != worker.owner))
			foreign(page, index, 0);
}

static void tag(uint64_t index)
{
	worker.tags[index] = worker.owner << 32 | ++worker.sequence;
	fill(page_at(index), worker.tags[index]);
	count(&figures->tagged, 1);
}

static void own(uint64_t first, uint64_t nr_pages, bool zeroed)
{
	for (uint64_t index = first; index < first + nr_pages; index++) {
		if (index >= worker.nr_pages || worker.tags[index])
			wrong("page %llu given twice", (unsigned long long)index);
		verify_new(page_at(index), index, zeroed);
		tag(index);
	}
}

/* In the model: the pages are somebody else's now, or nobody's. */
static void disown(struct pagespan_range range)
{
	memset(&worker.tags[range.first], 0, range.nr_pages * sizeof(*worker.tags));
}

/* Whether an address can be read, asked of the kernel, which raises no signal. */
static bool readable(const void *address)
{
	uint64_t word;
	struct iovec here = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iovec there = { .iov_base = (void *)address, .iov_len = sizeof(word) };

	return process_vm_readv(getpid(), &here, 1, &there, 1, 0) >= 0;
}

/* Owned pages from a random place on, as long as they follow each other; none if there are none. */
static struct pagespan_range some_owned(uint64_t most)
{
	struct pagespan_range range = { .first = below(worker.nr_pages) };

	for (uint64_t tries = 0; tries < worker.nr_pages && !worker.tags[range.first]; tries++)
		range.first = (range.first + 1) % worker.nr_pages;
	most = 1 + below(most);
	while (range.nr_pages < most && range.first + range.nr_pages < worker.nr_pages &&
	       worker.tags[range.first + range.nr_pages])
		range.nr_pages++;
	return range;
}

static void verify_range(struct pagespan_range range)
{
	for (uint64_t index = range.first; index < range.first + range.nr_pages; index++)
		verify(page_at(index), index, worker.tags[index]);
}

/* ---- operations ------------------------------------------------------------------------- */

static void op_alloc(void)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	struct pagespan_alloc alloc = {
		.size = sizeof(alloc),
		.flags = below(4),
		.nr_pages = 1 + below(below(4) ? 8 : 64),
		.align_pages = 1,
		.count = 1 + below(below(2) ? 1 : 32),
		.spans = (uintptr_t)firsts,
	};
	long ret;

	if (!below(16)) {
		alloc.nr_pages = 1 + below(4 * MEGABLOCK);
		alloc.align_pages = MEGABLOCK;
		alloc.count = 1;
	}
	if (alloc.flags & PAGESPAN_ALLOC_POPULATE)
		alloc.window = (uintptr_t)worker.window;
	ret = client_ioctl(worker.fd, PAGESPAN_ALLOC, &alloc);
	if (ret < 0 && ret != -ENOMEM)
		wrong("ALLOC: %ld", ret);
	for (long i = 0; i < ret; i++)
		own(firsts[i], alloc.nr_pages, alloc.flags & PAGESPAN_ALLOC_ZERO);
}

static void op_alloc_one(void)
{
	uint32_t flags = below(4);
	long page = client_alloc_one(worker.fd,
				     flags & PAGESPAN_ALLOC_POPULATE ? worker.window : NULL, flags);

	if (page >= 0)
		own(page, 1, flags & PAGESPAN_ALLOC_ZERO);
	else if (page != -ENOMEM)
		wrong("ALLOC_ONE: %ld", page);
}

/* The page after an owned range, if it is free. */
static void op_extend(void)
{
	struct pagespan_range range = some_owned(MEGABLOCK);
	uint64_t next = range.first + range.nr_pages;
	long ret;

	if (next >= worker.nr_pages)
		return;
	ret = client_alloc_at(worker.fd, next, 1);
	if (!ret)
		own(next, 1, false);
	else if (ret != -EBUSY)
		wrong("ALLOC_AT: %ld", ret);
}

static void op_free(void)
{
	struct pagespan_range ranges[16];
	uint32_t nr = 0, most = 1 + below(16);
	uint64_t pages = 0;
	long ret;

	while (nr < most) {
		ranges[nr] = some_owned(below(8) ? 64 : 4 * MEGABLOCK);
		if (!ranges[nr].nr_pages)
			break;
		verify_range(ranges[nr]);
		disown(ranges[nr]);
		pages += ranges[nr++].nr_pages;
	}
	if (!nr)
		return;
	ret = client_free_ranges(worker.fd, ranges, nr);
	if (ret != nr)
		wrong("FREE: %ld instead of %u", ret, nr);
	while (nr--)
		if (readable(page_at(ranges[nr].first)))
			wrong("page %llu can be read after its free",
			      (unsigned long long)ranges[nr].first);
	count(&figures->freed, pages);
}

static void op_verify(void)
{
	verify_range(some_owned(64));
}

/* Pages that a pipe holds when they are freed come out of it as they went in. */
static void op_pin(void)
{
	struct pagespan_range range = some_owned(4);
	uint64_t pages[4][WORDS], tags[4];
	struct iovec iov = {
		.iov_base = page_at(range.first),
		.iov_len = range.nr_pages * PAGE,
	};
	long ret;

	if (!range.nr_pages)
		return;
	memcpy(tags, &worker.tags[range.first], range.nr_pages * sizeof(*tags));
	if (vmsplice(worker.pipe[1], &iov, 1, 0) != iov.iov_len)
		wrong("vmsplice: %d", errno);
	disown(range);
	ret = client_free(worker.fd, range.first, range.nr_pages);
	if (ret)
		wrong("FREE of pinned pages: %ld", ret);
	count(&figures->freed, range.nr_pages);
	count(&figures->pinned, 1);
	op_alloc();
	if (read(worker.pipe[0], pages, iov.iov_len) != iov.iov_len)
		wrong("a pipe does not give back what went in: %d", errno);
	for (uint64_t i = 0; i < range.nr_pages; i++)
		verify(pages[i], range.first + i, tags[i]);
}

/* A message with room for one descriptor. */
struct envelope {
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	struct iovec iov;
	struct msghdr header;
};

static struct msghdr *address(struct envelope *envelope, struct message *message)
{
	envelope->iov = (struct iovec){ message, sizeof(*message) };
	envelope->header = (struct msghdr){
		.msg_iov = &envelope->iov,
		.msg_iovlen = 1,
		.msg_control = &envelope->control,
		.msg_controllen = sizeof(envelope->control),
	};
	return &envelope->header;
}

/* Whether there was room for it in the inbox. */
static bool send_message(int to, struct message message, int fd)
{
	struct envelope envelope = {
		.control.header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS },
	};

	memcpy(CMSG_DATA(&envelope.control.header), &fd, sizeof(fd));
	return sendmsg(to, address(&envelope, &message), MSG_DONTWAIT) == sizeof(message);
}

/* Whether there was one. */
static bool receive_message(int from, struct message *message, int *fd)
{
	struct envelope envelope = { 0 };

	if (recvmsg(from, address(&envelope, message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC) !=
	    sizeof(*message))
		return false;
	if (envelope.header.msg_flags & MSG_CTRUNC)
		wrong("a message has lost its descriptor");
	memcpy(fd, CMSG_DATA(&envelope.control.header), sizeof(*fd));
	return true;
}

/* Gives owned pages anew tags that count up, as a message tells them. */
static struct message describe(enum kind kind, struct pagespan_range range)
{
	struct message message = {
		.kind = kind,
		.nr_pages = range.nr_pages,
		.first = range.first,
	};

	for (uint64_t index = range.first; index < range.first + range.nr_pages; index++)
		tag(index);
	message.tag = worker.tags[range.first];
	return message;
}

static void op_give(void)
{
	struct pagespan_range range = some_owned(MOST_SHARED);

	if (!range.nr_pages)
		return;
	if (send_message(inboxes[below(WORKERS)].to, describe(GIVEN, range), worker.fd)) {
		disown(range);
		count(&figures->given, 1);
	}
}

static void op_export(void)
{
	struct pagespan_range range = some_owned(MOST_SHARED);
	struct pagespan_export export = {
		.size = sizeof(export),
		.flags = O_CLOEXEC,
		.first = range.first,
		.nr_pages = range.nr_pages,
	};
	struct message message;
	long fd, ret;

	if (!range.nr_pages)
		return;
	message = describe(EXPORTED, range);
	fd = client_ioctl(worker.fd, PAGESPAN_EXPORT, &export);
	if (fd < 0)
		wrong("EXPORT: %ld", fd);
	if (send_message(inboxes[below(WORKERS)].to, message, fd)) {
		disown(range);
		ret = client_free(worker.fd, range.first, range.nr_pages);
		if (ret)
			wrong("FREE of exported pages: %ld", ret);
		count(&figures->freed, range.nr_pages);
		count(&figures->exported, 1);
	}
	close(fd);
}

static void verify_held(const struct held *held)
{
	for (uint32_t i = 0; i < held->message.nr_pages; i++)
		verify(held->pages + i * WORDS, held->message.first + i, held->message.tag + i);
}

/* Pages that were given may be their client's again once they are freed. */
static void let_go(struct held *held)
{
	uint64_t bytes = held->message.nr_pages * PAGE;

	verify_held(held);
	if (held->message.kind == GIVEN) {
		if (client_free(held->fd, held->message.first, held->message.nr_pages))
			wrong("pages that were given cannot be freed: %d", errno);
		count(&figures->freed, held->message.nr_pages);
	}
	munmap(held->pages, bytes);
	close(held->fd);
	held->pages = NULL;
}

/* Takes what is in the inbox instead of what it has held for a while. */
static void op_receive(void)
{
	struct held *held = &worker.held[below(MOST_HELD)];
	uint64_t offset;

	if (held->pages)
		let_go(held);
	if (!receive_message(worker.inbox, &held->message, &held->fd))
		return;
	offset = held->message.kind == GIVEN ? held->message.first * PAGE : 0;
	held->pages = mmap(NULL, held->message.nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   held->fd, offset);
	if (held->pages == MAP_FAILED)
		wrong("pages that came cannot be mapped: %d", errno);
	verify_held(held);
}

static void (*const operations[])(void) = {
	op_alloc,
	op_alloc,
	op_alloc,
	op_alloc_one,
	op_alloc_one,
	op_extend,
	op_free,
	op_free,
	op_free,
	op_verify,
	op_pin,
	op_give,
	op_export,
	op_receive,
	op_receive,
	op_receive,
};

/* ---- processes -------------------------------------------------------------------------- */

static noreturn void work(uint64_t owner, uint64_t seed, int inbox)
{
	worker = (struct worker){ .owner = owner, .random = seed, .inbox = inbox };
	worker.fd = client_open();
	if (worker.fd < 0 || pipe(worker.pipe))
		wrong("the device cannot be opened: %d", errno);
	worker.nr_pages = client_info(worker.fd).nr_pages;
	worker.tags = calloc(worker.nr_pages, sizeof(*worker.tags));
	worker.window = client_window(worker.fd);
	if (!worker.tags || worker.window == MAP_FAILED)
		wrong("no window: %d", errno);
	for (;;)
		operations[below(sizeof(operations) / sizeof(*operations))]();
}

/* Ends a process that should run; false if it has ended on its own, which is wrong. */
static bool end(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		count(&figures->killed, 1);
		return true;
	}
	printf("# a process ended with status %x\n", status);
	return false;
}

static pid_t start(int place, uint64_t *random)
{
	static uint64_t nr_started;
	uint64_t seed = random_next(random);
	pid_t pid;

	fflush(stdout);
	nr_started++;
	pid = fork();
	if (!pid)
		work(nr_started, seed, inboxes[place].from);
	return pid;
}

/* Processes come and go for so many seconds, and end all at once; whether nothing was wrong. */
static bool run_round(time_t until, uint64_t *random)
{
	pid_t pids[WORKERS];
	bool well = true;

	for (int i = 0; i < WORKERS; i++)
		pids[i] = start(i, random);
	while (well && time(NULL) < until) {
		int place = random_below(random, WORKERS);

		usleep(random_below(random, random_below(random, 16) ? 100000 : 1000000));
		well = end(pids[place]);
		pids[place] = start(place, random);
	}
	for (int i = 0; i < WORKERS; i++)
		kill(pids[i], SIGKILL);
	for (int i = 0; i < WORKERS; i++)
		well &= end(pids[i]);
	return well;
}

static void empty_inboxes(void)
{
	struct message message;
	int fd;

	for (int i = 0; i < WORKERS; i++)
		while (receive_message(inboxes[i].from, &message, &fd))
			close(fd);
}

static uint64_t counter(const char *name)
{
	char path[64], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/misc/pagespan/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		wrong("%s cannot be read: %d", path, errno);
	close(fd);
	return strtoull(text, NULL, 10);
}

/* What a client that takes everything gets, and whether there is anything in it. */
static uint64_t take_all(void)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT];
	uint64_t taken = 0;
	long got;

	worker.fd = client_open();
	worker.window = client_window(worker.fd);
	while ((got = client_alloc_bulk(worker.fd, 1, PAGESPAN_MAX_COUNT, firsts, 0)) > 0) {
		taken += got;
		for (long i = 0; i < got; i++)
			verify(page_at(firsts[i]), firsts[i], 0);
	}
	return taken;
}

/* Whether every page is free again, in a moment, and can be had. */
static bool pool_is_whole(uint64_t pages, uint64_t longest_run)
{
	int status = IN_CHILD({
		if (EVENTUALLY(counter("free_pages") == pages) && !counter("quarantined_pages") &&
		    !counter("clients") && counter("longest_run") == longest_run)
			_exit(take_all() != pages);
		_exit(1);
	});

	if (!status)
		return true;
	printf("# %llu of %llu pages are free, %llu quarantined, %llu clients, longest run %llu\n",
	       (unsigned long long)counter("free_pages"), (unsigned long long)pages,
	       (unsigned long long)counter("quarantined_pages"),
	       (unsigned long long)counter("clients"), (unsigned long long)counter("longest_run"));
	figures->lost_pages = pages - counter("free_pages");
	return false;
}

static bool soak(long seconds, uint64_t seed)
{
	uint64_t pages = counter("pool_pages"), longest_run = counter("longest_run");
	time_t until = time(NULL) + seconds;
	bool well = pool_is_whole(pages, longest_run);

	for (unsigned long round = 1; well && time(NULL) < until; round++) {
		time_t now = time(NULL);

		well = run_round(until - now < ROUND_SECONDS ? until : now + ROUND_SECONDS, &seed);
		empty_inboxes();
		well = pool_is_whole(pages, longest_run) && well;
		printf("# round %lu: %llu killed, %llu pages verified\n", round,
		       (unsigned long long)figures->killed, (unsigned long long)figures->verified);
		fflush(stdout);
	}
	return well;
}

static void tell(long seconds)
{
	const struct {
		uint64_t nr;
		const char *of_what;
	} parts[] = {
		{ figures->killed, "processes killed" },
		{ figures->tagged, "pages tagged" },
		{ figures->verified, "verified" },
		{ figures->freed, "freed" },
		{ figures->given, "times given" },
		{ figures->exported, "exported" },
		{ figures->pinned, "pinned" },
		{ figures->lost_pages, "pages lost" },
		{ figures->foreign_bytes, "foreign bytes" },
	};

	printf("# soak: %ld s", seconds);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		printf(", %llu %s", (unsigned long long)parts[i].nr, parts[i].of_what);
	printf("\n");
}

int main(int argc, char **argv)
{
	time_t begun = time(NULL);
	bool well;

	if (argc != 3) {
		fprintf(stderr, "usage: %s SECONDS SEED\n", argv[0]);
		return 2;
	}
	figures = mmap(NULL, sizeof(*figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (figures == MAP_FAILED)
		return 2;
	for (int i = 0; i < WORKERS; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
			return 2;
		inboxes[i] = (struct inbox){ .to = ends[0], .from = ends[1] };
	}
	printf("1..1\n# seed %s\n", argv[2]);
	well = soak(atol(argv[1]), strtoull(argv[2], NULL, 16));
	printf("%sok 1 soak.no_page_is_lost_and_no_foreign_byte_is_seen\n", well ? "" : "not ");
	tell(time(NULL) - begun);
	return !well;
}
