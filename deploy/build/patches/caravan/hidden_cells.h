// Finds the cells of a row's mask that it sees: half floats, -inf where a cell is hidden.
#pragma once

#include <cstdint>

static constexpr uint16_t CARAVAN_HIDDEN = 0xFC00;

// The next cell from `cell` on, in steps of N, whose N cells are not all hidden. Stops before `end` where fewer
// than N are left.
template <int N>
static inline int64_t caravan_skip_hidden(const uint16_t * mask, int64_t cell, int64_t end) {
    for (; cell + N <= end; cell += N) {
        // Compilers make one or two vector operations of this.
        uint16_t seen = 0;
        for (int i = 0; i < N; ++i) {
            seen |= mask[cell + i] ^ CARAVAN_HIDDEN;
        }
        if (seen != 0) {
            break;
        }
    }
    return cell;
}

// The first cell from `cell` on that is not hidden; `end` where there is none.
static inline int64_t caravan_next_seen(const uint16_t * mask, int64_t cell, int64_t end) {
    if (cell < end && mask[cell] != CARAVAN_HIDDEN) {
        return cell;
    }
    cell = caravan_skip_hidden<32>(mask, cell, end);
    cell = caravan_skip_hidden<4>(mask, cell, end);
    return caravan_skip_hidden<1>(mask, cell, end);
}
