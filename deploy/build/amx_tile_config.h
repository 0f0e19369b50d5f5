// Forced into every file of llama.cpp (-include) where the compiler needs it; see amx.py.
//
// gcc's _tile_loadconfig tells the optimiser that ldtilecfg reads one pointer, 8 bytes, of the 64-byte tile
// configuration. gcc 12 then drops the stores to the other 56, the instruction loads garbage, and llama.cpp
// dies of SIGSEGV or SIGILL in its first matrix product of more than a few rows. This definition names all 64
// bytes. The memory clobber covers the tile loads and stores, which also under-declare what they touch.
#ifndef CARAVAN_AMX_TILE_CONFIG_H
#define CARAVAN_AMX_TILE_CONFIG_H

#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
// Included first, so that the definition below cannot rename the one in the compiler's own header.
#include <immintrin.h>
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%X0" ::"m"(*(const char(*)[64])(config)) : "memory")
#endif

#endif
