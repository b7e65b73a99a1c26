//! Moving elements: copies, casts, fills, and putting tensors side by side.

use crate::number::{blocks, grid, number};
use crate::pack::internal;
use crate::walk::{Walk, broadcast};
use crate::{DType, DeviceView, Gpu, Layout};
use cuda::{Argument, CudaError};

/// Below this many rows or columns a tile that turns them is mostly empty.
const LEAST_TURNED: usize = 16;
/// Outer dimensions that turning counts.
const TURNED_DIMS: usize = 3;

/// Copies `input`, whatever its strides, into `output` of the same shape and its own element type.
///
/// Floats round to nearest even. A float becomes an integer without its fraction, within the
/// integer's range, and NaN becomes 0; integers become narrower ones by their low bits.
///
/// # Errors
///
/// What the device refuses.
pub fn copy(gpu: &Gpu, input: &DeviceView, output: &DeviceView) -> Result<(), CudaError> {
    if input.dtype == output.dtype {
        return copy_into(gpu, input, output, 0);
    }
    let count = output.count();
    if count == 0 {
        return Ok(());
    }
    let (from, to) = (suffix(input.dtype), suffix(output.dtype));
    let floats = input.dtype.is_float() && output.dtype.is_float();
    if floats && input.layout.is_contiguous() && input.is_aligned() && output.is_aligned() {
        let kernel = format!("cast_{from}_{to}");
        let blocks = blocks(gpu, &kernel, "BLOCK", count);
        let arguments = [
            Argument::Pointer(input.pointer()),
            Argument::Pointer(output.pointer()),
            Argument::I64(count as i64),
        ];
        return gpu.launch(&kernel, grid("copy", blocks)?, &arguments);
    }
    let strides = broadcast(input, output.shape());
    let walk = Walk::new(output.shape(), [&strides, &output.layout.strides]);
    let place = DType::ALL.iter().position(|&dtype| dtype == output.dtype);
    let place = place.expect("every type is one of all");
    walk.launch(gpu, &format!("cast_{from}"), 1, |piece| {
        vec![piece.pointer(0, input), piece.pointer(1, output), Argument::I32(place as i32)]
    })
}

/// Fills `output` with `value`, rounded to its element type as [`copy`] rounds a float; integers
/// are exact up to 2⁵³.
///
/// # Errors
///
/// What the device refuses.
pub fn fill(gpu: &Gpu, output: &DeviceView, value: f64) -> Result<(), CudaError> {
    let count = output.count();
    if count == 0 {
        return Ok(());
    }
    // Minus zero isn't all zero bits.
    if value == 0.0 && value.is_sign_positive() {
        return zero(gpu, output);
    }
    let kernel = format!("fill_{}", suffix(output.dtype));
    let value = match output.dtype.is_float() {
        true => Argument::F32(value as f32),
        false => Argument::I64(value as i64),
    };
    let blocks = blocks(gpu, &kernel, "BLOCK", count);
    let arguments = [Argument::Pointer(output.pointer()), value, Argument::I64(count as i64)];
    gpu.launch(&kernel, grid("fill", blocks)?, &arguments)
}

fn zero(gpu: &Gpu, output: &DeviceView) -> Result<(), CudaError> {
    // SAFETY: the view's maker promised its elements, and it is contiguous.
    unsafe { gpu.device().fill_bytes(output.pointer(), 0, output.bytes()) }
}

/// Puts `inputs` one after the other along `dim` of `output`: equal element types, and shapes that
/// differ in `dim` alone and add up to the output's there.
///
/// # Errors
///
/// What the device refuses.
pub fn concatenate(
    gpu: &Gpu,
    inputs: &[DeviceView],
    dim: usize,
    output: &DeviceView,
) -> Result<(), CudaError> {
    let mut start = 0;
    for input in inputs {
        copy_into(gpu, input, output, start * output.layout.strides[dim])?;
        start += input.shape()[dim];
    }
    Ok(())
}

/// Copies `input` into `output` from index `before` on, and fills the rest with zeros.
///
/// # Errors
///
/// What the device refuses.
pub fn pad(
    gpu: &Gpu,
    input: &DeviceView,
    before: &[usize],
    output: &DeviceView,
) -> Result<(), CudaError> {
    if output.count() == 0 {
        return Ok(());
    }
    if input.shape() != output.shape() {
        zero(gpu, output)?;
    }
    let start = before.iter().zip(&output.layout.strides).map(|(from, stride)| from * stride).sum();
    copy_into(gpu, input, output, start)
}

/// Repeats each element of channels-last video (B, T, H, W, C) `factor` times along height and
/// width, into `output` (B, T, H · factor, W · factor, C).
///
/// # Errors
///
/// What the device refuses.
///
/// # Panics
/// For another rank.
pub fn upsample_nearest(
    gpu: &Gpu,
    input: &DeviceView,
    factor: usize,
    output: &DeviceView,
) -> Result<(), CudaError> {
    let (&[batch, time, height, width, channels], strides) = (input.shape(), input.strides())
    else {
        panic!("upsample_nearest: input has shape {:?}", input.shape());
    };
    let shape = [batch, time, height, factor, width, factor, channels];
    let region = Region {
        shape: &shape,
        from: &[strides[0], strides[1], strides[2], 0, strides[3], 0, strides[4]],
        to: &Layout::contiguous(&shape).strides,
        start: 0,
    };
    copy_region(gpu, input, output, &region)
}

/// Positions to copy, and where each operand has them.
struct Region<'a> {
    shape: &'a [usize],
    /// The input's strides along `shape`.
    from: &'a [usize],
    /// The output's strides along `shape`.
    to: &'a [usize],
    /// The output element that the first position goes to.
    start: usize,
}

