//! The N-API face of wan-ts.
//!
//! Nothing is computed here: a function takes its arguments apart, calls the crate that does the
//! work, and turns the outcome into JavaScript values. Failures cross as errors whose message is a
//! JSON object of facts (see `error.rs`); a panic becomes an error too, never an abort.

mod cuda;
mod cuda_survey;
mod distributed;
mod error;
mod operations;
mod peak;
mod rehearsal;
mod stream;
mod tensor;
mod video;
mod weights;
