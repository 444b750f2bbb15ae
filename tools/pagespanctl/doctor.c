// SPDX-License-Identifier: MIT
/*
 * pagespanctl doctor: what stands between this machine and a program that runs on the device, in
 * the order in which it has to be put right. What depends on something missing is not asked.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <linux/pagespan.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"

#define DEVICE "/dev/pagespan"
#define GROUP  "pagespan"

/* The kernels that the module is tested on, as selftests/run has them; older ones than the first it
 * is not written for.
 */
#define TESTED_KERNELS "6.1, 6.12, 7.2 or 7.3"
#define OLDEST_MAJOR   6
#define OLDEST_MINOR   1

/* The first module, and the first kernel, with which no entry outlives ownership; see SECURITY.md.
 */
#define TIGHT_MODULE       "0.2.0"
#define TIGHT_KERNEL_MINOR 5

/* What is to be done first; the rest is asked again after it. */
static char *next_step;

/* How things are until it is done. */
static const char *meanwhile =
	"programs run on libpagespan's memory backend: the same results, on ordinary memory";

static void print_line(const char *colour, const char *mark, const char *format, va_list arguments)
{
	printf("%s%-5s%s ", paint(colour), mark, paint("0"));
	vprintf(format, arguments);
	putchar('\n');
}

static __attribute__((format(printf, 1, 2))) void good(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("32", "ok", format, arguments);
	va_end(arguments);
}

/* What works, but not as well as it might. */
static __attribute__((format(printf, 1, 2))) void note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("33", "note", format, arguments);
	va_end(arguments);
}

/* What has to be put right. */
static __attribute__((format(printf, 1, 2))) void missing(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	print_line("1;31", "todo", format, arguments);
	va_end(arguments);
}

/* Commands that put right what is missing, one a line. */
static __attribute__((format(printf, 1, 2))) void advise(const char *format, ...)
{
	va_list arguments;

	if (next_step)
		return;
	va_start(arguments, format);
	if (vasprintf(&next_step, format, arguments) < 0)
		abort();
	va_end(arguments);
}

/* ---- the kernel and the module ------------------------------------------------------------- */

static char *kernel_release(void)
{
	char *release = file_text("/proc/sys/kernel/osrelease");

	return release ? release : strdup("unknown");
}

static bool is_tested(int major, int minor)
{
	const char *word = TESTED_KERNELS;
	int tested_major, tested_minor;

	for (; *word; word += strspn(word, ", or")) {
		if (sscanf(word, "%d.%d", &tested_major, &tested_minor) == 2 &&
		    tested_major == major && tested_minor == minor)
			return true;
		word += strcspn(word, ", ");
	}
	return false;
}

static bool is_tested_release(const char *release)
{
	int major = 0, minor = 0;

	return sscanf(release, "%d.%d", &major, &minor) == 2 && is_tested(major, minor);
}

static bool check_kernel(const char *release)
{
	int major = 0, minor = 0;

	if (sscanf(release, "%d.%d", &major, &minor) != 2) {
		missing("this is no Linux that tells its release: %s", release);
		advise("use Linux %d.%d or later", OLDEST_MAJOR, OLDEST_MINOR);
		return false;
	}
	if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR)) {
		missing("Linux %s is too old: the module needs %d.%d", release, OLDEST_MAJOR,
			OLDEST_MINOR);
		advise("boot Linux %d.%d or later", OLDEST_MAJOR, OLDEST_MINOR);
		return false;
	}
	if (is_tested(major, minor))
		good("Linux %s", release);
	else
		note("Linux %s is none that the module is tested on: " TESTED_KERNELS, release);
	return true;
}

static bool any_file(const char *pattern)
{
	char *whole = file_path("%s", pattern);
	glob_t found;
	bool any = !glob(whole, GLOB_NOSORT, NULL, &found);

	if (any)
		globfree(&found);
	free(whole);
	return any;
}

/* Whether modprobe would find the module. */
static bool is_installed(const char *release)
{
	char path[256], line[4096];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", release);
	file = file_open(path);
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (colon)
			*colon = '\0';
		found = strstr(line, "/pagespan.ko");
	}
	fclose(file);
	return found;
}

static bool has_headers(const char *release)
{
	char path[256];

	snprintf(path, sizeof(path), "/lib/modules/%s/build/Makefile", release);
	return file_exists(path);
}

/* One line of advice before others, or none if there is nothing to get. */
static char *headers_advice(const char *release)
{
	char *advice = NULL;

	if (has_headers(release))
		return strdup("");
	missing("the headers of this kernel are not installed; the module is built with them");
	if (asprintf(&advice, "apt install linux-headers-%s\n", release) < 0)
		abort();
	return advice;
}

