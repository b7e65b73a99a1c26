//! The N-API face of wan-ts.
