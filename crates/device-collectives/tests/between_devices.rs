//! Ranks with an emulated device each, over an emulated NCCL, against the same collectives in the
//! processor's memory. Ranks are threads.

use cuda::nccl::{Nccl, NcclError};
use cuda::{Device, DeviceMemory, Driver, Stream};
use cuda_kernels::{DeviceView, Gpu, Layout};
use device_collectives::{Collectives, DeviceGroup, Joined, join};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::time::{Duration, Instant};
use transport::local::{Launcher, LauncherSettings, LocalSettings, LocalTransport};
use transport::reshard::{Reshard, Share};
use transport::{
    Agreement, Buffer, BufferMut, Call, DType, ErrorCode, Operation, Peer, ProcessGroup, Transport,
};

const RANKS: usize = 3;

fn driver() -> Arc<Driver> {
    static DRIVER: OnceLock<Arc<Driver>> = OnceLock::new();
    let open = || {
        // SAFETY: nobody else in these tests reads or writes the environment: the driver, which does, is
        // called first after this.
        unsafe { std::env::set_var("WAN_EMULATOR_DEVICES", RANKS.to_string()) };
        // SAFETY: the emulator's functions are of these signatures.
        unsafe { nccl_emulator::use_driver(&cuda_emulator::symbol) };
        // SAFETY: as above.
        unsafe { Driver::with_symbols(&cuda_emulator::symbol) }.unwrap()
    };
    DRIVER.get_or_init(open).clone()
}

fn nccl() -> Result<Arc<Nccl>, NcclError> {
    // SAFETY: the emulator's functions are of these signatures.
    unsafe { Nccl::with_symbols(&nccl_emulator::symbol) }
}

/// A rank, with its device.
struct Rank<'a> {
    launcher: &'a Launcher,
    transport: LocalTransport,
    gpu: Arc<Gpu>,
}

