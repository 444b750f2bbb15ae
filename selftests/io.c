// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O straight into and out of the window: O_DIRECT, also while pages are freed
 * under it, and buffers registered with io_uring.
 *
 * Files are made in TMPDIR, or here; a file system without O_DIRECT skips. I/O
 * that stays in flight for as long as a test wants needs a network block device,
 * /dev/nbd0, whose server is the test.
 */
#define _GNU_SOURCE
#include <endian.h>
#include <linux/io_uring.h>
#include <linux/nbd.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "harness.h"
#include "pagespan_test.h"

#define SPAN		16
#define MEGABLOCK	512

/* A client with a span of SPAN pages, and a nameless file, open for direct and for buffered I/O. */
struct files {
	int fd, direct, buffered;
	uint64_t nr_pages, nr_free;
	char *base;
	long span;
	char *page;
};

static char pattern[SPAN * PAGE], copy[SPAN * PAGE];

/* No zeros, and no two places alike. */
static void make_pattern(unsigned int seed)
{
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = 1 + (rand_r(&seed) >> 8) % 255;
}

/* NULL, or what is missing. Tests skip themselves, for SKIP() in a fixture does not stop them. */
static const char *files_open(struct files *files)
{
	const char *directory = getenv("TMPDIR") ?: ".";
	char path[4096];

	*files = (struct files){ .fd = client_open(), .direct = -1, .buffered = -1 };
	if (files->fd < 0)
		abort();
	files->nr_pages = client_info(files->fd).nr_pages;
	files->nr_free = client_info(files->fd).free_pages;
	files->base = client_window(files->fd);
	files->span = client_alloc(files->fd, SPAN);
	if (files->base == MAP_FAILED || files->span < 0)
		abort();
	files->page = files->base + files->span * PAGE;
	make_pattern(files->span);

	snprintf(path, sizeof(path), "%s/pagespan-io-%d", directory, getpid());
	files->direct = open(path, O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
	files->buffered = open(path, O_RDWR | O_CLOEXEC);
	unlink(path);
	return files->direct < 0 ? "no O_DIRECT here; TMPDIR names a directory that has it" : NULL;
}

static void files_close(struct files *files)
{
	close(files->direct);
	close(files->buffered);
	munmap(files->base, files->nr_pages * PAGE);
	close(files->fd);
}

FIXTURE(direct)
{
	struct files files;
	const char *missing;
};

FIXTURE_SETUP(direct)
{
	self->missing = files_open(&self->files);
}

/* No I/O is left to wait for, so nothing may be pinned. */
FIXTURE_TEARDOWN(direct)
{
	int fd;

	files_close(&self->files);
	fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == self->files.nr_free));
	close(fd);
}

TEST_F(direct, write_from_the_window_is_what_a_buffered_read_sees)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	memcpy(files->page, pattern, sizeof(pattern));
	ASSERT_EQ(sizeof(pattern), pwrite(files->direct, files->page, sizeof(pattern), 0));
	ASSERT_EQ(sizeof(copy), pread(files->buffered, copy, sizeof(copy), 0));
	EXPECT_EQ(0, memcmp(pattern, copy, sizeof(copy)));
}

TEST_F(direct, read_into_the_window_is_what_a_buffered_write_wrote)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(sizeof(pattern), pwrite(files->buffered, pattern, sizeof(pattern), 0));
	ASSERT_EQ(sizeof(pattern), pread(files->direct, files->page, sizeof(pattern), 0));
	EXPECT_EQ(0, memcmp(pattern, files->page, sizeof(pattern)));
}

/* The pages need not be mapped before, nor be read where they were written. */
TEST_F(direct, io_reaches_pages_that_were_never_touched)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(sizeof(pattern), pwrite(files->buffered, pattern, sizeof(pattern), 0));
	ASSERT_EQ(2 * PAGE, pread(files->direct, files->page + 3 * PAGE, 2 * PAGE, PAGE));
	EXPECT_EQ(0, memcmp(pattern + PAGE, files->page + 3 * PAGE, 2 * PAGE));
}

