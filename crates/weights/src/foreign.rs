//! Files that are often mistaken for safetensors.

use crate::error::{Problem, WeightErrorCode};

/// Names what `bytes`, the start of a file, are where they are a well-known other format.
///
/// The caller has found that they don't start as safetensors do, so that a header's length which
/// happens to read as one of these is not taken for it.
pub(crate) fn recognise(bytes: &[u8]) -> Option<Problem> {
    let (code, found) = if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        (
            WeightErrorCode::Pickle,
            "a zip archive, as PyTorch writes .pt, .bin and .ckpt (pickles, which run code when \
             loaded): convert it to safetensors",
        )
    } else if matches!(bytes, [0x80, 2..=5, ..]) {
        (
            WeightErrorCode::Pickle,
            "a Python pickle (which runs code when loaded): convert it to safetensors",
        )
    } else if bytes.starts_with(b"version https://git-lfs") {
        (
            WeightErrorCode::LfsPointer,
            "a Git LFS pointer in place of the file: fetch it with `git lfs pull`",
        )
    } else {
        return None;
    };
    Some(Problem::of_file(code, "a safetensors file", found))
}
