"""One class per llama.cpp object, no policy. The only package that imports llama_cpp."""
