// SPDX-License-Identifier: Apache-2.0
//
// A disk for SQLite that fails: a VFS that keeps files in memory and writes down every call that
// changes them. Any call can be made to fail, and the power can be cut at any place of what was
// written down. The model: what a successful sync covers is on the disk; what is not synced yet is
// there wholly, in part or not at all; what a failed sync covered reads as written, but no later
// sync brings it to the disk. Making and removing a file is durable at once.
#ifndef CORACLE_TESTS_UNIT_STORE_FAULT_DISK_H
#define CORACLE_TESTS_UNIT_STORE_FAULT_DISK_H

#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>

struct fault_disk;
enum fault { FAULT_IO, FAULT_FULL }; /* full: only calls that write fail */

/* Becomes SQLite's default VFS until it is freed; one at a time. */
struct fault_disk *fault_disk_new(void);
void fault_disk_free(struct fault_disk *disk);

/* Lets the calls_count-th call from here on fail (1 = the next one), and all after it when
 * is_lasting; 0 = none. rng chooses how much of a failed write is done. */
void fault_disk_fail(struct fault_disk *disk, size_t calls_count, enum fault fault, bool is_lasting,
                     struct rng *rng);
/* Calls since the last fault_disk_fail, and whether one of them failed. */
size_t fault_disk_calls(const struct fault_disk *disk);
bool fault_disk_has_failed(const struct fault_disk *disk);

/* From here on every call fails and changes nothing: for closing what a dead process had open. */
void fault_disk_stop(struct fault_disk *disk);
/* Another process opens the files as the last one left them. */
void fault_disk_revive(struct fault_disk *disk);

/* Places of the record: after each recorded change, and for a write after each byte of it. */
size_t fault_disk_changes(const struct fault_disk *disk);
size_t fault_disk_change_bytes(const struct fault_disk *disk, size_t change); /* 0: no write */
/* The power goes after `bytes` bytes of change number `change`, and comes back: the files are what
 * is on the disk then, and calls work again. Without rng every write before the cut is there; with
 * it, what was not synced is chosen. The record stays: one run can be cut at many places. */
void fault_disk_cut(struct fault_disk *disk, size_t change, size_t bytes, struct rng *rng);
/* As fault_disk_cut at the end, and the record starts again from there. */
void fault_disk_lose_power(struct fault_disk *disk, struct rng *rng);

#endif
