// SPDX-License-Identifier: MIT
/*
 * pagespanctl map: the pool as a picture, a cell for each megablock. The characters are those of
 * the module's own map in debugfs: '.' free, '#' in use, '0' to '9' the tenths of it that are in
 * use, 'x' with a page that is broken in hardware, '-' not there.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"

#define DEBUGFS      "/sys/kernel/debug"
#define ROW_CELLS    ((size_t)64)
#define MEGABLOCK_MB 2

/* For a terminal of 256 colours and for SVG: what is neither free nor in use, then from free to
 * full. */
static const struct {
	char cell;
	const char *terminal;
	const char *svg;
	const char *means;
} paints[] = {
	{'-', "38;5;240", "#e8e8e8", "not there"},
	{'x', "48;5;201;30", "#d43ad4", "a page of it is broken"},
	{'.', "48;5;28;97", "#2e9e4f", "free"},
	{'0', "48;5;64;97", "#5aa83c", "under 10 % in use"},
	{'1', "48;5;70;30", "#7cb236", "10 % in use"},
	{'2', "48;5;106;30", "#9cbb31", "20 % in use"},
	{'3', "48;5;142;30", "#bcc02d", "30 % in use"},
	{'4', "48;5;178;30", "#d9bd2b", "40 % in use"},
	{'5', "48;5;214;30", "#eeae2c", "50 % in use"},
	{'6', "48;5;208;30", "#ee8f2e", "60 % in use"},
	{'7', "48;5;202;30", "#e87131", "70 % in use"},
	{'8', "48;5;166;97", "#dd5535", "80 % in use"},
	{'9', "48;5;160;97", "#cc3b3a", "90 % in use"},
	{'#', "48;5;124;97", "#a3243b", "all in use"},
};

#define NR_PAINTS (sizeof(paints) / sizeof(*paints))

enum { NOT_THERE, BROKEN, FREE };

static size_t paint_of(char cell)
{
	size_t i;

	for (i = 0; i < NR_PAINTS - 1 && paints[i].cell != cell; i++)
		;
	return i;
}

static FILE *open_map(int *status)
{
	FILE *file;

	if (!pool_is_there()) {
		*status = no_module();
		return NULL;
	}
	file = file_open(DEBUGFS "/pagespan/map");
	if (file)
		return file;
	if (errno == EACCES) {
		complain("only root may see the map: sudo pagespanctl map");
		*status = NOT_PERMITTED;
		return NULL;
	}
	if (errno == ENOENT)
		complain("debugfs is not mounted: mount -t debugfs debugfs " DEBUGFS);
	else
		complain("cannot read the map: %m");
	*status = FAILED;
	return NULL;
}

/* The cells, a character each, to be freed; NULL after an error that has been said. */
static char *read_cells(int *status)
{
	FILE *file = open_map(status);
	char *cells = NULL, *line = NULL;
	size_t room = 0, nr = 0;
	int length;
	FILE *gathered;

	if (!file)
		return NULL;
	gathered = open_memstream(&cells, &nr);
	if (!gathered)
		abort();
	while (getline(&line, &room, file) > 0) {
		const char *row = strrchr(line, ' ');

		for (length = 0;
		     row && (row[length + 1] && !isspace((unsigned char)row[length + 1])); length++)
			;
		if (row)
			fwrite(row + 1, 1, (size_t)length, gathered);
	}
	fclose(gathered);
	free(line);
	fclose(file);
	return cells;
}

static void print_row(const char *cells, size_t length)
{
	size_t same;

	for (; length; cells += same, length -= same) {
		for (same = 1; same < length && cells[same] == cells[0]; same++)
			;
		printf("%s%.*s%s", paint(paints[paint_of(*cells)].terminal), (int)same, cells,
		       paint("0"));
	}
}

static void print_map(const char *cells)
{
	size_t length = strlen(cells);
	size_t first, row;

	for (first = 0; first < length; first += row) {
		row = length - first < ROW_CELLS ? length - first : ROW_CELLS;
		printf("%7zu MiB ", first * MEGABLOCK_MB);
		print_row(cells + first, row);
		putchar('\n');
	}
	printf("a cell is 2 MiB: ");
	for (size_t i = FREE; i < NR_PAINTS; i++)
		print_row(&paints[i].cell, 1);
	printf(" from free to all in use; ");
	print_row(&paints[NOT_THERE].cell, 1);
	printf(" not there; ");
	print_row(&paints[BROKEN].cell, 1);
	printf(" with a broken page\n");
}

static void draw_cell(FILE *svg, size_t index, char cell)
{
	size_t painted = paint_of(cell);

	fprintf(svg,
		"<rect x=\"%zu\" y=\"%zu\" width=\"11\" height=\"11\" fill=\"%s\">"
		"<title>%zu MiB: %s</title></rect>\n",
		80 + index % ROW_CELLS * 12, 40 + index / ROW_CELLS * 12, paints[painted].svg,
		index * MEGABLOCK_MB, paints[painted].means);
}

static void draw_legend(FILE *svg, size_t y)
{
	for (size_t i = 0; i < NR_PAINTS; i++)
		fprintf(svg,
			"<rect x=\"%zu\" y=\"%zu\" width=\"11\" height=\"11\" fill=\"%s\">"
			"<title>%s</title></rect>\n",
			80 + i * 12, y, paints[i].svg, paints[i].means);
	fprintf(svg,
		"<text x=\"%zu\" y=\"%zu\">not there, with a broken page, free, tenths in use, all "
		"in use; a cell is "
		"2 MiB</text>\n",
		88 + NR_PAINTS * 12, y + 10);
}

static void draw_map(FILE *svg, const char *cells)
{
	size_t length = strlen(cells);
	size_t rows = (length + ROW_CELLS - 1) / ROW_CELLS;
	size_t height = 40 + rows * 12 + 40;

	fprintf(svg,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 %zu\" "
		"font-family=\"sans-serif\" font-size=\"10\">\n"
		"<rect width=\"860\" height=\"%zu\" fill=\"#ffffff\"/>\n"
		"<text x=\"80\" y=\"24\" font-size=\"14\">pagespan: %zu megablocks</text>\n",
		height, height, length);
	for (size_t row = 0; row < rows; row++)
		fprintf(svg, "<text x=\"72\" y=\"%zu\" text-anchor=\"end\">%zu MiB</text>\n",
			50 + row * 12, row * ROW_CELLS * MEGABLOCK_MB);
	for (size_t i = 0; i < length; i++)
		draw_cell(svg, i, cells[i]);
	draw_legend(svg, 40 + rows * 12 + 12);
	fputs("</svg>\n", svg);
}

static int write_svg(const char *path, const char *cells)
{
	FILE *svg = fopen(path, "we");
	bool written;

	if (!svg) {
		complain("cannot write %s: %m", path);
		return FAILED;
	}
	draw_map(svg, cells);
	written = !ferror(svg);
	written = !fclose(svg) && written;
	if (!written)
		complain("cannot write %s: %m", path);
	return written ? DONE : FAILED;
}

int command_map(int argc, char **argv)
{
	static const struct option options[] = {{"svg", required_argument, NULL, 's'}, {0}};
	const char *svg = NULL;
	int option, status = DONE;
	char *cells;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 's')
			return misused("map");
		svg = optarg;
	}
	if (optind != argc)
		return misused("map");
	cells = read_cells(&status);
	if (!cells)
		return status;
	if (svg)
		status = write_svg(svg, cells);
	else
		print_map(cells);
	free(cells);
	return status;
}
