// SPDX-License-Identifier: GPL-2.0-only
/* Bad input: every refusal that <linux/pagespan.h> documents, and that it changes nothing. */
#include "harness.h"
#include "pagespan_test.h"

FIXTURE(client)
{
	int fd;
	struct pagespan_info before;
	long span;
};

FIXTURE_SETUP(client)
{
	self->fd = client_open();
	ASSERT_LE(0, self->fd);
	self->span = client_alloc(self->fd, 4);
	ASSERT_LE(0, self->span);
	self->before = client_info(self->fd);
}

FIXTURE_TEARDOWN(client)
{
	struct pagespan_info after = client_info(self->fd);

	EXPECT_EQ(0, memcmp(&self->before, &after, sizeof(after)));
	EXPECT_EQ(0, client_free(self->fd, self->span, 4));
	close(self->fd);
}

static struct pagespan_alloc good_alloc(uint64_t *firsts)
{
	return (struct pagespan_alloc){
		.size = sizeof(struct pagespan_alloc),
		.nr_pages = 1,
		.align_pages = 1,
		.count = 1,
		.spans = (uintptr_t)firsts,
	};
}

static struct pagespan_free good_free(const struct pagespan_range *ranges)
{
	return (struct pagespan_free){
		.size = sizeof(struct pagespan_free),
		.count = 1,
		.ranges = (uintptr_t)ranges,
	};
}

/* Any structure, as far as its size is concerned. */
struct sized {
	uint32_t size;
	char rest[2 * PAGE];
};

/* A page behind which nothing is mapped; what lies at its end cannot be read whole. */
static void *last_bytes_before_nothing(size_t bytes)
{
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);

	munmap(page + PAGE, PAGE);
	return page + PAGE - bytes;
}

TEST_F(client, unknown_command_is_enotty)
{
	struct pagespan_info info = { .size = sizeof(info) };

	EXPECT_EQ(-ENOTTY, client_ioctl(self->fd, _IO(PAGESPAN_TYPE, 0x7f), &info));
	EXPECT_EQ(-ENOTTY, client_ioctl(self->fd, _IO('x', 0x00), &info));
	EXPECT_EQ(-ENOTTY, client_ioctl(self->fd, _IOWR(PAGESPAN_TYPE, 0, struct pagespan_alloc),
					&info));
}

TEST_F(client, size_below_the_first_release_is_einval)
{
	static const unsigned int commands[] = {
		PAGESPAN_ALLOC, PAGESPAN_ALLOC_AT, PAGESPAN_FREE, PAGESPAN_INFO,
		PAGESPAN_QUERY, PAGESPAN_PHYS, PAGESPAN_EXPORT, PAGESPAN_PRESSURE,
	};
	static const uint32_t sizes[] = { 0, 1, 4, 16 };
	struct sized buffer = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			buffer.size = sizes[j];
			EXPECT_EQ(-EINVAL, client_ioctl(self->fd, commands[i], &buffer));
		}
	}
}

TEST_F(client, size_above_a_page_is_e2big)
{
	static const uint32_t sizes[] = { 4097, 1 << 20, UINT32_MAX };
	struct sized buffer = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		buffer.size = sizes[i];
		EXPECT_EQ(-E2BIG, client_ioctl(self->fd, PAGESPAN_ALLOC, &buffer));
		EXPECT_EQ(-E2BIG, client_ioctl(self->fd, PAGESPAN_FREE, &buffer));
		EXPECT_EQ(-E2BIG, client_ioctl(self->fd, PAGESPAN_INFO, &buffer));
	}
}

TEST_F(client, larger_struct_is_accepted_only_with_a_zero_tail)
{
	struct {
		struct pagespan_info info;
		uint64_t tail;
	} larger = { .info.size = sizeof(larger) };

	EXPECT_EQ(0, client_ioctl(self->fd, PAGESPAN_INFO, &larger));
	EXPECT_EQ(sizeof(larger), larger.info.size);
	EXPECT_EQ(self->before.nr_pages, larger.info.nr_pages);
	EXPECT_EQ(0, larger.tail);

	larger.info = (struct pagespan_info){ .size = sizeof(larger) };
	larger.tail = 1ULL << 63;
	EXPECT_EQ(-E2BIG, client_ioctl(self->fd, PAGESPAN_INFO, &larger));
}

