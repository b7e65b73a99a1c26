//! Products of two matrices, the second one given by rows: output[r][c] = Σ left[r][k] · right[c][k].
//!
//! Both operands are packed into panels, block by block along K, and multiplied tile by tile
//! ([`kernel`]). How the work is cut ([`plan`]) has no bearing on the bytes of the result: a sum
//! runs over the same blocks in the same order wherever its tile lies.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod epilogue;
pub(crate) mod format;
pub(crate) mod kernel;
pub(crate) mod number;
pub(crate) mod operand;
mod plan;
mod portable;
pub(crate) mod scratch;
#[cfg(test)]
pub(crate) mod testing;

use crate::{Cpu, InstructionSet};
use epilogue::Activation;
use format::Format;
use kernel::Kernel;
use number::Number;
use operand::{Depth, Operand, Side, pack};
use plan::Plan;
use portable::Portable;
use scratch::{Lending, Scratch};
use std::ops::Range;

/// A product to compute, but for its operands.
pub(crate) struct Product<'a, E> {
    /// Rows of the left operand and of the output.
    pub(crate) rows: usize,
    /// Rows of the right operand, columns of the output.
    pub(crate) columns: usize,
    /// The inner extent.
    pub(crate) depth: Depth,
    /// One value a column, added to the sums before they are rounded; empty for none.
    pub(crate) bias: &'a [f32],
    /// Applied after rounding; the result is rounded again.
    pub(crate) activation: Activation,
    /// `rows` × `columns` elements.
    pub(crate) output: *mut E,
}

// SAFETY: the output is written by disjoint tasks; the rest is read only.
unsafe impl<E> Sync for Product<'_, E> {}

/// Computes `product` from operands of format `N`.
///
/// # Safety
/// The operands have `product.rows` and `product.columns` rows of `product.depth`, `bias` is empty
/// or has a value for each column, and the output isn't touched by anyone else.
pub(crate) unsafe fn multiply<N: Format>(
    cpu: &Cpu,
    left: &impl Operand<Element = N::Element>,
    right: &impl Operand<Element = N::Element>,
    product: &Product<N::Element>,
) {
    assert!(
        cpu.instruction_set <= InstructionSet::detect(),
        "this machine has no {}",
        cpu.instruction_set.name()
    );
    // SAFETY: the machine has the instruction set, as just checked; the rest is passed on.
    unsafe {
        match cpu.instruction_set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => multiply_on::<N::Avx2, _, _>(cpu, left, right, product),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => multiply_on::<N::Avx512, _, _>(cpu, left, right, product),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Bf16 => {
                multiply_on::<N::Avx512Bf16, _, _>(cpu, left, right, product)
            }
            _ => multiply_on::<Portable<N>, _, _>(cpu, left, right, product),
        }
    }
}

/// # Safety
/// As [`multiply`], and the machine has the kernel's instruction set.
unsafe fn multiply_on<K, L, R>(
    cpu: &Cpu,
    left: &L,
    right: &R,
    product: &Product<<K::Number as Number>::Element>,
) where
    K: Kernel,
    L: Operand<Element = <K::Number as Number>::Element>,
    R: Operand<Element = <K::Number as Number>::Element>,
{
    let (rows, columns, depth) = (product.rows, product.columns, product.depth);
    if rows == 0 || columns == 0 {
        return;
    }
    let steps = depth.steps::<K>();
    let plan = Plan::new::<K>(rows, columns, steps, cpu.pool.threads());
    let side = if plan.left_shared { Side::Left } else { Side::Right };
    let extent = if plan.left_shared { rows } else { columns };
    let width = side.width::<K>();
    let shared = Scratch::<K::Packed>::new(plan.pass.min(extent).next_multiple_of(width) * steps);
    let lending = Lending::new();
    let mut bias = product.bias.to_vec();
    bias.resize(columns.next_multiple_of(K::COLUMNS), 0.0);

    for pass in chunks(0..extent, plan.pass) {
        let panels = pass.len().div_ceil(width);
        cpu.pool.for_each(panels, |panel| {
            let first = pass.start + panel * width;
            let range = first..pass.end.min(first + width);
            for block in depth.blocks::<K>() {
                let place = (block.start * panels + panel * block.len()) * width;
                // SAFETY: the operand has these rows; blocks of the depth follow each other in the
                // scratch, and in each of them the panels.
                unsafe {
                    let destination = shared.as_ptr().add(place);
                    if plan.left_shared {
                        pack::<K, _>(side, left, range.clone(), depth, block, destination);
                    } else {
                        pack::<K, _>(side, right, range.clone(), depth, block, destination);
                    }
                }
            }
        });
        let (row_range, column_range) =
            if plan.left_shared { (pass.clone(), 0..columns) } else { (0..rows, pass.clone()) };
        let row_chunks: Vec<_> = chunks(row_range, plan.row_chunk).collect();
        let column_chunks: Vec<_> = chunks(column_range, plan.column_chunk).collect();
        let pass = &Pass::<K> { plan, first: pass.start, panels, shared: &shared, bias: &bias };
        cpu.pool.for_each(row_chunks.len() * column_chunks.len(), |task| {
            let rows = row_chunks[task % row_chunks.len()].clone();
            let columns = column_chunks[task / row_chunks.len()].clone();
            lending.with(
                || TaskScratch::<K>::new(plan),
                // SAFETY: the chunks lie within the operands, and no two tasks share a pair.
                |scratch| unsafe {
                    task_product(pass, left, right, product, rows, columns, scratch)
                },
            );
        });
    }
}

