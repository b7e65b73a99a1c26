//! Checkpoint files: safetensors, memory-mapped to read and written whole.
//!
//! A file is validated completely before anything of it is handed out; what is refused is named by
//! file, tensor, what was expected and what was found. The crate knows bytes and names alone: the
//! binding makes tensors of them.

mod dtype;
mod error;
mod file;
mod foreign;
mod header;
#[cfg(test)]
mod temporary_folder;
mod write;

pub use dtype::StoredDType;
pub use error::{WeightError, WeightErrorCode};
pub use file::{TensorEntry, WeightFile, release};
pub use header::{MAX_DIMENSIONS, MAX_HEADER_BYTES};
pub use memmap2::Mmap;
pub use write::{TensorToWrite, write_safetensors};
