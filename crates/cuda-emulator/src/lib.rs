//! A CUDA driver whose device is this machine's processor: it interprets PTX.
