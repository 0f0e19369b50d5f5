// Attention on the processor with half-float keys and values, for attention-by-sequence.patch.
// One memory holds the cells of many sequences, and most of them are hidden from a row: its mask says -inf there.
//
// - The cells that rows see are listed once for all heads, and only they are looked at; ggml converts and compares
//   the mask of every cell, for each head.
// - A row by itself (a stream's) takes its cells in blocks: scores, one softmax, values, all in vector registers.
// - Rows of one sequence (a prompt's) run in tiles, which convert each block of cells once for all of them.
//
// What a row gets does not depend on the rows beside it, nor on where in the memory its cells are, to the last bit:
// both ways add up in the same order, that of positions, and blocks begin at positions that divide by their size.
// Cells of an image that have one position together come in the order of its rows and columns.
//
// Sums are float32 throughout. Online softmax: https://arxiv.org/abs/1805.02867
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "hidden_cells.h"

#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__) && defined(__F16C__))
#define CARAVAN_ATTENTION
#include <immintrin.h>

#if defined(__AVX512F__)
struct caravan_lanes {
    static constexpr int N = 16;
    using vec = __m512;

    static vec  zero()                       { return _mm512_setzero_ps(); }
    static vec  all(float x)                 { return _mm512_set1_ps(x); }
    static vec  load(const float * p)        { return _mm512_loadu_ps(p); }
    static vec  load(const uint16_t * p)     { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) p)); }
    static void store(float * p, vec x)      { _mm512_storeu_ps(p, x); }
    static vec  mul(vec a, vec b)            { return _mm512_mul_ps(a, b); }
    static vec  max(vec a, vec b)            { return _mm512_max_ps(a, b); }
    static vec  fma(vec a, vec b, vec c)     { return _mm512_fmadd_ps(a, b, c); }
    static float max(vec x)                  { return _mm512_reduce_max_ps(x); }

    // The sums of 16 vectors, in their order.
    static vec sums(const vec * r) {
        vec u[8], w[4];
        for (int i = 0; i < 8; ++i) {
            u[i] = _mm512_add_ps(_mm512_unpacklo_ps(r[2*i], r[2*i + 1]), _mm512_unpackhi_ps(r[2*i], r[2*i + 1]));
        }
        for (int i = 0; i < 4; ++i) {
            const __m512d a = _mm512_castps_pd(u[2*i]), b = _mm512_castps_pd(u[2*i + 1]);
            w[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
        }
        const vec x = _mm512_add_ps(_mm512_shuffle_f32x4(w[0], w[1], 0x88), _mm512_shuffle_f32x4(w[0], w[1], 0xdd));
        const vec y = _mm512_add_ps(_mm512_shuffle_f32x4(w[2], w[3], 0x88), _mm512_shuffle_f32x4(w[2], w[3], 0xdd));
        return _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
    }
};
#else
struct caravan_lanes {
    static constexpr int N = 8;
    using vec = __m256;

    static vec  zero()                       { return _mm256_setzero_ps(); }
    static vec  all(float x)                 { return _mm256_set1_ps(x); }
    static vec  load(const float * p)        { return _mm256_loadu_ps(p); }
    static vec  load(const uint16_t * p)     { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) p)); }
    static void store(float * p, vec x)      { _mm256_storeu_ps(p, x); }
    static vec  mul(vec a, vec b)            { return _mm256_mul_ps(a, b); }
    static vec  max(vec a, vec b)            { return _mm256_max_ps(a, b); }
    static vec  fma(vec a, vec b, vec c)     { return _mm256_fmadd_ps(a, b, c); }

    static float max(vec x) {
        __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        half = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
    }

    // The sums of 8 vectors, in their order.
    static vec sums(const vec * r) {
        vec u[4], w[2];
        for (int i = 0; i < 4; ++i) {
            u[i] = _mm256_add_ps(_mm256_unpacklo_ps(r[2*i], r[2*i + 1]), _mm256_unpackhi_ps(r[2*i], r[2*i + 1]));
        }
        for (int i = 0; i < 2; ++i) {
            const __m256d a = _mm256_castps_pd(u[2*i]), b = _mm256_castps_pd(u[2*i + 1]);
            w[i] = _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
        }
        return _mm256_add_ps(_mm256_permute2f128_ps(w[0], w[1], 0x20), _mm256_permute2f128_ps(w[0], w[1], 0x31));
    }
};
#endif

