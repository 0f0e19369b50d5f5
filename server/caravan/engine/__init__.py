"""What computes text and vectors: one process for each model, which begins in `worker`.

Only `ipc` runs elsewhere: it is the border, on the side of the server. `params`, `outputs` and
`embedding.values` are what crosses it.
"""
