// SPDX-License-Identifier: Apache-2.0
//
// Runs seeds, each in a process of its own, so that one that aborts doesn't take the others along.
//   sim [--jobs N] FROM COUNT      runs COUNT seeds, prints those that fail
//   sim --replay SEED [MUTATION]   runs one with its trace
//   sim --mutations SEEDS          each mutation must be found within so many seeds
//   sim --scenarios [NAME]         all scripts of scenario.c, or one with its trace
//   sim --steps STEPS SECONDS FROM runs seeds from FROM until each policy has had so many steps, or
//                                  the time is over; prints what was reached every ten minutes
// Ends with "N passed, N failed"; exit code 1 when one failed.
#include "sim.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A crash of the brain leaves behind what it had under way; that is no leak of the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

enum { JOBS_MAX = 16, REPORT_SECONDS = 600 };

static const char *const policies[POLICIES] = {
    "OrderedReady RollingUpdate", "OrderedReady OnDelete",    "Parallel RollingUpdate",
    "Parallel OnDelete",          "maxUnavailable above one", "a partition",
};
static uint64_t *steps; /* shared with the processes of the seeds; NULL = nobody counts */

static void count_steps(const struct sim *sim)
{
    for (int i = 0; steps != NULL && i < POLICIES; i++) {
        steps[i] += sim->steps[i];
    }
}

static void print_tail(const struct sim *sim)
{
    size_t from = sim->lines_count > TRACE_LINES ? sim->lines_count - TRACE_LINES : 0;
    for (size_t i = from; i < sim->lines_count; i++) {
        puts(sim->lines[i % TRACE_LINES]);
    }
}

/* The end of the trace of a run that failed without one. */
static void print_failure(const struct sim *failed)
{
    static struct sim sim;
    (void)sim_run(failed->seed, failed->mutation, failed->scenario, TRACE_TAIL, &sim);
    print_tail(&sim);
    if (strcmp(sim.failure, failed->failure) != 0) {
        printf("seed %llu: the second run is not the first: %s\n", (unsigned long long)failed->seed,
               sim.is_failed ? sim.failure : "ok");
    }
}

static int run(uint64_t seed, enum mutation mutation, enum trace trace, bool is_quiet)
{
    static struct sim sim;
    bool is_ok = sim_run(seed, mutation, /*scenario=*/NULL, trace, &sim);
    count_steps(&sim);
    if (!is_quiet && !is_ok && trace == TRACE_NONE) {
        print_failure(&sim);
    }
    if (is_quiet && !is_ok) {
        printf("  seed %llu: %s\n", (unsigned long long)seed, sim.failure);
    }
    if (!is_quiet && (!is_ok || trace == TRACE_ALL)) {
        printf("seed %llu: %s%s (%u operations, %u turns, %u decisions, %llu writes, %u crashes, "
               "%.0f s)\n",
               (unsigned long long)seed, is_ok ? "ok" : "FAILED: ", is_ok ? "" : sim.failure,
               sim.ops_done, sim.turns, sim.decisions, (unsigned long long)sim.writes,
               sim.brains - 1, (double)sim_now(&sim) / 1e6);
    }
    if (!is_ok && trace == TRACE_NONE && mutation == MUTATION_NONE) {
        printf("replay with: make sim SEED=%llu\n", (unsigned long long)seed);
    }
    (void)fflush(stdout);
    return is_ok ? 0 : 1;
}

static pid_t start(uint64_t seed, enum mutation mutation, bool is_quiet)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(run(seed, mutation, TRACE_NONE, is_quiet));
    }
    return pid;
}

static bool is_success(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static unsigned run_seeds(uint64_t from, uint64_t count, int jobs)
{
    pid_t pids[JOBS_MAX] = {0};
    uint64_t seeds[JOBS_MAX] = {0};
    unsigned failed = 0;
    uint64_t next = from;
    for (int running = 0; next < from + count || running > 0;) {
        for (int i = 0; i < jobs && next < from + count; i++) {
            if (pids[i] == 0) {
                seeds[i] = next;
                pids[i] = start(next++, MUTATION_NONE, /*is_quiet=*/false);
                running++;
            }
        }
        int status;
        pid_t pid = wait(&status);
        for (int i = 0; i < jobs; i++) {
            if (pids[i] == pid) {
                pids[i] = 0;
                running--;
                failed += !is_success(status);
                if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
                    printf("seed %llu: FAILED: ended with status %d\n",
                           (unsigned long long)seeds[i], status);
                }
            }
        }
    }
    return failed;
}

static uint64_t fewest_steps(void)
{
    uint64_t fewest = steps[0];
    for (int i = 1; i < POLICIES; i++) {
        fewest = steps[i] < fewest ? steps[i] : fewest;
    }
    return fewest;
}

static void print_steps(uint64_t seeds, unsigned failed)
{
    printf("%llu seeds, %u failed, steps:", (unsigned long long)seeds, failed);
    for (int i = 0; i < POLICIES; i++) {
        printf("%s %s %llu", i == 0 ? "" : ",", policies[i], (unsigned long long)steps[i]);
    }
    puts("");
    (void)fflush(stdout);
}

