//! What a kernel did that it must not do.

/// The kind of a fault; CUDA has an error for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An access to memory that isn't allocated, or not any more.
    IllegalAddress,
    /// An access to an address that isn't a multiple of its size.
    MisalignedAddress,
    /// Lanes that should meet and don't, or a trap.
    LaunchFailed,
    /// A loop that doesn't seem to end.
    Timeout,
}

/// A fault, and where it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// What was done, with addresses.
    pub message: String,
    /// The first lane that did it.
    pub lane: u32,
    /// Line of the PTX; 0 until it is known.
    pub line: u32,
    /// Kernel, block, thread, PTX and source line; empty until they are known.
    pub place: String,
}

impl Fault {
    /// A fault of `lane`.
    pub fn new(kind: FaultKind, lane: u32, message: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { kind, message: message.into(), lane, line: 0, place: String::new() })
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.message, self.place)
    }
}

impl std::error::Error for Fault {}

/// Whether an instruction could be done.
pub type Outcome = Result<(), Box<Fault>>;
