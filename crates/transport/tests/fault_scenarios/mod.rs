//! What ranks do in the tests of faults. Each prints one line of facts of the error that it gets.

use crate::ranks::Scenario;
use std::time::{Duration, Instant};
use transport::{
    Agreement, DType, ErrorCode, Operation, Peer, ProcessGroup, Transport, TransportError,
};

/// The scenarios by name.
pub const ALL: &[(&str, Scenario)] = &[
    ("waitFor", wait_for_rank_1),
    ("waitWith", wait_with_rank_1),
    ("fail", fail),
    ("exit", exit),
    ("finishEarly", finish_early),
    ("cancel", cancel),
    ("abandon", drop_pending),
    ("otherShape", other_shape),
    ("otherDtype", other_dtype),
    ("otherOperation", other_operation),
    ("otherOrder", other_order),
    ("otherWay", other_way),
    ("otherSizes", other_sizes),
    ("otherParts", other_parts),
    ("otherExchange", other_exchange),
    ("late", late),
    ("compute", compute),
    ("killed", |transport| struck(transport, libc::SIGKILL)),
    ("stopped", |transport| struck(transport, libc::SIGSTOP)),
    ("busy", busy),
    ("barrier", |transport| {
        barrier(&*transport.world()).unwrap();
        String::new()
    }),
    ("tooMuch", too_much_memory),
];

fn barrier(group: &dyn ProcessGroup) -> Result<(), TransportError> {
    group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut [])
}

fn gather(
    group: &dyn ProcessGroup,
    dtype: DType,
    shape: &[usize],
) -> Result<Vec<u8>, TransportError> {
    let bytes = shape.iter().product::<usize>() * dtype.size();
    let counts = vec![bytes / dtype.size(); group.size()];
    let mut target = vec![0xee; bytes * group.size()];
    group.run(Operation::AllGather { counts }, dtype, shape, &vec![7; bytes], &mut target)?;
    Ok(target)
}

/// One line of facts, for the test that started the rank.
fn facts(error: &TransportError) -> String {
    let peer = error.peer.map_or("-".into(), |peer| peer.to_string());
    format!("{} peer {peer} {} #{} | {error}", error.code.name(), error.collective, error.sequence)
}

/// Rank 1 of three ends up where the signal finds it; the others wait in a collective.
fn wait_for_rank_1(transport: &dyn Transport) -> String {
    let group = transport.world();
    barrier(&*group).unwrap();
    transport.note("step 3, block 7");
    if transport.world().index() == 1 {
        // The signal comes here, after a barrier and outside of a collective.
        std::thread::sleep(Duration::from_secs(60));
    }
    facts(&gather(&*group, DType::Float32, &[4]).unwrap_err())
}

/// Rank 1 of three is found inside a collective, into which rank 2 follows late.
fn wait_with_rank_1(transport: &dyn Transport) -> String {
    let group = transport.world();
    transport.note("step 3, block 7");
    if transport.world().index() == 2 {
        std::thread::sleep(Duration::from_millis(600));
    }
    facts(&gather(&*group, DType::Float32, &[4]).unwrap_err())
}

