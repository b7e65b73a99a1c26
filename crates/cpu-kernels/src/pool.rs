//! A small thread pool: one parallel loop at a time, tasks handed out by a counter.
//!
//! Which thread runs a task is left to chance, so a kernel's tasks must not depend on it: each task
//! writes its own part of the output, and the cut into tasks is the same for any number of threads
//! wherever it would show in the result.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// Threads that wait for loops to share.
pub struct ThreadPool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One loop at a time: a second caller waits here.
    turn: Mutex<()>,
}

struct Shared {
    state: Mutex<State>,
    start: Condvar,
    finish: Condvar,
    cancelled: AtomicBool,
}

struct State {
    generation: u64,
    work: Option<Work>,
    running: usize,
    panic: Option<Box<dyn std::any::Any + Send>>,
    stopping: bool,
}

#[derive(Clone, Copy)]
struct Work {
    body: *const (dyn Fn(usize) + Sync),
    next: *const AtomicUsize,
    tasks: usize,
}

// SAFETY: the pointers are to locals of `for_each`, which returns only after every worker has put
// its copy of `Work` away; what they point to is `Sync`.
unsafe impl Send for Work {}

impl ThreadPool {
    /// A pool in which `threads` threads share each loop: the caller and `threads - 1` workers.
    pub fn new(threads: usize) -> ThreadPool {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                generation: 0,
                work: None,
                running: 0,
                panic: None,
                stopping: false,
            }),
            start: Condvar::new(),
            finish: Condvar::new(),
            cancelled: AtomicBool::new(false),
        });
        let workers = (1..threads.max(1))
            .map(|index| {
                let shared = shared.clone();
                std::thread::Builder::new()
                    .name(format!("wan-cpu-{index}"))
                    .spawn(move || worker(&shared))
                    .expect("the system starts a thread")
            })
            .collect();
        ThreadPool { shared, workers, turn: Mutex::new(()) }
    }

    /// How many threads share a loop.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `body(0)`, …, `body(tasks - 1)`, each once, on the pool's threads, and returns when all
    /// are done. Tasks that have not begun when [`ThreadPool::cancel`] is called are left out.
    ///
    /// # Panics
    /// Where a task panics, after the others have ended.
    pub fn for_each(&self, tasks: usize, body: impl Fn(usize) + Sync) {
        if tasks <= 1 || self.workers.is_empty() {
            for task in 0..tasks {
                if self.is_cancelled() {
                    return;
                }
                body(task);
            }
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let next = AtomicUsize::new(0);
        let body: &(dyn Fn(usize) + Sync) = &body;
        // SAFETY: only the lifetime changes; `Work` is dropped by every thread before this returns.
        let body: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        let work = Work { body, next: &next, tasks };
        {
            let mut state = self.shared.state.lock().expect("no task runs under this lock");
            state.work = Some(work);
            state.generation += 1;
            state.running = self.workers.len();
        }
        self.shared.start.notify_all();
        let mine = catch_unwind(AssertUnwindSafe(|| run(&self.shared, work)));
        if mine.is_err() {
            next.store(tasks, Ordering::Relaxed);
        }
        let mut state = self.shared.state.lock().expect("no task runs under this lock");
        while state.running > 0 {
            state = self.shared.finish.wait(state).expect("no task runs under this lock");
        }
        state.work = None;
        let theirs = state.panic.take();
        drop(state);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = theirs {
            resume_unwind(panic);
        }
    }

    /// Makes loops leave out the tasks that have not begun, until [`ThreadPool::resume`].
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// Ends what [`ThreadPool::cancel`] began.
    pub fn resume(&self) {
        self.shared.cancelled.store(false, Ordering::Relaxed);
    }

    /// Whether loops leave their tasks out. A long task may ask, to end early.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.stopping = true;
        }
        self.shared.start.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches its tasks' panics, so joining can't fail in a way worth telling.
            let _ = worker.join();
        }
    }
}

fn worker(shared: &Shared) {
    let mut seen = 0;
    loop {
        let work = {
            let mut state = shared.state.lock().expect("no task runs under this lock");
            while state.generation == seen && !state.stopping {
                state = shared.start.wait(state).expect("no task runs under this lock");
            }
            if state.stopping {
                return;
            }
            seen = state.generation;
            state.work
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if let Some(work) = work {
                run(shared, work);
            }
        }));
        let mut state = shared.state.lock().expect("no task runs under this lock");
        if let Err(panic) = outcome {
            if let Some(work) = work {
                // SAFETY: `for_each` waits for this worker, so the counter is alive.
                unsafe { &*work.next }.store(work.tasks, Ordering::Relaxed);
            }
            state.panic.get_or_insert(panic);
        }
        state.running -= 1;
        if state.running == 0 {
            shared.finish.notify_one();
        }
    }
}

fn run(shared: &Shared, work: Work) {
    // SAFETY: `for_each` keeps both alive until every worker has reported back.
    let (body, next) = unsafe { (&*work.body, &*work.next) };
    while !shared.cancelled.load(Ordering::Relaxed) {
        let task = next.fetch_add(1, Ordering::Relaxed);
        if task >= work.tasks {
            return;
        }
        body(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_every_task_once() {
        for threads in [1, 2, 5] {
            let pool = ThreadPool::new(threads);
            for tasks in [0, 1, 2, 7, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.for_each(tasks, |task| {
                    counts[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = ThreadPool::new(3);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.for_each(50, |task| assert!(task != 20, "task 20"));
        }));
        assert!(outcome.is_err());
        let done = AtomicUsize::new(0);
        pool.for_each(50, |_| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 50);
    }

    #[test]
    fn cancelling_leaves_tasks_out() {
        let pool = ThreadPool::new(2);
        let done = AtomicUsize::new(0);
        pool.for_each(10_000, |_| {
            if done.fetch_add(1, Ordering::Relaxed) == 10 {
                pool.cancel();
            }
        });
        assert!(done.load(Ordering::Relaxed) < 10_000);
        pool.resume();
        assert!(!pool.is_cancelled());
    }
}
