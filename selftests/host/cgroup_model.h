/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kmod/cgroup.c needs of a kernel, in user space: the dmem controller as a model
 * that checks how it is called, and the rest as plainly as can be. Every header of the
 * kernel that cgroup.c includes and this machine has not is an empty file here.
 */
#ifndef PAGESPAN_CGROUP_MODEL_H
#define PAGESPAN_CGROUP_MODEL_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define IS_ENABLED(option)	option
#define CONFIG_CGROUP_DMEM	1

typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define S64_MAX		INT64_MAX
#define MODEL_SMALLER(one, other)	((one) < (other) ? (one) : (other))
#define min(one, other)	MODEL_SMALLER(one, other)
#define min_t(type, one, other)	MODEL_SMALLER((type)(one), (type)(other))

/* ---- memory, of which the model counts what is there ---- */

#define GFP_KERNEL_ACCOUNT	0
#define kzalloc(bytes, flags)	model_zalloc(bytes)
#define kfree(memory)		model_free(memory)

void *model_zalloc(size_t bytes);
void model_free(void *memory);

#define IS_ERR(pointer)		((unsigned long)(pointer) >= -4095UL)
#define ERR_PTR(error)		((void *)(long)(error))
#define PTR_ERR_OR_ZERO(pointer)	(IS_ERR(pointer) ? (int)(long)(pointer) : 0)

/* ---- what threads share ---- */

typedef struct {
	s64 counter;
} atomic64_t;

#define READ_ONCE(place)		__atomic_load_n(&(place), __ATOMIC_RELAXED)
#define WRITE_ONCE(place, value)	__atomic_store_n(&(place), value, __ATOMIC_RELAXED)
#define smp_mb()			__atomic_thread_fence(__ATOMIC_SEQ_CST)

#define atomic64_read(atomic)		READ_ONCE((atomic)->counter)
#define atomic64_set(atomic, value)	WRITE_ONCE((atomic)->counter, value)
#define atomic64_add(nr, atomic)	((void)atomic64_add_return(nr, atomic))

static inline s64 atomic64_add_return(s64 nr, atomic64_t *atomic)
{
	return __atomic_add_fetch(&atomic->counter, nr, __ATOMIC_SEQ_CST);
}

static inline bool atomic64_try_cmpxchg(atomic64_t *atomic, s64 *old, s64 value)
{
	return __atomic_compare_exchange_n(&atomic->counter, old, value, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_RELAXED);
}

struct mutex {
	pthread_mutex_t lock;
	bool held;
};

#define mutex_init(mutex)		pthread_mutex_init(&(mutex)->lock, NULL)
#define lockdep_assert_held(mutex)	WARN_ON(!(mutex)->held)

static inline void mutex_lock(struct mutex *mutex)
{
	pthread_mutex_lock(&mutex->lock);
	mutex->held = true;
}

static inline void mutex_unlock(struct mutex *mutex)
{
	mutex->held = false;
	pthread_mutex_unlock(&mutex->lock);
}

/* ---- complaints, which the tests look for ---- */

void model_complain(const char *what);

#define WARN_ON(condition) do {				\
		if (condition)				\
			model_complain(#condition);	\
	} while (0)

/* ---- lists ---- */

struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD(name)		struct list_head name = { &name, &name }
#define INIT_LIST_HEAD(head)	(*(head) = (struct list_head){ head, head })
#define list_empty(head)	((head)->next == (head))
#define list_entry(node, type, member)	((type *)((char *)(node) - offsetof(type, member)))
#define list_first_entry(head, type, member)	list_entry((head)->next, type, member)

#define list_for_each_entry(entry, head, member)				\
	for (entry = list_first_entry(head, typeof(*entry), member);		\
	     &entry->member != (head);						\
	     entry = list_entry(entry->member.next, typeof(*entry), member))

#define list_for_each_entry_safe(entry, after, head, member)			\
	for (entry = list_first_entry(head, typeof(*entry), member),		\
	     after = list_entry(entry->member.next, typeof(*entry), member);	\
	     &entry->member != (head);						\
	     entry = after, after = list_entry(after->member.next, typeof(*entry), member))

static inline void list_add(struct list_head *node, struct list_head *head)
{
	*node = (struct list_head){ head->next, head };
	head->next->prev = node;
	head->next = node;
}

static inline void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

static inline void list_del_init(struct list_head *node)
{
	list_del(node);
	INIT_LIST_HEAD(node);
}

static inline void list_move(struct list_head *node, struct list_head *head)
{
	list_del(node);
	list_add(node, head);
}

static inline void list_move_tail(struct list_head *node, struct list_head *head)
{
	list_del(node);
	list_add(node, head->prev);
}

static inline void list_splice_init(struct list_head *from, struct list_head *to)
{
	while (!list_empty(from))
		list_move_tail(from->next, to);
}

/* ---- the controller ---- */

struct dmem_cgroup_pool_state;
struct dmem_cgroup_region;

struct dmem_cgroup_region *dmem_cgroup_register_region(u64 bytes, const char *format, ...);
void dmem_cgroup_unregister_region(struct dmem_cgroup_region *region);
int dmem_cgroup_try_charge(struct dmem_cgroup_region *region, u64 bytes,
			   struct dmem_cgroup_pool_state **charged,
			   struct dmem_cgroup_pool_state **limiting);
void dmem_cgroup_uncharge(struct dmem_cgroup_pool_state *charged, u64 bytes);

#endif
