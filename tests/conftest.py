import gc

# The recordings are large, live long and hold no cycles: looking through them again and again took a sixth of the time.
gc.set_threshold(50_000, 50, 1_000)
