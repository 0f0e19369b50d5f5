// Put into ggml's attention on the processor by masked_cells.cmake.
#include <cstdint>

// The next cell from `cell` on, in steps of N, whose N cells are not all hidden by `mask`: half floats, -inf where
// a row must not look. Stops before `end` where fewer than N are left.
template <int N>
static inline int64_t caravan_skip_hidden(const uint16_t * mask, int64_t cell, int64_t end) {
    for (; cell + N <= end; cell += N) {
        // Compilers make one or two vector operations of this.
        uint16_t seen = 0;
        for (int i = 0; i < N; ++i) {
            seen |= mask[cell + i] ^ 0xFC00;
        }
        if (seen != 0) {
            break;
        }
    }
    return cell;
}

// The first cell from `cell` on that `mask` does not hide; `end` where there is none.
static inline int64_t caravan_next_seen(const uint16_t * mask, int64_t cell, int64_t end) {
    if (cell < end && mask[cell] != 0xFC00) {
        return cell;
    }
    cell = caravan_skip_hidden<32>(mask, cell, end);
    cell = caravan_skip_hidden<4>(mask, cell, end);
    return caravan_skip_hidden<1>(mask, cell, end);
}

