//! The N-API face of wan-ts.
//!
//! Nothing is computed here: a function takes its arguments apart, calls the crate that does the
//! work, and turns the outcome into JavaScript values. Failures cross as errors whose message is a
//! JSON object of facts (see `error.rs`); a panic becomes an error too, never an abort.

// napi-derive's generated registration functions have no docs of their own.
#![allow(missing_docs, reason = "the macro emits undocumented items beside documented ones")]

mod error;

mod stream;
mod tensor;
