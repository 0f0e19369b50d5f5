// Does this compiler set up AMX tiles as llama.cpp asks it to? Loads a tile configuration the way
// ggml/src/ggml-cpu/amx/mmq.cpp does, reads it back, compares all 64 bytes.
// Exit status: 0 they are equal, 1 they differ, 3 the kernel grants no AMX. A crash means they differ, too.
#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int ARCH_REQ_XCOMP_PERM = 0x1023;
static const int XFEATURE_XTILEDATA = 18;

struct tile_config_t {
    uint8_t palette_id = 0;
    uint8_t start_row = 0;
    uint8_t reserved_0[14] = {0};
    uint16_t colsb[16] = {0};
    uint8_t rows[16] = {0};
};

static inline void tile_config_init(void) {
    static thread_local bool done = false;
    if (done) {
        return;
    }
    alignas(64) tile_config_t tc = {};
    tc.palette_id = 1;
    tc.start_row = 0;
    tc.rows[0] = 8;   tc.colsb[0] = 64;
    tc.rows[1] = 8;   tc.colsb[1] = 64;
    tc.rows[2] = 16;  tc.colsb[2] = 32;
    tc.rows[3] = 16;  tc.colsb[3] = 32;
    tc.rows[4] = 16;  tc.colsb[4] = 64;
    tc.rows[5] = 16;  tc.colsb[5] = 64;
    tc.rows[6] = 16;  tc.colsb[6] = 64;
    tc.rows[7] = 16;  tc.colsb[7] = 64;
    _tile_loadconfig(&tc);
    done = true;
}

// Leaves no zeros on the stack that could stand in for stores the compiler dropped.
__attribute__((noinline)) static void dirty_stack(void) {
    volatile unsigned char bytes[4096];
    for (unsigned i = 0; i < sizeof bytes; ++i) {
        bytes[i] = 0xAA;
    }
}

__attribute__((noinline)) static void configure(void) { tile_config_init(); }

static void expected(unsigned char *bytes) {
    static const unsigned char colsb[8] = {64, 64, 32, 32, 64, 64, 64, 64};
    static const unsigned char rows[8] = {8, 8, 16, 16, 16, 16, 16, 16};
    memset(bytes, 0, 64);
    bytes[0] = 1;
    for (int i = 0; i < 8; ++i) {
        bytes[16 + 2 * i] = colsb[i];
        bytes[48 + i] = rows[i];
    }
}

int main(void) {
    if (syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) != 0) {
        return 3;
    }
    dirty_stack();
    configure();
    unsigned char got[64], want[64];
    __asm__ volatile("sttilecfg\t%0" : "=m"(*(unsigned char(*)[64])got)::"memory");
    expected(want);
    return memcmp(got, want, sizeof want) != 0;
}