// Rows of a tile, and cells of a block.
static constexpr int CARAVAN_TILE = 64;
// Fewer rows of one sequence than this are quicker one by one: packing a tile's cells takes as long.
static constexpr int CARAVAN_MIN_TILE_ROWS = 8;

// One head: `rows` of queries against `cells` of keys and values. Strides are in bytes, `mask` may be null.
struct caravan_head {
    const char * q;
    size_t       q_stride;
    const char * k;
    size_t       k_stride;
    const char * v;
    size_t       v_stride;
    const char * mask;
    size_t       mask_stride;
    char       * out;
    size_t       out_stride;
    const float * sink;
    int64_t      cells;
    int          k_size;
    int          v_size;
    float        scale;
    float        softcap;
    float        slope;

    const float *    query(int64_t row)  const { return (const float *) (q + row*q_stride); }
    const uint16_t * key(int64_t cell)   const { return (const uint16_t *) (k + cell*k_stride); }
    const uint16_t * value(int64_t cell) const { return (const uint16_t *) (v + cell*v_stride); }
    const uint16_t * seen(int64_t row)   const { return mask ? (const uint16_t *) (mask + row*mask_stride) : nullptr; }
    float *          result(int64_t row) const { return (float *) (out + row*out_stride); }
};

static inline void caravan_scale(float * x, int size, float factor) {
    using L = caravan_lanes;
    for (int i = 0; i < size; i += L::N) {
        L::store(x + i, L::mul(L::load(x + i), L::all(factor)));
    }
}

// Scores of N cells: products of a query and their keys. `key(c, i)` is where the numbers from `i` on of cell `c` are.
template <typename Key>
static inline caravan_lanes::vec caravan_dots(const float * query, int size, Key key) {
    using L = caravan_lanes;
    L::vec dots[L::N];
    for (int c = 0; c < L::N; ++c) {
        dots[c] = L::zero();
    }
    for (int i = 0; i < size; i += L::N) {
        const L::vec part = L::load(query + i);
        for (int c = 0; c < L::N; ++c) {
            dots[c] = L::fma(part, L::load(key(c, i)), dots[c]);
        }
    }
    return L::sums(dots);
}

// Raises the running maximum `m` to `max`; what was summed up so far shrinks accordingly.
static inline void caravan_raise(float max, float & m, float & s, float * sum, int size) {
    if (max > m) {
        const float factor = std::exp(m - max);
        caravan_scale(sum, size, factor);
        s *= factor;
        m = max;
    }
}

// Some of the cells in the order in which they are added up. A place that no cell has holds ~cell of any.
struct caravan_block {
    const int32_t * cells;
    int             count;
    bool            is_straight;  // they lie side by side

    int32_t cell(int i) const { return std::max(cells[i], ~cells[i]); }
};

// Adds weighted values, PARTS vectors of each from `offset` on.
template <int PARTS>
static inline void caravan_add_values(const caravan_head & head, const caravan_block & block, const float * weights, int offset, float * sum) {
    using L = caravan_lanes;
    L::vec parts[PARTS];
    for (int i = 0; i < PARTS; ++i) {
        parts[i] = L::load(sum + offset + i*L::N);
    }
    for (int c = 0; c < block.count; ++c) {
        const uint16_t * value  = head.value(block.cell(c)) + offset;
        const L::vec     weight = L::all(weights[c]);
        for (int i = 0; i < PARTS; ++i) {
            parts[i] = L::fma(weight, L::load(value + i*L::N), parts[i]);
        }
    }
    for (int i = 0; i < PARTS; ++i) {
        L::store(sum + offset + i*L::N, parts[i]);
    }
}

