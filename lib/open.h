/* SPDX-License-Identifier: MIT */
#ifndef PAGESPAN_OPEN_H
#define PAGESPAN_OPEN_H

#include "process.h"

/* The backend in use, opened if need be; NULL with errno. */
const struct backend *process_backend(void);

/* Opens the window for exported spans if need be; 0 or -errno. */
int process_open_exports(const struct backend *backend);

#endif
