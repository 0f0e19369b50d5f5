// Draws from a row of logits: what server/caravan/engine/sampling/ does with NumPy, equal to it to the last bit.
//
// NumPy's exp of 32-bit floats, its order of sums and its ties are followed; products and sums are not contracted
// (-ffp-contract=off). What is not covered, and whatever is wrong with a row, is answered by -1: NumPy does it then.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>

#define CARAVAN_API extern "C" __attribute__((visibility("default")))

// Nobody but ctypes calls what is not declared in a header.
#pragma GCC diagnostic ignored "-Wmissing-declarations"

// As caravan/llama/rows.py has it.
struct caravan_draw {
    double    top_p;       // 1 without
    float     min_p;       // its logarithm; minus infinity without
    float     temperature; // more than 0
    int32_t   top_k;       // 0 where every token may be drawn
    int32_t   min_keep;
    int32_t   room;        // of both arrays
    int32_t   num_left;    // of those that may be drawn
    float     peak;
    int32_t * ids;
    double  * reached;     // running sums of weights: of tokens or, where every one may be drawn, of blocks
};

namespace {

constexpr int   MOST   = 256;  // that are looked for among all; `top_p` then needs no second look
constexpr int   STRIDE = 64;   // logits that one look passes over
constexpr int   BLOCK  = 512;  // as in draws.py
constexpr float INF    = std::numeric_limits<float>::infinity();

// Larger logits have larger keys; of equal ones (0.0 and -0.0 are) the lowest id has the largest.
uint64_t key_of(float logit, int32_t id) {
    logit += 0.0f;
    uint32_t bits;
    memcpy(&bits, &logit, sizeof(bits));
    bits ^= bits >> 31 ? 0xffffffffu : 0x80000000u;
    return (uint64_t) bits << 32 | (uint32_t) ~id;
}

int32_t id_of(uint64_t key) {
    return (int32_t) ~(uint32_t) key;
}

bool any_above(const float * row, float floor) {
    int above = 0;
    for (int i = 0; i < STRIDE; ++i) {
        above |= !(row[i] <= floor); // a NaN, too
    }
    return above;
}

// A number that at least `count` logits are above, and few others. With the row written as a table, the largest of each
// column is quickly found, and `count` columns reach the `count`-th largest of these.
float floor_of(const float * row, int size, int count) {
    const int width = std::max(STRIDE, count)*8;
    if (size < 4*width) {
        return -INF;
    }
    float highest[8*MOST];
    memcpy(highest, row, width*sizeof(float));
    for (int start = width; start + width <= size; start += width) {
        for (int i = 0; i < width; ++i) {
            const float x = row[start + i];
            highest[i] = x > highest[i] ? x : highest[i];
        }
    }
    for (int i = 0; i < width; ++i) {
        if (std::isnan(highest[i])) {
            return -INF;
        }
    }
    std::nth_element(highest, highest + count - 1, highest + width, std::greater<float>());
    return std::nextafter(highest[count - 1], -INF);
}

// Keys of the `count` largest logits in no order, without any that are minus infinity; -1 where one is no number.
// `keys` has room for 3 * MOST.
int find_largest(const float * row, int size, int count, uint64_t * keys) {
    const int room = std::max(2*STRIDE, 3*count);
    float floor = floor_of(row, size, count);
    int num = 0;
    const auto cut = [&] {
        std::nth_element(keys, keys + count - 1, keys + num, std::greater<uint64_t>());
        num = count;
        floor = row[id_of(keys[count - 1])];
    };
    for (int start = 0; start < size; start += STRIDE) {
        const int end = std::min(start + STRIDE, size);
        if (end - start == STRIDE && !any_above(row + start, floor)) {
            continue;
        }
        for (int id = start; id < end; ++id) {
            if (row[id] <= floor) {
                continue;
            }
            if (!(row[id] < INF)) {
                return -1;
            }
            keys[num++] = key_of(row[id], id);
            if (num == room) {
                cut();
            }
        }
    }
    if (num > count) {
        cut();
    }
    return num;
}

#ifdef __FMA__

inline float power_of_two(int32_t exponent) {
    const int32_t bits = (exponent + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(bits));
    return power;
}

// NumPy's exp, of numbers that are not above 0.
inline float exp_of(float x) {
    const bool is_nothing = x <= -103.97208404541015625f;
    x = is_nothing ? 0.0f : x;
    const float magic = 12582912.0f; // to whole numbers
    const float quadrant = (x*1.442695040f + magic) - magic;
    x = __builtin_fmaf(quadrant, -6.93145752e-1f, x);
    x = __builtin_fmaf(quadrant, -1.42860677e-6f, x);
    float num = 5.082762527590693718096e-04f;
    num = __builtin_fmaf(num, x, 6.757896990527504603057e-03f);
    num = __builtin_fmaf(num, x, 5.114512081637298353406e-02f);
    num = __builtin_fmaf(num, x, 2.473615434895520810817e-01f);
    num = __builtin_fmaf(num, x, 7.257664613233124478488e-01f);
    num = __builtin_fmaf(num, x, 9.999999999980870924916e-01f);
    float den = 2.159509375685829852307e-02f;
    den = __builtin_fmaf(den, x, -2.742335390411667452936e-01f);
    den = __builtin_fmaf(den, x, 1.0f);
    // A power of two in two factors, so that a denormal number is rounded once.
    const int32_t power = (int32_t) quadrant;
    const int32_t rest = power < -100 ? power + 100 : 0;
    num = num/den*power_of_two(power - rest)*power_of_two(rest);
    return is_nothing ? 0.0f : num;
}

// NumPy's pairwise sum.
float sum_of(const float * x, int size) {
    if (size > 128) {
        const int half = size/2 - size/2 % 8;
        return sum_of(x, half) + sum_of(x + half, size - half);
    }
    float total = 0.0f;
    int i = 0;
    if (size >= 8) {
        float r[8];
        memcpy(r, x, sizeof(r));
        for (i = 8; i + 8 <= size; i += 8) {
            for (int j = 0; j < 8; ++j) {
                r[j] += x[i + j];
            }
        }
        total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < size; ++i) {
        total += x[i];
    }
    return total;
}

void weigh_all(const float * logits, int size, const caravan_draw & draw, float * weights) {
    const float lowest = std::numeric_limits<float>::lowest();
    for (int i = 0; i < size; ++i) {
        const float below = (logits[i] - draw.peak)/draw.temperature;
        weights[i] = exp_of(below < lowest ? lowest : below);
    }
}

void run_up(const float * weights, int size, double * reached) {
    double sum = 0.0;
    for (int i = 0; i < size; ++i) {
        reached[i] = sum += (double) weights[i];
    }
}

// Where a share of the last running sum is passed; the share of that very step below it takes its place.
int pass(const double * reached, int size, double & share) {
    const double last = reached[size - 1];
    const double goal = std::min(share*last, std::nextafter(last, 0.0));
    const int place = (int) (std::upper_bound(reached, reached + size, goal) - reached);
    const double before = place ? reached[place - 1] : 0.0;
    share = (goal - before)/(reached[place] - before);
    return place;
}

// The largest logit; infinity where one is no number.
float peak_of(const float * row, int size) {
    float high[STRIDE], wrong[STRIDE];
    std::fill_n(high, STRIDE, -INF);
    std::fill_n(wrong, STRIDE, 0.0f);
    const auto look = [&](int start, int j) {
        const float x = row[start + j];
        high[j] = x > high[j] ? x : high[j];
        wrong[j] += x - x;
    };
    int start = 0;
    for (; start + STRIDE <= size; start += STRIDE) {
        for (int j = 0; j < STRIDE; ++j) {
            look(start, j);
        }
    }
    for (int j = 0; j < size - start; ++j) {
        look(start, j);
    }
    bool is_wrong = false;
    for (int j = 0; j < STRIDE; ++j) {
        is_wrong |= !(wrong[j] == 0.0f);
    }
    return is_wrong ? INF : *std::max_element(high, high + STRIDE);
}

int begin_blocks(const float * row, int size, caravan_draw & draw) {
    const int num_blocks = size/BLOCK;
    if (size <= 2*BLOCK || num_blocks >= draw.room || !((draw.peak = peak_of(row, size)) < INF)) {
        return -1;
    }
    float weights[BLOCK];
    double sum = 0.0;
    for (int block = 0; block <= num_blocks; ++block) {
        const int start = block*BLOCK, count = std::min(BLOCK, size - start);
        weigh_all(row + start, count, draw, weights);
        draw.reached[block] = sum += (double) sum_of(weights, count);
    }
    return draw.num_left = size;
}

int begin_few(const float * row, int size, caravan_draw & draw) {
    uint64_t keys[3*MOST];
    int num = draw.top_k > MOST || draw.top_k > draw.room ? -1 : find_largest(row, size, draw.top_k, keys);
    if (num < 1) {
        return -1;
    }
    std::sort(keys, keys + num, std::greater<uint64_t>());
    draw.peak = row[id_of(keys[0])];
    double * reached = draw.reached;
    if (draw.top_p < 1.0) {
        double sum = 0.0;
        for (int i = 0; i < num; ++i) {
            reached[i] = sum += (double) exp_of(row[id_of(keys[i])] - draw.peak);
        }
        const int enough = (int) (std::lower_bound(reached, reached + num, draw.top_p*sum) - reached) + 1;
        num = std::min(num, std::max(enough, draw.min_keep));
    }
    const float limit = draw.peak + draw.min_p;
    int likely = 0;
    while (likely < num && row[id_of(keys[likely])] >= limit) {
        ++likely;
    }
    num = std::min(num, std::max({ likely, draw.min_keep, 1 }));
    float logits[MOST];
    for (int i = 0; i < num; ++i) {
        draw.ids[i] = id_of(keys[i]);
    }
    std::sort(draw.ids, draw.ids + num);
    for (int i = 0; i < num; ++i) {
        logits[i] = row[draw.ids[i]];
    }
    weigh_all(logits, num, draw, logits);
    run_up(logits, num, reached);
    return draw.num_left = num;
}

#endif

}  // namespace

