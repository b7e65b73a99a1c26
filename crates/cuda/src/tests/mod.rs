//! Everything over the fake driver.

mod copies;
mod device;
mod memory;
mod modules;
