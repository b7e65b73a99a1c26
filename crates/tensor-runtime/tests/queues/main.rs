//! In which order a device is given its work, and when somebody waits for it.

mod ahead;
mod calls;
mod staged;
mod stretches;
