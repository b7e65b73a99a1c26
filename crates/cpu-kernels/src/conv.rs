//! Convolution over frames, height and width, channels last.

use crate::gemm::epilogue::Activation;
use crate::gemm::format::Format;
use crate::gemm::number::{Brain, Half, Single};
use crate::gemm::operand::{Depth, Matrix, Operand, PanelPointers, zeros};
use crate::gemm::scratch::Scratch;
use crate::gemm::{Product, multiply};
use crate::linear::widened_bias;
use crate::{Cpu, DType, TensorMut, TensorRef};

/// Steps and margins of a convolution, for (frames, height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Input elements from one output element to the next.
    pub stride: [usize; 3],
    /// Zeros before and behind the input.
    pub padding: [[usize; 2]; 3],
}

impl ConvGeometry {
    /// Output extents for these extents of input and kernel, or `None` where the kernel is larger
    /// than the padded input, empty, or its stride 0.
    pub fn output(&self, input: [usize; 3], kernel: [usize; 3]) -> Option<[usize; 3]> {
        let mut output = [0; 3];
        for dim in 0..3 {
            let padded = input[dim] + self.padding[dim][0] + self.padding[dim][1];
            if kernel[dim] == 0 || self.stride[dim] == 0 {
                return None;
            }
            output[dim] = padded.checked_sub(kernel[dim])? / self.stride[dim] + 1;
        }
        Some(output)
    }
}

/// output = weight ∗ input + bias, as torch's `conv3d` with zero padding, on channels-last tensors.
///
/// `input` is (B, T, H, W, C) with consecutive channels and any other strides, `weight`
/// (O, C, kT, kH, kW) contiguous as torch stores it, `bias` (O), `output` (B, T', H', W', O) with
/// the extents of [`ConvGeometry::output`]. All have one element type: `Float32`, `BFloat16` or
/// `Float16`; sums are kept in `f32` and rounded once, after the bias.
///
/// The bytes of an output position depend on the input under the kernel, weight, bias and
/// instruction set alone. No matrix of unrolled patches is made: patches go into the product's
/// panels block by block.
///
/// # Panics
/// Where shapes, strides or element types are other than that.
pub fn conv3d(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    geometry: &ConvGeometry,
    output: &TensorMut,
) {
    match input.dtype {
        DType::Float32 => conv3d_of::<Single>(cpu, input, weight, bias, geometry, output),
        DType::BFloat16 => conv3d_of::<Brain>(cpu, input, weight, bias, geometry, output),
        DType::Float16 => conv3d_of::<Half>(cpu, input, weight, bias, geometry, output),
        other => panic!("conv3d: input is {}, expected a floating-point type", other.name()),
    }
}

fn conv3d_of<N: Format>(
    cpu: &Cpu,
    input: &TensorRef,
    weight: &TensorRef,
    bias: Option<&TensorRef>,
    geometry: &ConvGeometry,
    output: &TensorMut,
) {
    let &[batch, frames, height, width, channels] = input.shape() else {
        panic!("conv3d: input has shape {:?}, expected (B, T, H, W, C)", input.shape());
    };
    let &[columns, weight_channels, kt, kh, kw] = weight.shape() else {
        panic!("conv3d: weight has shape {:?}, expected (O, C, kT, kH, kW)", weight.shape());
    };
    assert!(
        channels == weight_channels,
        "conv3d: input has {channels} channels, weight {weight_channels}"
    );
    assert!(
        channels <= 1 || input.strides()[4] == 1,
        "conv3d: input has strides {:?}, expected 1 along the channels",
        input.strides()
    );
    assert!(
        weight.layout.count() == 0 || weight.layout.is_contiguous(),
        "conv3d: weight has strides {:?}, expected contiguous ones",
        weight.strides()
    );
    let (extents, kernel) = ([frames, height, width], [kt, kh, kw]);
    let Some([t, h, w]) = geometry.output(extents, kernel) else {
        panic!("conv3d: no output for input {extents:?}, kernel {kernel:?} and {geometry:?}");
    };
    assert!(
        output.shape() == [batch, t, h, w, columns],
        "conv3d: output has shape {:?}, expected {:?}",
        output.shape(),
        [batch, t, h, w, columns]
    );
    for (name, dtype) in [("weight", weight.dtype), ("output", output.dtype)] {
        assert!(dtype == N::DTYPE, "conv3d: {name} is {}, input {}", dtype.name(), N::DTYPE.name());
    }
    let bias = bias.map_or_else(Vec::new, |bias| widened_bias::<N>("conv3d", bias, columns));
    let taps = kt * kh * kw;
    let weight = taps_first(cpu, weight.as_ptr::<N::Element>(), columns, channels, taps);
    let strides = input.strides();
    let patches = Patches {
        base: input.as_ptr::<N::Element>(),
        batch_stride: strides[0],
        strides: [strides[1], strides[2], strides[3]],
        extents,
        output: [t, h, w],
        kernel,
        geometry: *geometry,
    };
    // SAFETY: the views promise initialised operands and an output of our own; their shapes are
    // checked above, and patches reach for elements of the input only.
    unsafe {
        let right = Matrix::new(weight.as_ptr().cast_const(), taps * channels, channels);
        let product = Product {
            rows: batch * t * h * w,
            columns,
            depth: Depth { taps, channels },
            bias: &bias,
            activation: Activation::None,
            output: output.as_mut_ptr::<N::Element>(),
        };
        multiply::<N>(cpu, &patches, &right, &product);
    }
}