/* One call over 2 MiB mappings, and over the boundary to 4 KiB mappings. */
TEST_F(direct, io_of_huge_mappings_moves_every_page)
{
	struct files *files = &self->files;
	size_t bytes = (2 * MEGABLOCK + 3) * PAGE;
	long span = client_alloc_ex(files->fd, 2 * MEGABLOCK + 3, MEGABLOCK,
				    PAGESPAN_ALLOC_POPULATE, files->base);
	char *pages = files->base + span * PAGE;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_LE(0, span);
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		((uint64_t *)pages)[i] = i * 0x9e3779b97f4a7c15;
	ASSERT_EQ(bytes, pwrite(files->direct, pages, bytes, 0));
	memset(pages, 0, bytes);
	ASSERT_EQ(bytes, pread(files->direct, pages, bytes, 0));
	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		ASSERT_EQ(i * 0x9e3779b97f4a7c15, ((uint64_t *)pages)[i]);
}

TEST_F(direct, read_stops_at_the_end_of_the_file)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(5000, pwrite(files->buffered, pattern, 5000, 0));
	memset(files->page, 0, 3 * PAGE);
	ASSERT_EQ(5000, pread(files->direct, files->page, 3 * PAGE, 0));
	EXPECT_EQ(0, memcmp(pattern, files->page, 5000));
	EXPECT_TRUE(pages_hold(files->page + 2 * PAGE, 1, 0));
}

/* The file system refuses or copies, as for any memory; but no page may stay pinned. */
TEST_F(direct, unaligned_io_pins_nothing_for_good)
{
	struct files *files = &self->files;
	static const size_t lengths[] = { 1, 100, PAGE - 1, PAGE + 1, 3 * PAGE - 7 };

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(sizeof(pattern), pwrite(files->buffered, pattern, sizeof(pattern), 0));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		ssize_t got = pread(files->direct, files->page, lengths[i], 0);

		if (got >= 0)
			EXPECT_EQ(0, memcmp(pattern, files->page, got));
		got = pread(files->direct, files->page + 1, PAGE, 0);
		if (got >= 0)
			EXPECT_EQ(0, memcmp(pattern, files->page + 1, got));
	}
	ASSERT_EQ(0, client_free(files->fd, files->span, SPAN));
	EXPECT_EQ(0, client_info(files->fd).quarantined_pages);
}

