//! What every process group must do, tried with 1 to 4 processes: values of each collective at
//! sizes 0, 1, uneven and larger than a window, odd element types, staged and shared sources,
//! sub-groups, many in a row, and the ledger.

mod ranks;

use ranks::{Launch, Test};
use std::sync::Arc;
use transport::reshard::{Reshard, Share};
use transport::{
    Agreement, Buffer, BufferMut, Call, DType, Operation, OperationKind, Peer, ProcessGroup,
    SharedAllocation, Transport,
};

type Group = dyn ProcessGroup;

/// Byte `index` of what `from` has for `to`, different for every collective of a test.
fn value(from: usize, to: usize, index: usize, salt: usize) -> u8 {
    (from * 61 + to * 17 + index * 7 + index / 256 + salt * 29) as u8
}

fn bytes(from: usize, to: usize, count: usize, salt: usize) -> Vec<u8> {
    (0..count).map(|index| value(from, to, index, salt)).collect()
}

/// A source in ordinary memory or in the group's shared memory.
enum Source {
    Own(Vec<u8>),
    Shared(Arc<dyn SharedAllocation>),
}

impl Source {
    fn new(group: &Group, bytes: Vec<u8>, shared: bool) -> Source {
        if !shared || !group.shares_memory() {
            return Source::Own(bytes);
        }
        let block = group.allocate(bytes.len()).unwrap();
        // SAFETY: the block is new and of that size.
        unsafe { block.address().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Source::Shared(block)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Source::Own(bytes) => bytes,
            // SAFETY: filled in `new`, and not written since.
            Source::Shared(block) => unsafe {
                std::slice::from_raw_parts(block.address(), block.bytes())
            },
        }
    }
}

/// Runs a collective and checks that it writes its target exactly.
fn check(group: &Group, operation: Operation, dtype: DType, source: &Source, expected: &[u8]) {
    const GUARD: u8 = 0xee;
    let mut target = vec![GUARD; expected.len() + 128];
    // Aligned for every element type, whatever the allocator gives.
    let start = target.as_ptr().align_offset(64);
    let end = start + expected.len();
    let what = format!("{operation:?} of {dtype:?} in {}", group.label());
    group.run(operation, dtype, &[], source.bytes(), &mut target[start..end]).unwrap();
    assert!(target[start..end] == *expected, "{what}: wrong bytes");
    assert!(
        target[..start].iter().chain(&target[end..]).all(|byte| *byte == GUARD),
        "{what}: guard"
    );
}

/// Sizes of a member's part: nothing, one element, odd, and several windows of 4096 bytes.
const COUNTS: [usize; 6] = [0, 1, 7, 1000, 4096, 13_001];
const DTYPES: [DType; 4] = [DType::UInt8, DType::BFloat16, DType::Float32, DType::Int64];

/// Whether a member's source is shared: none, all, or every other.
fn shared(mode: usize, member: usize) -> bool {
    mode == 1 || mode == 2 && member % 2 == 1
}