TEST_F(client, unknown_flags_and_reserved_members_are_einval)
{
	struct pagespan_range range = { .first = self->span, .nr_pages = 4 };
	struct pagespan_info info = { .size = sizeof(info), .free_pages = 1 };
	struct pagespan_alloc alloc;
	struct pagespan_free request;
	uint64_t first;

	for (int bit = 2; bit < 32; bit++) {
		alloc = good_alloc(&first);
		alloc.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	}
	for (int bit = 0; bit < 32; bit++) {
		request = good_free(&range);
		request.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_FREE, &request));
	}
	alloc = good_alloc(&first);
	alloc.__reserved = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	request = good_free(&range);
	request.__reserved = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_FREE, &request));
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_INFO, &info));
}

TEST_F(client, span_of_no_page_or_of_65537_pages_is_einval)
{
	EXPECT_EQ(-EINVAL, client_alloc(self->fd, 0));
	EXPECT_EQ(-EINVAL, client_alloc(self->fd, 65537));
	EXPECT_EQ(-EINVAL, client_alloc(self->fd, UINT32_MAX));
}

TEST_F(client, count_out_of_range_is_einval)
{
	static uint64_t firsts[PAGESPAN_MAX_COUNT + 1];
	struct pagespan_range range = { .first = self->span, .nr_pages = 4 };
	struct pagespan_free request = good_free(&range);

	EXPECT_EQ(-EINVAL, client_alloc_bulk(self->fd, 1, 0, firsts, 0));
	EXPECT_EQ(-EINVAL, client_alloc_bulk(self->fd, 1, PAGESPAN_MAX_COUNT + 1, firsts, 0));
	request.count = 0;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_FREE, &request));
	request.count = PAGESPAN_MAX_COUNT + 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_FREE, &request));
}

TEST_F(client, alignment_that_is_no_power_of_two_up_to_512_is_einval)
{
	static const uint32_t alignments[] = { 0, 3, 511, 513, 1024, 1U << 31 };
	struct pagespan_alloc alloc;
	uint64_t first;

	for (size_t i = 0; i < ARRAY_SIZE(alignments); i++) {
		alloc = good_alloc(&first);
		alloc.align_pages = alignments[i];
		EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	}
}

TEST_F(client, free_of_a_range_that_leaves_the_pool_or_overflows_is_einval)
{
	uint64_t nr_pages = self->before.nr_pages;

	EXPECT_EQ(-EINVAL, client_free(self->fd, self->span, 0));
	EXPECT_EQ(-EINVAL, client_free(self->fd, nr_pages, 1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, nr_pages - 1, 2));
	EXPECT_EQ(-EINVAL, client_free(self->fd, 0, nr_pages + 1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, self->span, UINT64_MAX));
	EXPECT_EQ(-EINVAL, client_free(self->fd, self->span, UINT64_MAX - self->span + 1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, UINT64_MAX, 2));
	EXPECT_EQ(-EINVAL, client_free(self->fd, UINT64_MAX, UINT64_MAX));
	EXPECT_EQ(-EINVAL, client_free(self->fd, self->span + (1ULL << 52), 1));
}

TEST_F(client, free_of_a_page_not_owned_is_einval)
{
	long other = client_alloc(self->fd, 3);

	ASSERT_LE(0, other);
	ASSERT_EQ(0, client_free(self->fd, other + 1, 1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, other + 1, 1));
	EXPECT_EQ(-EINVAL, client_free(self->fd, other, 3));
	EXPECT_EQ(-EINVAL, client_free(self->fd, other, 2));
	EXPECT_EQ(0, client_free(self->fd, other, 1));
	EXPECT_EQ(0, client_free(self->fd, other + 2, 1));
}

