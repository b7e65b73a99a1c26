//! Asynchronous products of matrices that tensor copies brought, and what kernels can do wrong there.

mod device;

use device::Argument::Pointer;
use device::{Device, Failed, INVALID_VALUE, LAUNCH_FAILED, Tensor, random_words};

const LAUNCH_TIMEOUT: i32 = 702;

/// Channels of the matrices: rows of 128 bytes.
const CHANNELS: usize = 64;

/// Copies 64 rows of `first` and 8 of `second`, from row `%r4` on, and gives the 64 × 8 products of their
/// rows.
const KERNEL: &str = "
.version 8.8
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 dynamic[];
.visible .entry test(
  .param .align 64 .b8 first[128],
  .param .align 64 .b8 second[128],
  .param .u64 result
)
.maxntid 384, 1, 1
.minnctapersm 1
{
  .reg .pred %p<8>;
  .reg .b32 %r<32>;
  .reg .f32 %f<8>;
  .reg .b64 %rd<16>;
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, dynamic;
  add.s32 %r3, %r2, 9216;
  mov.u32 %r4, 0;
  setp.ne.u32 %p1, %r1, 0;
  @%p1 bra $MADE;
  mbarrier.init.shared::cta.b64 [%r3], 1;
  fence.mbarrier_init.release.cluster;
$MADE:
  bar.sync 0;
  setp.ge.u32 %p2, %r1, 128;
  @%p2 bra $LOADS;
  setmaxnreg.inc.sync.aligned.u32 240;
$WAITS:
  mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r3], 0;
  @!%p3 bra $WAITS;
  wgmma.fence.sync.aligned;
  shr.u32 %r5, %r2, 4;
  cvt.u64.u32 %rd1, %r5;
  or.b64 %rd1, %rd1, 0x4000004000010000;
  add.s64 %rd2, %rd1, 512;
  setp.ne.b32 %p4, 0, 0;
  setp.eq.b32 %p5, 0, 0;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd1, %rd2, %p4, 1, 1, 0, 0;
  add.s64 %rd3, %rd1, 2;
  add.s64 %rd4, %rd2, 2;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd3, %rd4, %p5, 1, 1, 0, 0;
  add.s64 %rd3, %rd1, 4;
  add.s64 %rd4, %rd2, 4;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd3, %rd4, %p5, 1, 1, 0, 0;
  add.s64 %rd3, %rd1, 6;
  add.s64 %rd4, %rd2, 6;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%f1, %f2, %f3, %f4}, %rd3, %rd4, %p5, 1, 1, 0, 0;
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
  ld.param.u64 %rd5, [result];
  shr.u32 %r6, %r1, 2;
  and.b32 %r7, %r6, 7;
  shr.u32 %r8, %r1, 5;
  mad.lo.s32 %r6, %r8, 16, %r7;
  and.b32 %r9, %r1, 3;
  shl.b32 %r6, %r6, 5;
  mad.lo.s32 %r6, %r9, 8, %r6;
  cvt.u64.u32 %rd6, %r6;
  add.s64 %rd5, %rd5, %rd6;
  st.global.v2.f32 [%rd5], {%f1, %f2};
  st.global.v2.f32 [%rd5+256], {%f3, %f4};
  ret;
$LOADS:
  setmaxnreg.dec.sync.aligned.u32 24;
  setp.ne.u32 %p6, %r1, 128;
  @%p6 bra $END;
  mov.b64 %rd7, first;
  cvta.param.u64 %rd8, %rd7;
  mov.b64 %rd9, second;
  cvta.param.u64 %rd10, %rd9;
  mov.u32 %r10, 0;
  add.s32 %r11, %r2, 8192;
  mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r3], 9216;
  cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%rd8, {%r10, %r10}], [%r3];
  cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r11], [%rd10, {%r10, %r4}], [%r3];
$END:
  ret;
}
";

/// Whole numbers from -4 to 4, whose products are exact.
fn numbers(count: usize, seed: u64) -> Vec<i32> {
    random_words(count, seed).iter().map(|word| (word >> 8) as i32 % 9 - 4).collect()
}

/// Float16 of a small whole number.
fn half(number: i32) -> u16 {
    let sign = if number < 0 { 0x8000 } else { 0 };
    match number.unsigned_abs() {
        0 => 0,
        size => {
            let exponent = size.ilog2();
            let fraction = (size << 10 >> exponent) & 0x3ff;
            sign | ((exponent + 15) << 10 | fraction) as u16
        }
    }
}

/// The first matrix, the second and what a kernel made of them.
type Found = (Vec<i32>, Vec<i32>, Vec<f32>);

/// What `text` makes of a matrix and another of as many rows.
fn products(text: &str, rows: usize) -> Result<Found, Failed> {
    let device = Device::open();
    let (first, second) = (numbers(64 * CHANNELS, 1), numbers(rows * CHANNELS, 2));
    let upload = |numbers: &[i32]| -> u64 {
        device.upload(&numbers.iter().map(|number| half(*number)).collect::<Vec<u16>>())
    };
    let (a, b, result) = (upload(&first), upload(&second), device.allocate(64 * 8 * 4));
    let map = |address, rows, taken| {
        let (sizes, strides) = (vec![CHANNELS as u64, rows], vec![2 * CHANNELS as u64]);
        device
            .map(&Tensor { address, sizes, strides, extents: vec![64, taken], swizzle: 3 })
            .unwrap()
    };
    let arguments = [map(a, 64, 64), map(b, rows as u64, 8), Pointer(result)];
    // The second block, whose warps begin the other way round, computes the same.
    let outcome = device.run(text, "test", [2, 1, 1], 384, 9472, &arguments);
    let found = device.download(result, 64 * 8);
    for address in [a, b, result] {
        device.free(address);
    }
    outcome.map(|()| (first, second, found))
}

