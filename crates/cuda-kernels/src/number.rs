//! Numbers as kernels take them.

use crate::Gpu;
use cuda::{Argument, CudaError, CudaErrorCode};

/// A count or extent, which kernels hold in 32 bits.
///
/// # Errors
///
/// `Unsupported` from 2³¹ on.
pub(crate) fn number(operation: &str, value: usize) -> Result<Argument, CudaError> {
    i32::try_from(value).map(Argument::I32).map_err(|_| too_many(operation, value))
}

/// A row of so many blocks.
///
/// # Errors
///
/// `Unsupported` from 2³¹ on: no device has more.
pub(crate) fn grid(operation: &str, blocks: usize) -> Result<[u32; 3], CudaError> {
    match i32::try_from(blocks) {
        Ok(_) => Ok([blocks as u32, 1, 1]),
        Err(_) => Err(too_many(operation, blocks)),
    }
}

/// How many blocks of the kernel's constant `block` it takes to cover `count`.
pub(crate) fn blocks(gpu: &Gpu, kernel: &str, block: &str, count: usize) -> usize {
    count.div_ceil(gpu.constant(kernel, block) as usize)
}

fn too_many(operation: &str, value: usize) -> CudaError {
    CudaError {
        code: CudaErrorCode::Unsupported,
        function: "cuda-kernels",
        name: String::new(),
        message: format!(
            "{operation}: {value} elements or blocks at once; kernels count to 2^31 - 1"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_at_two_to_the_thirty_first() {
        assert_eq!(number("linear", 7), Ok(Argument::I32(7)));
        assert_eq!(grid("linear", (1 << 31) - 1), Ok([(1 << 31) - 1, 1, 1]));
        for error in [number("linear", 1 << 31).unwrap_err(), grid("linear", 1 << 31).unwrap_err()]
        {
            assert_eq!(error.code, CudaErrorCode::Unsupported);
            assert!(error.message.contains("linear: 2147483648"), "{}", error.message);
        }
    }
}
