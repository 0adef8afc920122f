/* Reads the tables of coverage of the executable that this is linked to. In C, since all that is compiled as Rust counts
 * coverage itself: there, a variable of the linker's name would take the place of the fuzzer's own, and each comparison
 * would be traced. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The linker names where a section begins and ends, and where the executable does. */
extern const unsigned char __start___sancov_cntrs[], __stop___sancov_cntrs[];
extern const uintptr_t __start___sancov_pcs[], __stop___sancov_pcs[];
extern const char __executable_start[];

size_t buflock_edges(void)
{
    return (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs);
}

/* Where an edge is, from the beginning of the executable, and whether a function begins there. */
uint64_t buflock_edge(size_t place, int *is_entry)
{
    const uintptr_t *entry = __start___sancov_pcs + 2 * place;
    *is_entry = (int)(entry[1] & 1);
    return entry[0] - (uintptr_t)__executable_start;
}

/* Sets the bytes of the edges that were passed since the fuzzer looked last. Whether one of them was not set. */
int buflock_cover(unsigned char *covered)
{
    size_t count = buflock_edges(), place = 0;
    int is_new = 0;
    for (; place + 8 <= count; place += 8) {
        uint64_t counters;
        memcpy(&counters, __start___sancov_cntrs + place, 8);
        if (counters == 0) {
            continue;
        }
        for (size_t at = place; at < place + 8; at++) {
            unsigned char counted = __start___sancov_cntrs[at] != 0;
            is_new |= counted & !covered[at];
            covered[at] |= counted;
        }
    }
    for (; place < count; place++) {
        unsigned char counted = __start___sancov_cntrs[place] != 0;
        is_new |= counted & !covered[place];
        covered[place] |= counted;
    }
    return is_new;
}