/// Rank 1 of three strikes itself with a signal, where no test knows when to.
fn struck(transport: &dyn Transport, signal: i32) -> String {
    let group = transport.world();
    transport.note("step 3, block 7");
    barrier(&*group).unwrap();
    if group.index() == 1 {
        crate::ranks::mpi::tell(&std::process::id().to_string());
        // Others hear several times a second where it is.
        std::thread::sleep(Duration::from_millis(400));
        // SAFETY: our own process.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    facts(&gather(&*group, DType::Float32, &[4]).unwrap_err())
}

/// Computes without looking round, once the test knows its process.
fn busy(transport: &dyn Transport) -> String {
    barrier(&*transport.world()).unwrap();
    crate::ranks::mpi::tell(&std::process::id().to_string());
    compute(transport)
}

fn fail(transport: &dyn Transport) -> String {
    if transport.world().index() == 1 {
        transport.fail("the weights are damaged");
        std::process::exit(1);
    }
    facts(&barrier(&*transport.world()).unwrap_err())
}

fn exit(transport: &dyn Transport) -> String {
    if transport.world().index() == 1 {
        std::process::exit(0);
    }
    facts(&barrier(&*transport.world()).unwrap_err())
}

fn finish_early(transport: &dyn Transport) -> String {
    if transport.world().index() == 1 {
        return String::new();
    }
    facts(&barrier(&*transport.world()).unwrap_err())
}

fn cancel(transport: &dyn Transport) -> String {
    let group = transport.world();
    if transport.world().index() == 1 {
        let began = Instant::now();
        let call = transport::Call {
            operation: Operation::Barrier,
            dtype: DType::UInt8,
            shape: Vec::new(),
            sources: vec![transport::Buffer::EMPTY],
            targets: vec![transport::BufferMut::EMPTY],
        };
        // SAFETY: there are no buffers.
        let pending = unsafe { group.start(call) }.unwrap();
        let interrupted = || began.elapsed() > Duration::from_millis(50);
        return facts(&pending.complete(&interrupted).unwrap_err());
    }
    std::thread::sleep(Duration::from_millis(200));
    facts(&barrier(&*group).unwrap_err())
}

fn drop_pending(transport: &dyn Transport) -> String {
    let group = transport.world();
    if transport.world().index() == 1 {
        group.abandon("its input failed");
        return facts(&barrier(&*group).unwrap_err());
    }
    facts(&barrier(&*group).unwrap_err())
}

fn mismatch(
    transport: &dyn Transport,
    odd: impl Fn(&dyn ProcessGroup) -> TransportError,
) -> String {
    let group = transport.world();
    barrier(&*group).unwrap();
    let error = if transport.world().index() == 1 {
        odd(&*group)
    } else {
        gather(&*group, DType::Float32, &[2, 6]).unwrap_err()
    };
    // The group stays failed.
    assert_eq!(barrier(&*group).unwrap_err(), error);
    facts(&error)
}

fn other_shape(transport: &dyn Transport) -> String {
    mismatch(transport, |group| gather(group, DType::Float32, &[3, 4]).unwrap_err())
}

fn other_dtype(transport: &dyn Transport) -> String {
    mismatch(transport, |group| gather(group, DType::Int32, &[2, 6]).unwrap_err())
}

fn other_operation(transport: &dyn Transport) -> String {
    mismatch(transport, |group| {
        let mut target = [0; 48];
        let operation = Operation::AllToAll { send: vec![4; 3], receive: vec![4; 3] };
        group.run(operation, DType::Float32, &[2, 6], &[0; 48], &mut target).unwrap_err()
    })
}

fn other_order(transport: &dyn Transport) -> String {
    mismatch(transport, |group| barrier(group).unwrap_err())
}

fn other_way(transport: &dyn Transport) -> String {
    mismatch(transport, |group| {
        let operation = Operation::AllGather { counts: vec![12; 3] };
        let agreement = Agreement { operation, dtype: DType::Float32, shape: vec![2, 6] };
        group.agree(agreement).unwrap().complete(&|| false).unwrap_err()
    })
}

fn other_sizes(transport: &dyn Transport) -> String {
    let group = transport.world();
    let counts = if transport.world().index() == 1 { vec![1, 2, 1] } else { vec![2, 2, 0] };
    let source = vec![0; counts[transport.world().index()]];
    let mut target = [0xee; 4];
    let operation = Operation::AllGather { counts };
    let error = group.run(operation, DType::UInt8, &[], &source, &mut target).unwrap_err();
    assert_eq!(target, [0xee; 4]);
    facts(&error)
}

fn other_parts(transport: &dyn Transport) -> String {
    let group = transport.world();
    // Rank 2 expects 3 bytes from rank 0, which sends it 2. Rank 1 is in the right with both.
    let receive = if transport.world().index() == 2 { vec![3, 2, 2] } else { vec![2; 3] };
    let mut target = vec![0xee; receive.iter().sum()];
    let operation = Operation::AllToAll { send: vec![2; 3], receive };
    let error = group.run(operation, DType::UInt8, &[], &[0; 6], &mut target).unwrap_err();
    assert!(target.iter().all(|byte| *byte == 0xee));
    facts(&error)
}

fn other_exchange(transport: &dyn Transport) -> String {
    let group = transport.world();
    let peer = |member, count| Some(Peer { member, count });
    let mut target = [0xee; 8];
    let outcome = match transport.world().index() {
        0 => group.run(
            Operation::Exchange { to: peer(1, 4), from: None },
            DType::UInt8,
            &[4],
            &[1; 4],
            &mut [],
        ),
        1 => group.run(
            Operation::Exchange { to: None, from: peer(0, 8) },
            DType::UInt8,
            &[8],
            &[],
            &mut target,
        ),
        _ => barrier(&*group),
    };
    assert_eq!(target, [0xee; 8]);
    facts(&outcome.unwrap_err())
}

fn late(transport: &dyn Transport) -> String {
    if transport.world().index() == 1 {
        std::thread::sleep(Duration::from_secs(60));
    }
    facts(&barrier(&*transport.world()).unwrap_err())
}

fn compute(_: &dyn Transport) -> String {
    let began = Instant::now();
    let mut number = 0u64;
    while began.elapsed() < Duration::from_secs(60) {
        number = std::hint::black_box(number.wrapping_mul(31) + 1);
    }
    number.to_string()
}

fn too_much_memory(transport: &dyn Transport) -> String {
    let group = transport.world();
    let held = group.allocate(48 << 20).unwrap();
    let error = group.allocate(48 << 20).err().unwrap();
    assert_eq!(error.code, ErrorCode::OutOfSharedMemory);
    drop(held);
    drop(group.allocate(48 << 20).unwrap());
    error.to_string()
}
