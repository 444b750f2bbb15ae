// SPDX-License-Identifier: MIT
/*
 * pagespanctl reserve: memory for the pool that the kernel never had.
 *
 * memmap=SIZE$ADDRESS on the kernel's command line keeps a range out of its hands,
 * phys=ADDRESS,SIZE gives it to the module. The dollar sign is the trouble: GRUB's configuration is
 * read by a shell, which makes of it what GRUB's own language reads, and to both it means a
 * variable. So it is written
 * \\\$ there; a boot loader that takes the command line as it is wants a plain one.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"

#define MIB           ((uint64_t)1 << 20)
#define ALIGN         (2 * MIB)
#define FOUR_GIB      ((uint64_t)4 << 30)
#define SIZE_MAX_MIB  ((uint64_t)1 << 20)
#define GRUB_DEFAULTS "/etc/default/grub"
#define GRUB_FILE     "/etc/default/grub.d/pagespan.cfg"
#define MODULE_FILE   "/etc/modprobe.d/pagespan-reserve.conf"
#define NAME          "pagespan"
#define MAX_RANGES    1024

struct range {
	uint64_t start;
	uint64_t end; /* the first byte behind it */
};

/* /proc/iomem: what is RAM, and what in it is the kernel's or a crash kernel's. */
static struct {
	struct range ram[MAX_RANGES];
	struct range taken[MAX_RANGES];
	size_t nr_ram;
	size_t nr_taken;
} memory;

enum action { PRINT, INSTALL, CHECK, REMOVE };

struct wish {
	enum action action;
	bool by_name;
	uint64_t bytes;
	uint64_t address; /* 0: to be chosen */
};

/* ---- what memory there is ------------------------------------------------------------------ */

static void add_range(struct range *ranges, size_t *nr, uint64_t start, uint64_t last)
{
	if (*nr < MAX_RANGES)
		ranges[(*nr)++] = (struct range){start, last + 1};
}

static int read_memory(void)
{
	FILE *file = file_open("/proc/iomem");
	char line[256], name[200];
	uint64_t start, last;
	bool in_ram = false;

	if (!file) {
		complain("cannot read /proc/iomem: %m");
		return FAILED;
	}
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, " %" SCNx64 "-%" SCNx64 " : %199[^\n]", &start, &last, name) != 3)
			continue;
		if (!isspace((unsigned char)*line)) {
			in_ram = !strcmp(name, "System RAM");
			if (in_ram)
				add_range(memory.ram, &memory.nr_ram, start, last);
		} else if (in_ram) {
			add_range(memory.taken, &memory.nr_taken, start, last);
		}
	}
	fclose(file);
	if (memory.nr_ram && memory.ram[memory.nr_ram - 1].end <= 1) {
		complain("/proc/iomem hides its addresses: run as root");
		return NOT_PERMITTED;
	}
	return DONE;
}

static uint64_t ram_bytes(void)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < memory.nr_ram; i++)
		bytes += memory.ram[i].end - memory.ram[i].start;
	return bytes;
}

static bool meet(const struct range *a, const struct range *b)
{
	return a->start < b->end && b->start < a->end;
}

/* The first of some ranges that another meets, or NULL. */
static const struct range *first_met(const struct range *ranges, size_t nr, const struct range *by)
{
	for (size_t i = 0; i < nr; i++)
		if (meet(&ranges[i], by))
			return &ranges[i];
	return NULL;
}

/* Whether a range is RAM, all of it, that nothing at boot has been put in. */
static bool is_plain_ram(const struct range *range)
{
	if (first_met(memory.taken, memory.nr_taken, range))
		return false;
	for (size_t i = 0; i < memory.nr_ram; i++)
		if (memory.ram[i].start <= range->start && range->end <= memory.ram[i].end)
			return true;
	return false;
}

/* The highest place in one range of RAM that ends at or below a limit; 0 if there is none. */
static uint64_t highest_in(const struct range *ram, uint64_t limit, uint64_t bytes)
{
	uint64_t end = (ram->end < limit ? ram->end : limit) / ALIGN * ALIGN;

	while (end >= ram->start + bytes) {
		struct range place = {end - bytes, end};
		const struct range *taken = first_met(memory.taken, memory.nr_taken, &place);

		if (!taken)
			return place.start;
		end = taken->start / ALIGN * ALIGN;
	}
	return 0;
}