// Makes weights of a row's scores [CARAVAN_TILE] of a block of cells; those that it does not see get none. False where
// it sees none of them. `m` is the largest score so far, `s` the sum of weights, and `sum` of values.
static inline bool caravan_weigh(const caravan_head & head, int64_t row, const caravan_block & block, float * scores, float * sum, float & s, float & m) {
    using L = caravan_lanes;
    const int count = block.count;
    if (head.softcap != 0.0f) {
        for (int i = 0; i < count; ++i) {
            scores[i] = head.softcap*std::tanh(scores[i]);
        }
    }
    std::fill(scores + count, scores + CARAVAN_TILE, -INFINITY);
    if (head.mask) {
        uint16_t mask[CARAVAN_TILE] = {};
        const uint16_t * seen = head.seen(row);
        if (block.is_straight) {
            memcpy(mask, seen + block.cells[0], count*sizeof(uint16_t));
        } else {
            for (int i = 0; i < count; ++i) {
                mask[i] = block.cells[i] < 0 ? CARAVAN_HIDDEN : seen[block.cells[i]];
            }
        }
        for (int i = 0; i < CARAVAN_TILE; i += L::N) {
            L::store(scores + i, L::fma(L::load(mask + i), L::all(head.slope), L::load(scores + i)));
        }
    }
    L::vec max = L::load(scores);
    for (int i = L::N; i < CARAVAN_TILE; i += L::N) {
        max = L::max(max, L::load(scores + i));
    }
    const float largest = L::max(max);
    if (largest == -INFINITY) {
        return false;
    }
    caravan_raise(largest, m, s, sum, head.v_size);
    s += (float) ggml_vec_soft_max_f32(CARAVAN_TILE, scores, scores, m);
    return true;
}

// Copies a query, scaled.
static inline void caravan_take_query(const caravan_head & head, int64_t row, float * query) {
    using L = caravan_lanes;
    for (int i = 0; i < head.k_size; i += L::N) {
        L::store(query + i, L::mul(L::load(head.query(row) + i), L::all(head.scale)));
    }
}

// Cells in the order in which they are added up, in blocks of CARAVAN_TILE.
struct caravan_cells {
    std::vector<int32_t> cells;
    std::vector<uint8_t> is_straight;  // of each block

    int64_t num_blocks() const { return (int64_t) is_straight.size(); }

    caravan_block block(int64_t i) const {
        const int64_t first = i*CARAVAN_TILE;
        return { cells.data() + first, (int) std::min<int64_t>(CARAVAN_TILE, (int64_t) cells.size() - first), is_straight[i] != 0 };
    }
};

// One row by itself. `query` and `sum` are room for one of each.
static inline void caravan_attend_row(const caravan_head & head, int64_t row, const caravan_cells & cells, float * query, float * sum, float & s, float & m) {
    using L = caravan_lanes;
    caravan_take_query(head, row, query);
    memset(sum, 0, head.v_size*sizeof(float));
    for (int64_t b = 0; b < cells.num_blocks(); ++b) {
        const caravan_block block = cells.block(b);
        float weights[CARAVAN_TILE];
        for (int c = 0; c < block.count; c += L::N) {
            const uint16_t * keys[L::N];
            for (int i = 0; i < L::N; ++i) {
                keys[i] = head.key(block.cell(std::min(c + i, block.count - 1)));
            }
            L::store(weights + c, caravan_dots(query, head.k_size, [&](int j, int i) { return keys[j] + i; }));
        }
        if (!caravan_weigh(head, row, block, weights, sum, s, m)) {
            continue;
        }
        int offset = 0;
        for (; offset + 4*L::N <= head.v_size; offset += 4*L::N) {
            caravan_add_values<4>(head, block, weights, offset, sum);
        }
        for (; offset < head.v_size; offset += L::N) {
            caravan_add_values<1>(head, block, weights, offset, sum);
        }
    }
}