fn replaced(from: &str, to: &str) -> String {
    assert_eq!(KERNEL.matches(from).count(), 1, "{from}");
    KERNEL.replace(from, to)
}

#[test]
fn products_are_exact_and_rows_past_the_end_zeros() {
    for (rows, from) in [(8, 0), (5, 0), (12, 9), (8, -3), (8, 8)] {
        let text = replaced("mov.u32 %r4, 0;", &format!("mov.u32 %r4, {from};"));
        let (first, second, found) = products(&text, rows).unwrap();
        for row in 0..64 {
            for column in 0..8 {
                let other = usize::try_from(from + column).ok().filter(|other| *other < rows);
                let expected: i32 = other.map_or(0, |other| {
                    let pairs = first[row * CHANNELS..].iter().zip(&second[other * CHANNELS..]);
                    pairs.take(CHANNELS).map(|(a, b)| a * b).sum()
                });
                let found = found[row * 8 + column as usize];
                assert_eq!(found, expected as f32, "{rows} {from}: {row}, {column}");
            }
        }
    }
}

#[test]
fn what_is_not_waited_for_or_fenced_is_found() {
    let commit = "wgmma.commit_group.sync.aligned;";
    let copy = "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], \
         [%rd8, {%r10, %r10}], [%r3];";
    for (from, to, status, message) in [
        ("wgmma.fence.sync.aligned;", "", LAUNCH_FAILED, "wgmma.fence is missing"),
        ("wgmma.wait_group.sync.aligned 0;", "", LAUNCH_FAILED, "wgmma.wait_group is missing"),
        (commit, "", LAUNCH_FAILED, "wgmma.wait_group is missing"),
        ("@!%p3 bra $WAITS;", "", LAUNCH_FAILED, "a copy under way"),
        (commit, "mov.f32 %f1, %f5;", LAUNCH_FAILED, "writes a register that a product"),
        ("fence.mbarrier_init.release.cluster;", "", LAUNCH_FAILED, "made without a fence"),
        ("_, [%r3], 9216;", "_, [%r3], 9217;", LAUNCH_TIMEOUT, "1 bytes are missing"),
        ("[%r3], 1;", "[%r3], 2;", LAUNCH_TIMEOUT, "1 of 2 arrivals"),
        (copy, &copy.repeat(2), LAUNCH_FAILED, "two copies under way"),
        ("shr.u32 %r5, %r2, 4;", "mov.u32 %r5, 500;", 700, "shared memory to"),
        ("0x4000004000010000", "0x4000004000018000", LAUNCH_FAILED, "bits that the emulator"),
        ("add.s32 %r11, %r2, 8192;", "add.s32 %r11, %r2, 8200;", 716, "no multiple of 128"),
        ("add.s32 %r11, %r2, 8192;", "add.s32 %r11, %r2, 9216;", 700, "a box of 1024 bytes"),
        ("dec.sync.aligned.u32 24;", "dec.sync.aligned.u32 256;", LAUNCH_FAILED, "setmaxnreg asks"),
        ("bar.sync 0;", "", LAUNCH_FAILED, "no barrier was made"),
    ] {
        let failed = products(&replaced(from, to), 8).map(drop).expect_err(from);
        assert!(failed.text.contains(message), "{from}: {}", failed.text);
        assert_eq!(failed.status, status, "{from}: {}", failed.text);
    }
}

#[test]
fn a_copy_over_what_products_read_is_found() {
    // The consumers load the next tile themselves, before they wait for the products of this one.
    let text = replaced(
        "wgmma.commit_group.sync.aligned;",
        "wgmma.commit_group.sync.aligned;
         setp.ne.u32 %p7, %r1, 0;
         mov.b64 %rd7, first;
         cvta.param.u64 %rd8, %rd7;
         mov.u32 %r10, 0;
         @!%p7 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%rd8, {%r10, %r10}], [%r3];",
    );
    let failed = products(&text, 8).map(drop).unwrap_err();
    assert!(failed.text.contains("products of warp 0 still read"), "{}", failed.text);
}

#[test]
fn maps_that_the_driver_would_refuse_are_refused() {
    let device = Device::open();
    let address = device.allocate(4096);
    let map = |change: &dyn Fn(&mut Tensor)| {
        let (sizes, strides) = (vec![64, 8], vec![128]);
        let mut tensor = Tensor { address, sizes, strides, extents: vec![64, 8], swizzle: 3 };
        change(&mut tensor);
        device.map(&tensor).map(drop)
    };
    map(&|_| {}).unwrap();
    let refused = |change: &dyn Fn(&mut Tensor)| {
        let failed = map(change).unwrap_err();
        assert_eq!(failed.status, INVALID_VALUE);
        failed.text
    };
    assert!(refused(&|tensor| tensor.address += 8).contains("no multiple of 16"));
    assert!(refused(&|tensor| tensor.strides[0] = 136).contains("a stride of 136"));
    assert!(refused(&|tensor| tensor.strides[0] = 0).contains("a stride of 0"));
    assert!(refused(&|tensor| tensor.extents[1] = 257).contains("a box of 257"));
    assert!(refused(&|tensor| tensor.extents[0] = 32).contains("rows of 64 bytes swizzled"));
    assert!(refused(&|tensor| tensor.sizes[1] = 0).contains("a dimension of 0"));
    assert!(refused(&|tensor| tensor.swizzle = 4).contains("swizzle 4"));
    device.free(address);
}
