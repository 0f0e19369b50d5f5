# Included right after llama.cpp's project() call. Its `common` library serves its own tools, which are not
# built here; llama-cpp-python's CMakeLists forces it on in the cache, and a plain variable shadows the cache.
set(LLAMA_BUILD_COMMON OFF)
