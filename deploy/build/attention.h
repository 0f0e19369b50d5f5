// Attention on the processor with half-float keys and values, put into ggml by attention.cmake. One memory holds the
// cells of many sequences, and most of them are hidden from a row: its mask says -inf there.
//
// - Hidden cells are jumped over; ggml converts and compares the mask of each of them, for each head.
// - A row by itself (a stream's) takes its cells in blocks: scores, one softmax, values, all in vector registers.
// - Rows of one prompt run in tiles of 64 rows and 64 cells, as ggml's do; rows of other sequences never join them.
//
// Sums are float32 throughout. Online softmax: https://arxiv.org/abs/1805.02867
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

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
    static float sum(vec x)                  { return _mm512_reduce_add_ps(x); }
    static float max(vec x)                  { return _mm512_reduce_max_ps(x); }

    static void transpose(vec * r) {
        vec t[N];
        for (int i = 0; i < N; i += 2) {
            t[i]     = _mm512_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < N; i += 4) {
            for (int j = 0; j < 2; ++j) {
                const __m512d a = _mm512_castps_pd(t[i + j]), b = _mm512_castps_pd(t[i + j + 2]);
                r[i + 2*j]     = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                r[i + 2*j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for (int j = 0; j < 4; ++j) {
            t[j]      = _mm512_shuffle_f32x4(r[j],     r[j + 4],  0x88);
            t[j + 4]  = _mm512_shuffle_f32x4(r[j],     r[j + 4],  0xdd);
            t[j + 8]  = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0x88);
            t[j + 12] = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0xdd);
        }
        for (int j = 0; j < 8; ++j) {
            r[j]     = _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88);
            r[j + 8] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd);
        }
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

    static float sum(vec x) {
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
    }

    static float max(vec x) {
        __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        half = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
    }

    static void transpose(vec * r) {
        vec t[N];
        for (int i = 0; i < N; i += 2) {
            t[i]     = _mm256_unpacklo_ps(r[i], r[i + 1]);
            t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
        }
        for (int i = 0; i < N; i += 4) {
            for (int j = 0; j < 2; ++j) {
                const __m256d a = _mm256_castps_pd(t[i + j]), b = _mm256_castps_pd(t[i + j + 2]);
                r[i + 2*j]     = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
                r[i + 2*j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
            }
        }
        for (int j = 0; j < 4; ++j) {
            t[j]     = _mm256_permute2f128_ps(r[j], r[j + 4], 0x20);
            t[j + 4] = _mm256_permute2f128_ps(r[j], r[j + 4], 0x31);
        }
        std::copy(t, t + N, r);
    }
};
#endif

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

