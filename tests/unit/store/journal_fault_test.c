// SPDX-License-Identifier: Apache-2.0
//
// The SQLite journal on a disk that fails (fault_disk.h). A tale of writes is played while one call
// after the other fails, and while the power goes at one place after the other. What must hold:
// every acknowledged write is there afterwards; a refused one is not, or, when the journal broke in
// the middle of it, is there wholly or not at all; what was shown once stays; a watch that goes on
// from before gets each event once. FAULTS=all tries a hundred times as many places (minutes): all
// but those of checkpoints, of which it tries 500 for each kind of fault.
#include "test.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/json.h"
#include "fault_disk.h"
#include "store/journal.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEPS_MAX = 24, KEYS_COUNT = 5, TEXT_MAX = 256 };

struct plan {
    size_t steps_count;
    size_t bytes_max; /* of an object */
};

static const struct plan small = {.steps_count = 8, .bytes_max = 6000};
static const struct plan large = {.steps_count = 20, .bytes_max = 300 << 10}; /* has checkpoints */

struct world {
    struct fault_disk *disk;
    struct rng rng;
    char dir[32];
    char *path;
    char *fill; /* spaces */
    struct loop *loop;
    struct store *store;  /* NULL: closed */
    struct map mirror;    /* what a watch over all lives was told: key -> revision */
    uint64_t rev_seen;    /* by that watch */
    char acked[TEXT_MAX]; /* what must be there */
    char maybe[TEXT_MAX]; /* what may be there instead; "" = nothing */
    bool is_refused;      /* a write of the last step failed */
};

static bool is_thorough(void)
{
    const char *text = getenv("FAULTS");
    return text != NULL && strcmp(text, "all") == 0;
}

static void world_init(struct world *w, const struct plan *plan, uint64_t seed)
{
    *w = (struct world){.disk = fault_disk_new(), .loop = loop_new_virtual(0)};
    rng_seed(&w->rng, seed);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/fault-test-%s",
                   "XX"
                   "XX"
                   "XX");
    EXPECT(mkdtemp(w->dir) != NULL);
    w->path = xasprintf("%s/journal", w->dir);
    w->fill = xmalloc(plan->bytes_max);
    memset(w->fill, ' ', plan->bytes_max);
}

static void settle(struct world *w)
{
    while (loop_turn(w->loop)) {
    }
}

/* The process dies: nothing that closing does reaches the disk. */
static void die(struct world *w)
{
    fault_disk_stop(w->disk);
    store_close(w->store);
    w->store = NULL;
    settle(w);
}

static void world_done(struct world *w)
{
    die(w);
    loop_free(w->loop);
    fault_disk_free(w->disk);
    map_done(&w->mirror, NULL);
    (void)unlink(w->path);
    EXPECT_INT(0, rmdir(w->dir));
    free(w->path);
    free(w->fill);
}

static int open_store(struct world *w, struct err *err)
{
    struct journal *journal = journal_open_sqlite(w->path, err);
    w->store = journal == NULL ? NULL : store_open(w->loop, journal, err);
    return w->store == NULL ? err->code : 0;
}

/* "k/0@12;k/3@7;" */
static void list(struct world *w, bool is_head, char text[static TEXT_MAX])
{
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct object **objects;
    size_t count;
    struct err err = {0};
    if (is_head) {
        store_list_head(w->store, S(""), arena, &objects, &count);
    } else {
        EXPECT_OK(store_list(w->store, S(""), 0, 0, arena, &objects, &count, &err));
    }
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        n += (size_t)snprintf(text + n, TEXT_MAX - n, STR_FMT "@%" PRIu64 ";",
                              STR_ARG(objects[i]->key), objects[i]->rev);
    }
}

static void no_wake(void *ctx)
{
    (void)ctx;
}

/* The watch goes on where it was: what it is told must fit what it knows, and add up to what is
 * there. */
static void follow(struct world *w)
{
    struct err err = {0};
    struct store_event event;
    struct watch *watch = store_watch(w->store, S(""), w->rev_seen, 0, no_wake, NULL, &err);
    EXPECT_OK(watch == NULL ? err.code : 0);
    while (watch_next(watch, &event) == 1) {
        uint64_t known = (uintptr_t)map_find(&w->mirror, event.object->key);
        EXPECT_INT(event.before == NULL ? 0 : event.before->rev, known);
        EXPECT(event.rev > known);
        if (event.is_delete) {
            (void)map_remove(&w->mirror, event.object->key);
        } else {
            (void)map_put(&w->mirror, event.object->key, (void *)(uintptr_t)event.rev);
        }
    }
    w->rev_seen = watch_rev(watch);
    watch_close(watch);
    char text[TEXT_MAX] = "";
    size_t n = 0;
    for (size_t i = 0; i < w->mirror.count; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, STR_FMT "@%" PRIu64 ";",
                              STR_ARG(w->mirror.entries[i].key),
                              (uint64_t)(uintptr_t)w->mirror.entries[i].value);
    }
    char there[TEXT_MAX];
    list(w, /*is_head=*/false, there);
    EXPECT_STR(there, str_of(text));
}

