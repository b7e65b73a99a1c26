//! Watching other processes end, and ending with the launcher.

use std::time::Duration;

/// Another process, watched until it ends. Works for zombies, and isn't misled when the system
/// gives the number to a new process.
pub(crate) struct Watched {
    #[cfg(target_os = "linux")]
    descriptor: Option<std::os::fd::OwnedFd>,
    pid: i32,
}

impl Watched {
    /// Watches `pid` from now on.
    pub(crate) fn new(pid: u32) -> Watched {
        let pid = pid as i32;
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::{FromRawFd, OwnedFd};
            // SAFETY: takes two numbers and returns a new descriptor, or −1 for a process that is
            // gone (or on kernels before 5.3), for which `has_ended` asks in the old way.
            let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as i32;
            // SAFETY: just opened, and nobody else's.
            let descriptor = (descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(descriptor) });
            Watched { descriptor, pid }
        }
        #[cfg(not(target_os = "linux"))]
        Watched { pid }
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&self) -> bool {
        #[cfg(target_os = "linux")]
        if let Some(descriptor) = &self.descriptor {
            use std::os::fd::AsRawFd;
            let events = libc::POLLIN;
            let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 };
            // SAFETY: one valid entry.
            return unsafe { libc::poll(&mut poll, 1, 0) } > 0;
        }
        // SAFETY: signal 0 only asks.
        let answer = unsafe { libc::kill(self.pid, 0) };
        answer != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
    }
}

/// Sleeps for `time`, or until one of `watched` ends where the system can tell.
pub(crate) fn sleep_until_one_ends<'a>(watched: impl Iterator<Item = &'a Watched>, time: Duration) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        let mut polls: Vec<_> = watched
            .filter_map(|process| process.descriptor.as_ref())
            .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        let milliseconds = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: as many valid entries as said.
        unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, milliseconds) };
    }
    #[cfg(not(target_os = "linux"))]
    {
        drop(watched);
        std::thread::sleep(time);
    }
}

/// Has the system kill this process when its parent ends, also inside native code.
pub(crate) fn end_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: takes numbers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
}

/// Ends this process as an outer signal would: at once, from any thread.
pub(crate) fn end_at_once() -> ! {
    // SAFETY: our own process; the signal can't be caught.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    std::process::abort()
}
