/* SPDX-License-Identifier: GPL-2.0-only */
/* An export that was made to be read, for tests of what processes and drivers can do with it. */
#ifndef PAGESPAN_READER_H
#define PAGESPAN_READER_H

#include "harness.h"
#include "exported.h"

FIXTURE(reader)
{
	int fd, dmabuf;
	char *own;
	long span;
};

FIXTURE_SETUP(reader)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->span = client_alloc(self->fd, 8);
	ASSERT_LE(0, self->span);
	self->own = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
			 self->span * PAGE);
	ASSERT_NE(MAP_FAILED, self->own);
	memset(self->own, 0x55, 8 * PAGE);
	self->dmabuf = export_as(self->fd, self->span, 8, PAGESPAN_EXPORT_RDONLY);
	ASSERT_LE(0, self->dmabuf);
}

FIXTURE_TEARDOWN(reader)
{
	close(self->dmabuf);
	munmap(self->own, 8 * PAGE);
	close(self->fd);
}

#endif
