//! Sharing tensors out along another dimension, with 1 to 4 processes: against a plain reference,
//! byte for byte, over shapes, dimensions, shares and numbers of tensors, from shared memory, from
//! elsewhere, and from both at once.

mod ranks;

use ranks::{Launch, Test};
use std::ops::Range;
use std::sync::Arc;
use transport::reshard::{MAX_TENSORS, Reshard, Share};
use transport::{
    Buffer, BufferMut, Call, DType, ErrorCode, LedgerEntry, Operation, OperationKind, ProcessGroup,
    SharedAllocation, Transport, TransportError,
};

type Group = dyn ProcessGroup;

/// The same numbers on every rank.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// As many numbers as members, of that sum; some may be 0.
    fn sizes(&mut self, members: usize, total: usize) -> Vec<usize> {
        let mut cuts: Vec<usize> = (1..members).map(|_| self.below(total + 1)).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([total]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        ends.zip(starts).map(|(end, start)| end - start).collect()
    }
}

/// Byte `byte` of element `element` of a whole tensor.
fn value(tensor: usize, element: usize, byte: usize) -> u8 {
    (tensor * 101 + element * 7 + element / 256 * 13 + byte * 31) as u8
}

/// The bytes of the elements within `range` along `dim`, as a member has them.
fn held(reshard: &Reshard, dtype: DType, tensor: usize, share: &Share, member: usize) -> Vec<u8> {
    let start: usize = share.sizes[..member].iter().sum();
    let range: Range<usize> = start..start + share.sizes[member];
    let inner: usize = reshard.shape[share.dim + 1..].iter().product();
    let count: usize = reshard.shape.iter().product();
    (0..count)
        .filter(|element| range.contains(&(element / inner % reshard.shape[share.dim])))
        .flat_map(|element| (0..dtype.size()).map(move |byte| value(tensor, element, byte)))
        .collect()
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

    fn buffer(&self) -> Buffer {
        match self {
            Source::Own(bytes) => Buffer::of(bytes),
            Source::Shared(block) => {
                Buffer { address: block.address(), bytes: block.bytes(), ..Buffer::EMPTY }
            }
        }
    }
}

/// Reshards, checks every target, and checks what the ledger says of it.
fn check(group: &Group, dtype: DType, reshard: &Reshard, shared: &dyn Fn(usize) -> bool) {
    const GUARD: u8 = 0xee;
    let (me, tensors) = (group.index(), reshard.tensors);
    let sources: Vec<Source> = (0..tensors)
        .map(|tensor| {
            let bytes = held(reshard, dtype, tensor, &reshard.gather, me);
            Source::new(group, bytes, shared(tensor))
        })
        .collect();
    let expected: Vec<Vec<u8>> =
        (0..tensors).map(|tensor| held(reshard, dtype, tensor, &reshard.split, me)).collect();
    let mut targets: Vec<Vec<u8>> =
        expected.iter().map(|bytes| vec![GUARD; bytes.len() + 192]).collect();
    let starts: Vec<usize> =
        targets.iter().map(|target| target.as_ptr().align_offset(64)).collect();
    let call = Call {
        operation: Operation::Reshard(reshard.clone()),
        dtype,
        shape: reshard.shape.clone(),
        sources: sources.iter().map(Source::buffer).collect(),
        targets: targets
            .iter_mut()
            .zip(&starts)
            .zip(&expected)
            .map(|((target, start), bytes)| {
                BufferMut::of(&mut target[*start..*start + bytes.len()])
            })
            .collect(),
    };
    let before = group.ledger();
    // SAFETY: sources and targets are left alone until it is complete.
    unsafe { group.start(call) }.unwrap().complete(&|| false).unwrap();
    let what = format!("{reshard:?} of {dtype:?} for member {me}");
    for ((target, start), bytes) in targets.iter().zip(&starts).zip(&expected) {
        let end = start + bytes.len();
        assert!(target[*start..end] == **bytes, "{what}: wrong bytes");
        let outside = target[..*start].iter().chain(&target[end..]);
        assert!(outside.into_iter().all(|byte| *byte == GUARD), "{what}: guard");
    }
    let own = reshard.bytes(me, me, dtype.size());
    let after = group.ledger();
    let moved = |of: fn(LedgerEntry) -> u64| {
        of(after.get(OperationKind::AllToAll)) - of(before.get(OperationKind::AllToAll))
    };
    let total = |buffers: &[usize]| buffers.iter().sum::<usize>();
    let sent = total(&sources.iter().map(|source| source.buffer().bytes).collect::<Vec<_>>()) - own;
    let received = total(&expected.iter().map(Vec::len).collect::<Vec<_>>()) - own;
    assert_eq!(moved(|entry| entry.count), 1, "{what}");
    assert_eq!(moved(|entry| entry.bytes_sent), sent as u64, "{what}");
    assert_eq!(moved(|entry| entry.bytes_received), received as u64, "{what}");
    let in_place = group.shares_memory() && (0..tensors).all(shared);
    let staged = if in_place { 0 } else { sent as u64 };
    assert_eq!(after.staged_bytes() - before.staged_bytes(), staged, "{what}");
}

