//! `CUtensorMap`: how a tensor lies in device memory, and the boxes that copies take of it.
//!
//! NVIDIA's 128 bytes are opaque; these are the emulator's own.

use super::matrix_descriptor::Swizzle;

/// Bytes of a map.
pub const BYTES: usize = 128;

/// Most dimensions.
pub const MOST_DIMENSIONS: usize = 5;

const MAGIC: [u8; 8] = *b"emu-map1";

/// A tensor of numbers of `element` bytes, its dimensions from the innermost on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Address of its first number.
    pub address: u64,
    /// Bytes of a number.
    pub element: usize,
    /// Numbers along each dimension.
    pub sizes: Vec<u64>,
    /// Bytes from one index of a dimension to the next; the first is `element`.
    pub strides: Vec<u64>,
    /// Numbers of a box along each dimension.
    pub extents: Vec<u32>,
    /// How boxes lie in shared memory.
    pub swizzle: Swizzle,
}

impl TensorMap {
    /// The map's bytes.
    pub fn encode(&self) -> [u8; BYTES] {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend(MAGIC);
        bytes.extend([self.sizes.len() as u8, self.element as u8, self.swizzle.code(), 0]);
        bytes.extend(self.address.to_le_bytes());
        for dimension in 0..MOST_DIMENSIONS {
            // A size may be 2³², which is kept less one.
            let size = self.sizes.get(dimension).map_or(0, |size| size - 1);
            bytes.extend((size as u32).to_le_bytes());
            let stride = self.strides.get(dimension).copied().unwrap_or(0);
            bytes.extend(stride.to_le_bytes());
            let extent = self.extents.get(dimension).copied().unwrap_or(0);
            bytes.extend((extent as u16).to_le_bytes());
        }
        bytes.resize(BYTES, 0);
        bytes.try_into().expect("as long as a map is")
    }

    /// The map that bytes are.
    pub fn decode(bytes: &[u8]) -> Option<TensorMap> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (&[rank, element, swizzle, _], rest) = rest.split_first_chunk()?;
        let (address, mut rest) = rest.split_first_chunk()?;
        let (mut sizes, mut strides, mut extents) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rank {
            let (size, after) = rest.split_first_chunk()?;
            let (stride, after) = after.split_first_chunk()?;
            let (extent, after) = after.split_first_chunk()?;
            sizes.push(u64::from(u32::from_le_bytes(*size)) + 1);
            strides.push(u64::from_le_bytes(*stride));
            extents.push(u32::from(u16::from_le_bytes(*extent)));
            rest = after;
        }
        Some(TensorMap {
            address: u64::from_le_bytes(*address),
            element: element.into(),
            sizes,
            strides,
            extents,
            swizzle: Swizzle::of(swizzle)?,
        })
    }

    /// Bytes of a box in shared memory.
    pub fn box_bytes(&self) -> usize {
        self.extents.iter().map(|extent| *extent as usize).product::<usize>() * self.element
    }

    /// Bytes of a box's row: along the innermost dimension.
    pub fn row_bytes(&self) -> usize {
        self.extents[0] as usize * self.element
    }

    /// The rows of the box at `coordinates`, in their order: the address of the row's first number that
    /// lies in the tensor, how many bytes before it in the row don't, and how many do.
    pub fn rows(&self, coordinates: &[i32]) -> Vec<Row> {
        let first = i64::from(coordinates[0]);
        let size = self.sizes[0] as i64;
        let begin = first.clamp(0, size);
        let end = (first + i64::from(self.extents[0])).clamp(begin, size);
        let before = (begin - first) as usize * self.element;
        let inside = (end - begin) as usize * self.element;
        let count: u32 = self.extents[1..].iter().product();
        (0..count)
            .map(|row| {
                let mut rest = row;
                let mut address = self.address.wrapping_add(begin as u64 * self.element as u64);
                let mut known = true;
                let outer =
                    self.sizes.iter().zip(&self.strides).zip(&self.extents).zip(coordinates);
                for (((size, stride), extent), coordinate) in outer.skip(1) {
                    let index = i64::from(*coordinate) + i64::from(rest % extent);
                    rest /= extent;
                    known &= (0..*size as i64).contains(&index);
                    address = address.wrapping_add((index as u64).wrapping_mul(*stride));
                }
                Row { address, before, inside: if known { inside } else { 0 } }
            })
            .collect()
    }
}

/// A row of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Address of its first byte in the tensor.
    pub address: u64,
    /// Bytes before that one, which aren't in the tensor.
    pub before: usize,
    /// Bytes from there on that are.
    pub inside: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> TensorMap {
        TensorMap {
            address: 4096,
            element: 2,
            sizes: vec![8, 3, 1 << 32],
            strides: vec![2, 16, 64],
            extents: vec![8, 2, 1],
            swizzle: Swizzle::None,
        }
    }

    #[test]
    fn a_map_is_read_as_it_was_written() {
        assert_eq!(TensorMap::decode(&map().encode()), Some(map()));
        assert_eq!(TensorMap::decode(&[7; BYTES]), None);
    }

    #[test]
    fn what_lies_outside_is_told() {
        let row = |address, before, inside| Row { address, before, inside };
        assert_eq!(map().rows(&[0, 1, 0]), [row(4112, 0, 16), row(4128, 0, 16)]);
        assert_eq!(map().rows(&[-3, 2, 1]), [row(4192, 6, 10), row(4208, 6, 0)]);
        let inside: Vec<usize> = map().rows(&[6, -1, 0]).iter().map(|row| row.inside).collect();
        assert_eq!(inside, [0, 4]);
    }
}
