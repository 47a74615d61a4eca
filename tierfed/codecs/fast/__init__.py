"""Kernels of the codecs, compiled by numba: import them through `tierfed.codecs.compiled` alone."""
