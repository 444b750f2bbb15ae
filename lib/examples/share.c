// SPDX-License-Identifier: MIT
/*
 * Shares a span with another process: as a dma-buf, whose descriptor goes over a socket. The other
 * process need not know of pagespan; it maps the descriptor and reads and writes the same pages.
 *
 * usage: share [TEXT]; the other process is this program, called with the socket.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pagespan.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAN_BYTES (16 * PS_PAGE_SIZE)
#define MISSING    3

static int fail(const char *what, int error)
{
	fprintf(stderr, "share: %s: %s\n", what, strerror(error));
	return 1;
}

/* ---- a descriptor over a socket -------------------------------------------------------------- */

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int send_descriptor(int socket, int fd)
{
	union control control = {0};
	char byte = 0;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -errno;
}

static int receive_descriptor(int socket)
{
	union control control = {0};
	char byte;
	struct iovec data = {&byte, 1};
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EIO;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -EIO;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* ---- the other process ----------------------------------------------------------------------- */

/* Reads what is there and answers in the same pages. */
static int answer(int socket)
{
	int fd = receive_descriptor(socket);
	char *shared;

	if (fd < 0)
		return fail("no descriptor", -fd);
	shared = mmap(NULL, SPAN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return fail("mmap of the dma-buf", errno);
	printf("process %d reads: %s\n", (int)getpid(), shared);
	fflush(stdout);
	snprintf(shared + PS_PAGE_SIZE, PS_PAGE_SIZE, "%zu characters", strlen(shared));
	munmap(shared, SPAN_BYTES);
	close(fd);
	return 0;
}

/* ---- the one with the span ------------------------------------------------------------------- */

/* Runs this program anew, so that it has nothing of this process but the socket. */
static pid_t start_other(int socket)
{
	char number[16];
	pid_t child = fork();

	if (child)
		return child;
	snprintf(number, sizeof(number), "%d", socket);
	execl("/proc/self/exe", "share", "--answer", number, (char *)NULL);
	_exit(127);
}

static int share(char *span, const char *text)
{
	int sockets[2], fd, error, status = -1;
	pid_t other;

	fd = ps_span_export(span, SPAN_BYTES);
	if (fd < 0)
		return fail("export", -fd);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return fail("socketpair", errno);
	other = start_other(sockets[1]);
	if (other < 0)
		return fail("fork", errno);
	close(sockets[1]);
	snprintf(span, PS_PAGE_SIZE, "%s", text);
	error = send_descriptor(sockets[0], fd);
	if (error)
		return fail("sending", -error);
	close(fd);
	while (waitpid(other, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		fprintf(stderr, "share: the other process failed\n");
		return 1;
	}
	printf("process %d reads: %s\n", (int)getpid(), span + PS_PAGE_SIZE);
	return 0;
}

int main(int argc, char **argv)
{
	char *span;
	int status;

	if (argc == 3 && !strcmp(argv[1], "--answer"))
		return answer((int)strtol(argv[2], NULL, 10));
	if (argc > 2) {
		fprintf(stderr, "usage: share [TEXT]\n");
		return 2;
	}
	span = ps_span_alloc_ex(SPAN_BYTES, 0, PS_EXPORT | PS_ZERO);
	if (!span) {
		fail(errno == EOPNOTSUPP ? "only the device exports" : "no span", errno);
		return errno == EOPNOTSUPP ? MISSING : 1;
	}
	status = share(span, argc > 1 ? argv[1] : "shared by a span");
	ps_span_free(span, SPAN_BYTES);
	return status;
}
