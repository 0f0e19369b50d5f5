# Included right after ggml's project() call: what we change in llama.cpp. Each edit replaces a text that has to be
# there exactly once, or NAME_count times.
#
# What a row of a batch gets, to the last bit, must not depend on what is computed beside it, nor on where in the
# memory its cells are: else the text of a request depends on other requests. Three things stood in the way: attention
# added up in the order of cells (attention.h), products had one kernel for few rows and another for many (below), and a single row of few heads was split among threads.

# attention.h becomes ggml's attention on the processor, for half-float keys and values where there is AVX2 or more.
# Other types and processors keep what ggml has, but for a jump over hidden cells. llama_print_system_info says RUNS_OF_ROWS where attention goes by
# them: rows of many sequences then cost no more in one batch than in batches of their own.
file(READ "${CMAKE_CURRENT_LIST_DIR}/attention.h" attention)
file(READ "${CMAKE_CURRENT_LIST_DIR}/attention_op.h" attention_op)
set(functions "static void ggml_compute_forward_flash_attn_ext_f16_one_chunk(
        const ggml_compute_params * params,")
set(functions_edited "${attention}\n${attention_op}${functions}")

set(split "    if (use_split_kv_path) {
        const int64_t chunk_size")
set(split_edited "#ifdef CARAVAN_ATTENTION
    if (caravan_takes(params, dst)) {
        caravan_attend(params, dst);
        return;
    }
#endif
${split}")
set(row_loop "        for (int64_t ic = ic_start; ic < ic_end; ++ic) {
            const float mv = mp ?")
set(row_loop_edited "        for (int64_t ic = ic_start; ic < ic_end; ++ic) {
            if (mp && (ic = caravan_next_seen(mp, ic, ic_end)) == ic_end) {
                break;
            }
            const float mv = mp ?")

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

# The memory writes the positions of its cells, and whose each row is, beside the mask: in a tensor that the mask knows
# as its source, and attention as a further one of its own, where attention.h finds it and nobody else looks.
set(places "    ggml_set_name(res, \"attn_inp_kq_mask\");

    return res;
}

static bool can_reuse_kq_mask(")
set(places_edited "    ggml_set_name(res, \"attn_inp_kq_mask\");

    if (cparams.flash_attn) {
        res->src[0] = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, n_kv + n_tokens/n_stream, n_stream);
        ggml_set_input(res->src[0]);
        ggml_set_name(res->src[0], \"attn_inp_places\");
    }

    return res;
}

static bool can_reuse_kq_mask(")
set(give_places "        ggml_flash_attn_ext_add_sinks(cur, sinks);
        GGML_ASSERT(n_kv_max >= 0")
set(give_places_edited "        if (kq_mask && kq_mask->op == GGML_OP_NONE) {
            cur->src[5] = kq_mask->src[0];
        }
${give_places}")
set(write_places "    //LLAMA_LOG_ERROR(\"%s: kq mask time: %0.3f ms\\n\", __func__, (t_end - t_start)/1000.0);
")
set(write_places_edited "${write_places}
    if (dst->src[0]) {
        int32_t * places = (int32_t *) dst->src[0]->data;
        for (int64_t s = 0; s < n_stream; ++s) {
            const auto & cells = v_cells.at(seq_to_stream[ubatch->seq_id[s*n_tps][0]]);
            for (int64_t j = 0; j < n_kv; ++j) {
                *places++ = cells.is_empty(j) ? -1 : cells.pos_get(j);
            }
            for (int64_t i = 0; i < n_tps; ++i) {
                *places++ = ubatch->seq_id[s*n_tps + i][0];
            }
        }
    }
")

# Float matrices have one kernel for a single row and another for more; this takes the latter for all. Quantized ones
# add up alike in both.
set(one_row "    if (n < 2)
        return false;
#endif

    if (Ctype")
set(one_row_edited "    if (n < 2 && Atype != GGML_TYPE_F32 && Atype != GGML_TYPE_F16 && Atype != GGML_TYPE_BF16 && Atype != GGML_TYPE_IQ4_NL)
        return false;
#endif

    if (Ctype")

# K-quants and their kin: eight rows and more are multiplied in tiles, which sum up whole numbers in each block of 256,
# exact in any order, and then go on in float32 from block to block. Fewer rows do the same here. Types of one bit,
# whose sums are made otherwise, do without tiles.
file(READ "${CMAKE_CURRENT_LIST_DIR}/block_sums.h" block_sums)
set(block_sums_here "// horizontally add 4 int32_t
")
set(block_sums_here_edited "${block_sums}\n${block_sums_here}")
set(add_acc "acc = _mm256_fmadd_ps(_mm256_broadcast_ss(&d), _mm256_cvtepi32_ps(sumi), acc);")
set(add_acc_edited "acc = caravan_add_block(acc, sumi, GGML_CPU_FP16_TO_FP32(x[i].d), y[i].d);")
set(add_acc_min "acc = caravan_add_block_min(acc, sumi, minimums, GGML_CPU_FP16_TO_FP32(x[i].d), GGML_CPU_FP16_TO_FP32(x[i].dmin), y[i].d);")
set(min_q2_k "        acc = _mm256_fmadd_ps(_mm256_broadcast_ss(&dmin), _mm256_cvtepi32_ps(prod), acc);
")
set(min_q2_k_edited "        const __m128i minimums = _mm_add_epi32(_mm256_castsi256_si128(prod), _mm256_extracti128_si256(prod, 1));
")
set(dot_q2_k "_mm256_add_epi32(p0, p2));
        }

        ${add_acc}")
set(dot_q2_k_edited "_mm256_add_epi32(p0, p2));
        }

        ${add_acc_min}")
set(dot_q3_k "        // multiply with block scale and accumulate
        ${add_acc}")
set(dot_q3_k_edited "        ${add_acc_edited}")
set(dot_q6_k "        sumi = _mm256_sub_epi32(sumi, q8sclsub);
        ${add_acc}")
set(dot_q6_k_edited "        sumi = _mm256_sub_epi32(sumi, q8sclsub);
        ${add_acc_edited}")
set(min_q4_k "        acc_m = _mm_fmadd_ps(_mm_set1_ps(dmin), _mm_cvtepi32_ps(prod), acc_m);
")
set(min_q4_k_edited "        const __m128i minimums = prod;
")
set(min_q5_k "        const __m128i hsum = _mm_hadd_epi32(_mm_hadd_epi32(prod, mzero), mzero);
        summs += dmin * _mm_extract_epi32(hsum, 0);

        const __m128i sc128  = _mm256_extracti128_si256(mins_and_scales, 0);
        const __m256i scales = MM256_SET_M128I(sc128, sc128);

        const __m256i hbits = _mm256_loadu_si256((const __m256i*)x[i].qh);
")
set(min_q5_k_edited "        const __m128i minimums = prod;

        const __m128i sc128  = _mm256_extracti128_si256(mins_and_scales, 0);
        const __m256i scales = MM256_SET_M128I(sc128, sc128);

        const __m256i hbits = _mm256_loadu_si256((const __m256i*)x[i].qh);
")
set(dot_q4_k_q5_k "        acc = _mm256_fmadd_ps(vd, _mm256_cvtepi32_ps(sumi), acc);")
set(dot_q4_k_q5_k_edited "        ${add_acc_min}")
set(dot_q4_k_q5_k_count 2)
set(dot_iq2_iq3 "accumf = _mm256_fmadd_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(_mm256_add_epi32(sumi1, sumi2)), accumf);")
set(dot_iq2_iq3_edited "accumf = caravan_add_block(accumf, _mm256_add_epi32(sumi1, sumi2), GGML_CPU_FP16_TO_FP32(x[i].d), y[i].d);")
set(dot_iq2_iq3_count 5)
set(dot_iq4_xs "        accum = _mm256_fmadd_ps(_mm256_set1_ps(GGML_CPU_FP16_TO_FP32(x[ibl].d)*y[ibl].d),
                _mm256_cvtepi32_ps(_mm256_add_epi32(sumi1, sumi2)), accum);")
set(dot_iq4_xs_edited "        accum = caravan_add_block(accum, _mm256_add_epi32(sumi1, sumi2), GGML_CPU_FP16_TO_FP32(x[ibl].d), y[ibl].d);")
set(one_bit "        case GGML_TYPE_IQ3_S:
        case GGML_TYPE_IQ1_S:
        case GGML_TYPE_IQ1_M:
            return true;")
set(one_bit_edited "        case GGML_TYPE_IQ3_S:
            return true;")
# One operation, where the compiler was free to make two of it.
set(vnni_sum "        _mm512_store_ps(p, _mm512_add_ps(_mm512_load_ps(p), _mm512_mul_ps(result, d1_vec)));")
set(vnni_sum_edited "        _mm512_store_ps(p, _mm512_fmadd_ps(result, d1_vec, _mm512_load_ps(p)));")

# Interleaved K-quants: a single row rounds as often as four rows do, after each part of a block.
set(add_parts "                    acc_row = _mm256_fmadd_ps(_mm256_cvtepi32_ps(iacc_sb), _mm256_mul_ps(col_scale_f32, row_scale_f32), acc_row);
                    acc_min_rows = _mm256_fmadd_ps(_mm256_cvtepi32_ps(iacc_min_sb), _mm256_mul_ps(col_dmin_f32, row_scale_f32), acc_min_rows);
                }
")
set(add_whole "                acc_row = _mm256_fmadd_ps(_mm256_cvtepi32_ps(iacc_b), _mm256_mul_ps(col_scale_f32, row_scale_f32), acc_row);
                acc_min_rows = _mm256_fmadd_ps(_mm256_cvtepi32_ps(iacc_min_b), _mm256_mul_ps(col_dmin_f32, row_scale_f32), acc_min_rows);
")
set(row_q4_k "                }

                // Multiply-Add with scale values for the complete super block
${add_whole}")
set(row_q4_k_edited "${add_parts}")
set(row_q2_k "                }

                //Multiply-Add with scale values for complete super block
${add_whole}")
set(row_q2_k_edited "${add_parts}")

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
        set(count 1)
        if(DEFINED ${name}_count)
            set(count ${${name}_count})
        endif()
        # What is kept of the text may be in what replaces it.
        string(REPLACE "${${name}_edited}" "" rest "${text}")
        string(REPLACE "${${name}}" "" without "${rest}")
        string(LENGTH "${rest}" length)
        string(LENGTH "${without}" length_without)
        string(LENGTH "${${name}}" length_once)
        math(EXPR found "(${length} - ${length_without})/${length_once}")
        if(found EQUAL count)
            string(REPLACE "${${name}}" "${${name}_edited}" text "${text}")
        elseif(NOT found EQUAL 0 OR rest STREQUAL text)
            # A source that stays is configured more than once: then there are edited texts, and no others.
            message(FATAL_ERROR "${file} is not the one that edits.cmake was written for (${name})")
        endif()
    endforeach()
    file(WRITE "${file}" "${text}")
endfunction()

set(cpu "${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu")
edit("${cpu}/ops.cpp" functions split row_loop tile_loop)
edit("${cpu}/ggml-cpu.cpp" features)
edit("${cpu}/llamafile/sgemm.cpp" one_row)
edit("${cpu}/tiled/tiled.cpp" one_bit)
edit("${cpu}/tiled/tiled-kernel.cpp" vnni_sum)
edit("${cpu}/arch/x86/quants.c" block_sums_here min_q2_k dot_q2_k dot_q3_k min_q4_k min_q5_k dot_q4_k_q5_k dot_q6_k dot_iq2_iq3 dot_iq4_xs)
edit("${cpu}/arch/x86/repack.cpp" row_q4_k row_q2_k)
set(llama "${CMAKE_CURRENT_SOURCE_DIR}/../src")
edit("${llama}/llama-context.cpp" logits)
edit("${llama}/llama-graph.cpp" places give_places)
edit("${llama}/llama-kv-cache.cpp" write_places)
