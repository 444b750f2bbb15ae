/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations on the window as a mapping, and on a process by way of it. */
#ifndef PAGESPAN_FUZZ_MAPPING_H
#define PAGESPAN_FUZZ_MAPPING_H

void op_act(void);
void op_use(void);
void op_unmap(void);
void op_move(void);
void op_protect(void);
void op_fork(void);
void op_trace(void);
void op_hold(void);
void op_read_from_outside(void);
void op_write_from_outside(void);

#endif
