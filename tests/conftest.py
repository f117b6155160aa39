import gc

# Recordings are large, long-lived and without cycles: collecting them again and again took a sixth of the time.
gc.set_threshold(50_000, 50, 1_000)
