//! CUDA kernels of wan-ts, compiled ahead of time, and the functions that launch them.