/* The log of dkms's last try, if that was for this kernel: what succeeds is moved away. */
static char *failed_log(const char *release)
{
	char *pattern = file_path("/var/lib/dkms/pagespan/*/build/make.log");
	char *whole = NULL, *path = NULL;
	char line[512];
	glob_t found;
	FILE *log;

	if (asprintf(&whole, " for kernel %s ", release) < 0)
		abort();
	if (!glob(pattern, 0, NULL, &found)) {
		log = fopen(found.gl_pathv[found.gl_pathc - 1], "re");
		if (log && fgets(line, sizeof(line), log) && strstr(line, whole))
			path = strdup(found.gl_pathv[found.gl_pathc - 1]);
		if (log)
			fclose(log);
		globfree(&found);
	}
	free(whole);
	free(pattern);
	return path;
}

static void say_it_does_not_build(const char *release, const char *log)
{
	missing("the module does not build for Linux %s: %s says why", release, log);
	advise("boot Linux " TESTED_KERNELS);
}

static void say_how_to_install(const char *release)
{
	char *log = failed_log(release);
	char *headers;

	if (log) {
		say_it_does_not_build(release, log);
		free(log);
		return;
	}
	headers = headers_advice(release);
	if (any_file("/usr/src/pagespan-*/dkms.conf")) {
		missing("the module is known to dkms, but not built for this kernel");
		advise("%sdkms autoinstall\nmodprobe pagespan", headers);
	} else {
		missing("pagespan.ko is not installed for this kernel%s",
			is_tested_release(release) ? "" :
						     ", and whether it builds for it is not known");
		if (!is_tested_release(release))
			advise("%smake module KVER=%s     # in pagespan's source; if that fails, "
			       "boot Linux " TESTED_KERNELS,
			       headers, release);
		advise("%smake deb && apt install ./build/deb/pagespan-dkms_*.deb     # in "
		       "pagespan's source\n"
		       "modprobe pagespan",
		       headers);
	}
	free(headers);
}

/* A kernel that takes only signed modules refuses one that was built here, unless its key is known.
 */
static void look_at_signatures(void)
{
	char *enforced = file_text("/sys/module/module/parameters/sig_enforce");
	char *lockdown = file_text("/sys/kernel/security/lockdown");

	if ((enforced && *enforced == 'Y') || (lockdown && !strstr(lockdown, "[none]")))
		note("this kernel loads only signed modules (Secure Boot?): enrol the key that "
		     "dkms "
		     "signs with, mokutil --import /var/lib/dkms/mok.pub, and reboot");
	free(lockdown);
	free(enforced);
}

static bool check_module(const char *release)
{
	if (pool_is_there()) {
		good("pagespan.ko is loaded");
		return true;
	}
	if (is_installed(release)) {
		missing("pagespan.ko is installed, but not loaded");
		advise("modprobe pagespan     # and if it refuses: dmesg | tail");
	} else {
		say_how_to_install(release);
	}
	look_at_signatures();
	return false;
}

static bool kernel_is_tight(const char *release)
{
	int major = 0, minor = 0;

	sscanf(release, "%d.%d", &major, &minor);
	return major > OLDEST_MAJOR || minor >= TIGHT_KERNEL_MINOR;
}

/* Modules that are not told their version by themselves are older than the first that is. */
static bool module_is_tight(void)
{
	char *version = file_text("/sys/module/pagespan/version");
	bool tight = version && strverscmp(version, TIGHT_MODULE) >= 0;

	free(version);
	return tight;
}

/*
 * MADV_COLD and MADV_PAGEOUT take a 2 MiB entry of the device for a bad one and clear it without a
 * flush, before Linux 6.5; later modules flush themselves.
 */
static bool check_isolation(const char *release, const struct pool *pool)
{
	if (!pool->huge || kernel_is_tight(release) || module_is_tight())
		return true;
	missing("a program that may open " DEVICE " can read and write pages that it gave back, "
		"whoever owns them now: this module is older than " TIGHT_MODULE
		", Linux older than %d.%d, and mappings are of 2 MiB",
		OLDEST_MAJOR, TIGHT_KERNEL_MINOR);
	advise("make deb && apt install ./build/deb/pagespan-dkms_*.deb     # in the source of "
	       "pagespan " TIGHT_MODULE " or later\n"
	       "modprobe -r pagespan && modprobe pagespan");
	meanwhile = "give " DEVICE
		    " to nobody who is not trusted with all of the pool: chmod 600 " DEVICE;
	return false;
}

static void check_boot(void)
{
	if (any_file("/etc/modules-load.d/*pagespan*") ||
	    any_file("/usr/lib/modules-load.d/*pagespan*"))
		good("it is loaded at boot");
	else
		note("it is not loaded at boot, when memory is easiest to be had: echo pagespan "
		     ">/etc/modules-load.d/pagespan.conf");
}

/* ---- the pool -------------------------------------------------------------------------------- */

