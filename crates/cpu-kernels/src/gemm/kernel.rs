//! What a product asks of an instruction set.

use super::epilogue::Activation;
use super::number::Number;

/// The widest panel of any kernel, in rows or columns.
pub(crate) const WIDEST_PANEL: usize = 32;

/// The longest piece of a row, in bytes, that [`Kernel::pack_left`] and [`Kernel::pack_right`] are
/// asked for: one depth block.
pub(crate) const LONGEST_RUN: usize = 4096;

/// The inner loops of a product on one instruction set, for operands of one format.
///
/// Operands are packed into panels of [`Kernel::ROWS`] rows of the left one, [`Kernel::COLUMNS`]
/// rows of the right one, step after step of the depth K: a step holds [`Kernel::PER_STEP`]
/// neighbours along K of each row, as one [`Kernel::Packed`] apiece. A tile is the product of two
/// panels. Each of its elements is summed over the steps in ascending order by a sequence of
/// instructions that depends on nothing but the number of steps; this is what makes a row's bytes
/// independent of the rows beside it.
///
/// # Safety
/// The methods are unsafe as they use instructions that the machine must have and pointers that
/// must cover what their descriptions say.
pub(crate) trait Kernel: Copy + Send + Sync + 'static {
    /// The format of operands and output.
    type Number: Number;
    /// What one step of one row is in a panel.
    type Packed: Copy + Send + Sync;
    /// Elements along K in a step; rows are filled up with zeros to whole steps.
    const PER_STEP: usize;
    /// Rows of a tile.
    const ROWS: usize;
    /// Columns of a tile.
    const COLUMNS: usize;
    /// Steps between two roundings of the running sum to memory. Part of the result's definition:
    /// the same for every product.
    const DEPTH: usize;
    /// Rows of the left operand that stay in the second-level cache beside their block of the sum.
    const BLOCK_ROWS: usize;

    /// Packs `count` elements of each of [`Kernel::ROWS`] rows.
    ///
    /// # Safety
    /// The machine has the instruction set; each of the first `ROWS` pointers has `count` readable
    /// elements; `panel` has room for `ROWS` times `count.div_ceil(PER_STEP)` values.
    unsafe fn pack_left(
        rows: &[*const <Self::Number as Number>::Element; WIDEST_PANEL],
        count: usize,
        panel: *mut Self::Packed,
    );

    /// Packs `count` elements of each of [`Kernel::COLUMNS`] rows of the right operand.
    ///
    /// # Safety
    /// As [`Kernel::pack_left`], with `COLUMNS` for `ROWS`.
    unsafe fn pack_right(
        rows: &[*const <Self::Number as Number>::Element; WIDEST_PANEL],
        count: usize,
        panel: *mut Self::Packed,
    );

    /// Multiplies two panels of `steps` steps into `ROWS` × `COLUMNS` sums that lie row after row,
    /// adding to what is there where `accumulate` says so.
    ///
    /// # Safety
    /// The machine has the instruction set; panels and sums have the sizes above.
    unsafe fn tile(
        steps: usize,
        left: *const Self::Packed,
        right: *const Self::Packed,
        sums: *mut f32,
        accumulate: bool,
    );

    /// Turns `rows` rows of `COLUMNS` sums each into the first `columns` output elements of as many
    /// rows `output_stride` elements apart; `bias` has `COLUMNS` values.
    ///
    /// # Safety
    /// The machine has the instruction set; the pointers cover what is described.
    unsafe fn finish(
        activation: Activation,
        sums: *const f32,
        bias: *const f32,
        rows: usize,
        columns: usize,
        output: *mut <Self::Number as Number>::Element,
        output_stride: usize,
    );
}
