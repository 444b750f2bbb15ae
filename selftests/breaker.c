// SPDX-License-Identifier: GPL-2.0-only
/*
 * For poison.sh:
 *
 *	breaker break		breaks a page that it owns, and says its physical address
 *	breaker kept ADDRESS	succeeds if the page is marked as broken, and not free
 *	breaker have ADDRESS	succeeds if a client that takes all there is gets the page
 */
#define _GNU_SOURCE
#include "poison.h"

static int break_page(int fd)
{
	char *window = client_window(fd);
	long page = client_alloc(fd, 1);
	long before = pool_figure("events/poison");

	if (window == MAP_FAILED || page < 0)
		return 1;
	window[page * PAGE] = 1;
	printf("%#llx\n", (unsigned long long)phys_of(fd, page));
	madvise(window + page * PAGE, PAGE, MADV_HWPOISON);
	return EVENTUALLY(pool_figure("events/poison") == before + 1) ? 0 : 1;
}

static int is_kept(uint64_t address)
{
	uint64_t flags = page_flags(address);

	return flags >> KPF_HWPOISON & 1 && !(flags >> KPF_BUDDY & 1) ? 0 : 1;
}

static int have(int fd, uint64_t address)
{
	uint64_t nr_pages = client_info(fd).nr_pages;

	take_all(fd, NULL);
	for (uint64_t i = 0; i < nr_pages; i++)
		if (phys_of(fd, i) == address)
			return 0;
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t address = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "break"))
		return break_page(client_open());
	if (!strcmp(what, "kept") && address)
		return is_kept(address);
	if (!strcmp(what, "have") && address)
		return have(client_open(), address);
	return 2;
}