// The ids of the `count` largest of `size` logits, ascending; of equal ones the lowest, and none that is minus
// infinity. Returns how many these are.
CARAVAN_API int caravan_top(const float * row, int size, int count, int32_t * ids) {
    if (count < 1 || count > MOST) {
        return -1;
    }
    uint64_t keys[3*MOST];
    const int num = find_largest(row, size, count, keys);
    for (int i = 0; i < num; ++i) {
        ids[i] = id_of(keys[i]);
    }
    std::sort(ids, ids + std::max(num, 0));
    return num;
}

// Lowers `num` tokens that have been seen, as RepetitionPenalties does; -1 where one is none.
CARAVAN_API int caravan_penalize(float * row, int size, const int32_t * ids, const int32_t * counts, int num,
        float repeat, float presence, float frequency) {
    for (int i = 0; i < num; ++i) {
        if (ids[i] < 0 || ids[i] >= size) {
            return -1;
        }
    }
    for (int i = 0; i < num; ++i) {
        float & logit = row[ids[i]];
        logit = (logit <= 0.0f ? logit*repeat : logit/repeat) - ((float) counts[i]*frequency + presence);
    }
    return num;
}

// Truncates and weighs: top_k, top_p, min_p, temperature. Returns how many tokens may be drawn.
CARAVAN_API int caravan_begin(caravan_draw * draw, const float * row, int size) {
#ifdef __FMA__
    return draw->top_k > 0 ? begin_few(row, size, *draw) : begin_blocks(row, size, *draw);
#else
    (void) draw, (void) row, (void) size;
    return -1;
#endif
}

// The token at a share, 0 to 1, of all weights; the row is the one that the draw was begun with.
CARAVAN_API int caravan_pick(const caravan_draw * draw, const float * row, int size, double share) {
#ifdef __FMA__
    if (draw->top_k > 0) {
        return draw->ids[pass(draw->reached, draw->num_left, share)];
    }
    float weights[BLOCK];
    double reached[BLOCK];
    const int start = BLOCK*pass(draw->reached, size/BLOCK + 1, share), count = std::min(BLOCK, size - start);
    weigh_all(row + start, count, *draw, weights);
    run_up(weights, count, reached);
    return start + pass(reached, count, share);
#else
    (void) draw, (void) row, (void) size, (void) share;
    return -1;
#endif
}
