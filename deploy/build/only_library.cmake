# Included right after llama.cpp's project() call. Its `common` library serves its own tools, which are not
# built here; llama-cpp-python's CMakeLists forces it on in the cache, and a plain variable shadows the cache.
set(LLAMA_BUILD_COMMON OFF)

# The many small files of libmtmd take longer to read their headers than to be compiled. So they are compiled some
# at a time, as llama.cpp does with those of libllama.
function(caravan_compile_media_models_together)
    if(NOT TARGET mtmd)
        return()
    endif()
    get_target_property(folder mtmd SOURCE_DIR)
    get_target_property(sources mtmd SOURCES)
    list(FILTER sources EXCLUDE REGEX "^models/")
    list(TRANSFORM sources PREPEND "${folder}/")
    set_source_files_properties(${sources} TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    set_target_properties(mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)
endfunction()
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL caravan_compile_media_models_together)
