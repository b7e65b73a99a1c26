//! What a tensor's elements are and how they lie in memory, whatever the device.

pub mod dtype;
pub mod layout;

pub use dtype::DType;
pub use layout::Layout;