/*
 * Above 4 GiB the highest there is. Below, boot loaders put the initial file system at the end, the
 * kernel is at the start, and devices that know no more want what there is: the end of the first
 * three quarters, if they are enough.
 */
static uint64_t choose_address(uint64_t bytes)
{
	uint64_t address = 0;
	size_t i;

	for (i = memory.nr_ram; i-- && !address;)
		if (memory.ram[i].start >= FOUR_GIB)
			address = highest_in(&memory.ram[i], UINT64_MAX, bytes);
	for (i = memory.nr_ram; i-- && !address;) {
		const struct range *ram = &memory.ram[i];
		uint64_t quarter = (ram->end - ram->start) / 4;

		address = highest_in(ram, ram->end - quarter, bytes);
		if (!address)
			address = highest_in(ram, UINT64_MAX, bytes);
	}
	return address;
}

/* ---- what is to be written ------------------------------------------------------------------- */

/* As the kernel sees it; with the dollar sign as a boot loader's configuration wants it. */
static char *kernel_parameter(const struct wish *wish, const char *dollar)
{
	char *text;
	int length;

	if (wish->by_name)
		length = asprintf(&text, "reserve_mem=%" PRIu64 "M:2M:" NAME, wish->bytes / MIB);
	else
		length = asprintf(&text, "memmap=%" PRIu64 "M%s%" PRIu64 "M", wish->bytes / MIB,
				  dollar, wish->address / MIB);
	if (length < 0)
		abort();
	return text;
}

static char *module_parameter(const struct wish *wish)
{
	char *text;
	int length;

	if (wish->by_name)
		length = asprintf(&text, "reserve_mem=" NAME);
	else
		length = asprintf(&text, "phys=%" PRIu64 "M,%" PRIu64 "M", wish->address / MIB,
				  wish->bytes / MIB);
	if (length < 0)
		abort();
	return text;
}

static char *grub_line(const struct wish *wish)
{
	char *parameter = kernel_parameter(wish, "\\\\\\$");
	char *text;

	if (asprintf(&text, "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX %s\"", parameter) < 0)
		abort();
	free(parameter);
	return text;
}

static int print_wish(const struct wish *wish)
{
	char *kernel = kernel_parameter(wish, "$");
	char *grub = grub_line(wish);
	char *module = module_parameter(wish);

	printf("For the kernel's command line, where a boot loader takes it as it is:\n"
	       "    %s\n"
	       "For GRUB, in " GRUB_FILE ":\n"
	       "    %s\n"
	       "For the module, in " MODULE_FILE ":\n"
	       "    options pagespan %s\n"
	       "\n"
	       "With --install both files are written and update-grub is run. After a reboot\n"
	       "`pagespanctl reserve --check` says whether it took.\n",
	       kernel, grub, module);
	free(module);
	free(grub);
	free(kernel);
	return DONE;
}

/* Below another root it is for whoever boots it. */
static int update_grub(void)
{
	int status;

	if (*files_root) {
		printf("run update-grub in %s\n", files_root);
		return DONE;
	}
	fflush(stdout);
	status = system("update-grub");
	if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status)) {
		complain("update-grub failed; what it reads is in " GRUB_FILE);
		return FAILED;
	}
	return DONE;
}

static int install_wish(const struct wish *wish)
{
	char *line, *module, *grub_text = NULL, *module_text = NULL;
	int status = FAILED;

	if (!file_exists(GRUB_DEFAULTS)) {
		char *kernel = kernel_parameter(wish, "$");

		complain("no GRUB here (" GRUB_DEFAULTS
			 "): add to the kernel's command line by hand: %s",
			 kernel);
		free(kernel);
		return FAILED;
	}
	line = grub_line(wish);
	module = module_parameter(wish);
	if (asprintf(&grub_text, "# Made by pagespanctl reserve.\n%s\n", line) < 0 ||
	    asprintf(&module_text, "# Made by pagespanctl reserve.\noptions pagespan %s\n",
		     module) < 0)
		abort();
	if (file_write(GRUB_FILE, grub_text) && file_write(MODULE_FILE, module_text)) {
		printf("wrote " GRUB_FILE " and " MODULE_FILE "\n");
		status = update_grub();
		if (!status)
			printf("now reboot, then: pagespanctl reserve --check\n");
	}
	free(module_text);
	free(grub_text);
	free(module);
	free(line);
	return status;
}