TEST_F(direct, io_of_a_page_not_owned_is_efault)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_EQ(sizeof(pattern), pwrite(files->buffered, pattern, sizeof(pattern), 0));
	memset(files->page, 0, SPAN * PAGE);
	ASSERT_EQ(0, client_free_one(files->fd, files->span + 2));
	EXPECT_EQ(-1, pread(files->direct, files->page + 2 * PAGE, PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(files->direct, files->page + 2 * PAGE, PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	/* As much as comes before it, or nothing. */
	EXPECT_GE((ssize_t)(2 * PAGE), pread(files->direct, files->page, 4 * PAGE, 0));
	EXPECT_TRUE(pages_hold(files->page + 3 * PAGE, SPAN - 3, 0));
}

/* ---- I/O in flight ------------------------------------------------------- */

#define DEVICE_PAGES	1024
#define HELD_PAGE	512	/* reads from here on wait for release */

/* The server of a block device whose reads take as long as the test wants. */
struct server {
	int device, socket, kernel_socket;
	pthread_t serve, attend;
	bool held;		/* a read waits */
	bool release;
	int attended;		/* what NBD_DO_IT gave */
};

static bool transfer(int fd, void *buffer, size_t bytes, bool out)
{
	while (bytes) {
		ssize_t done = out ? send(fd, buffer, bytes, MSG_NOSIGNAL) :
				     recv(fd, buffer, bytes, 0);

		if (done <= 0)
			return false;
		buffer = (char *)buffer + done;
		bytes -= done;
	}
	return true;
}

static void *server_serve(void *arg)
{
	struct server *server = arg;
	struct nbd_request request;

	while (transfer(server->socket, &request, sizeof(request), false)) {
		struct nbd_reply reply = { .magic = htobe32(NBD_REPLY_MAGIC) };
		uint32_t type = be32toh(request.type) & 0xffff;
		uint32_t bytes = be32toh(request.len);
		static char data[1 << 20];

		if (type == NBD_CMD_DISC || bytes > sizeof(data))
			break;
		memcpy(&reply.handle, &request.handle, sizeof(reply.handle));
		memset(data, 0, bytes);
		if (type == NBD_CMD_READ && be64toh(request.from) >= HELD_PAGE * PAGE) {
			memset(data, 0x5d, bytes);
			__atomic_store_n(&server->held, true, __ATOMIC_SEQ_CST);
			while (!__atomic_load_n(&server->release, __ATOMIC_SEQ_CST))
				usleep(1000);
		}
		if (!transfer(server->socket, &reply, sizeof(reply), true))
			break;
		if (type == NBD_CMD_READ && !transfer(server->socket, data, bytes, true))
			break;
	}
	shutdown(server->socket, SHUT_RDWR);
	return NULL;
}

static void *server_attend(void *arg)
{
	struct server *server = arg;

	server->attended = ioctl(server->device, NBD_DO_IT);
	return NULL;
}

/* Whether there is a device to serve. */
static bool server_start(struct server *server)
{
	int pair[2];

	*server = (struct server){ .device = open("/dev/nbd0", O_RDWR | O_CLOEXEC) };
	if (server->device < 0)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		abort();
	server->socket = pair[0];
	server->kernel_socket = pair[1];
	if (ioctl(server->device, NBD_SET_BLKSIZE, PAGE) ||
	    ioctl(server->device, NBD_SET_SIZE_BLOCKS, DEVICE_PAGES) ||
	    ioctl(server->device, NBD_SET_SOCK, server->kernel_socket)) {
		close(server->device);
		return false;
	}
	pthread_create(&server->serve, NULL, server_serve, server);
	pthread_create(&server->attend, NULL, server_attend, server);
	return true;
}

static void server_stop(struct server *server)
{
	__atomic_store_n(&server->release, true, __ATOMIC_SEQ_CST);
	ioctl(server->device, NBD_DISCONNECT);
	pthread_join(server->serve, NULL);
	pthread_join(server->attend, NULL);
	ioctl(server->device, NBD_CLEAR_SOCK);
	close(server->device);
	close(server->socket);
	close(server->kernel_socket);
}

FIXTURE(flight)
{
	struct server server;
	const char *missing;
	int fd, other, direct;
	uint64_t nr_pages, nr_free;
	char *base;
	long span;
	char *page;
};

FIXTURE_SETUP(flight)
{
	if (!server_start(&self->server))
		self->missing = "no /dev/nbd0; load the module nbd";
	self->fd = client_open();
	self->other = client_open();
	ASSERT_LE(0, self->fd);
	ASSERT_LE(0, self->other);
	self->nr_pages = client_info(self->fd).nr_pages;
	self->nr_free = client_info(self->fd).free_pages;
	self->base = client_window(self->fd);
	ASSERT_NE(MAP_FAILED, self->base);
	self->span = client_alloc(self->fd, 4);
	ASSERT_LE(0, self->span);
	self->page = self->base + self->span * PAGE;
	self->direct = -1;
	if (self->missing)
		return;
	/* The size is there once the device is attended to. */
	ASSERT_TRUE(EVENTUALLY(({
		close(self->direct);
		self->direct = open("/dev/nbd0", O_RDWR | O_DIRECT | O_CLOEXEC);
		self->direct >= 0 && lseek(self->direct, 0, SEEK_END) == DEVICE_PAGES * PAGE;
	})));
}

FIXTURE_TEARDOWN(flight)
{
	close(self->direct);
	if (!self->missing)
		server_stop(&self->server);
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	close(self->other);
	self->fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(self->fd).free_pages == self->nr_free));
	close(self->fd);
}

struct read {
	int direct;
	char *page;
	ssize_t got;
};

static void *read_two_pages(void *arg)
{
	struct read *read = arg;

	read->got = pread(read->direct, read->page, 2 * PAGE, HELD_PAGE * PAGE);
	return NULL;
}

