//! Matrices in shared memory, as `wgmma` is told of them by 64 bits.
//!
//! Bits 0 to 13 are the address, 16 to 29 the leading offset, 32 to 45 the stride offset, all in units of
//! 16 bytes; 49 to 51 the base offset, 62 and 63 how the matrix is swizzled. A matrix is made of tiles of
//! 8 rows, a row being as many bytes as the swizzle has; rows run along the depth, or, transposed, along
//! the matrix's other dimension.

use std::ops::Range;

/// How 16-byte pieces of rows change places: which bits of the address are turned by the row's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swizzle {
    /// Not at all; rows are 16 bytes.
    None,
    /// Within rows of 32 bytes.
    Bytes32,
    /// Within rows of 64 bytes.
    Bytes64,
    /// Within rows of 128 bytes.
    Bytes128,
}

impl Swizzle {
    /// `CUtensorMapSwizzle`.
    pub fn of(code: u8) -> Option<Swizzle> {
        [Swizzle::None, Swizzle::Bytes32, Swizzle::Bytes64, Swizzle::Bytes128]
            .get(usize::from(code))
            .copied()
    }

    /// Its number among `CUtensorMapSwizzle`.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Bytes of a row.
    pub fn row_bytes(self) -> usize {
        16 << self.code()
    }

    /// Where the byte of an address lies.
    #[inline(always)]
    pub fn place(self, address: usize) -> usize {
        let bits = (1 << self.code()) - 1;
        address ^ (address >> 7 & bits) << 4
    }
}

/// A matrix of 16-bit numbers in shared memory, `width` by 16 (the depth).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    start: usize,
    leading: usize,
    stride: usize,
    swizzle: Swizzle,
    /// Whether rows run along the width.
    transposed: bool,
}

/// Numbers of a matrix along its depth.
pub const DEPTH: usize = 16;

const BYTES: usize = 2;

impl Matrix {
    /// The matrix that a descriptor describes; otherwise why not.
    pub fn of(descriptor: u64, transposed: bool) -> Result<Matrix, String> {
        let field = |low: u32, bits: u32| (descriptor >> low & ((1 << bits) - 1)) as usize;
        let swizzle = match field(62, 2) {
            0 => Swizzle::None,
            1 => Swizzle::Bytes128,
            2 => Swizzle::Bytes64,
            _ => Swizzle::Bytes32,
        };
        let meant = 0x3fff | 0x3fff << 16 | 0x3fff << 32 | 3 << 62;
        if descriptor & !meant != 0 {
            return Err(format!(
                "the matrix descriptor {descriptor:#018x} has bits that the emulator doesn't know"
            ));
        }
        Ok(Matrix {
            start: field(0, 14) << 4,
            leading: field(16, 14) << 4,
            stride: field(32, 14) << 4,
            swizzle,
            transposed,
        })
    }

    /// Where a number's first byte lies.
    #[inline(always)]
    pub fn place(&self, across: usize, depth: usize) -> usize {
        let row = self.swizzle.row_bytes();
        let (along, over) = if self.transposed { (across, depth) } else { (depth, across) };
        let (chunk, within) = (along * BYTES / row, along * BYTES % row);
        let (tile, line) = (over / 8, over % 8);
        // Without a swizzle, transposed matrices have the two offsets the other way round.
        let (by_chunk, by_tile) = match (self.swizzle, self.transposed) {
            (Swizzle::None, true) => (self.stride, self.leading),
            _ => (self.leading, self.stride),
        };
        let offset = within + line * row + chunk * by_chunk + tile * by_tile;
        self.swizzle.place(self.start + offset)
    }

    /// The shared memory that a matrix so wide lies in, in whole lines of 128 bytes.
    pub fn range(&self, width: usize) -> Range<usize> {
        let (mut least, mut most) = (usize::MAX, 0);
        for across in 0..width {
            for depth in 0..DEPTH {
                let place = self.place(across, depth);
                (least, most) = (least.min(place), most.max(place));
            }
        }
        least / LINE * LINE..(most + 1).next_multiple_of(LINE)
    }
}

/// Swizzling moves bytes within as many.
const LINE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(start: u64, leading: u64, stride: u64, swizzle: u64) -> u64 {
        start >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | swizzle << 62
    }

    #[test]
    fn rows_along_the_depth_are_swizzled() {
        let matrix = Matrix::of(descriptor(2048, 0, 1024, 1), false).unwrap();
        assert_eq!(matrix.place(0, 0), 2048);
        assert_eq!(matrix.place(0, 9), 2048 + 18);
        // Row 3: piece 1 stands at 1 ^ 3.
        assert_eq!(matrix.place(3, 8), 2048 + 3 * 128 + 2 * 16);
        assert_eq!(matrix.place(19, 8), 2048 + 2 * 1024 + 3 * 128 + 2 * 16);
        // The next 16 numbers of the depth begin 32 bytes on.
        let next = Matrix::of(descriptor(2048 + 32, 0, 1024, 1), false).unwrap();
        assert_eq!(next.place(3, 0), 2048 + 3 * 128 + 16);
        assert_eq!(matrix.range(24), 2048..2048 + 3 * 1024);
    }

    #[test]
    fn rows_across_the_depth_are_in_parts() {
        let matrix = Matrix::of(descriptor(0, 4096, 1024, 1), true).unwrap();
        assert_eq!(matrix.place(0, 0), 0);
        assert_eq!(matrix.place(9, 0), 16 + 2);
        assert_eq!(matrix.place(9, 2), 2 * 128 + (3 * 16) + 2);
        assert_eq!(matrix.place(64, 9), 4096 + 1024 + 128 + 16);
        assert_eq!(matrix.range(64), 0..2048);
    }

    #[test]
    fn without_a_swizzle_rows_are_of_eight() {
        let matrix = Matrix::of(descriptor(0, 128, 256, 0), false).unwrap();
        assert_eq!((matrix.place(9, 3), matrix.place(9, 11)), (256 + 16 + 6, 256 + 128 + 16 + 6));
        let matrix = Matrix::of(descriptor(0, 128, 256, 0), true).unwrap();
        assert_eq!((matrix.place(3, 9), matrix.place(11, 9)), (128 + 16 + 6, 256 + 128 + 16 + 6));
    }

    #[test]
    fn bits_without_a_meaning_are_refused() {
        assert!(Matrix::of(1 << 49, false).unwrap_err().contains("bits"));
    }
}