static bool remove_file(const char *file, bool *was_there)
{
	char *path = file_path("%s", file);
	bool gone = !unlink(path);

	*was_there |= gone;
	if (!gone && errno != ENOENT)
		complain("cannot remove %s: %m", path);
	gone = gone || errno == ENOENT;
	free(path);
	return gone;
}

static int remove_reservation(void)
{
	bool was_there = false;
	bool gone = remove_file(GRUB_FILE, &was_there);

	if (!remove_file(MODULE_FILE, &was_there) || !gone)
		return FAILED;
	if (!was_there) {
		printf("nothing to remove\n");
		return DONE;
	}
	printf("removed; the memory is the kernel's again after a reboot\n");
	return update_grub();
}

/* ---- whether it took ------------------------------------------------------------------------- */

/* SIZE or ADDRESS as the kernel reads them: a number with a suffix K, M or G. */
static bool parse_bytes(const char *text, const char **rest, uint64_t *bytes)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;

	errno = 0;
	*bytes = strtoull(text, &end, 0);
	if (end == text || errno || !isdigit((unsigned char)*text))
		return false;
	suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
	if (suffix) {
		int shift = 10 * (int)(suffix - suffixes + 1);

		if (*bytes > UINT64_MAX >> shift)
			return false;
		*bytes <<= shift;
		end++;
	}
	*rest = end;
	return true;
}

/* Whether a word of the command line reserves memory: "memmap=SIZE$ADDRESS". */
static bool parse_memmap(const char *word, struct range *range)
{
	const char *rest;
	uint64_t bytes;

	if (strncmp(word, "memmap=", 7) != 0 || !parse_bytes(word + 7, &rest, &bytes) ||
	    *rest != '$' || !parse_bytes(rest + 1, &rest, &range->start) || *rest)
		return false;
	range->end = range->start + bytes;
	return range->end > range->start;
}

/* Says what a reservation is worth. */
static int judge_range(const struct range *range)
{
	char size[QUANTITY_BYTES];

	if (first_met(memory.ram, memory.nr_ram, range)) {
		complain("memmap= names %" PRIu64 " MiB at %" PRIu64
			 " MiB, but the kernel has kept that memory (/proc/iomem)",
			 (range->end - range->start) / MIB, range->start / MIB);
		return FAILED;
	}
	if (range->start % ALIGN || range->end % ALIGN) {
		complain("memmap= names %#" PRIx64 "-%#" PRIx64 ", not multiples of 2 MiB",
			 range->start, range->end - 1);
		return FAILED;
	}
	printf("%s are reserved; the module takes them with phys=%" PRIu64 "M,%" PRIu64 "M\n",
	       quantity(size, range->end - range->start), range->start / MIB,
	       (range->end - range->start) / MIB);
	return DONE;
}

/* Whether the pool is on reserved memory, if the module is loaded. */
static int judge_pool(void)
{
	char *source = file_text(POOL_SYSFS "/source");
	int status = DONE;

	if (!source) {
		printf("the module is not loaded: modprobe pagespan\n");
	} else if (strstr(source, "phys") || strstr(source, "reserve_mem")) {
		printf("the pool is there: source %s\n", source);
	} else {
		complain("the module uses source %s; load it anew with the parameter above, which "
			 "belongs in " MODULE_FILE,
			 source);
		status = FAILED;
	}
	free(source);
	return status;
}