/* What the device writes late must land in pages that are nobody's. */
TEST_F(flight, pages_freed_under_a_direct_read_are_nobodys_until_it_ends)
{
	struct read read = { .direct = self->direct, .page = self->page + PAGE };
	char *window = client_window(self->other);
	pthread_t reader;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	ASSERT_NE(MAP_FAILED, window);
	memset(self->page, 0x11, 4 * PAGE);
	pthread_create(&reader, NULL, read_two_pages, &read);
	ASSERT_TRUE(EVENTUALLY(__atomic_load_n(&self->server.held, __ATOMIC_SEQ_CST)));

	ASSERT_EQ(0, client_free(self->fd, self->span, 4));
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);
	EXPECT_EQ(SIGBUS, touch(self->page + PAGE, -1));
	EXPECT_EQ(0, client_alloc_at(self->other, self->span, 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, self->span + 1, 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, self->span + 2, 1));
	EXPECT_EQ(0, client_alloc_at(self->other, self->span + 3, 1));
	usleep(100000);
	EXPECT_EQ(2, client_info(self->fd).quarantined_pages);

	__atomic_store_n(&self->server.release, true, __ATOMIC_SEQ_CST);
	pthread_join(reader, NULL);
	EXPECT_EQ(2 * PAGE, read.got);
	EXPECT_TRUE(EVENTUALLY(!client_info(self->fd).quarantined_pages));
	ASSERT_EQ(0, client_alloc_at(self->other, self->span + 1, 2));
	EXPECT_TRUE(pages_hold(window + self->span * PAGE, 4, 0));
	munmap(window, self->nr_pages * PAGE);
}

TEST_F(flight, pages_of_a_closed_client_wait_for_its_direct_read)
{
	struct read read = { .direct = self->direct, .page = self->page };
	pthread_t reader;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	pthread_create(&reader, NULL, read_two_pages, &read);
	ASSERT_TRUE(EVENTUALLY(__atomic_load_n(&self->server.held, __ATOMIC_SEQ_CST)));
	munmap(self->base, self->nr_pages * PAGE);
	close(self->fd);
	EXPECT_EQ(self->nr_free - 2, client_info(self->other).free_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(self->other, self->span, 1));
	__atomic_store_n(&self->server.release, true, __ATOMIC_SEQ_CST);
	pthread_join(reader, NULL);
	EXPECT_EQ(2 * PAGE, read.got);
}

/* ---- io_uring ------------------------------------------------------------ */

/* One request at a time, so the rings' heads and tails are all there is to keep. */
struct uring {
	int fd;
	char *submissions, *completions;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};

static bool uring_open(struct uring *ring)
{
	*ring = (struct uring){ .fd = -1 };
	ring->fd = syscall(__NR_io_uring_setup, 1, &ring->params);
	if (ring->fd < 0)
		return false;
	ring->submissions = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
				 IORING_OFF_SQ_RING);
	ring->completions = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
				 IORING_OFF_CQ_RING);
	ring->entries = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
			     IORING_OFF_SQES);
	return ring->submissions != MAP_FAILED && ring->completions != MAP_FAILED &&
	       (void *)ring->entries != MAP_FAILED;
}

static void uring_close(struct uring *ring)
{
	munmap(ring->submissions, PAGE);
	munmap(ring->completions, PAGE);
	munmap(ring->entries, PAGE);
	close(ring->fd);
}

static int uring_register(struct uring *ring, unsigned int operation, const struct iovec *buffers,
			  unsigned int nr)
{
	return syscall(__NR_io_uring_register, ring->fd, operation, buffers, nr) ? -errno : 0;
}

/* Bytes moved, or -errno. */
static int uring_transfer(struct uring *ring, int operation, int fd, char *buffer, size_t bytes)
{
	const struct io_sqring_offsets *sq = &ring->params.sq_off;
	const struct io_cqring_offsets *cq = &ring->params.cq_off;
	uint32_t *tail = (uint32_t *)(ring->submissions + sq->tail);
	uint32_t *head = (uint32_t *)(ring->completions + cq->head);
	const struct io_uring_cqe *results = (void *)(ring->completions + cq->cqes);
	uint32_t mask = *(uint32_t *)(ring->completions + cq->ring_mask);
	int result;

	ring->entries[0] = (struct io_uring_sqe){
		.opcode = operation,
		.fd = fd,
		.addr = (uintptr_t)buffer,
		.len = bytes,
	};
	((uint32_t *)(ring->submissions + sq->array))[0] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
		return -errno;
	result = results[*head & mask].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}

