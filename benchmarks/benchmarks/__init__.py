"""asv benchmarks: a file per room; the first of each ``params`` is the smallest size."""