/// Runs `body` as each of `size` ranks, each on a thread.
fn run_ranks(size: usize, devices: usize, body: impl Fn(Rank<'_>) + Sync) {
    let launcher = Launcher::new(&LauncherSettings::new(size)).unwrap();
    let driver = driver();
    let (body, launcher) = (&body, &launcher);
    std::thread::scope(|scope| {
        for rank in 0..size {
            let driver = driver.clone();
            scope.spawn(move || {
                // SAFETY: an open descriptor, of which the rank takes a copy over.
                let own = unsafe { libc::dup(launcher.descriptor()) };
                let settings =
                    LocalSettings { end_with_launcher: false, ..LocalSettings::default() };
                let transport = LocalTransport::join(own, rank, size, settings).unwrap();
                let device = Device::open(&driver, rank % devices).unwrap();
                let gpu = Arc::new(Gpu::new(device).unwrap());
                body(Rank { launcher, transport, gpu });
            });
        }
    });
}

fn connect(rank: &Rank<'_>) -> DeviceGroup {
    let Joined { collectives, group } =
        join(&rank.transport.world(), &rank.gpu, nccl(), None, |_| ()).unwrap();
    assert_eq!(collectives, Collectives::Nccl { version: "2.30.7".to_owned() });
    group.unwrap()
}

struct OnDevice {
    memory: DeviceMemory,
    view: DeviceView,
}

fn on_device(gpu: &Gpu, dtype: DType, bytes: &[u8]) -> OnDevice {
    let memory = gpu.device().allocate(bytes.len()).unwrap();
    // SAFETY: as many bytes, which nothing else uses.
    unsafe { gpu.device().copy_to_device(memory.address(), bytes) }.unwrap();
    let layout = Layout::contiguous(&[bytes.len() / dtype.size()]);
    let view = DeviceView { address: memory.address(), dtype, layout };
    OnDevice { memory, view }
}

fn back(gpu: &Gpu, tensor: &OnDevice) -> Vec<u8> {
    let mut bytes = vec![0; tensor.memory.bytes()];
    // SAFETY: as many bytes.
    unsafe { gpu.device().copy_to_host(&mut bytes, tensor.memory.address()) }.unwrap();
    bytes
}

/// Runs an operation on tensors of the device and of the processor, and compares.
fn compare(
    rank: &Rank<'_>,
    (devices, host): (&DeviceGroup, &dyn ProcessGroup),
    operation: &Operation,
    dtype: DType,
    stream: Stream,
) {
    const POISON: u8 = 0xee;
    let (index, size) = (host.index(), host.size());
    let tensors = operation.tensors();
    let (sent, received) = operation.elements(index, size).unwrap();
    let source = |tensor: usize| -> Vec<u8> {
        let value = |place| (place * 7 + place / 256 + index * 61 + tensor * 17) as u8;
        (0..sent / tensors * dtype.size()).map(value).collect()
    };
    let sources: Vec<Vec<u8>> = (0..tensors).map(source).collect();
    let poison = vec![POISON; received / tensors * dtype.size()];
    let mut expected = vec![poison.clone(); tensors];
    let call = Call {
        operation: operation.clone(),
        dtype,
        shape: Vec::new(),
        sources: sources.iter().map(|source| Buffer::of(source)).collect(),
        targets: expected.iter_mut().map(|target| BufferMut::of(target)).collect(),
    };
    // SAFETY: the vectors are left alone until it is complete.
    unsafe { host.start(call) }.unwrap().complete(&|| false).unwrap();

    let gpu = &rank.gpu;
    let from: Vec<OnDevice> = sources.iter().map(|each| on_device(gpu, dtype, each)).collect();
    let to: Vec<OnDevice> = (0..tensors).map(|_| on_device(gpu, dtype, &poison)).collect();
    gpu.device().synchronize().unwrap();
    let views = |all: &[OnDevice]| all.iter().map(|each| each.view.clone()).collect::<Vec<_>>();
    let agreement = Agreement { operation: operation.clone(), dtype, shape: Vec::new() };
    // SAFETY: the tensors are left alone until they are read, which waits.
    unsafe { devices.run(agreement, stream, &views(&from), &views(&to), &|| false) }.unwrap();
    for (found, expected) in to.iter().zip(&expected) {
        assert!(back(gpu, found) == *expected, "{operation:?} of {dtype:?}, member {index}");
    }
}

fn operations(index: usize, size: usize) -> Vec<Operation> {
    let shares = |total: usize| -> Vec<usize> {
        (0..size).map(|member| total / size + usize::from(member < total % size)).collect()
    };
    let reshard = |tensors, shape: &[usize], gather: usize, split: usize| {
        Operation::Reshard(Reshard {
            tensors,
            shape: shape.to_vec(),
            gather: Share { dim: gather, sizes: shares(shape[gather]) },
            split: Share { dim: split, sizes: shares(shape[split]) },
        })
    };
    let pair = |from: usize, to: usize| from + 2 * to;
    let (next, previous) = ((index + 1) % size, (index + size - 1) % size);
    let mut all = vec![
        Operation::Barrier,
        Operation::Broadcast { root: size - 1, count: 37 },
        Operation::Broadcast { root: 0, count: 0 },
        Operation::AllGather { counts: vec![5; size] },
        Operation::AllGather { counts: (0..size).map(|member| member * 3).collect() },
        Operation::AllToAll {
            send: (0..size).map(|to| pair(index, to)).collect(),
            receive: (0..size).map(|from| pair(from, index)).collect(),
        },
        // There and back, with one batch and with several, uneven, and with members that have nothing.
        reshard(3, &[1, 13, 5, 8], 1, 2),
        reshard(1, &[1, 13, 5, 8], 2, 1),
        reshard(2, &[2, 7, 4, 3], 1, 2),
        reshard(2, &[2, 7, 4, 3], 2, 1),
        reshard(1, &[2, 2, 3, 4], 1, 3),
    ];
    if size > 1 {
        all.push(Operation::Exchange {
            to: Some(Peer { member: next, count: 10 + index }),
            from: Some(Peer { member: previous, count: 10 + previous }),
        });
    }
    all
}

#[test]
fn devices_exchange_what_processors_do() {
    for size in 1..=RANKS {
        run_ranks(size, RANKS, |rank| {
            let world = rank.transport.world();
            let host = world.split("host", &[(0..size).collect()]).unwrap().unwrap();
            let devices = connect(&rank);
            for dtype in [DType::BFloat16, DType::Float32, DType::Int64, DType::UInt8] {
                for operation in operations(world.index(), size) {
                    let groups = (&devices, &*host);
                    compare(&rank, groups, &operation, dtype, Stream::Compute);
                    if matches!(operation, Operation::Exchange { .. }) {
                        compare(&rank, groups, &operation, dtype, Stream::Copy);
                    }
                }
            }
            let counted = |group: &dyn ProcessGroup| -> Vec<_> {
                let other = |kind| kind != transport::OperationKind::Split;
                group.ledger().entries().filter(|entry| other(entry.0)).collect()
            };
            assert_eq!(counted(&*world), counted(&*host));
            rank.transport.finish().unwrap();
        });
    }
}

#[test]
fn new_groups_have_devices_too() {
    run_ranks(RANKS, RANKS, |rank| {
        let world = rank.transport.world();
        let devices = connect(&rank);
        // Backwards, so that a member's place isn't its rank's; rank 1 is in none.
        let parts = [vec![2, 0]];
        let part = world.split("part", &parts).unwrap();
        let part_devices = devices.split(part.as_ref(), &parts).unwrap();
        assert_eq!(part_devices.is_some(), world.index() != 1);
        if let (Some(part), Some(part_devices)) = (&part, &part_devices) {
            let host = part.split("host", &[vec![0, 1]]).unwrap().unwrap();
            for operation in operations(part.index(), 2) {
                let groups = (part_devices, &*host);
                compare(&rank, groups, &operation, DType::Float32, Stream::Compute);
            }
        }
        world.run(Operation::Barrier, DType::UInt8, &[], &[], &mut []).unwrap();
        rank.transport.finish().unwrap();
    });
}

#[test]
fn ranks_without_a_device_each_go_through_their_machine() {
    run_ranks(2, 1, |rank| {
        let joined = join(&rank.transport.world(), &rank.gpu, nccl(), None, |_| ()).unwrap();
        let reason = "ranks 0 and 1 share a device".to_owned();
        assert_eq!(joined.collectives, Collectives::Staged { reason });
        assert!(joined.group.is_none());
        let forced = join(&rank.transport.world(), &rank.gpu, nccl(), Some("nccl"), |_| ());
        let error = forced.err().unwrap();
        assert_eq!(error.code, ErrorCode::StartUp);
        let expected = "WAN_CUDA_COLLECTIVES=nccl, but ranks 0 and 1 share a device";
        assert!(error.to_string().contains(expected), "{error}");
        rank.transport.finish().unwrap();
    });
}

#[test]
fn a_rank_that_fails_ends_what_devices_wait_for() {
    let over = Barrier::new(2);
    run_ranks(2, RANKS, |rank| {
        let world = rank.transport.world();
        let heard = Arc::new(AtomicBool::new(false));
        let told = heard.clone();
        let joined = join(&world, &rank.gpu, nccl(), None, move |failure| {
            assert_eq!(failure.peer, Some(1));
            told.store(true, Ordering::Release);
        });
        let devices = joined.unwrap().group.unwrap();
        let source = on_device(&rank.gpu, DType::UInt8, &[0; 8]);
        let target = on_device(&rank.gpu, DType::UInt8, &[0; 8]);
        let agreement = Agreement {
            operation: Operation::AllToAll { send: vec![4; 2], receive: vec![4; 2] },
            dtype: DType::UInt8,
            shape: Vec::new(),
        };
        if world.index() == 1 {
            // Comes to the collective, and fails before it sends anything.
            world.agree(agreement).unwrap().complete(&|| false).unwrap();
            // The other has agreed as well, and waits for the bytes, or is about to.
            while !rank.launcher.observe(0).unwrap().whereabouts.contains("after all-to-all") {
                std::thread::yield_now();
            }
            rank.transport.fail("out of memory");
            // Its communicator is there until then: nothing but a watch ends the other's wait.
            over.wait();
        } else {
            let (from, to) = ([source.view.clone()], [target.view.clone()]);
            // SAFETY: the tensors are left alone.
            let queued = unsafe { devices.run(agreement, Stream::Compute, &from, &to, &|| false) };
            over.wait();
            let error = queued.unwrap_err();
            assert_eq!((error.code, error.peer), (ErrorCode::PeerFailed, Some(1)));
            assert!(error.to_string().contains("out of memory"), "{error}");
            // The other's watch may end the wait as well.
            let begin = Instant::now();
            while !heard.load(Ordering::Acquire) {
                assert!(begin.elapsed() < Duration::from_secs(30), "the watch doesn't hear of it");
                std::thread::yield_now();
            }
        }
    });
}