/// `range` in pieces of `length`, the last one shorter.
fn chunks(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |first| first..range.end.min(first + length))
}

/// The part of a product in which the shared operand is packed.
struct Pass<'a, K: Kernel> {
    plan: Plan,
    /// The first packed row of the shared operand.
    first: usize,
    /// Packed panels of the shared operand.
    panels: usize,
    shared: &'a Scratch<K::Packed>,
    bias: &'a [f32],
}

/// What one task works in.
struct TaskScratch<K: Kernel> {
    /// A block of the operand that isn't shared.
    own: Scratch<K::Packed>,
    /// The running sums: column panel by column panel, row by row in each.
    sums: Scratch<f32>,
}

impl<K: Kernel> TaskScratch<K> {
    fn new(plan: Plan) -> TaskScratch<K> {
        let rows = plan.row_chunk.next_multiple_of(K::ROWS);
        let columns = plan.column_chunk.next_multiple_of(K::COLUMNS);
        let own = if plan.left_shared { columns } else { rows };
        TaskScratch { own: Scratch::new(own * K::DEPTH), sums: Scratch::new(rows * columns) }
    }
}

/// Computes the outputs of `rows` × `columns`.
///
/// # Safety
/// As [`multiply_on`]; no other task has a pair of these rows and columns.
unsafe fn task_product<K, L, R>(
    pass: &Pass<K>,
    left: &L,
    right: &R,
    product: &Product<<K::Number as Number>::Element>,
    rows: Range<usize>,
    columns: Range<usize>,
    scratch: &TaskScratch<K>,
) where
    K: Kernel,
    L: Operand<Element = <K::Number as Number>::Element>,
    R: Operand<Element = <K::Number as Number>::Element>,
{
    let depth = product.depth;
    let steps = depth.steps::<K>();
    let row_panels = rows.len().div_ceil(K::ROWS);
    let column_panels = columns.len().div_ceil(K::COLUMNS);
    for block in depth.blocks::<K>() {
        let own = scratch.own.as_ptr();
        let (own_side, own_rows) =
            if pass.plan.left_shared { (Side::Right, &columns) } else { (Side::Left, &rows) };
        let own_width = own_side.width::<K>();
        for (panel, range) in chunks(own_rows.clone(), own_width).enumerate() {
            // SAFETY: the scratch has room for a block of a whole chunk.
            unsafe {
                let destination = own.add(panel * own_width * block.len());
                if pass.plan.left_shared {
                    pack::<K, _>(own_side, right, range, depth, block.clone(), destination);
                } else {
                    pack::<K, _>(own_side, left, range, depth, block.clone(), destination);
                }
            }
        }
        let shared = |first: usize, width: usize| {
            let panel = (first - pass.first) / width;
            let place = (block.start * pass.panels + panel * block.len()) * width;
            // SAFETY: as it was packed.
            unsafe { pass.shared.as_ptr().add(place) }
        };
        let (left_panels, right_panels) = if pass.plan.left_shared {
            (shared(rows.start, K::ROWS), own)
        } else {
            (own, shared(columns.start, K::COLUMNS))
        };
        for column_panel in 0..column_panels {
            // SAFETY: the panels are packed above; the scratch has room for the chunk's sums.
            unsafe {
                let right_panel = right_panels.add(column_panel * K::COLUMNS * block.len());
                let sums =
                    scratch.sums.as_ptr().add(column_panel * row_panels * K::ROWS * K::COLUMNS);
                for row_panel in 0..row_panels {
                    K::tile(
                        block.len(),
                        left_panels.add(row_panel * K::ROWS * block.len()),
                        right_panel,
                        sums.add(row_panel * K::ROWS * K::COLUMNS),
                        block.start > 0,
                    );
                }
                if block.end == steps {
                    let column = columns.start + column_panel * K::COLUMNS;
                    K::finish(
                        product.activation,
                        sums,
                        pass.bias[column..].as_ptr(),
                        rows.len(),
                        K::COLUMNS.min(columns.end - column),
                        product.output.add(rows.start * product.columns + column),
                        product.columns,
                    );
                }
            }
        }
    }
}