static inline float caravan_dot(const float * q, const uint16_t * k, int size) {
    using L = caravan_lanes;
    L::vec sum = L::zero();
    for (int i = 0; i < size; i += L::N) {
        sum = L::fma(L::load(q + i), L::load(k + i), sum);
    }
    return L::sum(sum);
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

// Adds weighted values, PARTS vectors of each from `offset` on.
template <int PARTS>
static inline void caravan_add_values(const caravan_head & head, const int64_t * cells, const float * weights, int count, int offset, float * sum) {
    using L = caravan_lanes;
    L::vec parts[PARTS];
    for (int i = 0; i < PARTS; ++i) {
        parts[i] = L::load(sum + offset + i*L::N);
    }
    for (int c = 0; c < count; ++c) {
        const uint16_t * value  = head.value(cells[c]) + offset;
        const L::vec     weight = L::all(weights[c]);
        for (int i = 0; i < PARTS; ++i) {
            parts[i] = L::fma(weight, L::load(value + i*L::N), parts[i]);
        }
    }
    for (int i = 0; i < PARTS; ++i) {
        L::store(sum + offset + i*L::N, parts[i]);
    }
}

// The cells from `begin` to `end` that a row sees: sets `sum` [v_size], not yet divided by the sum `s` of weights,
// with the largest score `m`.
static inline void caravan_attend_row(const caravan_head & head, int64_t row, int64_t begin, int64_t end, float * sum, float & s, float & m) {
    using L = caravan_lanes;
    const float *    query = head.query(row);
    const uint16_t * mask  = head.seen(row);
    memset(sum, 0, head.v_size*sizeof(float));

    int64_t cells[CARAVAN_TILE];
    float   weights[CARAVAN_TILE];
    for (int64_t cell = begin; cell < end;) {
        int   count = 0;
        float max   = -INFINITY;
        for (; count < CARAVAN_TILE; ++count, ++cell) {
            cell = mask ? caravan_next_seen(mask, cell, end) : cell;
            if (cell >= end) {
                break;
            }
            float score = head.scale*caravan_dot(query, head.key(cell), head.k_size);
            if (head.softcap != 0.0f) {
                score = head.softcap*std::tanh(score);
            }
            if (mask && mask[cell] != 0) {
                score += head.slope*GGML_CPU_FP16_TO_FP32(mask[cell]);
            }
            cells[count]   = cell;
            weights[count] = score;
            max            = std::max(max, score);
        }
        if (max == -INFINITY) {
            continue;
        }
        caravan_raise(max, m, s, sum, head.v_size);
        const int padded = (count + L::N - 1)/L::N*L::N;
        std::fill(weights + count, weights + padded, -INFINITY);
        s += (float) ggml_vec_soft_max_f32(padded, weights, weights, m);
        int offset = 0;
        for (; offset + 4*L::N <= head.v_size; offset += 4*L::N) {
            caravan_add_values<4>(head, cells, weights, count, offset, sum);
        }
        for (; offset < head.v_size; offset += L::N) {
            caravan_add_values<1>(head, cells, weights, count, offset, sum);
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

// The keys of up to CARAVAN_TILE cells as float32 [k_size][CARAVAN_TILE], zeros behind the last.
static inline void caravan_pack_keys(const caravan_head & head, int64_t first, int count, float * keys) {
    using L = caravan_lanes;
    for (int cell = 0; cell < CARAVAN_TILE; cell += L::N) {
        for (int i = 0; i < head.k_size; i += L::N) {
            L::vec rows[L::N];
            for (int j = 0; j < L::N; ++j) {
                rows[j] = cell + j < count ? L::load(head.key(first + cell + j) + i) : L::zero();
            }
            L::transpose(rows);
            for (int j = 0; j < L::N; ++j) {
                L::store(keys + (i + j)*CARAVAN_TILE + cell, rows[j]);
            }
        }
    }
}

static inline void caravan_pack_values(const caravan_head & head, int64_t first, int count, float * values) {
    using L = caravan_lanes;
    for (int cell = 0; cell < count; ++cell) {
        for (int i = 0; i < head.v_size; i += L::N) {
            L::store(values + cell*head.v_size + i, L::load(head.value(first + cell) + i));
        }
    }
    memset(values + count*head.v_size, 0, (CARAVAN_TILE - count)*head.v_size*sizeof(float));
}

// Makes weights of a row's scores [CARAVAN_TILE]; cells that it does not see get none.
static inline void caravan_weigh(const caravan_head & head, int64_t row, int64_t first, int count, float * scores, float * sum, float & s, float & m) {
    using L = caravan_lanes;
    if (head.softcap != 0.0f) {
        for (int i = 0; i < count; ++i) {
            scores[i] = head.softcap*std::tanh(scores[i]);
        }
    }
    const uint16_t * mask = head.seen(row);
    int cell = 0;
    L::vec max = L::all(-INFINITY);
    for (; cell + L::N <= count; cell += L::N) {
        L::vec score = L::load(scores + cell);
        if (mask) {
            score = L::fma(L::load(mask + first + cell), L::all(head.slope), score);
            L::store(scores + cell, score);
        }
        max = L::max(max, score);
    }
    float largest = L::max(max);
    for (; cell < count; ++cell) {
        scores[cell] += mask ? head.slope*GGML_CPU_FP16_TO_FP32(mask[first + cell]) : 0.0f;
        largest = std::max(largest, scores[cell]);
    }
    if (largest == -INFINITY) {
        memset(scores, 0, CARAVAN_TILE*sizeof(float));
        return;
    }
    std::fill(scores + count, scores + CARAVAN_TILE, -INFINITY);
    caravan_raise(largest, m, s, sum, head.v_size);
    s += (float) ggml_vec_soft_max_f32(CARAVAN_TILE, scores, scores, m);
}

// Numbers of float32 that caravan_attend_tile works in.
static inline size_t caravan_work_size(int k_size, int v_size) {
    return CARAVAN_TILE*(2*k_size + 2*v_size + CARAVAN_TILE);
}

// Up to CARAVAN_TILE rows from `row` on; `blocks` are the first cells of the blocks of CARAVAN_TILE cells that any
// of them sees.
static inline void caravan_attend_tile(const caravan_head & head, int64_t row, int num_rows, const std::vector<int64_t> & blocks, float * work) {
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
    memset(sums, 0, padded*head.v_size*sizeof(float));
    memset(queries + num_rows*head.k_size, 0, (padded - num_rows)*head.k_size*sizeof(float));
    for (int i = 0; i < num_rows; ++i) {
        memcpy(queries + i*head.k_size, head.query(row + i), head.k_size*sizeof(float));
        caravan_scale(queries + i*head.k_size, head.k_size, head.scale);
    }
    for (const int64_t first : blocks) {
        const int count = (int) std::min<int64_t>(CARAVAN_TILE, head.cells - first);
        caravan_pack_keys(head, first, count, keys);
        memset(scores, 0, padded*CARAVAN_TILE*sizeof(float));
        simd_gemm(scores, queries, keys, padded, head.k_size, CARAVAN_TILE);
        for (int i = 0; i < num_rows; ++i) {
            caravan_weigh(head, row + i, first, count, scores + i*CARAVAN_TILE, sums + i*head.v_size, s[i], m[i]);
        }
        caravan_pack_values(head, first, count, values);
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

// Splits rows into runs: a row goes on with the one before if it sees the last cell that that one sees.
static inline void caravan_split(const char * mask, size_t stride, int64_t rows, int64_t cells, std::vector<caravan_run> & runs) {
    runs.clear();
    int64_t last = -1;
    for (int64_t row = 0; row < rows; ++row) {
        const uint16_t * own = (const uint16_t *) (mask + row*stride);
        const bool goes_on = !mask || (last >= 0 && own[last] != CARAVAN_HIDDEN);
        if (mask) {
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

// The blocks of cells that any row of a run sees.
static inline void caravan_find_blocks(const char * mask, size_t stride, const caravan_run & run, int64_t cells, std::vector<int64_t> & blocks) {
    blocks.clear();
    for (int64_t first = 0; first < cells; first += CARAVAN_TILE) {
        const int64_t end = std::min(first + CARAVAN_TILE, cells);
        bool is_seen = !mask;
        // The last row sees most.
        for (int row = run.num_rows - 1; row >= 0 && !is_seen; --row) {
            const uint16_t * own = (const uint16_t *) (mask + (run.row + row)*stride);
            is_seen = caravan_next_seen(own, first, end) < end;
        }
        if (is_seen) {
            blocks.push_back(first);
        }
    }
}

// One run; `blocks` only where it is a tile's. `work` has caravan_work_size numbers.
static inline void caravan_attend_run(const caravan_head & head, const caravan_run & run, const std::vector<int64_t> & blocks, float * work) {
    if (run.is_tile()) {
        caravan_attend_tile(head, run.row, run.num_rows, blocks, work);
        return;
    }
    for (int64_t row = run.row; row < run.row + run.num_rows; ++row) {
        float s = 0.0f;
        float m = -INFINITY;
        caravan_attend_row(head, row, 0, head.cells, work, s, m);
        caravan_finish(head, row, work, s, m);
    }
}
#endif