// Writes a row's result, its sink counted in.
static inline void caravan_finish(const caravan_head & head, int64_t row, float * sum, float s, float m) {
    if (head.sink) {
        caravan_raise(*head.sink, m, s, sum, head.v_size);
        s += std::exp(*head.sink - m);
    }
    caravan_scale(sum, head.v_size, s == 0.0f ? 0.0f : 1.0f/s);
    memcpy(head.result(row), sum, head.v_size*sizeof(float));
}

// Keys of up to CARAVAN_TILE cells as float32, N cells after N: N numbers of each of them, the next N of each, and so on.
static inline void caravan_unpack_keys(const caravan_head & head, const caravan_block & block, float * out) {
    using L = caravan_lanes;
    for (int c = 0; c < (block.count + L::N - 1)/L::N*L::N; ++c) {
        const uint16_t * key   = head.key(block.cell(std::min(c, block.count - 1)));
        float *          group = out + c/L::N*L::N*head.k_size + c%L::N*L::N;
        for (int i = 0; i < head.k_size; i += L::N) {
            L::store(group + i*L::N, L::load(key + i));
        }
    }
}

// Values as float32 [CARAVAN_TILE][v_size], zeros behind the last.
static inline void caravan_unpack_values(const caravan_head & head, const caravan_block & block, float * out) {
    using L = caravan_lanes;
    for (int c = 0; c < block.count; ++c) {
        for (int i = 0; i < head.v_size; i += L::N) {
            L::store(out + c*head.v_size + i, L::load(head.value(block.cell(c)) + i));
        }
    }
    memset(out + block.count*head.v_size, 0, (CARAVAN_TILE - block.count)*head.v_size*sizeof(float));
}

// Numbers of float32 that caravan_attend_run works in.
static inline size_t caravan_work_size(int k_size, int v_size) {
    return CARAVAN_TILE*(2*k_size + 2*v_size + CARAVAN_TILE);
}

// Up to CARAVAN_TILE rows from `row` on.
static inline void caravan_attend_tile(const caravan_head & head, int64_t row, int num_rows, const caravan_cells & cells, float * work) {
    using L = caravan_lanes;
    float * queries = work;
    float * keys    = queries + CARAVAN_TILE*head.k_size;
    float * values  = keys    + CARAVAN_TILE*head.k_size;
    float * sums    = values  + CARAVAN_TILE*head.v_size;
    float * scores  = sums    + CARAVAN_TILE*head.v_size;
    float s[CARAVAN_TILE] = {};
    float m[CARAVAN_TILE];
    std::fill(m, m + CARAVAN_TILE, -INFINITY);

    // The multiplication is fastest by four rows.
    const int padded = (num_rows + 3)/4*4;
    memset(sums,   0, padded*head.v_size*sizeof(float));
    memset(scores, 0, padded*CARAVAN_TILE*sizeof(float));
    for (int i = 0; i < num_rows; ++i) {
        caravan_take_query(head, row + i, queries + i*head.k_size);
    }
    for (int64_t b = 0; b < cells.num_blocks(); ++b) {
        const caravan_block block = cells.block(b);
        caravan_unpack_keys(head, block, keys);
        for (int i = 0; i < num_rows; ++i) {
            float * own = scores + i*CARAVAN_TILE;
            for (int c = 0; c < block.count; c += L::N) {
                const float * group = keys + c*head.k_size;
                L::store(own + c, caravan_dots(queries + i*head.k_size, head.k_size, [=](int cell, int d) { return group + (d + cell)*L::N; }));
            }
            if (!caravan_weigh(head, row + i, block, own, sums + i*head.v_size, s[i], m[i])) {
                memset(own, 0, CARAVAN_TILE*sizeof(float));
            }
        }
        caravan_unpack_values(head, block, values);
        simd_gemm(sums, scores, values, padded, CARAVAN_TILE, head.v_size);
    }
    for (int i = 0; i < num_rows; ++i) {
        caravan_finish(head, row + i, sums + i*head.v_size, s[i], m[i]);
    }
}

