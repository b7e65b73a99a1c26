//! The end of a process that hasn't done its work.
//!
//! A rank that ends in the middle of a run must end the others, also by `exit(0)`, which some
//! launchers take for success. The C library runs hooks at the end of a process.

use super::shared::{Request, Shared};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The rank that this process is. MPI is initialised once in a process, and a hook has no argument.
static RANK: OnceLock<Arc<Shared>> = OnceLock::new();

/// How long the engine may take to end all ranks.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(target_os = "linux")]
unsafe extern "C" {
    // Not in the libc crate. Runtimes end by `quick_exit`, which runs no other hooks.
    fn at_quick_exit(hook: extern "C" fn()) -> libc::c_int;
}

/// Makes `shared` this process's rank. False where there is one.
pub(super) fn claim(shared: Arc<Shared>) -> bool {
    RANK.set(shared).is_ok()
}

/// From now on the process ends the run when it ends.
///
/// Called once MPI is initialised: hooks run in the reverse order, and MPI's own would end it.
pub(super) fn watch() {
    // SAFETY: the hook takes nothing and is there for as long as the process.
    unsafe { libc::atexit(end_run) };
    #[cfg(target_os = "linux")]
    // SAFETY: as above.
    unsafe {
        at_quick_exit(end_run)
    };
}

extern "C" fn end_run() {
    let Some(shared) = RANK.get() else { return };
    // Ending already: MPI's way of aborting may come through here.
    if !shared.is_in_use() || shared.is_ending() {
        return;
    }
    shared.ask(Request::End);
    std::thread::sleep(PATIENCE);
    end_process();
}

/// Ends this process as a failure, without hooks.
pub(super) fn end_process() -> ! {
    // SAFETY: takes a number.
    unsafe { libc::_exit(1) }
}
