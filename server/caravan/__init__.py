"""The Caravan server: routes, services, engine and the llama.cpp layer."""
