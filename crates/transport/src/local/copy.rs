//! Copies that go past the cache.

/// From here on a copy's target doesn't stay in the cache anyway, and reading its lines before
/// overwriting them would cost a third of the memory's bandwidth.
#[cfg(target_arch = "x86_64")]
pub(crate) const STREAM_FROM: usize = 256 << 10;

/// From here on a part of a larger copy is worth non-temporal stores of its own.
pub(crate) const LONG_RUN: usize = 8 << 10;

/// Copies `bytes` bytes; large ones with non-temporal stores where the processor has them.
///
/// # Safety
/// Both ranges are valid for that many bytes and don't overlap. Other processes don't write the
/// source meanwhile.
pub(crate) unsafe fn copy(source: *const u8, target: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy_part(source, target, bytes, bytes) };
}

/// [`copy`] of `bytes` bytes that are a part of `total`.
///
/// # Safety
/// As [`copy`].
pub(crate) unsafe fn copy_part(source: *const u8, target: *mut u8, bytes: usize, total: usize) {
    #[cfg(target_arch = "x86_64")]
    if total >= STREAM_FROM && bytes >= LONG_RUN {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the caller's promise; the processor has the instructions.
            return unsafe { x86::stream_avx512(source, target, bytes) };
        }
        if std::arch::is_x86_feature_detected!("avx") {
            // SAFETY: as above.
            return unsafe { x86::stream_avx(source, target, bytes) };
        }
    }
    // SAFETY: the caller's promise.
    unsafe { std::ptr::copy_nonoverlapping(source, target, bytes) };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::ptr::copy_nonoverlapping;

    const LINE: usize = 64;
    /// How far ahead the source is fetched: the hardware's prefetcher stops at each page.
    const AHEAD: usize = 16 * LINE;

    /// Copies what comes before the first whole line of the target; returns its length.
    ///
    /// # Safety
    /// As [`super::copy`], of at least one line.
    unsafe fn head(source: *const u8, target: *mut u8) -> usize {
        let head = target.align_offset(LINE);
        // SAFETY: the head is shorter than a line, which the caller has.
        unsafe { copy_nonoverlapping(source, target, head) };
        head
    }

    /// # Safety
    /// As [`super::copy`], of at least two lines, on a processor with AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn stream_avx512(source: *const u8, target: *mut u8, bytes: usize) {
        // SAFETY: the loop runs over whole lines within both ranges; the target is aligned there.
        // A prefetch of what lies past the end does nothing.
        unsafe {
            let mut done = head(source, target);
            while done + LINE <= bytes {
                _mm_prefetch::<_MM_HINT_NTA>(source.wrapping_add(done + AHEAD).cast());
                let line = _mm512_loadu_si512(source.add(done).cast());
                _mm512_stream_si512(target.add(done).cast(), line);
                done += LINE;
            }
            _mm_sfence();
            copy_nonoverlapping(source.add(done), target.add(done), bytes - done);
        }
    }

    /// # Safety
    /// As [`super::copy`], of at least two lines, on a processor with AVX.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn stream_avx(source: *const u8, target: *mut u8, bytes: usize) {
        // SAFETY: as in `stream_avx512`.
        unsafe {
            let mut done = head(source, target);
            while done + LINE <= bytes {
                _mm_prefetch::<_MM_HINT_NTA>(source.wrapping_add(done + AHEAD).cast());
                let low = _mm256_loadu_si256(source.add(done).cast());
                let high = _mm256_loadu_si256(source.add(done + 32).cast());
                _mm256_stream_si256(target.add(done).cast(), low);
                _mm256_stream_si256(target.add(done + 32).cast(), high);
                done += LINE;
            }
            _mm_sfence();
            copy_nonoverlapping(source.add(done), target.add(done), bytes - done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Copy = unsafe fn(*const u8, *mut u8, usize);

    fn check(copy: Copy, bytes: usize, source_offset: usize, target_offset: usize) {
        let source: Vec<u8> =
            (0..bytes + 64).map(|index| (index * 7 + index / 251) as u8).collect();
        let mut target = vec![0xa5; bytes + 192];
        let place = target.as_ptr().align_offset(64) + target_offset;
        // SAFETY: both vectors have room for the bytes at these offsets.
        unsafe { copy(source.as_ptr().add(source_offset), target.as_mut_ptr().add(place), bytes) };
        assert_eq!(&target[place..place + bytes], &source[source_offset..source_offset + bytes]);
        let outside = target[..place].iter().chain(&target[place + bytes..]);
        assert!(outside.into_iter().all(|byte| *byte == 0xa5), "wrote outside of the target");
    }

    #[test]
    fn copies_every_byte_and_no_other_at_any_alignment() {
        #[cfg(target_arch = "x86_64")]
        let streaming: [(bool, Copy); 2] = [
            (std::arch::is_x86_feature_detected!("avx"), x86::stream_avx),
            (std::arch::is_x86_feature_detected!("avx512f"), x86::stream_avx512),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let streaming: [(bool, Copy); 0] = [];
        let available = streaming.into_iter().filter(|(has, _)| *has).map(|(_, copy)| copy);
        for copy in available.chain([copy as Copy]) {
            for (bytes, source, target) in
                [(128, 0, 0), (129, 1, 0), (1000, 0, 63), (4097, 13, 1), ((256 << 10) + 77, 5, 40)]
            {
                check(copy, bytes, source, target);
            }
        }
    }

    #[test]
    fn copies_nothing() {
        // SAFETY: no byte is read or written.
        unsafe { copy(std::ptr::dangling(), std::ptr::dangling_mut(), 0) };
    }
}
