//! Ranks and the collectives between them.
//!
//! A [`Transport`] connects this process to the others of a run; a [`ProcessGroup`] is an ordered
//! list of ranks that call collectives together. Both are interfaces: [`local`] implements them
//! over memory that the processes of one machine share, and [`mpi`] over an MPI library, for any
//! number of machines. One such as NCCL fits behind the same methods.
//!
//! Three promises hold for every implementation:
//!
//! - **Compared before anything moves.** Each collective has a [`Descriptor`]; where members
//!   disagree, every one of them gets an error that holds both descriptors.
//! - **No hang.** A rank that died, stopped, failed or finished too early is named to all that wait
//!   for it, with the collective and the time waited.
//! - **Fixed order.** Sums are taken in the order of the members, so their bytes depend on neither
//!   timing nor which member computes them.

mod call;
mod check;
mod descriptor;
mod error;
mod ledger;
pub mod local;
pub mod mpi;
pub mod planned;
mod process;
mod process_group;
pub mod reshard;
mod shape;
mod sum;
mod whereabouts;

pub use call::{Agreement, Buffer, BufferMut, Call, Memory, Operation, Peer};
pub use cpu_kernels::DType;
pub use descriptor::{Descriptor, Detail, OperationKind};
pub use error::{ErrorCode, TransportError};
pub use ledger::{Ledger, LedgerEntry};
pub use process_group::{Pending, ProcessGroup, SharedAllocation, Transport};
