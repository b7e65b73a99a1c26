//! Operands of a product, and how their rows reach a panel.

use super::kernel::{Kernel, LONGEST_RUN, WIDEST_PANEL};
use super::number::Number;
use std::ops::Range;

/// A pointer into each row of a panel.
pub(crate) type PanelPointers<E> = [*const E; WIDEST_PANEL];

/// A matrix whose rows are made of `taps` runs, each of `channels` consecutive elements. A plain
/// matrix has one tap; a row of a convolution's left operand has one for each place of its kernel.
pub(crate) trait Operand: Sync {
    /// What one element is in memory.
    type Element: Copy;

    /// What is worked out once for a panel's rows.
    type Panel;

    /// Begins with `count` rows from row `first`; `count` is at most [`WIDEST_PANEL`].
    fn panel(&self, first: usize, count: usize) -> Self::Panel;

    /// Where run `tap` of each of the panel's rows continues from element `offset`, or
    /// [`zeros`] for a run that is all zeros. Pointers beyond the panel's rows stay as they are.
    fn runs(
        &self,
        panel: &Self::Panel,
        tap: usize,
        offset: usize,
        pointers: &mut PanelPointers<Self::Element>,
    );
}

/// Elements of [`LONGEST_RUN`] bytes that are zero in every format.
pub(crate) fn zeros<E>() -> *const E {
    #[repr(align(64))]
    struct Zeros([u8; LONGEST_RUN]);
    static ZEROS: Zeros = Zeros([0; LONGEST_RUN]);
    ZEROS.0.as_ptr().cast()
}

/// A matrix in memory.
pub(crate) struct Matrix<E> {
    base: *const E,
    /// Elements from one row to the next.
    stride: usize,
    channels: usize,
}

// SAFETY: a matrix only reads what its maker promised to be readable while it lives.
unsafe impl<E: Sync> Sync for Matrix<E> {}

impl<E> Matrix<E> {
    /// A matrix whose rows start `stride` elements apart, with runs of `channels` elements.
    ///
    /// # Safety
    /// All rows that will be asked for are initialised, and not written while the matrix lives.
    pub(crate) unsafe fn new(base: *const E, stride: usize, channels: usize) -> Matrix<E> {
        Matrix { base, stride, channels }
    }
}

impl<E: Copy + Sync> Operand for Matrix<E> {
    type Element = E;
    type Panel = (usize, usize);

    fn panel(&self, first: usize, count: usize) -> (usize, usize) {
        (first, count)
    }

    fn runs(
        &self,
        &(first, count): &(usize, usize),
        tap: usize,
        offset: usize,
        pointers: &mut PanelPointers<E>,
    ) {
        for (place, pointer) in pointers[..count].iter_mut().enumerate() {
            let element = (first + place) * self.stride + tap * self.channels + offset;
            // Only a run of no elements may begin past the storage, and it is not read.
            *pointer = self.base.wrapping_add(element);
        }
    }
}

/// The inner extent of a product: K elements in `taps` runs of `channels`.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) taps: usize,
    pub(crate) channels: usize,
}

impl Depth {
    /// Steps of kernel `K`; each run is filled up to whole steps.
    pub(crate) fn steps<K: Kernel>(self) -> usize {
        self.taps * self.channels.div_ceil(K::PER_STEP)
    }

    /// The steps in blocks of [`Kernel::DEPTH`]: one block at least, so that a sum over nothing
    /// is still written.
    pub(crate) fn blocks<K: Kernel>(self) -> impl Iterator<Item = Range<usize>> {
        let steps = self.steps::<K>();
        let blocks = steps.div_ceil(K::DEPTH).max(1);
        (0..blocks).map(move |block| block * K::DEPTH..steps.min((block + 1) * K::DEPTH))
    }
}

/// Which operand a panel is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    /// Rows of one panel.
    pub(crate) const fn width<K: Kernel>(self) -> usize {
        match self {
            Side::Left => K::ROWS,
            Side::Right => K::COLUMNS,
        }
    }
}

/// Packs the steps `steps` of rows `first..last`, at most one panel of them; the panel is filled
/// up with rows of zeros.
///
/// # Safety
/// The machine has the kernel's instruction set, the operand has the rows, and `destination` has
/// room for the panel.
pub(crate) unsafe fn pack<K: Kernel, O>(
    side: Side,
    operand: &O,
    rows: Range<usize>,
    depth: Depth,
    steps: Range<usize>,
    destination: *mut K::Packed,
) where
    O: Operand<Element = <K::Number as Number>::Element>,
{
    const {
        assert!(K::ROWS <= WIDEST_PANEL && K::COLUMNS <= WIDEST_PANEL);
        assert!(K::DEPTH * K::PER_STEP * size_of::<O::Element>() <= LONGEST_RUN);
    }
    let panel = operand.panel(rows.start, rows.len());
    let mut pointers = [zeros(); WIDEST_PANEL];
    let run_steps = depth.channels.div_ceil(K::PER_STEP);
    let mut step = steps.start;
    while step < steps.end {
        let (tap, within) = (step / run_steps, step % run_steps);
        let count = (run_steps - within).min(steps.end - step);
        let offset = within * K::PER_STEP;
        let elements = (depth.channels - offset).min(count * K::PER_STEP);
        operand.runs(&panel, tap, offset, &mut pointers);
        // SAFETY: the pointers are to rows the operand vouches for, or to zeros, which are as long
        // as a block of the depth; the room is the caller's promise.
        unsafe {
            let destination = destination.add((step - steps.start) * side.width::<K>());
            match side {
                Side::Left => K::pack_left(&pointers, elements, destination),
                Side::Right => K::pack_right(&pointers, elements, destination),
            }
        }
        step += count;
    }
}
