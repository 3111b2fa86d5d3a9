"""The L2 book: compiled kernels over integer ticks, and the trust that a book deserves."""