// Rows that follow each other and belong to one sequence, at most a tile of them.
struct caravan_run {
    int64_t row;
    int     num_rows;

    bool is_tile() const { return num_rows >= CARAVAN_MIN_TILE_ROWS; }
};

// The last cell that a row sees, -1 where it sees none.
static inline int64_t caravan_last_seen(const uint16_t * mask, int64_t cells) {
    int64_t cell = cells - 1;
    while (cell >= 0 && mask[cell] == CARAVAN_HIDDEN) {
        --cell;
    }
    return cell;
}

// What a context's memory tells about a batch, where it does: the position of each cell, whose each row is and, with
// M-RoPE, the order of cells that have one position together: their rows and columns in an image.
struct caravan_places {
    const int32_t * positions;
    const int32_t * sequences;
    const int32_t * grid;
};

// Splits rows into runs by their sequences. Where they are not told, a row goes on with the one before if it sees the
// last cell that that one sees.
static inline void caravan_split(const char * mask, size_t stride, int64_t rows, int64_t cells, const caravan_places & places, std::vector<caravan_run> & runs) {
    runs.clear();
    int64_t last = -1;
    for (int64_t row = 0; row < rows; ++row) {
        const uint16_t * own = (const uint16_t *) (mask + row*stride);
        bool goes_on = !mask;
        if (places.sequences) {
            goes_on = row > 0 && places.sequences[row] == places.sequences[row - 1];
        } else if (mask) {
            goes_on = last >= 0 && own[last] != CARAVAN_HIDDEN;
            last = goes_on ? last : caravan_last_seen(own, cells);
            while (goes_on && last + 1 < cells && own[last + 1] != CARAVAN_HIDDEN) {
                ++last;
            }
        }
        if (goes_on && !runs.empty() && runs.back().num_rows < CARAVAN_TILE) {
            ++runs.back().num_rows;
        } else {
            runs.push_back({ row, 1 });
        }
    }
}

// Marks those of SIZE cells that a row sees. True if it sees all of them.
template <int SIZE>
static inline bool caravan_mark_seen(const uint16_t * mask, uint16_t * seen) {
    uint16_t hidden = 0;
    for (int i = 0; i < SIZE; ++i) {
        seen[i] |= mask[i] ^ CARAVAN_HIDDEN;
        hidden  |= mask[i] == CARAVAN_HIDDEN;
    }
    return hidden == 0;
}

// Puts cells in the order of their positions, each at a place that is its position modulo CARAVAN_TILE. False, and
// nothing done, where two have the same position, or they lie far apart.
static inline bool caravan_arrange_row(const int32_t * positions, std::vector<int32_t> & cells, std::vector<int32_t> & placed) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (const int32_t cell : cells) {
        low  = std::min(low,  positions[cell]);
        high = std::max(high, positions[cell]);
    }
    const int32_t begin = low/CARAVAN_TILE*CARAVAN_TILE;
    const int64_t size  = (int64_t) high - begin + 1;
    if (size > 4*(int64_t) cells.size() + CARAVAN_TILE) {
        return false;
    }
    placed.assign(size, ~cells[0]);
    for (const int32_t cell : cells) {
        int32_t & place = placed[positions[cell] - begin];
        if (place >= 0) {
            return false;
        }
        place = cell;
    }
    return true;
}