const DTYPES: [DType; 4] = [DType::BFloat16, DType::Float32, DType::UInt8, DType::Int64];

fn any(transport: &dyn Transport) -> String {
    let group = transport.world();
    let (me, size) = (group.index(), group.size());
    let mut random = Random(size as u64);
    for case in 0..120 {
        let rank = 2 + random.below(3);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + random.below(9)).collect();
        let gather = random.below(rank);
        let split = (gather + 1 + random.below(rank - 1)) % rank;
        let reshard = Reshard {
            tensors: 1 + random.below(3),
            gather: Share { dim: gather, sizes: random.sizes(size, shape[gather]) },
            split: Share { dim: split, sizes: random.sizes(size, shape[split]) },
            shape,
        };
        let dtype = DTYPES[random.below(DTYPES.len())];
        match case % 4 {
            0 => check(&*group, dtype, &reshard, &|_| true),
            1 => check(&*group, dtype, &reshard, &|_| false),
            2 => check(&*group, dtype, &reshard, &|_| me.is_multiple_of(2)),
            _ => check(&*group, dtype, &reshard, &|tensor| tensor != me),
        }
    }
    String::new()
}

/// Queries, keys and values to heads and back, large enough for stores that go past the cache and
/// for many pieces; heads and rows that aren't whole cache lines too.
fn attention(transport: &dyn Transport) -> String {
    let group = transport.world();
    let (me, size) = (group.index(), group.size());
    let even = |total: usize| -> Vec<usize> {
        (0..size).map(|member| total * (member + 1) / size - total * member / size).collect()
    };
    for (sequence, heads, width) in [(1213, 12, 64), (700, 5, 40), (13, 2, 16)] {
        let sequence = Share { dim: 1, sizes: even(sequence) };
        let heads = Share { dim: 2, sizes: even(heads) };
        let sum = |share: &Share| share.sizes.iter().sum::<usize>();
        let shape = vec![1, sum(&sequence), sum(&heads), width];
        let there = Reshard { tensors: 3, shape, gather: sequence, split: heads };
        let Reshard { shape, gather, split, .. } = there.clone();
        let back = Reshard { tensors: 1, shape, gather: split, split: gather };
        for dtype in [DType::BFloat16, DType::Float32] {
            for reshard in [&there, &back] {
                check(&*group, dtype, reshard, &|_| true);
                check(&*group, dtype, reshard, &|_| me == 0);
            }
        }
    }
    String::new()
}

fn call(group: &Group, dtype: DType, reshard: &Reshard) -> Result<(), TransportError> {
    let bytes = |shape: &[usize]| shape.iter().product::<usize>() * dtype.size();
    let source = vec![1u8; bytes(&reshard.shape_before(group.index()))];
    let mut targets = vec![vec![0xee; bytes(&reshard.shape_after(group.index()))]; reshard.tensors];
    let call = Call {
        operation: Operation::Reshard(reshard.clone()),
        dtype,
        shape: reshard.shape.clone(),
        sources: vec![Buffer::of(&source); reshard.tensors],
        targets: targets.iter_mut().map(|target| BufferMut::of(target)).collect(),
    };
    // SAFETY: as in `check`.
    let outcome = unsafe { group.start(call) }.and_then(|pending| pending.complete(&|| false));
    if outcome.is_err() {
        assert!(targets.iter().flatten().all(|byte| *byte == 0xee), "bytes were moved");
    }
    outcome
}

fn base(size: usize) -> Reshard {
    Reshard {
        tensors: 3,
        shape: vec![2, 3 * size, 2 * size, 4],
        gather: Share { dim: 1, sizes: vec![3; size] },
        split: Share { dim: 2, sizes: vec![2; size] },
    }
}

