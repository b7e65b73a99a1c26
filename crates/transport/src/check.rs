//! What every transport refuses before it announces anything.

use crate::call::{Call, Memory, Operation};
use crate::descriptor::OperationKind;
use crate::error::{ErrorCode, TransportError};

fn refuse(kind: OperationKind, rank: usize, expected: String, found: String) -> TransportError {
    TransportError {
        collective: kind.name(),
        ..TransportError::new(ErrorCode::Argument, rank, expected, found)
    }
}

/// Refuses a call of `rank`, which is member `index` of `size`, whose buffers don't fit its sizes
/// or lie where they are not `supported`.
pub(crate) fn check(
    call: &Call,
    rank: usize,
    index: usize,
    size: usize,
    supported: impl Fn(Memory) -> bool,
) -> Result<(), TransportError> {
    let kind = call.operation.kind();
    let (sent, received) = check_operation(&call.operation, rank, index, size)?;
    let refuse = |expected: String, found: String| Err(refuse(kind, rank, expected, found));
    let element = call.dtype.size();
    let reduces = matches!(kind, OperationKind::AllReduce | OperationKind::ReduceScatter);
    let tensors = call.operation.tensors();
    if call.sources.len() != tensors || call.targets.len() != tensors {
        let found = format!("{} sources, {} targets", call.sources.len(), call.targets.len());
        return refuse(format!("{tensors} of each"), found);
    }
    let sources = call.sources.iter().map(|source| {
        ("source", source.memory, source.address as usize, source.bytes, sent / tensors)
    });
    let targets = call.targets.iter().map(|target| {
        ("target", target.memory, target.address as usize, target.bytes, received / tensors)
    });
    for (name, memory, address, bytes, count) in sources.chain(targets) {
        if !supported(memory) {
            let found = format!("the {name} is in {memory:?}");
            return refuse("in the processor's memory".into(), found);
        }
        if count.checked_mul(element) != Some(bytes) {
            let expected = format!("{count} elements of {element} bytes");
            return refuse(expected, format!("the {name} has {bytes} bytes"));
        }
        if reduces && bytes > 0 && !address.is_multiple_of(element) {
            let expected = format!("aligned to {element} bytes");
            return refuse(expected, format!("the {name} is at {address:#x}"));
        }
    }
    Ok(())
}

/// Refuses an operation that doesn't fit a group of `size`, as [`check`] does; returns the elements that
/// the member sends and receives.
pub(crate) fn check_operation(
    operation: &Operation,
    rank: usize,
    index: usize,
    size: usize,
) -> Result<(usize, usize), TransportError> {
    let refuse = |expected, found| Err(refuse(operation.kind(), rank, expected, found));
    let Some(elements) = operation.elements(index, size) else {
        let expected = format!("one size for each of the group's {size} members");
        return refuse(expected, format!("the operation is {operation:?}"));
    };
    if let Operation::Exchange { to, from } = operation
        && [to, from].into_iter().flatten().any(|peer| peer.member == index)
    {
        let found = format!("member {index} is to exchange with itself");
        return refuse("with another member".into(), found);
    }
    Ok(elements)
}

/// Whether the parts of a split are lists of different places below `size`, none empty.
fn are_disjoint(parts: &[Vec<usize>], size: usize) -> bool {
    let mut seen = vec![false; size];
    !parts.iter().any(Vec::is_empty)
        && parts
            .iter()
            .flatten()
            .all(|member| *member < size && !std::mem::replace(&mut seen[*member], true))
}

/// Refuses lists of places, in a group of `size` members, that aren't disjoint or have none.
pub(crate) fn check_parts(
    parts: &[Vec<usize>],
    rank: usize,
    size: usize,
) -> Result<(), TransportError> {
    if are_disjoint(parts, size) {
        return Ok(());
    }
    let expected = format!("disjoint lists of places below {size}, none empty");
    Err(refuse(OperationKind::Split, rank, expected, format!("the parts are {parts:?}")))
}
