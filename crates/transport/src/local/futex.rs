//! Sleeping on a word of shared memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A counter that processes wait on. It only grows (modulo 2³²).
#[repr(C)]
pub(crate) struct Word {
    value: AtomicU32,
    sleepers: AtomicU32,
}

impl Word {
    /// The value, with everything its writer did before.
    pub(crate) fn load(&self) -> u32 {
        self.value.load(Ordering::Acquire)
    }

    /// Publishes `value` and wakes who sleeps on it.
    pub(crate) fn store(&self, value: u32) {
        // Sequentially consistent with the sleeper's count and check: either it sees the value, or
        // we see the sleeper.
        self.value.store(value, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            wake(&self.value);
        }
    }

    /// Sleeps until the value may have changed from `seen`, at most for `time`.
    pub(crate) fn sleep(&self, seen: u32, time: Duration) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        if self.value.load(Ordering::SeqCst) == seen {
            wait(&self.value, seen, time);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether counter `value` has come to `target`, also past an overflow.
pub(crate) fn reached(value: u32, target: u32) -> bool {
    value.wrapping_sub(target) as i32 >= 0
}

#[cfg(target_os = "linux")]
fn wake(word: &AtomicU32) {
    // SAFETY: the word outlives the call; the futex is a shared one, as the memory is.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(target_os = "linux")]
fn wait(word: &AtomicU32, seen: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos() as libc::c_long,
    };
    // SAFETY: word and time outlive the call. Whatever it returns, the caller looks again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen, &time) };
}

// Elsewhere shared futexes are no public interface: a sleeper looks again after a moment.
#[cfg(not(target_os = "linux"))]
fn wake(_: &AtomicU32) {}

#[cfg(not(target_os = "linux"))]
fn wait(_: &AtomicU32, _: u32, time: Duration) {
    std::thread::sleep(time.min(Duration::from_micros(50)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_compare_past_their_overflow() {
        assert!(reached(5, 5) && reached(6, 5) && !reached(4, 5));
        assert!(reached(2, u32::MAX) && !reached(u32::MAX, 2));
    }

    #[test]
    fn a_store_wakes_a_sleeper() {
        let word = Word { value: AtomicU32::new(0), sleepers: AtomicU32::new(0) };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load() == 0 {
                    word.sleep(0, Duration::from_secs(60));
                }
            });
            std::thread::sleep(Duration::from_millis(20));
            word.store(1);
        });
        assert_eq!(word.sleepers.load(Ordering::Relaxed), 0);
    }
}