FIXTURE(registered)
{
	struct files files;
	struct uring ring;
	const char *missing;
};

FIXTURE_SETUP(registered)
{
	struct iovec buffer;
	int refused;

	self->missing = files_open(&self->files);
	if (!uring_open(&self->ring)) {
		self->missing = "no io_uring here";
		return;
	}
	buffer = (struct iovec){ .iov_base = self->files.page, .iov_len = SPAN * PAGE };
	refused = uring_register(&self->ring, IORING_REGISTER_BUFFERS, &buffer, 1);
	/* Linux before 6.5 registers no memory of files but shmem's and hugetlbfs's. */
	if (refused == -EOPNOTSUPP)
		self->missing = "io_uring of this kernel registers no memory of device files";
	else
		ASSERT_EQ(0, refused);
}

FIXTURE_TEARDOWN(registered)
{
	int fd;

	if (self->ring.fd >= 0)
		uring_close(&self->ring);
	files_close(&self->files);
	fd = client_open();
	EXPECT_TRUE(EVENTUALLY(client_info(fd).free_pages == self->files.nr_free));
	close(fd);
}

TEST_F(registered, buffer_is_written_and_read_directly)
{
	struct files *files = &self->files;

	if (self->missing)
		SKIP(return, "%s", self->missing);
	memcpy(files->page, pattern, sizeof(pattern));
	ASSERT_EQ(sizeof(pattern), uring_transfer(&self->ring, IORING_OP_WRITE_FIXED, files->direct,
						  files->page, sizeof(pattern)));
	ASSERT_EQ(sizeof(copy), pread(files->buffered, copy, sizeof(copy), 0));
	EXPECT_EQ(0, memcmp(pattern, copy, sizeof(copy)));

	memset(files->page, 0, SPAN * PAGE);
	ASSERT_EQ(2 * PAGE, uring_transfer(&self->ring, IORING_OP_READ_FIXED, files->direct,
					   files->page + PAGE, 2 * PAGE));
	EXPECT_EQ(0, memcmp(pattern, files->page + PAGE, 2 * PAGE));
	EXPECT_TRUE(pages_hold(files->page, 1, 0));
	EXPECT_TRUE(pages_hold(files->page + 3 * PAGE, SPAN - 3, 0));
}

/* It still names the pages that it was registered with, not what is at its address. */
TEST_F(registered, freed_buffer_is_quarantined_until_it_is_unregistered)
{
	struct files *files = &self->files;
	int other = client_open();

	if (self->missing)
		SKIP(return, "%s", self->missing);
	memcpy(files->page, pattern, sizeof(pattern));
	ASSERT_EQ(0, client_free(files->fd, files->span, SPAN));
	EXPECT_EQ(SPAN, client_info(files->fd).quarantined_pages);
	EXPECT_EQ(-EBUSY, client_alloc_at(other, files->span, 1));
	EXPECT_EQ(SIGBUS, touch(files->page, -1));
	EXPECT_EQ(sizeof(pattern), uring_transfer(&self->ring, IORING_OP_WRITE_FIXED, files->direct,
						  files->page, sizeof(pattern)));
	ASSERT_EQ(sizeof(copy), pread(files->buffered, copy, sizeof(copy), 0));
	EXPECT_EQ(0, memcmp(pattern, copy, sizeof(copy)));
	usleep(300000);
	EXPECT_EQ(SPAN, client_info(files->fd).quarantined_pages);

	ASSERT_EQ(0, uring_register(&self->ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	EXPECT_TRUE(EVENTUALLY(!client_info(files->fd).quarantined_pages));
	EXPECT_EQ(0, client_alloc_at(other, files->span, SPAN));
	close(other);
}

TEST_HARNESS_MAIN
