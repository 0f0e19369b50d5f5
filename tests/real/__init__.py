"""Tests with real models and chat templates; `make test-models` fetches them and runs the suites."""