static time_t clock_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* The night: one process at a time. */
static unsigned run_steps(uint64_t want, uint64_t seconds, uint64_t from, uint64_t *ret_seeds)
{
    steps = mmap(NULL, POLICIES * sizeof *steps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (steps == MAP_FAILED) {
        abort();
    }
    log_set_level(LOG_ERROR);
    unsigned failed = 0;
    uint64_t seed = from;
    time_t end = clock_seconds() + (time_t)seconds;
    time_t report = 0;
    for (; fewest_steps() < want && clock_seconds() < end; seed++) {
        int status = 0;
        if (waitpid(start(seed, MUTATION_NONE, /*is_quiet=*/false), &status, 0) < 0) {
            abort();
        }
        failed += !is_success(status);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
            printf("seed %llu: FAILED: ended with status %d\n", (unsigned long long)seed, status);
        }
        if (clock_seconds() >= report) {
            print_steps(seed + 1 - from, failed);
            report = clock_seconds() + REPORT_SECONDS;
        }
    }
    print_steps(seed - from, failed);
    *ret_seeds = seed - from;
    return failed;
}

static unsigned run_mutations(uint64_t seeds)
{
    unsigned missed = 0;
    for (int m = MUTATION_NONE + 1; m < MUTATION_COUNT; m++) {
        uint64_t seed = 0;
        int status = 0;
        printf("mutation %d, %s\n", m, mutation_text((enum mutation)m));
        while (seed < seeds && is_success(status)) {
            pid_t pid = start(++seed, (enum mutation)m, /*is_quiet=*/true);
            if (waitpid(pid, &status, 0) < 0) {
                abort();
            }
        }
        bool is_found = !is_success(status);
        if (!is_found) {
            printf("  MISSED in %llu seeds\n", (unsigned long long)seeds);
        }
        missed += !is_found;
    }
    return missed;
}

static bool run_scenario(const struct scenario *scenario, enum trace trace)
{
    static struct sim sim;
    bool is_ok = sim_run(/*seed=*/1, MUTATION_NONE, scenario, trace, &sim);
    if (!is_ok && trace == TRACE_NONE) {
        print_failure(&sim);
    }
    if (!is_ok || trace == TRACE_ALL) {
        printf("scenario %s: %s%s\nreplay with: make sim SCENARIO=%s\n", scenario_name(scenario),
               is_ok ? "ok" : "FAILED: ", is_ok ? "" : sim.failure, scenario_name(scenario));
    }
    (void)fflush(stdout);
    return is_ok;
}

/* All with a name of NULL, else one with its trace. */
static unsigned run_scenarios(const char *name, uint64_t *ret_total)
{
    unsigned failed = 0;
    *ret_total = 0;
    for (size_t i = 0; scenario_at(i) != NULL; i++) {
        const struct scenario *scenario = scenario_at(i);
        if (name != NULL && strcmp(name, scenario_name(scenario)) != 0) {
            continue;
        }
        int status = 0;
        (void)fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(run_scenario(scenario, name == NULL ? TRACE_NONE : TRACE_ALL) ? 0 : 1);
        }
        if (waitpid(pid, &status, 0) < 0) {
            abort();
        }
        failed += !is_success(status);
        ++*ret_total;
    }
    failed += *ret_total == 0;
    return failed;
}

static uint64_t number(const char *text)
{
    uint64_t n = 0;
    if (text == NULL || str_to_u64(str_of(text), &n) < 0) {
        (void)fprintf(stderr,
                      "usage: sim [--jobs N] FROM COUNT | --replay SEED [MUTATION] | "
                      "--mutations SEEDS | --scenarios [NAME] | --steps STEPS SECONDS FROM\n");
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    unsigned failed;
    uint64_t total;
    if (argc > 2 && strcmp(argv[1], "--replay") == 0) {
        uint64_t m = argc > 3 ? number(argv[3]) : 0;
        total = 1;
        failed = (unsigned)run(number(argv[2]), (enum mutation)(m % MUTATION_COUNT), TRACE_ALL,
                               /*is_quiet=*/false);
    } else if (argc > 2 && strcmp(argv[1], "--mutations") == 0) {
        total = MUTATION_COUNT - 1;
        failed = run_mutations(number(argv[2]));
    } else if (argc > 1 && strcmp(argv[1], "--scenarios") == 0) {
        failed = run_scenarios(argc > 2 ? argv[2] : NULL, &total);
    } else if (argc > 4 && strcmp(argv[1], "--steps") == 0) {
        failed = run_steps(number(argv[2]), number(argv[3]), number(argv[4]), &total);
    } else {
        bool has_jobs = argc > 2 && strcmp(argv[1], "--jobs") == 0;
        uint64_t jobs = has_jobs ? number(argv[2]) : 1;
        char **rest = argv + (has_jobs ? 3 : 1);
        total = number(rest[0] == NULL ? NULL : rest[1]);
        failed = run_seeds(number(rest[0]), total, jobs < 1 || jobs > JOBS_MAX ? 1 : (int)jobs);
    }
    printf("%llu passed, %u failed\n", (unsigned long long)total - failed, failed);
    return failed > 0;
}