// The same where cells have one position together, those of an image, or there are gaps. The first of a position is
// where it would be if it had none beside it. The rest has blocks of its own, behind the block of the first, in the order
// of rows and columns; a row that sees one of them sees all before it. So no place depends on which others are seen.
static inline void caravan_arrange_images(const caravan_places & places, std::vector<int32_t> & cells, std::vector<int32_t> & placed) {
    const int32_t * positions = places.positions;
    const auto is_before = [&](int32_t a, int32_t b) {
        return positions[a] != positions[b] ? positions[a] < positions[b] : places.grid && places.grid[a] < places.grid[b];
    };
    if (!std::is_sorted(cells.begin(), cells.end(), is_before)) {
        std::stable_sort(cells.begin(), cells.end(), is_before);
    }
    const size_t size = cells.size();
    placed.clear();
    for (size_t first = 0, end = 0; first < size; first = end) {
        const size_t block = placed.size();
        placed.resize(block + CARAVAN_TILE, ~cells[0]);
        for (; end < size && positions[cells[end]]/CARAVAN_TILE == positions[cells[first]]/CARAVAN_TILE; ++end) {
            if (end == first || positions[cells[end]] != positions[cells[end - 1]]) {
                placed[block + positions[cells[end]] % CARAVAN_TILE] = cells[end];
            }
        }
        for (size_t i = first + 1; i < end; ++i) {
            if (positions[cells[i]] == positions[cells[i - 1]]) {
                placed.push_back(cells[i]);
            } else {
                placed.resize((placed.size() + CARAVAN_TILE - 1)/CARAVAN_TILE*CARAVAN_TILE, ~cells[0]);
            }
        }
        placed.resize((placed.size() + CARAVAN_TILE - 1)/CARAVAN_TILE*CARAVAN_TILE, ~cells[0]);
    }
    while (placed.back() < 0) {
        placed.pop_back();
    }
}

// Puts cells in an order, and at places in blocks, that depend on their positions alone.
static inline void caravan_arrange(const caravan_places & places, std::vector<int32_t> & cells) {
    static thread_local std::vector<int32_t> placed;
    if (cells.empty()) {
        return;
    }
    if (!caravan_arrange_row(places.positions, cells, placed)) {
        caravan_arrange_images(places, cells, placed);
    }
    cells.swap(placed);
}

// Lists the cells that any row of a run sees.
static inline void caravan_list_cells(const char * mask, size_t stride, const caravan_run & run, int64_t num_cells, const caravan_places & places, caravan_cells & out) {
    std::vector<int32_t> & cells = out.cells;
    cells.clear();
    for (int64_t first = 0; first < num_cells; first += CARAVAN_TILE) {
        const int count = (int) std::min<int64_t>(CARAVAN_TILE, num_cells - first);
        uint16_t seen[CARAVAN_TILE] = {};
        bool is_whole = !mask;
        // The last row sees most.
        for (int64_t row = run.row + run.num_rows - 1; row >= run.row && !is_whole; --row) {
            const uint16_t * own = (const uint16_t *) (mask + row*stride) + first;
            if (count == CARAVAN_TILE) {
                is_whole = caravan_mark_seen<CARAVAN_TILE>(own, seen);
            } else {
                for (int i = 0; i < count; ++i) {
                    caravan_mark_seen<1>(own + i, seen + i);
                }
            }
        }
        for (int i = 0; i < count; ++i) {
            if (is_whole || seen[i] != 0) {
                cells.push_back((int32_t) (first + i));
            }
        }
    }
    if (places.positions) {
        caravan_arrange(places, cells);
    }
    out.is_straight.resize((cells.size() + CARAVAN_TILE - 1)/CARAVAN_TILE);
    for (int64_t b = 0; b < out.num_blocks(); ++b) {
        const caravan_block block = out.block(b);
        int32_t broken = block.cells[0] < 0;
        for (int i = 0; i < block.count; ++i) {
            broken |= block.cells[i] ^ (block.cells[0] + i);
        }
        out.is_straight[b] = broken == 0;
    }
}

// One run and the cells that it sees; `work` has room for caravan_work_size numbers.
static inline void caravan_attend_run(const caravan_head & head, const caravan_run & run, const caravan_cells & cells, float * work) {
    if (run.is_tile()) {
        caravan_attend_tile(head, run.row, run.num_rows, cells, work);
        return;
    }
    for (int64_t row = run.row; row < run.row + run.num_rows; ++row) {
        float * sum = work + head.k_size;
        float   s   = 0.0f;
        float   m   = -INFINITY;
        caravan_attend_row(head, row, cells, work, sum, s, m);
        caravan_finish(head, row, sum, s, m);
    }
}
#endif
