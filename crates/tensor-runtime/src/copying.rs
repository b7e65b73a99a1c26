//! This machine's part of copies to devices and from them: between a tensor's memory, such as a mapped
//! file, and memory that a device reaches.

use crate::stream::lock;
use cpu_kernels::ThreadPool;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex};

/// Threads that share it at most: as many as keep up with any link, where one doesn't.
const MOST_THREADS: usize = 8;
/// Bytes that a thread takes at a time.
const PIECE: usize = 512 << 10;

/// The threads, started at the first copy. They aren't those of kernels, since no copy is left out where
/// kernels are cancelled.
#[derive(Default)]
pub(crate) struct Copiers(Mutex<Option<Arc<ThreadPool>>>);

impl Copiers {
    /// Copies all of `source` to `target`, which is as long, for a stream of `threads` threads.
    pub(crate) fn copy(&self, threads: usize, source: &[u8], target: &mut [MaybeUninit<u8>]) {
        let threads = threads.min(MOST_THREADS);
        if threads <= 1 || source.len() <= PIECE {
            target.write_copy_of_slice(source);
            return;
        }
        assert_eq!(source.len(), target.len(), "a copy is as long as what is copied");
        let targets: Vec<_> = target.chunks_mut(PIECE).map(Mutex::new).collect();
        self.of(threads).for_each(targets.len(), |piece| {
            let mut target = lock(&targets[piece]);
            let from = &source[piece * PIECE..][..target.len()];
            target.write_copy_of_slice(from);
        });
    }

    fn of(&self, threads: usize) -> Arc<ThreadPool> {
        let mut held = lock(&self.0);
        match &*held {
            Some(pool) if pool.threads() == threads => pool.clone(),
            _ => held.insert(Arc::new(ThreadPool::new(threads))).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_copied_by_any_number_of_threads() {
        let copiers = Copiers::default();
        for threads in [0, 1, 3, 20] {
            for bytes in [0, 1, PIECE, PIECE + 1, 5 * PIECE - 3] {
                let source: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
                let mut target = vec![MaybeUninit::new(0); bytes];
                copiers.copy(threads, &source, &mut target);
                // SAFETY: written at the start at least.
                let found = target.iter().map(|byte| unsafe { byte.assume_init() });
                assert!(found.eq(source.iter().copied()), "{bytes} bytes by {threads}");
            }
            let kept = lock(&copiers.0).as_ref().map(|pool| pool.threads());
            assert_eq!(kept, (threads > 1).then_some(threads.min(MOST_THREADS)));
        }
    }
}
