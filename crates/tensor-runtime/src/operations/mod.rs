//! The operations: each checks its arguments, states its output, and names its kernel.