static bool check_pool(const struct pool *pool)
{
	char size[QUANTITY_BYTES], available[QUANTITY_BYTES];

	if (!pool->pool_pages) {
		missing("the pool is empty");
		advise("cat " POOL_SYSFS "/max_pages >" POOL_SYSFS "/pool_pages");
		return false;
	}
	if (!pool->free_pages)
		note("the pool of %s is all in use: pagespanctl clients",
		     quantity(size, pool->pool_pages * POOL_PAGE_BYTES));
	else
		good("the pool has %s, %s of them free; source %s",
		     quantity(size, pool->pool_pages * POOL_PAGE_BYTES),
		     quantity(available, pool->free_pages * POOL_PAGE_BYTES), pool->source);
	return true;
}

static void check_huge(const struct pool *pool)
{
	if (pool->huge) {
		good("2 MiB mappings");
	} else if (!file_exists("/sys/kernel/mm/transparent_hugepage")) {
		note("4 KiB mappings: this kernel has no transparent huge pages, as PREEMPT_RT "
		     "ones "
		     "have none; nothing to be done");
	} else {
		note("4 KiB mappings; for 2 MiB ones reserve memory at boot: pagespanctl reserve "
		     "SIZE "
		     "--install");
		for (const char *why = pool->why_not; *why; why += strspn(why, "\n")) {
			size_t length = strcspn(why, "\n");

			printf("      why not: %.*s\n", (int)length, why);
			why += length;
		}
	}
}

/* ---- the device ---------------------------------------------------------------------------- */

static const char *user_name(void)
{
	const struct passwd *user = getpwuid(geteuid());

	return user ? user->pw_name : "USER";
}

static void say_why_refused(void)
{
	char *path = file_path(DEVICE);
	const struct group *group;
	struct stat device;

	if (stat(path, &device))
		memset(&device, 0, sizeof(device));
	group = getgrgid(device.st_gid);
	missing("%s may not open " DEVICE, user_name());
	if (group && !strcmp(group->gr_name, GROUP) && device.st_mode & S_IRGRP)
		advise("usermod -aG " GROUP " %s     # as root; then log in again", user_name());
	else if (getgrnam(GROUP))
		advise("udevadm control --reload && udevadm trigger " DEVICE "     # as root");
	else
		advise("make deb && apt install ./build/deb/pagespan-dkms_*.deb     # in "
		       "pagespan's source\n"
		       "systemd-sysusers && udevadm control --reload && udevadm trigger " DEVICE);
	free(path);
}

static int open_device(void)
{
	char *path = file_path(DEVICE);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	free(path);
	if (fd >= 0)
		return fd;
	if (errno == EACCES) {
		say_why_refused();
	} else if (errno == ENOENT) {
		missing(DEVICE " is not there: in a container it has to be passed in");
		advise("ls -l " DEVICE "     # outside; then: docker run --device " DEVICE " ...");
	} else {
		missing("cannot open " DEVICE ": %m");
		advise("dmesg | tail");
	}
	return -1;
}

/* Allocates a page and writes to it, as every program will. */
static void try_page(int fd, const struct pool *pool)
{
	long index = ioctl(fd, PAGESPAN_ALLOC_ONE, 0);
	char *page;

	if (index < 0) {
		if (errno == ENOMEM || errno == EDQUOT) {
			note("no page is to be had now: %m");
			return;
		}
		missing("a page cannot be allocated: %m");
		advise("dmesg | tail     # and report it, with pagespanctl stat --json");
		return;
	}
	page = mmap(NULL, POOL_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    index * POOL_PAGE_BYTES);
	if (page == MAP_FAILED || (uint64_t)index >= pool->nr_pages) {
		missing("a page cannot be mapped: %m");
		advise("dmesg | tail     # and report it, with pagespanctl stat --json");
		return;
	}
	*(volatile char *)page = 1;
	munmap(page, POOL_PAGE_BYTES);
	good("a page can be allocated, mapped and written");
}

static void check_device(const struct pool *pool)
{
	int fd = open_device();

	if (fd < 0)
		return;
	good("%s may open " DEVICE, user_name());
	try_page(fd, pool);
	close(fd);
}

/* ---- the command --------------------------------------------------------------------------- */

static int examine(void)
{
	char *release = kernel_release();
	struct pool pool;
	int status = DONE;

	if (check_kernel(release) && check_module(release)) {
		check_boot();
		status = pool_read(&pool);
		if (!status && check_isolation(release, &pool) && check_pool(&pool)) {
			check_huge(&pool);
			check_device(&pool);
		}
	}
	free(release);
	return status;
}

static void print_next_step(void)
{
	char *position = NULL;

	printf("\nDo this next, as root, and ask the doctor again:\n");
	for (char *line = strtok_r(next_step, "\n", &position); line;
	     line = strtok_r(NULL, "\n", &position))
		printf("    %s\n", line);
	printf("\nUntil then %s.\n", meanwhile);
}

int command_doctor(int argc, char **argv)
{
	int status;

	if (!no_arguments(argc, argv, NULL))
		return misused("doctor");
	status = examine();
	if (next_step) {
		print_next_step();
		free(next_step);
		return FAILED;
	}
	if (!status)
		printf("\nPrograms on libpagespan run on the device here.\n");
	return status;
}