fn moves(group: &Group) {
    let (me, size) = (group.index(), group.size());
    for (salt, count) in COUNTS.into_iter().enumerate() {
        let dtype = DTYPES[salt % DTYPES.len()];
        let element = dtype.size();
        for mode in 0..3 {
            let shared = shared(mode, me);
            group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap();

            for root in [0, size - 1] {
                let sent = bytes(root, 0, count * element, salt);
                let own = if me == root { sent.clone() } else { Vec::new() };
                let source = Source::new(group, own, shared);
                check(group, Operation::Broadcast { root, count }, dtype, &source, &sent);
            }

            // Even, and uneven with a member that has nothing.
            for uneven in [false, true] {
                let of =
                    |member: usize| if uneven { count * member / 2 + member % 2 } else { count };
                let counts: Vec<usize> = (0..size).map(of).collect();
                let source = Source::new(group, bytes(me, 0, counts[me] * element, salt), shared);
                let gathered: Vec<u8> = (0..size)
                    .flat_map(|member| bytes(member, 0, counts[member] * element, salt))
                    .collect();
                check(group, Operation::AllGather { counts }, dtype, &source, &gathered);

                let pair = |from: usize, to: usize| {
                    if uneven { count * (from + 2 * to) / 4 } else { count }
                };
                let part = |from: usize, to: usize| bytes(from, to, pair(from, to) * element, salt);
                let send = (0..size).map(|to| pair(me, to)).collect();
                let receive = (0..size).map(|from| pair(from, me)).collect();
                let source =
                    Source::new(group, (0..size).flat_map(|to| part(me, to)).collect(), shared);
                let received: Vec<u8> = (0..size).flat_map(|from| part(from, me)).collect();
                check(group, Operation::AllToAll { send, receive }, dtype, &source, &received);
            }

            // A ring, uneven: member m sends count + m elements to the next.
            if size > 1 {
                let (next, previous) = ((me + 1) % size, (me + size - 1) % size);
                let source = Source::new(group, bytes(me, 1, (count + me) * element, salt), shared);
                let to = Some(Peer { member: next, count: count + me });
                let from = Some(Peer { member: previous, count: count + previous });
                let received = bytes(previous, 1, (count + previous) * element, salt);
                check(group, Operation::Exchange { to, from }, dtype, &source, &received);
                // One way: from the first to the last.
                let sent = bytes(0, 2, count * element, salt);
                let peer = |member| Some(Peer { member, count });
                if me == 0 {
                    let source = Source::new(group, sent, shared);
                    let operation = Operation::Exchange { to: peer(size - 1), from: None };
                    check(group, operation, dtype, &source, &[]);
                } else if me == size - 1 {
                    let operation = Operation::Exchange { to: None, from: peer(0) };
                    check(group, operation, dtype, &Source::Own(Vec::new()), &sent);
                }
            }
        }
    }
}

fn float(from: usize, index: usize) -> f32 {
    // Of very different sizes, so that another order of addition has other bits.
    let sign = if (from + index).is_multiple_of(3) { -1.0 } else { 1.0 };
    sign * (1.0 + index as f32 * 0.37 + from as f32)
        * 10f32.powi(((from * 5 + index) % 9) as i32 - 4)
}

fn sums(group: &Group) {
    let (me, size) = (group.index(), group.size());
    for count in [0, 1, 7, 1000, 12_345] {
        let terms: Vec<Vec<f32>> =
            (0..size).map(|from| (0..count).map(|index| float(from, index)).collect()).collect();
        let total =
            |index: usize| terms[1..].iter().fold(terms[0][index], |sum, term| sum + term[index]);
        let totals: Vec<u8> = (0..count).flat_map(|index| total(index).to_le_bytes()).collect();
        let own: Vec<u8> = terms[me].iter().flat_map(|value| value.to_le_bytes()).collect();
        for mode in 0..3 {
            let source = Source::new(group, own.clone(), shared(mode, me));
            check(group, Operation::AllReduce { count }, DType::Float32, &source, &totals);
            let counts: Vec<usize> = (0..size)
                .map(|member| count * (member + 1) / size - count * member / size)
                .collect();
            let start = count * me / size * 4;
            let part = &totals[start..start + counts[me] * 4];
            check(group, Operation::ReduceScatter { counts }, DType::Float32, &source, part);
        }
        // Halves: bfloat16 terms, summed in float32 and rounded once.
        let round = cpu_kernels::float::f32_to_bf16;
        let widen = cpu_kernels::float::bf16_to_f32;
        let halves: Vec<Vec<u16>> =
            terms.iter().map(|term| term.iter().map(|value| round(*value)).collect()).collect();
        let total = |index: usize| {
            let first = widen(halves[0][index]);
            round(halves[1..].iter().fold(first, |sum, term| sum + widen(term[index])))
        };
        let totals: Vec<u8> = (0..count).flat_map(|index| total(index).to_le_bytes()).collect();
        let own: Vec<u8> = halves[me].iter().flat_map(|value| value.to_le_bytes()).collect();
        let source = Source::new(group, own, false);
        check(group, Operation::AllReduce { count }, DType::BFloat16, &source, &totals);
    }
}

