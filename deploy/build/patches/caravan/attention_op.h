// ggml's attention operator by attention.h, for the types and sizes that it takes. Included in ops.cpp.
#pragma once

#include "attention.h"

#ifdef CARAVAN_ATTENTION
static bool caravan_takes(const ggml_compute_params * params, const ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0];
    const ggml_tensor * k = dst->src[1];
    const ggml_tensor * v = dst->src[2];
    return !params->use_ref && q->type == GGML_TYPE_F32 && k->type == GGML_TYPE_F16 && v->type == GGML_TYPE_F16 &&
           k->ne[0] % caravan_lanes::N == 0 && v->ne[0] % caravan_lanes::N == 0;
}

// One head of one batch; `h` counts through the heads of all batches.
static caravan_head caravan_head_of(const ggml_tensor * dst, int64_t h) {
    const ggml_tensor * q     = dst->src[0];
    const ggml_tensor * k     = dst->src[1];
    const ggml_tensor * v     = dst->src[2];
    const ggml_tensor * mask  = dst->src[3];
    const ggml_tensor * sinks = dst->src[4];
    const int64_t i2 = h % q->ne[2];
    const int64_t i3 = h / q->ne[2];

    float scale, max_bias, softcap;
    memcpy(&scale,    (const float *) dst->op_params + 0, sizeof(float));
    memcpy(&max_bias, (const float *) dst->op_params + 1, sizeof(float));
    memcpy(&softcap,  (const float *) dst->op_params + 2, sizeof(float));

    float slope = 1.0f;
    if (max_bias > 0.0f) {
        const uint32_t log2_heads = 1u << (uint32_t) floor(log2(q->ne[2]));
        const float m0 = powf(2.0f, -(max_bias       ) / log2_heads);
        const float m1 = powf(2.0f, -(max_bias / 2.0f) / log2_heads);
        slope = i2 < log2_heads ? powf(m0, i2 + 1) : powf(m1, 2*(i2 - log2_heads) + 1);
    }

    caravan_head head = {};
    head.q           = (const char *) q->data + i2*q->nb[2] + i3*q->nb[3];
    head.q_stride    = q->nb[1];
    head.k           = (const char *) k->data + i2/(q->ne[2]/k->ne[2])*k->nb[2] + i3/(q->ne[3]/k->ne[3])*k->nb[3];
    head.k_stride    = k->nb[1];
    head.v           = (const char *) v->data + i2/(q->ne[2]/v->ne[2])*v->nb[2] + i3/(q->ne[3]/v->ne[3])*v->nb[3];
    head.v_stride    = v->nb[1];
    head.mask        = mask ? (const char *) mask->data + i2%mask->ne[2]*mask->nb[2] + i3%mask->ne[3]*mask->nb[3] : nullptr;
    head.mask_stride = mask ? mask->nb[1] : 0;
    head.out         = (char *) dst->data + (i3*dst->ne[2]*dst->ne[1] + i2)*dst->nb[1];
    head.out_stride  = dst->ne[1]*dst->nb[1];
    head.sink        = sinks ? (const float *) sinks->data + i2 : nullptr;
    head.cells       = k->ne[1];
    head.k_size      = (int) k->ne[0];
    head.v_size      = (int) v->ne[0];
    head.scale       = softcap != 0.0f ? scale/softcap : scale;
    head.softcap     = softcap;
    head.slope       = slope;
    return head;
}

// What llama.cpp's memory wrote down beside its mask (attention-by-sequence.patch), of the stream `i3`.
static caravan_places caravan_places_of(const ggml_tensor * dst, int64_t i3) {
    const ggml_tensor * mask   = dst->src[3];
    const ggml_tensor * places = dst->src[5];
    if (!mask || !places) {
        return {};
    }
    const int32_t * positions = (const int32_t *) ((const char *) places->data + i3 % places->ne[1]*places->nb[1]);
    const int64_t   end       = mask->ne[0] + mask->ne[1];
    return { positions, positions + mask->ne[0], places->ne[0] > end ? positions + end : nullptr };
}

// Threads take a run of rows of one head at a time. Every thread of `params` has to call this.
static void caravan_attend(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * q = dst->src[0];
    const int64_t work_size = caravan_work_size((int) dst->src[1]->ne[0], (int) dst->src[2]->ne[0]) + CACHE_LINE_SIZE_F32;
    float * work = (float *) params->wdata + params->ith*work_size;

    if (params->ith == 0) {
        ggml_threadpool_chunk_set(params->threadpool, params->nth);
    }
    ggml_barrier(params->threadpool);

    // What masks say holds for all heads, unless each has a mask of its own.
    static thread_local std::vector<caravan_run> runs;
    static thread_local caravan_cells            cells;
    const bool is_shared = !dst->src[3] || dst->src[3]->ne[2] == 1;

    int64_t next = params->ith;
    int64_t done = 0;
    for (int64_t i3 = 0; i3 < q->ne[3]; ++i3) {
        const caravan_places places = caravan_places_of(dst, i3);
        const caravan_head   first  = caravan_head_of(dst, i3*q->ne[2]);
        caravan_split(first.mask, first.mask_stride, q->ne[1], first.cells, places, runs);
        int64_t known = -1;
        const int64_t num_items = q->ne[2]*(int64_t) runs.size();
        for (; next < done + num_items; next = ggml_threadpool_chunk_add(params->threadpool, 1)) {
            const caravan_run & run  = runs[(next - done)/q->ne[2]];
            const caravan_head  head = caravan_head_of(dst, i3*q->ne[2] + (next - done) % q->ne[2]);
            if (known != run.row || !is_shared) {
                caravan_list_cells(head.mask, head.mask_stride, run, head.cells, places, cells);
                known = run.row;
            }
            caravan_attend_run(head, run, cells, work);
        }
        done += num_items;
    }
}
#endif