static int check_reservation(void)
{
	char *line = file_text("/proc/cmdline");
	int status = read_memory();
	unsigned int found = 0;
	char *position = NULL;

	if (!line) {
		complain("cannot read /proc/cmdline: %m");
		return FAILED;
	}
	for (char *word = strtok_r(line, " \t\n", &position); word && !status;
	     word = strtok_r(NULL, " \t\n", &position)) {
		struct range range;

		if (parse_memmap(word, &range)) {
			found++;
			status = judge_range(&range);
		} else if (!strncmp(word, "reserve_mem=", 12) && strstr(word, ":" NAME)) {
			found++;
			printf("%s: the module takes it with reserve_mem=" NAME "\n", word);
		} else if (!strncmp(word, "memmap=", 7) && !strpbrk(word, "$@#!%")) {
			complain("the boot loader has left '%s' of memmap=SIZE$ADDRESS: in its "
				 "configuration the dollar sign is written \\\\\\$ for GRUB",
				 word);
			status = FAILED;
		}
	}
	free(line);
	if (status)
		return status;
	if (!found) {
		complain("nothing is reserved on the kernel's command line%s",
			 file_exists(GRUB_FILE) ? ", though " GRUB_FILE
						  " is there: update-grub, then reboot" :
						  "; pagespanctl reserve SIZE says how");
		return FAILED;
	}
	return judge_pool();
}

/* ---- the command --------------------------------------------------------------------------- */

static int place(struct wish *wish)
{
	struct range range;
	int status = read_memory();

	if (status)
		return status;
	if (wish->bytes > ram_bytes() / 2) {
		complain("%" PRIu64 " MiB are more than half of this machine's memory",
			 wish->bytes / MIB);
		return FAILED;
	}
	if (wish->by_name)
		return DONE;
	if (!wish->address)
		wish->address = choose_address(wish->bytes);
	if (!wish->address) {
		complain("no %" PRIu64 " MiB of contiguous memory in /proc/iomem",
			 wish->bytes / MIB);
		return FAILED;
	}
	range = (struct range){wish->address, wish->address + wish->bytes};
	if (!is_plain_ram(&range)) {
		complain("%" PRIu64 " MiB at %" PRIu64
			 " MiB are not all plain System RAM in /proc/iomem",
			 wish->bytes / MIB, wish->address / MIB);
		return FAILED;
	}
	return DONE;
}

/* SIZE in MiB, or with a suffix. */
static bool parse_size(const char *text, uint64_t *bytes)
{
	const char *rest;

	if (!parse_bytes(text, &rest, bytes) || *rest) {
		complain("'%s' is no size", text);
		return false;
	}
	if (!isalpha((unsigned char)text[strlen(text) - 1])) {
		if (*bytes > SIZE_MAX_MIB)
			*bytes = UINT64_MAX / MIB;
		*bytes *= MIB;
	}
	if (!*bytes || *bytes % ALIGN || *bytes > SIZE_MAX_MIB * MIB) {
		complain("the size is a multiple of 2 MiB, up to 1 TiB, not '%s'", text);
		return false;
	}
	return true;
}

static bool parse_address(const char *text, uint64_t *address)
{
	const char *rest;

	if (parse_bytes(text, &rest, address) && !*rest && *address && !(*address % ALIGN))
		return true;
	complain("the address is a multiple of 2 MiB, such as 4G, not '%s'", text);
	return false;
}

static bool parse(int argc, char **argv, struct wish *wish)
{
	static const struct option options[] = {
		{"address", required_argument, NULL, 'a'}, {"by-name", no_argument, NULL, 'b'},
		{"install", no_argument, NULL, INSTALL},   {"check", no_argument, NULL, CHECK},
		{"remove", no_argument, NULL, REMOVE},     {0},
	};
	bool sized;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'a') {
			if (!parse_address(optarg, &wish->address))
				return false;
		} else if (option == 'b') {
			wish->by_name = true;
		} else if (option == '?' || wish->action != PRINT) {
			return false;
		} else {
			wish->action = option;
		}
	}
	sized = wish->action == PRINT || wish->action == INSTALL;
	if (argc - optind != sized)
		return false;
	if (!sized || (wish->by_name && wish->address))
		return !wish->by_name && !wish->address;
	return parse_size(argv[optind], &wish->bytes);
}

int command_reserve(int argc, char **argv)
{
	struct wish wish = {0};
	int status;

	if (!parse(argc, argv, &wish))
		return misused("reserve");
	if (wish.action == CHECK)
		return check_reservation();
	if (wish.action == REMOVE)
		return remove_reservation();
	status = place(&wish);
	if (status)
		return status;
	return wish.action == INSTALL ? install_wish(&wish) : print_wish(&wish);
}
