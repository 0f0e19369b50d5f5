// Products of K-quants by blocks of 256, for k-quant-rows.patch.
#pragma once

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

// The two below go on with a product of K-quants by a block of 256, as tiled-kernel.cpp does, to the last bit: `sums`
// are whole numbers that are added up first. The first number of `acc` is the product so far, the others are 0.
static inline __m128 caravan_total(__m128i x) {
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(1, 0, 3, 2)));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtepi32_ps(x);
}

static inline __m128 caravan_product(__m256i sums, float d) {
    return _mm_mul_ss(_mm_set_ss(d), caravan_total(_mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1))));
}

static inline __m256 caravan_add_block(__m256 acc, __m256i sums, float d, float d_activations) {
    const __m128 product = caravan_product(sums, d);
    return _mm256_insertf128_ps(_mm256_setzero_ps(), _mm_fmadd_ss(product, _mm_set_ss(d_activations), _mm256_castps256_ps128(acc)), 0);
}

static inline __m256 caravan_add_block_min(__m256 acc, __m256i sums, __m128i minimums, float d, float dmin, float d_activations) {
    const __m128 product = _mm_fnmadd_ss(_mm_set_ss(dmin), caravan_total(minimums), caravan_product(sums, d));
    // _mm_fnmadd_ss leaves the other numbers as the first factor has them: 0.
    return _mm256_insertf128_ps(_mm256_setzero_ps(), _mm_fmadd_ss(product, _mm_set_ss(d_activations), _mm256_castps256_ps128(acc)), 0);
}
#endif