fn all_collectives(transport: &dyn Transport) -> String {
    moves(&*transport.world());
    sums(&*transport.world());
    String::new()
}

fn sub_groups(transport: &dyn Transport) -> String {
    let world = transport.world();
    let even: Vec<usize> = (0..world.size()).step_by(2).collect();
    // Backwards, so that a member's place isn't its rank's.
    let odd: Vec<usize> = (0..world.size()).filter(|rank| rank % 2 == 1).rev().collect();
    let parts: Vec<_> = [even, odd].into_iter().filter(|part| !part.is_empty()).collect();
    let rows = world.split("rows", &parts).unwrap().unwrap();
    let place = parts.iter().flatten().position(|rank| *rank == world.index()).unwrap();
    assert_eq!(rows.members()[rows.index()], world.index());
    moves(&*rows);
    sums(&*rows);
    // Groups in turn with the one they come from, and a part that leaves ranks out.
    let first = world.split("first", &[vec![0]]).unwrap();
    assert_eq!(first.is_some(), world.index() == 0);
    for _ in 0..50 {
        for group in [&world, &rows] {
            let counts = vec![1; group.size()];
            let expected: Vec<u8> = group.members().iter().map(|rank| *rank as u8).collect();
            let source = Source::Own(vec![world.index() as u8]);
            check(&**group, Operation::AllGather { counts }, DType::UInt8, &source, &expected);
        }
    }
    format!("{place}")
}

fn many(transport: &dyn Transport) -> String {
    let group = transport.world();
    let me = group.index();
    for round in 0..2000 {
        let counts = vec![3; group.size()];
        let expected: Vec<u8> =
            (0..group.size()).flat_map(|from| bytes(from, 0, 3, round)).collect();
        let source = Source::Own(bytes(me, 0, 3, round));
        check(&*group, Operation::AllGather { counts }, DType::UInt8, &source, &expected);
    }
    String::new()
}

fn overlapped(transport: &dyn Transport) -> String {
    let group = transport.world();
    let (me, size) = (group.index(), group.size());
    let sent = bytes(me, 0, 50_000, 0);
    let mut received = vec![0; 50_000];
    let previous = (me + size - 1) % size;
    let operation = Operation::Exchange {
        to: Some(Peer { member: (me + 1) % size, count: 50_000 }),
        from: Some(Peer { member: previous, count: 50_000 }),
    };
    let call = Call {
        operation,
        dtype: DType::UInt8,
        shape: vec![50_000],
        sources: vec![Buffer::of(&sent)],
        targets: vec![BufferMut::of(&mut received)],
    };
    // SAFETY: both vectors are left alone until the exchange is complete.
    let pending = unsafe { group.start(call) }.unwrap();
    // Longer than ranks may be silent: one that computes hasn't stopped.
    std::thread::sleep(std::time::Duration::from_millis(if me == 0 { 900 } else { 0 }));
    let refused = group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap_err();
    assert_eq!(refused.code, transport::ErrorCode::Argument);
    pending.complete(&|| false).unwrap();
    assert!(received == bytes(previous, 0, 50_000, 0));
    String::new()
}