TEST_F(client, bad_pointer_is_efault)
{
	struct pagespan_alloc alloc = good_alloc((uint64_t *)8);
	struct pagespan_free request = good_free((struct pagespan_range *)8);
	void *torn = last_bytes_before_nothing(8);

	*(uint32_t *)torn = sizeof(alloc);
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_ALLOC, &alloc));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_FREE, &request));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_ALLOC, NULL));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_FREE, (void *)-4096L));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_INFO, (void *)(1UL << 63)));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_ALLOC, torn));
}

TEST_F(client, allocation_whose_result_cannot_be_stored_is_undone)
{
	uint64_t *torn = last_bytes_before_nothing(3 * sizeof(*torn));

	EXPECT_EQ(-EFAULT, client_alloc_bulk(self->fd, 2, 8, torn, 0));
	EXPECT_EQ(-EFAULT, client_alloc_bulk(self->fd, 2, 8, torn, PAGESPAN_ALLOC_ZERO));
	EXPECT_EQ(-EFAULT, client_alloc_bulk(self->fd, 1, 100, torn, 0));
}

TEST_F(client, bulk_free_whose_ranges_cannot_all_be_read_frees_none)
{
	struct pagespan_range *torn = last_bytes_before_nothing(2 * sizeof(*torn));
	struct pagespan_free request = good_free(torn);

	torn[0] = (struct pagespan_range){ .first = self->span, .nr_pages = 1 };
	torn[1] = (struct pagespan_range){ .first = self->span + 1, .nr_pages = 1 };
	for (request.count = 3; request.count <= PAGESPAN_MAX_COUNT; request.count++)
		ASSERT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_FREE, &request));
}

TEST_F(client, allocation_of_one_page_with_a_bad_window_or_flag_is_einval)
{
	char *window = client_window(self->fd);

	for (unsigned int flag = 4; flag < PAGE; flag *= 2)
		EXPECT_EQ(-EINVAL, client_alloc_one(self->fd, NULL, flag));
	EXPECT_EQ(-EINVAL, client_alloc_one(self->fd, window, 0));
	EXPECT_EQ(-EINVAL, client_alloc_one(self->fd, (char *)-PAGE, PAGESPAN_ALLOC_POPULATE));
	EXPECT_EQ(-EINVAL, client_alloc_ex(self->fd, 1, 1, 0, window));
	EXPECT_EQ(-EINVAL, client_alloc_ex(self->fd, 1, 1, PAGESPAN_ALLOC_POPULATE, window + 8));
}

TEST_F(client, free_of_one_page_not_owned_is_einval)
{
	static const uint64_t bad[] = { 1ULL << 28, 1ULL << 40, 1ULL << 63, UINT64_MAX };
	long page = client_alloc_one(self->fd, NULL, 0);

	ASSERT_LE(0, page);
	EXPECT_EQ(0, client_free_one(self->fd, page));
	EXPECT_EQ(-EINVAL, client_free_one(self->fd, page));
	EXPECT_EQ(-EINVAL, client_free_one(self->fd, self->before.nr_pages));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, client_free_one(self->fd, bad[i]));
}

TEST_F(client, allocation_at_pages_in_use_is_ebusy_and_outside_the_pool_einval)
{
	uint64_t nr_pages = self->before.nr_pages;

	EXPECT_EQ(-EBUSY, client_alloc_at(self->fd, self->span, 1));
	EXPECT_EQ(-EBUSY, client_alloc_at(self->fd, self->span + 3, 2));
	EXPECT_EQ(-EINVAL, client_alloc_at(self->fd, self->span, 0));
	EXPECT_EQ(-EINVAL, client_alloc_at(self->fd, self->span, 65537));
	EXPECT_EQ(-EINVAL, client_alloc_at(self->fd, nr_pages, 1));
	EXPECT_EQ(-EINVAL, client_alloc_at(self->fd, nr_pages - 1, 2));
	EXPECT_EQ(-EINVAL, client_alloc_at(self->fd, UINT64_MAX, 2));
}

TEST_F(client, query_outside_the_pool_is_einval)
{
	uint64_t none = 0, one = 1, two = 2, many = 65537;

	EXPECT_EQ(-EINVAL, client_query(self->fd, 0, &none));
	EXPECT_EQ(-EINVAL, client_query(self->fd, 0, &many));
	EXPECT_EQ(-EINVAL, client_query(self->fd, self->before.nr_pages, &one));
	EXPECT_EQ(-EINVAL, client_query(self->fd, self->before.nr_pages - 1, &two));
	EXPECT_EQ(-EINVAL, client_query(self->fd, UINT64_MAX, &two));
}