/// The weight as (O, taps, C) from (O, C, taps).
fn taps_first<E: Copy + Send + Sync>(
    cpu: &Cpu,
    weight: *const E,
    columns: usize,
    channels: usize,
    taps: usize,
) -> Scratch<E> {
    let ordered = Scratch::<E>::new(columns * taps * channels);
    let weight = SharedPointer(weight);
    cpu.pool.for_each(columns, |column| {
        let first = column * taps * channels;
        // SAFETY: each task reads and writes one filter of `taps` × `channels` elements.
        let (from, to) = unsafe {
            (
                std::slice::from_raw_parts(weight.get().add(first), taps * channels),
                std::slice::from_raw_parts_mut(
                    ordered.as_ptr().add(first).cast::<std::mem::MaybeUninit<E>>(),
                    taps * channels,
                ),
            )
        };
        for tap in 0..taps {
            for channel in 0..channels {
                to[tap * channels + channel].write(from[channel * taps + tap]);
            }
        }
    });
    ordered
}

/// A pointer to memory that threads only read.
struct SharedPointer<E>(*const E);

// SAFETY: what it points to is borrowed by the view it comes from, and read only.
unsafe impl<E: Sync> Sync for SharedPointer<E> {}

impl<E> SharedPointer<E> {
    fn get(&self) -> *const E {
        self.0
    }
}

/// The left operand of a convolution: one row for each output position, one tap for each place of
/// the kernel.
struct Patches<E> {
    base: *const E,
    batch_stride: usize,
    /// Elements to skip along frames, height, width.
    strides: [usize; 3],
    /// Input frames, height, width.
    extents: [usize; 3],
    /// Output frames, height, width.
    output: [usize; 3],
    kernel: [usize; 3],
    geometry: ConvGeometry,
}

// SAFETY: patches only read the input, whose view promises that nobody writes it meanwhile.
unsafe impl<E: Sync> Sync for Patches<E> {}

/// Where the patches of a panel's rows begin.
struct PatchPanel {
    count: usize,
    /// The first element of each row's batch entry.
    batch: PanelPlaces,
    /// Output position times stride: the first input position, counted from the padded edge.
    origin: [PanelPlaces; 3],
}

/// One number for each row of a panel.
type PanelPlaces = [usize; crate::gemm::kernel::WIDEST_PANEL];

impl<E: Copy + Sync> Operand for Patches<E> {
    type Element = E;
    type Panel = PatchPanel;

    fn panel(&self, first: usize, count: usize) -> PatchPanel {
        let [frames, height, width] = self.output;
        let empty = PanelPlaces::default();
        let mut panel = PatchPanel { count, batch: empty, origin: [empty; 3] };
        for place in 0..count {
            let row = first + place;
            let (rest, x) = (row / width, row % width);
            let (rest, y) = (rest / height, rest % height);
            let (entry, frame) = (rest / frames, rest % frames);
            panel.batch[place] = entry * self.batch_stride;
            for (dim, at) in [frame, y, x].into_iter().enumerate() {
                panel.origin[dim][place] = at * self.geometry.stride[dim];
            }
        }
        panel
    }

    fn runs(&self, panel: &PatchPanel, tap: usize, offset: usize, pointers: &mut PanelPointers<E>) {
        let [_, kh, kw] = self.kernel;
        let within = [tap / (kh * kw), tap / kw % kh, tap % kw];
        for (place, pointer) in pointers[..panel.count].iter_mut().enumerate() {
            let mut element = panel.batch[place] + offset;
            let mut inside = true;
            for (dim, step) in within.into_iter().enumerate() {
                // Wraps in the padding before the input, which is then no smaller than its extent.
                let at =
                    (panel.origin[dim][place] + step).wrapping_sub(self.geometry.padding[dim][0]);
                inside &= at < self.extents[dim];
                element = element.wrapping_add(at.wrapping_mul(self.strides[dim]));
            }
            *pointer = if inside { self.base.wrapping_add(element) } else { zeros() };
        }
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
