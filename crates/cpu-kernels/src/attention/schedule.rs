//! How the work is cut. Nothing here shows in the result.

/// The most query rows of a task: enough to make good use of each block of keys while it is in the
/// second-level cache, few enough to stay there beside it.
pub(super) const TASK_ROWS: usize = 224;

/// Packed keys and values are held for as many heads at a time as fit here, but for one at least.
const PACKED_BYTES: usize = 8 << 20;

/// What a task costs beside its tiles, in tiles.
const TASK_OVERHEAD: f64 = 0.5;

/// How many groups to work the heads off in, one after the other.
pub(super) fn group_count(heads: usize, packed_bytes_per_head: usize) -> usize {
    let heads_at_once = (PACKED_BYTES / packed_bytes_per_head.max(1)).max(1);
    heads.div_ceil(heads_at_once)
}

/// The part `index` of `total` cut into `parts` as evenly as can be: its start and its length.
pub(super) fn part(total: usize, parts: usize, index: usize) -> (usize, usize) {
    let start = total * index / parts;
    (start, total * (index + 1) / parts - start)
}

/// Into how many tasks to cut each head's `tiles` so that all threads end at about the same time.
/// `tile_rows` is the most rows of a tile.
pub(super) fn tasks_per_head(
    threads: usize,
    heads: usize,
    tiles: usize,
    tile_rows: usize,
) -> usize {
    let fewest = tiles.div_ceil(TASK_ROWS / tile_rows).max(1);
    let most = tiles.min(fewest + 4 * threads).max(fewest);
    let duration = |tasks: usize| {
        let rounds = (heads * tasks).div_ceil(threads);
        rounds as f64 * (tiles.div_ceil(tasks) as f64 + TASK_OVERHEAD)
    };
    (fewest..=most).min_by(|a, b| duration(*a).total_cmp(&duration(*b))).unwrap_or(fewest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_whole_evenly() {
        for (total, parts) in [(0, 1), (1, 1), (7, 3), (293, 19), (5, 5)] {
            let mut next = 0;
            for index in 0..parts {
                let (start, length) = part(total, parts, index);
                assert_eq!(start, next);
                assert!(length == total / parts || length == total.div_ceil(parts));
                next = start + length;
            }
            assert_eq!(next, total);
        }
    }

    #[test]
    fn a_long_sequence_is_cut_into_tasks_that_fit_the_cache() {
        for tile_rows in [4, 6, 14] {
            for tiles in [1, 2, 37, 293, 2341] {
                let tasks = tasks_per_head(2, 12, tiles, tile_rows);
                assert!(tiles.div_ceil(tasks) * tile_rows <= TASK_ROWS);
                assert!(tasks <= tiles);
            }
        }
    }

    #[test]
    fn threads_are_kept_busy() {
        for threads in [1, 2, 3, 8, 16, 48, 64] {
            for heads in [1, 3, 5, 12, 40] {
                let tiles = 293;
                let tasks = tasks_per_head(threads, heads, tiles, 14);
                let rounds = (heads * tasks).div_ceil(threads);
                let ideal = (heads * tiles) as f64 / threads as f64;
                let busy = ideal / (rounds * tiles.div_ceil(tasks)) as f64;
                assert!(busy > 0.8, "{threads} threads, {heads} heads: {busy}");
            }
        }
    }

    #[test]
    fn whole_heads_are_tasks_where_that_is_even() {
        assert_eq!(tasks_per_head(2, 4, 8, 14), 1);
        assert_eq!(tasks_per_head(64, 12, 1, 14), 1);
        assert_eq!(tasks_per_head(4, 1, 8, 14), 4);
    }

    #[test]
    fn groups_bound_the_packed_memory() {
        assert_eq!(group_count(12, 1 << 19), 1);
        assert_eq!(group_count(40, 1 << 20), 5);
        assert_eq!(group_count(12, 100 << 20), 12);
        assert_eq!(group_count(0, 0), 0);
    }
}
