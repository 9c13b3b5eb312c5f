// SPDX-License-Identifier: Apache-2.0
//
// Intrusive doubly linked list: the node sits inside the thing (container_of gets back to it). A
// node is on at most one list; list_remove leaves it unlinked, and removing an unlinked node does
// nothing.
#ifndef CORACLE_BASE_LIST_H
#define CORACLE_BASE_LIST_H

#include "base/mem.h"

#include <stdbool.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Unlinks the first node and returns it; NULL when the list is empty. */
static inline struct list *list_take(struct list *head)
{
    struct list *first = head->next;
    if (first == head) {
        return NULL;
    }
    head->next = first->next;
    first->next->prev = head;
    list_init(first);
    return first;
}

/* Walks the list; `next` keeps the walk safe when `it` is removed. Both are struct list *. */
#define list_foreach(it, next_, head)                                                              \
    for (it = (head)->next, next_ = it->next; it != (head); it = next_, next_ = it->next)

#endif
