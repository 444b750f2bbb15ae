/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Running a part of a test in a child process. */
#ifndef PAGESPAN_IN_CHILD_H
#define PAGESPAN_IN_CHILD_H

#include <sys/wait.h>
#include <unistd.h>

/* Exit status of a child that runs the statements, or 128 plus the signal that ended it. */
#define IN_CHILD(...)							\
	({								\
		int status_;						\
		pid_t pid_ = fork();					\
									\
		if (!pid_) {						\
			__VA_ARGS__;					\
			_exit(0);					\
		}							\
		waitpid(pid_, &status_, 0);				\
		WIFSIGNALED(status_) ? 128 + WTERMSIG(status_)		\
				     : WEXITSTATUS(status_);		\
	})

#endif
