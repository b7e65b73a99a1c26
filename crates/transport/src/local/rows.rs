//! Copies of many short runs at even distances.

/// Runs of `run` bytes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub count: usize,
    pub run: usize,
    pub source_stride: usize,
    pub target_stride: usize,
}

/// Copies rows; with non-temporal stores where the processor has them, the rows are whole cache
/// lines of the target, and `total`, of which these rows are a part, is large.
///
/// # Safety
/// All rows are valid on their side and no source row overlaps a target row. Other processes don't
/// write the source meanwhile.
pub(crate) unsafe fn copy_rows(source: *const u8, target: *mut u8, rows: Rows, total: usize) {
    // Within a long row the next line is nearer than the next row.
    #[cfg(target_arch = "x86_64")]
    if rows.run < super::copy::LONG_RUN
        && total >= super::copy::STREAM_FROM
        && x86::are_lines(target, rows)
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the caller's promise; the processor has the instructions.
            return unsafe { x86::stream_avx512(source, target, rows) };
        }
        if std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: as above.
            return unsafe { x86::stream_avx(source, target, rows) };
        }
    }
    for row in 0..rows.count {
        // SAFETY: the caller's promise.
        unsafe {
            let source = source.add(row * rows.source_stride);
            super::copy::copy_part(source, target.add(row * rows.target_stride), rows.run, total);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Rows;
    use std::arch::x86_64::*;

    const LINE: usize = 64;
    /// How far ahead of the copy the source is fetched, in bytes copied: the hardware's prefetcher
    /// doesn't jump from row to row.
    const AHEAD: usize = 16 * LINE;

    /// Whether the rows are whole cache lines of the target.
    pub(super) fn are_lines(target: *const u8, rows: Rows) -> bool {
        let whole = |bytes: usize| bytes.is_multiple_of(LINE);
        whole(rows.run) && whole(rows.target_stride) && whole(target as usize)
    }

    /// # Safety
    /// As [`super::copy_rows`], of whole lines, on a processor with AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn stream_avx512(source: *const u8, target: *mut u8, rows: Rows) {
        let ahead = AHEAD.div_ceil(rows.run) * rows.source_stride;
        for row in 0..rows.count {
            let source = source.wrapping_add(row * rows.source_stride);
            let target = target.wrapping_add(row * rows.target_stride);
            for done in (0..rows.run).step_by(LINE) {
                // SAFETY: whole lines within the row, aligned in the target. A prefetch of what
                // lies past the end does nothing.
                unsafe {
                    _mm_prefetch::<_MM_HINT_NTA>(source.wrapping_add(ahead + done).cast());
                    let line = _mm512_loadu_si512(source.add(done).cast());
                    _mm512_stream_si512(target.add(done).cast(), line);
                }
            }
        }
        _mm_sfence();
    }

    /// # Safety
    /// As [`super::copy_rows`], of whole lines, on a processor with AVX.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn stream_avx(source: *const u8, target: *mut u8, rows: Rows) {
        let ahead = AHEAD.div_ceil(rows.run) * rows.source_stride;
        for row in 0..rows.count {
            let source = source.wrapping_add(row * rows.source_stride);
            let target = target.wrapping_add(row * rows.target_stride);
            for done in (0..rows.run).step_by(LINE) {
                // SAFETY: as in `stream_avx512`.
                unsafe {
                    _mm_prefetch::<_MM_HINT_NTA>(source.wrapping_add(ahead + done).cast());
                    let low = _mm256_loadu_si256(source.add(done).cast());
                    let high = _mm256_loadu_si256(source.add(done + 32).cast());
                    _mm256_stream_si256(target.add(done).cast(), low);
                    _mm256_stream_si256(target.add(done + 32).cast(), high);
                }
            }
        }
        _mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Copy = unsafe fn(*const u8, *mut u8, Rows);

    fn check(copy: Copy, rows: Rows, source_offset: usize, target_offset: usize) {
        let Rows { count, run, source_stride, target_stride } = rows;
        let source: Vec<u8> = (0..count * source_stride + 64 + source_offset)
            .map(|index| (index * 7 + index / 251) as u8)
            .collect();
        let mut target = vec![0xa5u8; count * target_stride + 256];
        let place = target.as_ptr().align_offset(64) + target_offset;
        let mut expected = target.clone();
        for row in 0..count {
            let from = source_offset + row * source_stride;
            let to = place + row * target_stride;
            expected[to..to + run].copy_from_slice(&source[from..from + run]);
        }
        // SAFETY: both vectors have room for the rows at these offsets.
        unsafe { copy(source.as_ptr().add(source_offset), target.as_mut_ptr().add(place), rows) };
        assert!(target == expected, "{rows:?} at {source_offset} and {target_offset}");
    }

    #[test]
    fn copies_every_row_and_nothing_between() {
        let large: Copy = |source, target, rows| {
            // SAFETY: the test's own promise.
            unsafe { copy_rows(source, target, rows, usize::MAX) }
        };
        let small: Copy = |source, target, rows| {
            // SAFETY: as above.
            unsafe { copy_rows(source, target, rows, 0) }
        };
        #[cfg(target_arch = "x86_64")]
        let streaming: [(bool, Copy); 2] = [
            (std::arch::is_x86_feature_detected!("avx"), x86::stream_avx),
            (std::arch::is_x86_feature_detected!("avx512f"), x86::stream_avx512),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let streaming: [(bool, Copy); 0] = [];
        let rows = |count, run, source_stride, target_stride| Rows {
            count,
            run,
            source_stride,
            target_stride,
        };
        for copy in streaming.into_iter().filter(|(has, _)| *has).map(|(_, copy)| copy) {
            for (lines, source) in [
                (rows(9, 64, 100, 128), 3),
                (rows(5, 1280, 3840, 1280), 0),
                (rows(1, 256, 256, 320), 1),
            ] {
                check(copy, lines, source, 0);
            }
        }
        for copy in [large, small] {
            check(copy, rows(7, 640, 1920, 1280), 0, 0);
            check(copy, rows(3, 20_000, 50_000, 20_032), 3, 0);
            check(copy, rows(7, 640, 1921, 1281), 5, 0);
            check(copy, rows(3, 640, 1920, 1280), 0, 8);
            check(copy, rows(11, 13, 17, 14), 1, 2);
            check(copy, rows(0, 64, 64, 64), 0, 0);
        }
    }
}