fn ledger(transport: &dyn Transport) -> String {
    let group = transport.world();
    let me = group.index();
    let run = |operation: Operation, sent: usize, received: usize| {
        let (source, mut target) = (vec![0; sent * 4], vec![0u8; received * 4]);
        group.run(operation, DType::Int32, &[], &source, &mut target).unwrap();
    };
    run(Operation::AllGather { counts: vec![10, 20, 30] }, 10 * (me + 1), 60);
    run(Operation::AllToAll { send: vec![5; 3], receive: vec![5; 3] }, 15, 15);
    run(Operation::AllToAll { send: vec![5; 3], receive: vec![5; 3] }, 15, 15);
    run(Operation::Broadcast { root: 1, count: 8 }, if me == 1 { 8 } else { 0 }, 8);
    run(Operation::ReduceScatter { counts: vec![1, 2, 3] }, 6, me + 1);
    run(Operation::AllReduce { count: 9 }, 9, 9);
    run(Operation::Barrier, 0, 0);
    let ledger = group.ledger();
    let entry = |kind| {
        let entry = ledger.get(kind);
        (entry.count, entry.bytes_sent, entry.bytes_received)
    };
    let own = 4 * (me as u64 + 1);
    assert_eq!(entry(OperationKind::AllGather), (1, 20 * own, 240 - 10 * own));
    assert_eq!(entry(OperationKind::AllToAll), (2, 80, 80));
    let broadcast = if me == 1 { (1, 64, 0) } else { (1, 0, 32) };
    assert_eq!(entry(OperationKind::Broadcast), broadcast);
    assert_eq!(entry(OperationKind::ReduceScatter), (1, 24 - own, 2 * own));
    // As reduce-scatter and all-gather of 3 elements each: 6 out and 2 · 3 back.
    assert_eq!(entry(OperationKind::AllReduce), (1, 48, 48));
    assert_eq!(entry(OperationKind::Barrier), (1, 0, 0));
    assert_eq!(entry(OperationKind::Exchange), (0, 0, 0));
    assert_eq!(ledger.entries().count(), 6);
    String::new()
}

/// Collectives whose bytes go another way, between those whose bytes don't: they are counted alike.
fn agreed(transport: &dyn Transport) -> String {
    let world = transport.world();
    let parts = [(0..world.size()).collect()];
    let other = world.split("elsewhere", &parts).unwrap().unwrap();
    let (me, size, dtype) = (world.index(), world.size(), DType::BFloat16);
    let share = |dim, each| Share { dim, sizes: vec![each; size] };
    let operations = [
        Operation::Barrier,
        Operation::Broadcast { root: 1, count: 8 },
        Operation::AllGather { counts: (1..=size).collect() },
        Operation::AllToAll { send: vec![me + 1; size], receive: (1..=size).collect() },
        Operation::ReduceScatter { counts: (1..=size).collect() },
        Operation::AllReduce { count: 9 },
        Operation::Exchange {
            to: Some(Peer { member: (me + 1) % size, count: 5 }),
            from: Some(Peer { member: (me + size - 1) % size, count: 5 }),
        },
        Operation::Reshard(Reshard {
            tensors: 1,
            shape: vec![2 * size, 3 * size],
            gather: share(0, 2),
            split: share(1, 3),
        }),
    ];
    for _ in 0..3 {
        for operation in &operations {
            let (sent, received) = operation.elements(me, size).unwrap();
            let (source, mut target) = (vec![0; sent * 2], vec![0u8; received * 2]);
            world.run(operation.clone(), dtype, &[], &source, &mut target).unwrap();
            let agreement = Agreement { operation: operation.clone(), dtype, shape: Vec::new() };
            other.agree(agreement).unwrap().complete(&|| false).unwrap();
        }
    }
    let counted = |group: &Group| -> Vec<_> {
        group.ledger().entries().filter(|(kind, _)| *kind != OperationKind::Split).collect()
    };
    assert_eq!(counted(&*other), counted(&*world));
    assert_eq!(counted(&*other).len(), 7);
    assert_eq!(other.ledger().staged_bytes(), 0);
    let operation = Operation::AllGather { counts: vec![1; size + 1] };
    let refused = other.agree(Agreement { operation, dtype, shape: Vec::new() });
    assert_eq!(refused.err().unwrap().code, transport::ErrorCode::Argument);
    assert_eq!(other.failure(), None);
    String::new()
}

