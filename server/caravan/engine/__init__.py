"""One thread of truth per loaded model: scheduling, KV reuse, sampling, and the process around them."""