TEST_F(client, physical_address_of_a_page_not_owned_is_einval)
{
	struct pagespan_phys phys = { .size = sizeof(phys), .index = self->span + 100 };

	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PHYS, &phys));
	phys.index = UINT64_MAX;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PHYS, &phys));
}

TEST_F(client, physical_address_without_the_capability_is_eperm)
{
	EXPECT_EQ(0, IN_CHILD({
		struct pagespan_phys phys = { .size = sizeof(phys), .index = self->span };

		if (setuid(65534))
			_exit(1);
		_exit(client_ioctl(self->fd, PAGESPAN_PHYS, &phys) == -EPERM ? 0 : 2);
	}));
}

TEST_F(client, export_of_what_is_not_owned_or_with_unknown_flags_is_einval)
{
	struct pagespan_export export = {
		.size = sizeof(export),
		.first = self->span,
		.nr_pages = 5,
	};

	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_EXPORT, &export));
	export.nr_pages = 0;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_EXPORT, &export));
	export.nr_pages = 1ULL << 32;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_EXPORT, &export));
	export.nr_pages = 4;
	export.flags = O_NONBLOCK;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_EXPORT, &export));
}

TEST_F(client, argument_may_lie_in_the_window)
{
	char *window = client_window(self->fd);
	struct pagespan_alloc *alloc;
	struct pagespan_free *request;
	struct pagespan_range *range;
	uint64_t *first;

	ASSERT_NE(MAP_FAILED, window);
	first = (uint64_t *)(window + (self->span + 1) * PAGE);
	alloc = (struct pagespan_alloc *)(window + self->span * PAGE);
	*alloc = good_alloc(first);
	ASSERT_EQ(1, client_ioctl(self->fd, PAGESPAN_ALLOC, alloc));

	range = (struct pagespan_range *)(window + (self->span + 2) * PAGE);
	*range = (struct pagespan_range){ .first = *first, .nr_pages = 1 };
	request = (struct pagespan_free *)(window + *first * PAGE);
	*request = good_free(range);
	EXPECT_EQ(1, client_ioctl(self->fd, PAGESPAN_FREE, request));
}

TEST_F(client, argument_in_a_page_not_owned_is_efault)
{
	char *window = client_window(self->fd);
	long other = client_alloc(self->fd, 1);

	ASSERT_NE(MAP_FAILED, window);
	ASSERT_LE(0, other);
	ASSERT_EQ(0, client_free(self->fd, other, 1));
	EXPECT_EQ(-EFAULT, client_ioctl(self->fd, PAGESPAN_ALLOC, window + other * PAGE));
	EXPECT_EQ(-EFAULT, client_alloc_bulk(self->fd, 1, 1, (uint64_t *)(window + other * PAGE),
					     0));
}

TEST_F(client, read_and_write_are_refused)
{
	char byte = 0;

	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(client, pressure_with_what_is_not_known_is_einval)
{
	struct pagespan_pressure good = {
		.size = sizeof(good),
		.flags = PAGESPAN_PRESSURE_ANSWER,
	};
	struct pagespan_pressure it;

	for (int bit = 1; bit < 32; bit++) {
		it = good;
		it.flags |= 1U << bit;
		EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PRESSURE, &it));
	}
	it = good;
	it.answered = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PRESSURE, &it));
	it = good;
	it.asked = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PRESSURE, &it));
	it = good;
	it.nr_pages = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PRESSURE, &it));
	it = good;
	it.__reserved = 1;
	EXPECT_EQ(-EINVAL, client_ioctl(self->fd, PAGESPAN_PRESSURE, &it));
	EXPECT_EQ(0, client_ioctl(self->fd, PAGESPAN_PRESSURE, &good));
	EXPECT_EQ(0, good.asked);
	EXPECT_EQ(0, good.nr_pages);
}

TEST_HARNESS_MAIN