fn refusals(transport: &dyn Transport) -> String {
    let group = transport.world();
    let refused = |operation: Operation, source: &[u8], target: &mut [u8]| {
        let error = group.run(operation, DType::Int32, &[], source, target).unwrap_err();
        assert_eq!(error.code, transport::ErrorCode::Argument, "{error}");
        error.to_string()
    };
    let mut eight = [0; 8];
    let short = refused(Operation::AllReduce { count: 2 }, &[0; 7], &mut eight);
    assert!(short.contains("the source has 7 bytes") && short.contains("2 elements"), "{short}");
    refused(Operation::AllReduce { count: usize::MAX }, &[0; 8], &mut eight);
    refused(Operation::AllGather { counts: vec![1; 3] }, &[0; 4], &mut eight);
    refused(Operation::Broadcast { root: 2, count: 2 }, &[0; 8], &mut eight);
    let me = Some(Peer { member: group.index(), count: 2 });
    refused(Operation::Exchange { to: me, from: me }, &[0; 8], &mut eight);
    let storage = [0u8; 32];
    let odd = storage.as_ptr().align_offset(4) + 1;
    refused(Operation::AllReduce { count: 2 }, &storage[odd..odd + 8], &mut eight);
    assert!(group.split("twice", &[vec![0], vec![0, 1]]).is_err());
    assert!(group.split("none", &[vec![]]).is_err());
    // A refused call was never announced: the group goes on.
    group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap();
    String::new()
}

/// Groups without end: an error says that there is no room for more, and what there is goes on.
fn too_many_groups(transport: &dyn Transport) -> String {
    let world = transport.world();
    let parts = [(0..world.size()).collect()];
    let mut groups = Vec::new();
    let error = loop {
        match world.split("one more", &parts) {
            Ok(group) => groups.push(group.unwrap()),
            Err(error) => break error,
        }
    };
    assert!(groups.len() >= 32, "{} groups", groups.len());
    assert_eq!(error.code, transport::ErrorCode::OutOfSharedMemory);
    for group in [&world, &groups[0], &groups[groups.len() - 1]] {
        group.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap();
    }
    error.to_string()
}

fn main() {
    const TESTS: &[Test] = &[
        ("every_collective_with_one_to_four_ranks", |launch| {
            launch.worlds(1..=4).into_iter().for_each(|world| drop(launch.run("all", world)));
        }),
        ("sub_groups_of_two_to_four_ranks", |launch| {
            launch.worlds(2..=4).into_iter().for_each(|world| drop(launch.run("subGroups", world)));
        }),
        ("thousands_in_a_row", |launch| {
            launch.worlds(2..=3).into_iter().for_each(|world| drop(launch.run("many", world)));
        }),
        ("a_started_exchange_leaves_time_to_compute", |launch| drop(launch.run("overlapped", 3))),
        ("the_ledger_counts_payload_by_kind", |launch| drop(launch.run("ledger", 3))),
        ("what_goes_another_way_is_agreed_on_and_counted", |launch| {
            launch.worlds(2..=3).into_iter().for_each(|world| drop(launch.run("agreed", world)));
        }),
        ("groups_beyond_the_room_for_them_are_refused", |launch| {
            for output in launch.run("groups", 2) {
                assert!(output.contains("groups"), "{output}");
            }
        }),
        ("arguments_are_refused_before_anything_is_announced", |launch| {
            drop(launch.run("refusals", 2))
        }),
    ];
    ranks::main(
        &[
            ("all", all_collectives),
            ("subGroups", sub_groups),
            ("many", many),
            ("overlapped", overlapped),
            ("ledger", ledger),
            ("agreed", agreed),
            ("refusals", refusals),
            ("groups", too_many_groups),
        ],
        &Launch::all(),
        TESTS,
    );
}
