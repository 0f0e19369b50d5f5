# Included right after ggml's project() call: what we change in llama.cpp. Each edit replaces a text that has to be
# there exactly once.

# attention.h becomes ggml's attention on the processor, for half-float keys and values where there is AVX2 or more.
# Other types and processors keep what ggml has, but for a jump over hidden cells. llama_print_system_info says RUNS_OF_ROWS where attention goes by
# them: rows of many sequences then cost no more in one batch than in batches of their own.
file(READ "${CMAKE_CURRENT_LIST_DIR}/attention.h" attention)
file(READ "${CMAKE_CURRENT_LIST_DIR}/attention_op.h" attention_op)
set(functions "static void ggml_compute_forward_flash_attn_ext_f16_one_chunk(
        const ggml_compute_params * params,")
set(functions_edited "${attention}\n${attention_op}${functions}")

# Threads share the cells of a single row where there are fewer heads than threads.
set(split "    if (use_split_kv_path) {
        const int64_t chunk_size")
set(split_edited "#ifdef CARAVAN_ATTENTION
    if (caravan_takes(params, dst) && (!use_split_kv_path || neq2 >= nth)) {
        caravan_attend(params, dst);
        return;
    }
#endif
${split}")
set(row_loop "        for (int64_t ic = ic_start; ic < ic_end; ++ic) {
            const float mv = mp ?")
set(row_loop_edited "        bool is_done = false;
#ifdef CARAVAN_ATTENTION
        if (caravan_takes(params, dst)) {
            caravan_attend_part(dst, iq3*neq2 + iq2, iq1, ic_start, ic_end, (float *) Q_q, VKQ32, S, M);
            is_done = true;
        }
#endif
        for (int64_t ic = is_done ? ic_end : ic_start; ic < ic_end; ++ic) {
            if (mp && (ic = caravan_next_seen(mp, ic, ic_end)) == ic_end) {
                break;
            }
            const float mv = mp ?")
set(row_sum "        if (v->type == GGML_TYPE_F16) {
            for (int64_t d = 0; d < DV; ++d) {")
set(row_sum_edited "        if (v->type == GGML_TYPE_F16 && !is_done) {
            for (int64_t d = 0; d < DV; ++d) {")

set(tile_loop "            if (mask) {
                bool can_skip = true;
                for (int tq = 0; tq < tile_rows; tq++) {")
set(tile_loop_edited "            if (mask) {
                bool is_hidden = true;
                for (int tq = 0; tq < tile_rows && is_hidden; tq++) {
                    const char * row = (const char *) mask->data + (iq1 + tq)*mask->nb[1] + (iq2%mask->ne[2])*mask->nb[2] + (iq3%mask->ne[3])*mask->nb[3];
                    is_hidden = caravan_next_seen((const ggml_fp16_t *) row, ic, ic + kv_tile) == ic + kv_tile;
                }
                if (is_hidden) {
                    continue;
                }
                bool can_skip = true;
                for (int tq = 0; tq < tile_rows; tq++) {")

set(features "        features.push_back({ nullptr, nullptr });
")
set(features_edited "#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__) && defined(__F16C__))
        features.push_back({ \"RUNS_OF_ROWS\", \"1\" });
#endif
${features}")

# Logits that lie in this memory as one piece are read where they were computed. Of 16 rows of a vocabulary of
# 150,000 the copy takes 0.75 ms. They are good until the next llama_decode, as those copied are.
set(logits "                ggml_backend_tensor_get_async(backend_res, t_logits, logits_out, 0, n_outputs*n_vocab*sizeof(float));")
set(logits_edited "                const bool is_last = n_tokens_prev + ubatch.n_tokens == n_tokens_all;
                if (is_last && n_outputs == n_outputs_all && ggml_is_contiguous(t_logits) && ggml_backend_buffer_is_host(t_logits->buffer)) {
                    logits.data = (float *) t_logits->data;
                } else {
                    ggml_backend_tensor_get_async(backend_res, t_logits, logits_out, 0, n_outputs*n_vocab*sizeof(float));
                }")

function(edit file)
    file(READ "${file}" text)
    foreach(name ${ARGN})
        # A source that stays is configured more than once.
        string(FIND "${text}" "${${name}_edited}" done)
        if(done EQUAL -1)
            string(FIND "${text}" "${${name}}" first)
            string(FIND "${text}" "${${name}}" last REVERSE)
            if(first EQUAL -1 OR NOT first EQUAL last)
                message(FATAL_ERROR "${file} is not the one that attention.cmake was written for (${name})")
            endif()
            string(REPLACE "${${name}}" "${${name}_edited}" text "${text}")
        endif()
    endforeach()
    file(WRITE "${file}" "${text}")
endfunction()

edit("${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu/ops.cpp" functions split row_loop row_sum tile_loop)
edit("${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu/ggml-cpu.cpp" features)
edit("${CMAKE_CURRENT_SOURCE_DIR}/../src/llama-context.cpp" logits)