static void on_done(void *ctx, struct object *object, const struct err *err)
{
    struct world *w = ctx;
    EXPECT((object == NULL) != (err == NULL));
    if (err != NULL) {
        w->is_refused = true;
        EXPECT_INT(ERR_IO, err->code);
        EXPECT(strstr(err->msg, w->path) != NULL || strstr(err->msg, "disk") != NULL);
    }
}

static void propose(struct world *w, const struct plan *plan)
{
    char key[8];
    struct err err = {0};
    (void)snprintf(key, sizeof key, "k/%u", (unsigned)rng_below(&w->rng, KEYS_COUNT));
    bool is_delete = store_head(w->store, str_of(key)) != NULL && rng_below(&w->rng, 4) == 0;
    auto_arena struct arena *arena = arena_new(1 << 20);
    struct val v = val_map();
    (void)val_set(arena, &v, S("fill"),
                  val_str((struct str){w->fill, rng_below(&w->rng, plan->bytes_max)}));
    int result = is_delete ? store_delete(w->store, str_of(key), NULL, STORE_ANY, on_done, w, &err)
                           : store_put(w->store, str_of(key), &v, STORE_ANY, 0, on_done, w, &err);
    if (result < 0) {
        EXPECT(store_is_broken(w->store));
        EXPECT_INT(ERR_IO, result);
        w->is_refused = true;
    }
}

/* One to three writes in one batch; the books are kept. */
static void step(struct world *w, const struct plan *plan)
{
    w->is_refused = false;
    for (uint64_t n = rng_below(&w->rng, 3) + 1; n > 0; n--) {
        propose(w, plan);
    }
    list(w, /*is_head=*/true, w->maybe);
    store_flush(w->store);
    char now[TEXT_MAX];
    list(w, /*is_head=*/false, now);
    if (!w->is_refused) {
        EXPECT_STR(w->maybe, str_of(now));
        memcpy(w->acked, now, sizeof now);
    }
    EXPECT_STR(w->acked, str_of(now));
    if (!store_is_broken(w->store)) {
        w->maybe[0] = '\0'; /* refused for certain, or acknowledged */
    }
    follow(w);
}

/* Opens again what must open. What is found has been shown then, and stays. */
static void open_again(struct world *w)
{
    struct err err = {0};
    char now[TEXT_MAX];
    EXPECT_OK(open_store(w, &err));
    list(w, /*is_head=*/false, now);
    EXPECT_STR(w->maybe[0] != '\0' && strcmp(now, w->acked) != 0 ? w->maybe : w->acked,
               str_of(now));
    memcpy(w->acked, now, sizeof now);
    w->maybe[0] = '\0';
    follow(w);
}

/* After die: the next process finds the files as they were, or as a power cut left them. */
static void come_back(struct world *w)
{
    fault_disk_fail(w->disk, 0, FAULT_IO, false, &w->rng);
    if (rng_below(&w->rng, 2) == 0) {
        fault_disk_revive(w->disk);
        open_again(w);
        die(w);
    }
    fault_disk_lose_power(w->disk, &w->rng);
    open_again(w);
}

/* One life: opens, unless it is open, and writes. False when something failed on the way that only
 * another life can mend. */
static bool live(struct world *w, const struct plan *plan)
{
    struct err err = {0};
    if (w->store == NULL && open_store(w, &err) < 0) {
        EXPECT(strstr(err.msg, w->path) != NULL);
        return false;
    }
    for (size_t i = 0; i < plan->steps_count; i++) {
        step(w, plan);
        if (store_is_broken(w->store)) {
            w->is_refused = false;
            propose(w, plan);
            EXPECT(w->is_refused);
            return false;
        }
        if (w->is_refused && i % 3 == 2) { /* somebody makes room */
            fault_disk_fail(w->disk, 0, FAULT_FULL, false, &w->rng);
        }
    }
    return true;
}

/* Two lives, with a death between them, in which call number `at` fails; 0 = none. Returns how many
 * calls there were. */
