# Included right after ggml's project() call. Attention on the processor converts and compares the mask of every
# cell, for each head, also where a row sees none of them: with many sequences in one memory, most of its cells
# belong to others. Two insertions jump over the cells that are hidden; what is computed stays the same, bit by bit.
set(row_loop "        for (int64_t ic = ic_start; ic < ic_end; ++ic) {
            const float mv = mp ?")
set(row_loop_jumping "        for (int64_t ic = ic_start; ic < ic_end; ++ic) {
            if (mp && (ic = caravan_next_seen(mp, ic, ic_end)) == ic_end) {
                break;
            }
            const float mv = mp ?")

set(tile_loop "            if (mask) {
                bool can_skip = true;
                for (int tq = 0; tq < tile_rows; tq++) {")
set(tile_loop_jumping "            if (mask) {
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

function(jump_hidden_cells file)
    file(READ "${file}" text)
    # A source that stays is configured more than once.
    if(text MATCHES "caravan_next_seen")
        return()
    endif()
    foreach(loop row_loop tile_loop)
        string(FIND "${text}" "${${loop}}" first)
        string(FIND "${text}" "${${loop}}" last REVERSE)
        if(first EQUAL -1 OR NOT first EQUAL last)
            message(FATAL_ERROR "${file} is not the one that masked_cells.cmake was written for")
        endif()
        string(REPLACE "${${loop}}" "${${loop}_jumping}" text "${text}")
    endforeach()
    file(READ "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/masked_cells.h" header)
    string(REPLACE "#include \"ops.h\"\n" "#include \"ops.h\"\n${header}" text "${text}")
    file(WRITE "${file}" "${text}")
endfunction()

jump_hidden_cells("${CMAKE_CURRENT_SOURCE_DIR}/src/ggml-cpu/ops.cpp")
