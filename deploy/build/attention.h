// Put into ggml's attention on the processor by attention.cmake. A mask is half floats, -inf where a row of the
// batch must not look at a cell. Compilers make vector operations of the inner loops.
#include <cstddef>
#include <cstdint>

static constexpr uint16_t CARAVAN_HIDDEN = 0xFC00;

// The next cell from `cell` on, in steps of N, whose N cells are not all hidden. Stops before `end` where fewer
// than N are left.
template <int N>
static inline int64_t caravan_skip_hidden(const uint16_t * mask, int64_t cell, int64_t end) {
    for (; cell + N <= end; cell += N) {
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

// Whether rows, each with the cells that it sees, cost less one by one than in one tile, all with all the cells
// that any of them sees. `stride` is the bytes from one row's mask to the next.
static inline bool caravan_prefers_rows(const char * mask, size_t stride, int rows, int64_t cells) {
    constexpr int64_t TILE = 64;
    // 64 rows with 64 cells cost as much as so many cells of single rows: 24 and 0.08 us, heads of 64 numbers.
    constexpr int64_t CELLS_PER_TILE = 300;
    int64_t seen  = 0;
    int64_t tiles = 0;
    for (int64_t cell = 0; cell < cells; cell += TILE) {
        const int64_t size   = cells - cell < TILE ? cells - cell : TILE;
        const int64_t before = seen;
        for (int row = 0; row < rows; ++row) {
            const uint16_t * own = (const uint16_t *) (mask + row*stride) + cell;
            uint16_t count = 0;
            for (int64_t i = 0; i < size; ++i) {
                count += own[i] != CARAVAN_HIDDEN;
            }
            seen += count;
        }
        tiles += seen > before;
    }
    return seen < tiles*CELLS_PER_TILE;
}

