# Included right after ggml's project() call: changes to its attention on the processor, for many sequences in one
# memory, where most cells belong to others.
#
# - Cells that a row does not see are jumped over. ggml converts and compares the mask of each, for each head. What
#   is computed stays the same, bit by bit.
# - Threads take whole tiles of 64 rows of one head, so that the rows of a prompt stay in tiles of their own. Rows
#   that are left, such as those of streams behind a prompt, are computed as they would be without the prompt,
#   where that costs less.
#
# llama_print_system_info says TILES_BY_HEAD then. Each edit replaces a text that has to be there exactly once.
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

set(tile_rows "        GGML_ASSERT(tile_rows > 0);
")
set(tile_rows_edited "        GGML_ASSERT(tile_rows > 0);

        const char * rows = mask ? (const char *) mask->data + iq1*mask->nb[1] + (iq2%mask->ne[2])*mask->nb[2] + (iq3%mask->ne[3])*mask->nb[3] : nullptr;
        if (rows && tile_rows < Q_TILE_SZ && caravan_prefers_rows(rows, mask->nb[1], tile_rows, nek1)) {
            // This thread's place for single rows would lie within another's tile, so it begins with its own tile.
            const int64_t tile_size = Q_TILE_SZ*DK + 2*Q_TILE_SZ*KV_TILE_SZ + Q_TILE_SZ*DV + KV_TILE_SZ*DV + KV_TILE_SZ*DK + CACHE_LINE_SIZE_F32;
            ggml_compute_params own = *params;
            own.wdata = (float *) params->wdata + ith*(tile_size - (1*DK + 2*DV + CACHE_LINE_SIZE_F32));
            ggml_compute_forward_flash_attn_ext_f16_one_chunk(&own, dst, ir, ir + tile_rows, 0, nek1, nullptr, 0);
            ir += tile_rows;
            continue;
        }
")

set(chunks "        int current_chunk = ith;

        while (current_chunk < nchunk) {
            const int64_t ir0 = dr * current_chunk;
            const int64_t ir1 = MIN(ir0 + dr, nr);

            if (use_tiled) {
                ggml_compute_forward_flash_attn_ext_tiled(")
set(chunks_edited "        const bool    by_head        = use_tiled && nth > 1 && !disable_chunking;
        const int64_t tiles_per_head = (neq1 + Q_TILE_SZ - 1) / Q_TILE_SZ;
        if (by_head) {
            nchunk = tiles_per_head * neq2 * neq3;
        }

        int current_chunk = ith;

        while (current_chunk < nchunk) {
            const int64_t head = current_chunk / tiles_per_head;
            const int64_t ir0  = by_head ? head*neq1 + current_chunk % tiles_per_head * Q_TILE_SZ : dr * current_chunk;
            const int64_t ir1  = by_head ? MIN(ir0 + Q_TILE_SZ, (head + 1)*neq1) : MIN(ir0 + dr, nr);

            if (use_tiled) {
                ggml_compute_forward_flash_attn_ext_tiled(")

set(include "#include \"ops.h\"\n")
file(READ "${CMAKE_CURRENT_LIST_DIR}/attention.h" include_edited)
string(PREPEND include_edited "${include}")

set(features "        features.push_back({ nullptr, nullptr });
")
set(features_edited "        features.push_back({ \"TILES_BY_HEAD\", \"1\" });
${features}")

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

edit("${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu/ops.cpp" include row_loop tile_loop tile_rows chunks)
edit("${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu/ggml-cpu.cpp" features)