/// Rank 1's call differs from the others' in one thing, which the launcher names.
fn differing(transport: &dyn Transport, change: fn(&mut Reshard)) -> String {
    let group = transport.world();
    let mut reshard = base(group.size());
    if transport.world().index() == 1 {
        change(&mut reshard);
    }
    let error = call(&*group, DType::Float32, &reshard).unwrap_err();
    assert_eq!(error.code, ErrorCode::Mismatch, "{error}");
    assert_ne!(error.expected, error.found);
    error.to_string()
}

fn other_tensors(transport: &dyn Transport) -> String {
    differing(transport, |reshard| reshard.tensors = 2)
}

fn other_sizes(transport: &dyn Transport) -> String {
    differing(transport, |reshard| reshard.gather.sizes = vec![4, 2])
}

fn other_heads(transport: &dyn Transport) -> String {
    differing(transport, |reshard| reshard.split.sizes = vec![1, 3])
}

fn other_dims(transport: &dyn Transport) -> String {
    differing(transport, |reshard| {
        reshard.shape = vec![2, 6, 4, 4];
        reshard.split.dim = 3;
    })
}

fn refusals(transport: &dyn Transport) -> String {
    let group = transport.world();
    let reshard = base(group.size());
    let refused = |change: &dyn Fn(&mut Call)| {
        let source = vec![1u8; 3 * 2 * 8 * 4 * 2 * group.size()];
        let mut targets = vec![vec![0u8; 2 * 3 * group.size() * 2 * 4]; 3];
        let mut call = Call {
            operation: Operation::Reshard(reshard.clone()),
            dtype: DType::UInt8,
            shape: reshard.shape.clone(),
            sources: vec![Buffer::of(&source[..2 * 3 * 2 * group.size() * 4]); 3],
            targets: targets.iter_mut().map(|target| BufferMut::of(target)).collect(),
        };
        change(&mut call);
        // SAFETY: as in `check`.
        let outcome = unsafe { group.start(call) }.and_then(|pending| pending.complete(&|| false));
        let error = outcome.unwrap_err();
        assert_eq!(error.code, ErrorCode::Argument, "{error}");
        error.to_string()
    };
    let with = |change: fn(&mut Reshard)| {
        let mut reshard = reshard.clone();
        change(&mut reshard);
        refused(&|call| call.operation = Operation::Reshard(reshard.clone()))
    };
    assert!(refused(&|call| call.sources.truncate(2)).contains("2 sources, 3 targets"));
    assert!(refused(&|call| call.sources[1].bytes -= 1).contains("the source has"));
    assert!(refused(&|call| call.targets[2].bytes += 1).contains("the target has"));
    with(|reshard| reshard.tensors = MAX_TENSORS + 1);
    with(|reshard| reshard.split.dim = reshard.gather.dim);
    with(|reshard| reshard.gather.sizes[0] += 1);
    with(|reshard| reshard.gather.sizes.push(0));
    // None was announced: the group goes on.
    call(&*group, DType::UInt8, &reshard).unwrap();
    String::new()
}

fn main() {
    const TESTS: &[Test] = &[
        ("any_shape_dimensions_shares_and_sources_with_one_to_four_ranks", |launch| {
            launch.worlds(1..=4).into_iter().for_each(|world| drop(launch.run("any", world)));
        }),
        ("queries_keys_and_values_to_heads_and_back", |launch| {
            launch.worlds(1..=3).into_iter().for_each(|world| drop(launch.run("attention", world)));
        }),
        ("other_calls_are_errors_with_both_descriptors", |launch| {
            for line in launch.fail("otherTensors", 2) {
                assert!(line.contains("3 × float32 [2, 6, 4, 4]"), "{line}");
                assert!(line.contains("2 × float32 [2, 6, 4, 4]"), "{line}");
            }
            for line in launch.fail("otherDims", 2) {
                assert!(line.contains("dimension 1 gathered and 2 split"), "{line}");
                assert!(line.contains("dimension 1 gathered and 3 split"), "{line}");
            }
            for scenario in ["otherSizes", "otherHeads"] {
                for line in launch.fail(scenario, 2) {
                    assert!(line.contains("the ranks disagree"), "{line}");
                }
            }
        }),
        ("arguments_are_refused_before_anything_is_announced", |launch| {
            drop(launch.run("refusals", 2))
        }),
    ];
    ranks::main(
        &[
            ("any", any),
            ("attention", attention),
            ("otherTensors", other_tensors),
            ("otherSizes", other_sizes),
            ("otherHeads", other_heads),
            ("otherDims", other_dims),
            ("refusals", refusals),
        ],
        &Launch::all(),
        TESTS,
    );
}
