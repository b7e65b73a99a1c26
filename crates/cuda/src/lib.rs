//! NVIDIA's driver and libraries, opened at run time.
