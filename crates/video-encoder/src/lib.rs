//! Video encoding.