static size_t play(const struct plan *plan, size_t at, enum fault fault, bool is_lasting)
{
    struct world w;
    world_init(&w, plan, 11 + at);
    fault_disk_fail(w.disk, at, fault, is_lasting, &w.rng);
    size_t calls = 0;
    for (int life = 0; life < 2; life++) {
        if (!live(&w, plan)) {
            EXPECT(fault_disk_has_failed(w.disk));
            if (w.store != NULL) {
                EXPECT(fault == FAULT_IO);
            }
            die(&w);
            come_back(&w);
            EXPECT(live(&w, plan));
        }
        calls = fault_disk_calls(w.disk);
        die(&w);
        fault_disk_lose_power(w.disk, &w.rng);
    }
    fault_disk_fail(w.disk, 0, FAULT_IO, false, &w.rng);
    open_again(&w);
    world_done(&w);
    return calls;
}

/* Each kind of fault at up to places_max calls (times 100 when thorough), spread over all. */
static void play_all(const struct plan *plan, size_t places_max)
{
    size_t calls = play(plan, 0, FAULT_IO, false);
    size_t stride = calls / (is_thorough() ? places_max * 100 : places_max) + 1;
    for (size_t kind = 0; kind < 4; kind++) {
        for (size_t at = 1 + kind * stride / 4; at <= calls; at += stride) {
            (void)play(plan, at, kind < 2 ? FAULT_IO : FAULT_FULL, kind % 2 != 0);
        }
    }
}

TEST(journal_survives_each_failing_call)
{
    play_all(&small, 100);
}

TEST(journal_survives_failing_calls_of_checkpoints)
{
    play_all(&large, 5);
}

/* Power cuts: one recorded run, whose books tell what may be found at each place of the record. */
struct book {
    struct world w;
    size_t steps_count;
    size_t begin[STEPS_MAX];         /* changes before the step */
    size_t end[STEPS_MAX];           /* changes when it was acknowledged */
    char acked[STEPS_MAX][TEXT_MAX]; /* by then */
};

static void book_record(struct book *book, const struct plan *plan)
{
    struct world *w = &book->w;
    struct err err = {0};
    world_init(w, plan, 5);
    EXPECT_OK(open_store(w, &err));
    for (size_t i = 0; i < plan->steps_count; i++) {
        book->begin[i] = fault_disk_changes(w->disk);
        step(w, plan);
        EXPECT(!w->is_refused);
        book->end[i] = fault_disk_changes(w->disk);
        memcpy(book->acked[i], w->acked, sizeof w->acked);
    }
    book->steps_count = plan->steps_count;
    die(w);
}

/* Cuts, opens, and compares; what is found stays when the power goes once more. */
static void cut_and_open(struct book *book, size_t change, size_t bytes, struct rng *rng)
{
    struct world *w = &book->w;
    size_t done = 0;
    while (done < book->steps_count && book->end[done] <= change) {
        done++;
    }
    bool is_amid = done < book->steps_count && book->begin[done] <= change;
    memcpy(w->acked, done == 0 ? "" : book->acked[done - 1], done == 0 ? 1 : TEXT_MAX);
    memcpy(w->maybe, is_amid ? book->acked[done] : "", is_amid ? TEXT_MAX : 1);
    if (is_amid && w->maybe[0] == '\0') { /* it deletes the last key */
        (void)snprintf(w->maybe, sizeof w->maybe, "%s", w->acked);
    }
    map_done(&w->mirror, NULL);
    w->mirror = (struct map){0};
    w->rev_seen = 0; /* a watch from the first revision on */
    fault_disk_cut(w->disk, change, bytes, rng);
    open_again(w);
    die(w);
}

/* What was written before the cut is there, whether flushed or not: every prefix must do. */
TEST(journal_survives_cuts_at_each_byte)
{
    struct book book = {0};
    book_record(&book, &small);
    size_t stride = is_thorough() ? 1 : 211;
    for (size_t change = 0; change < fault_disk_changes(book.w.disk); change++) {
        size_t n = fault_disk_change_bytes(book.w.disk, change);
        for (size_t bytes = 0; bytes < n; bytes += bytes + 1 == n || n < 64 ? 1 : stride) {
            cut_and_open(&book, change, bytes, NULL);
        }
        cut_and_open(&book, change, n, NULL);
    }
    world_done(&book.w);
}

/* What was not flushed is there in part, in any order. */
static void cut_at_random(const struct plan *plan, unsigned times)
{
    struct book book = {0};
    struct rng rng;
    book_record(&book, plan);
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < times * (is_thorough() ? 50 : 1); i++) {
        size_t change = rng_below(&rng, fault_disk_changes(book.w.disk));
        size_t n = fault_disk_change_bytes(book.w.disk, change);
        cut_and_open(&book, change, rng_below(&rng, n + 1), &rng);
    }
    world_done(&book.w);
}

TEST(journal_survives_torn_and_reordered_writes)
{
    cut_at_random(&small, 1000);
    cut_at_random(&large, 30);
}
