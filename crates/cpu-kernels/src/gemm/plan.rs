//! How a product is cut into passes and tasks. Nothing here shows in the result.

use super::kernel::Kernel;
use super::operand::Side;

/// Bytes of the operand that is packed once for all tasks; more takes another pass. Small enough
/// for a last-level cache, and for the allocator to keep between products.
const SHARED_BYTES: usize = 31 << 20;
/// Rows or columns of the shared operand that one task multiplies, at most: bounds its sums.
const LONGEST_CHUNK: usize = 1536;
/// Columns that a task packs by itself, at most: a block of them stays in the second-level cache.
const BLOCK_COLUMNS: usize = 160;

/// The cut of a product.
///
/// The operand with fewer rows is the shared one: all threads pack it, then all read it. The other
/// is cut into chunks, and each task packs its own, block by block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whether the left operand is the shared one.
    pub(crate) left_shared: bool,
    /// Rows of the shared operand in one pass.
    pub(crate) pass: usize,
    /// Rows of the left operand to a task.
    pub(crate) row_chunk: usize,
    /// Rows of the right operand to a task.
    pub(crate) column_chunk: usize,
}

impl Plan {
    /// A plan for `rows` × `columns` sums over `steps` steps on `threads` threads.
    pub(crate) fn new<K: Kernel>(
        rows: usize,
        columns: usize,
        steps: usize,
        threads: usize,
    ) -> Plan {
        let left_shared = rows < columns;
        let (shared, own) =
            if left_shared { (Side::Left, Side::Right) } else { (Side::Right, Side::Left) };
        let (shared_extent, own_extent, own_limit) = if left_shared {
            (rows, columns, BLOCK_COLUMNS)
        } else {
            (columns, rows, K::BLOCK_ROWS)
        };
        let row_bytes = steps.max(1) * size_of::<K::Packed>();
        let pass = even(shared_extent, (SHARED_BYTES / row_bytes).max(1), 1, shared.width::<K>());
        let shared_chunk = even(pass, LONGEST_CHUNK, 1, shared.width::<K>());
        let own_chunk = even(own_extent, own_limit, threads, own.width::<K>());
        let (row_chunk, column_chunk) =
            if left_shared { (shared_chunk, own_chunk) } else { (own_chunk, shared_chunk) };
        Plan { left_shared, pass, row_chunk, column_chunk }
    }
}

/// A length that cuts `extent` into a multiple of `threads` parts (as far as it goes) which are as
/// equal as whole panels of `width` allow, and at most `limit` long, or one panel.
fn even(extent: usize, limit: usize, threads: usize, width: usize) -> usize {
    let parts = extent.div_ceil(limit).max(1).next_multiple_of(threads);
    extent.div_ceil(parts).next_multiple_of(width).min((limit / width).max(1) * width).max(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::number::Single;
    use crate::gemm::portable::Portable;

    type Tiles = Portable<Single>;

    #[test]
    fn the_operand_with_fewer_rows_is_shared() {
        assert!(Plan::new::<Tiles>(14, 1536, 1536, 2).left_shared);
        assert!(!Plan::new::<Tiles>(4096, 1536, 1536, 2).left_shared);
        assert!(!Plan::new::<Tiles>(1536, 1536, 1536, 2).left_shared);
    }

    #[test]
    fn pieces_are_whole_panels_within_their_bounds() {
        for rows in [1, 5, 100, 2016, 40_000] {
            for columns in [1, 9, 96, 1536, 13_824] {
                for steps in [0, 1, 1536, 13_824] {
                    for threads in [1, 2, 3, 64] {
                        let plan = Plan::new::<Tiles>(rows, columns, steps, threads);
                        assert_eq!(plan.row_chunk % Tiles::ROWS, 0);
                        assert_eq!(plan.column_chunk % Tiles::COLUMNS, 0);
                        let bytes = plan.pass * steps * size_of::<f32>();
                        assert!(bytes <= SHARED_BYTES + Tiles::COLUMNS * steps * size_of::<f32>());
                        let (shared, own, limit) = if plan.left_shared {
                            (plan.row_chunk, plan.column_chunk, BLOCK_COLUMNS)
                        } else {
                            (plan.column_chunk, plan.row_chunk, Tiles::BLOCK_ROWS)
                        };
                        assert!(shared <= plan.pass && shared <= LONGEST_CHUNK, "{plan:?}");
                        assert!(own <= limit, "{plan:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_thread_has_a_task_where_there_are_panels_enough() {
        for threads in [1, 2, 5, 16] {
            let plan = Plan::new::<Tiles>(1, 1536, 1536, threads);
            assert!(1536usize.div_ceil(plan.column_chunk) >= threads);
            let plan = Plan::new::<Tiles>(2016, 384, 1536, threads);
            assert!(2016usize.div_ceil(plan.row_chunk) >= threads);
        }
    }

    #[test]
    fn lengths_even_out() {
        assert_eq!(even(4096, 168, 2, 14), 168);
        assert_eq!(even(1700, 1536, 1, 32), 864);
        assert_eq!(even(10, 1536, 1, 32), 32);
        assert_eq!(even(100, 4, 1, 32), 32);
    }
}