/// Copies `input` into the part of `output` that begins at element `start` and has the input's
/// shape.
fn copy_into(
    gpu: &Gpu,
    input: &DeviceView,
    output: &DeviceView,
    start: usize,
) -> Result<(), CudaError> {
    let (from, to) = (input.strides(), output.strides());
    copy_region(gpu, input, output, &Region { shape: input.shape(), from, to, start })
}

fn copy_region(
    gpu: &Gpu,
    input: &DeviceView,
    output: &DeviceView,
    region: &Region,
) -> Result<(), CudaError> {
    if input.dtype != output.dtype {
        let (from, to) = (input.dtype.name(), output.dtype.name());
        return Err(internal(format!("copy of {from} to {to} without a cast")));
    }
    if region.shape.contains(&0) {
        return Ok(());
    }
    let walk = Walk::new(region.shape, [region.from, region.to]);
    let from = input.pointer();
    let to = output.pointer() + (region.start * output.dtype.size()) as u64;
    let size = output.dtype.size();
    match walk.dims[..] {
        // SAFETY: the views' makers promised the elements; both have them one after the other.
        [] => unsafe { gpu.device().copy_on_device(to, from, size) },
        // SAFETY: as above.
        [(count, [1, 1])] => unsafe { gpu.device().copy_on_device(to, from, count * size) },
        _ => match Turned::of(&walk) {
            Some(turned) => turned.launch(gpu, size, from, to),
            None => copy_words(gpu, walk, size, from, to),
        },
    }
}

/// Copies by tiles, in words of as many elements as lie side by side everywhere.
fn copy_words(
    gpu: &Gpu,
    mut walk: Walk<2>,
    size: usize,
    from: u64,
    to: u64,
) -> Result<(), CudaError> {
    let (&(run, run_strides), outer) = walk.dims.split_last().expect("a single element is copied");
    let mut word = size;
    if run_strides == [1, 1] {
        let in_words = |word: usize| {
            let whole = |elements: usize| (elements * size).is_multiple_of(word);
            let aligned = [from, to].iter().all(|address| address.is_multiple_of(word as u64));
            let strides = || outer.iter().flat_map(|(_, strides)| strides);
            aligned && whole(run) && strides().all(|&stride| whole(stride))
        };
        word = [8, 4, 2, 1].into_iter().find(|&word| in_words(word)).unwrap_or(size);
    }
    let elements = word / size;
    let last = walk.dims.len() - 1;
    if elements > 1 {
        for (place, (count, strides)) in walk.dims.iter_mut().enumerate() {
            match place == last {
                true => *count /= elements,
                false => *strides = strides.map(|stride| stride / elements),
            }
        }
    }
    let address = |start: u64, offset: usize| Argument::Pointer(start + (offset * word) as u64);
    walk.launch(gpu, &format!("copy_{word}"), 2, |piece| {
        vec![address(from, piece.offsets[0]), address(to, piece.offsets[1])]
    })
}

/// Matrices whose rows are along consecutive elements of the input and whose columns are along
/// those of the output: copied element by element, one of both would be read or written in lines of
/// which an element is used.
struct Turned {
    rows: usize,
    columns: usize,
    input_column: usize,
    output_row: usize,
    outer: Vec<(usize, [usize; 2])>,
}

impl Turned {
    fn of(walk: &Walk<2>) -> Option<Turned> {
        let (&(columns, [input_column, 1]), outer) = walk.dims.split_last()? else {
            return None;
        };
        let place = outer.iter().position(|&(_, [input, _])| input == 1)?;
        let mut outer = outer.to_vec();
        let (rows, [_, output_row]) = outer.remove(place);
        let sizes = outer.iter().map(|(size, _)| *size).chain([rows, columns]);
        let counted = sizes.clone().all(|size| i32::try_from(size).is_ok());
        let enough = input_column > 1 && rows.min(columns) >= LEAST_TURNED;
        let turned = Turned { rows, columns, input_column, output_row, outer };
        (enough && counted && turned.outer.len() <= TURNED_DIMS).then_some(turned)
    }

    fn launch(&self, gpu: &Gpu, size: usize, from: u64, to: u64) -> Result<(), CudaError> {
        let kernel = format!("transpose_{size}");
        let tiles = |count: usize, constant| blocks(gpu, &kernel, constant, count);
        let mut outer = [(1, [0; 2]); TURNED_DIMS];
        outer[TURNED_DIMS - self.outer.len()..].copy_from_slice(&self.outer);
        let matrices: usize = outer.iter().map(|(size, _)| size).product();
        let blocks = matrices * tiles(self.rows, "ROWS") * tiles(self.columns, "COLUMNS");
        let stride = |stride: usize| Argument::I64(stride as i64);
        let mut arguments = vec![Argument::Pointer(from), Argument::Pointer(to)];
        for count in [self.rows, self.columns, outer[1].0, outer[2].0] {
            arguments.push(number("copy", count)?);
        }
        arguments.extend(outer.map(|(_, [input, _])| stride(input)));
        arguments.push(stride(self.input_column));
        arguments.extend(outer.map(|(_, [_, output])| stride(output)));
        arguments.push(stride(self.output_row));
        gpu.launch(&kernel, grid("copy", blocks)?, &arguments)
    }
}

/// What names of kernels end in for an element type.
pub(crate) fn suffix(dtype: DType) -> &'static str {
    match dtype {
        DType::Float32 => "f32",
        DType::BFloat16 => "bf16",
        DType::Float16 => "f16",
        DType::Int32 => "i32",
        DType::Int64 => "i64",
        DType::Int8 => "i8",
        DType::UInt8 => "u8",
    }
}

#[cfg(test)]
#[path = "movement_tests.rs"]
mod tests;
