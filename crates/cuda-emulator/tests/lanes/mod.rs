//! Instructions one by one, against Rust's arithmetic.
//!
//! Each is run on lanes of numbers that look random, with every pair of special ones among them:
//! `%r1`, `%r2` and `%r3` (`%rd…`, `%rs…`) are the sources, `%r0` the result.

// Each test file uses a part of this.
#![allow(dead_code)]

use crate::device::Argument::Pointer;
use crate::device::{Device, kernel, random_words};

/// Words that are special as whole numbers or as floats of any size.
const SPECIAL: [u32; 28] = [
    0,
    1,
    2,
    7,
    31,
    32,
    33,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x3c00_3c00,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0xffff_fffe,
    0x3f80_0000,
    0xbf80_0000,
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0x0000_0fff,
    0x0080_0000,
    0x8070_0000,
    0x4f00_0000,
    0xcf00_0001,
];

const COUNT: usize = 2048;

/// Three sources for each lane.
fn sources() -> Vec<[u64; 3]> {
    let words = random_words(6 * COUNT, 1);
    (0..COUNT)
        .map(|lane| {
            let mut source: [u32; 6] = std::array::from_fn(|place| words[6 * lane + place]);
            if lane < 28 * 28 {
                source[0] = SPECIAL[lane % 28];
                source[2] = SPECIAL[lane / 28];
                source[4] = SPECIAL[(lane * 5 + lane / 28) % 28];
            } else if lane < 1400 {
                // Floats of like magnitude, and small numbers of bits.
                for place in [0, 2, 4] {
                    source[place] = source[place] & 0x83ff_ffff | 0x3c00_0000;
                }
                source[4] = if lane % 2 == 0 { source[4] } else { source[4] & 63 };
            }
            std::array::from_fn(|place| {
                u64::from(source[2 * place]) | u64::from(source[2 * place + 1]) << 32
            })
        })
        .collect()
}

/// Runs `body` on every lane; gives `%rd0`.
fn run(body: &str, sources: &[[u64; 3]]) -> Vec<u64> {
    let device = Device::open();
    let memory: [u64; 3] = std::array::from_fn(|place| {
        device.upload(&sources.iter().map(|source| source[place]).collect::<Vec<u64>>())
    });
    let result = device.allocate(8 * sources.len());
    let text = kernel(
        ".param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d",
        &format!(
            "mov.u32 %r10, %tid.x; mov.u32 %r11, %ctaid.x; mov.u32 %r12, %ntid.x;\n\
             mad.lo.s32 %r10, %r11, %r12, %r10;\n\
             ld.param.u64 %rd10, [a]; mad.wide.u32 %rd10, %r10, 8, %rd10; ld.global.u64 %rd1, [%rd10];\n\
             ld.param.u64 %rd11, [b]; mad.wide.u32 %rd11, %r10, 8, %rd11; ld.global.u64 %rd2, [%rd11];\n\
             ld.param.u64 %rd12, [c]; mad.wide.u32 %rd12, %r10, 8, %rd12; ld.global.u64 %rd3, [%rd12];\n\
             cvt.u32.u64 %r1, %rd1; cvt.u32.u64 %r2, %rd2; cvt.u32.u64 %r3, %rd3;\n\
             cvt.u16.u64 %rs1, %rd1; cvt.u16.u64 %rs2, %rd2; cvt.u16.u64 %rs3, %rd3;\n\
             and.b32 %r13, %r3, 1; setp.ne.b32 %p3, %r13, 0;\n\
             {body}\n\
             ld.param.u64 %rd13, [d]; mad.wide.u32 %rd13, %r10, 8, %rd13; st.global.u64 [%rd13], %rd0;"
        ),
    );
    let arguments = [memory[0], memory[1], memory[2], result].map(Pointer);
    let grid = [sources.len() as u32 / 128, 1, 1];
    device.run(&text, "test", grid, 128, 0, &arguments).unwrap();
    let results = device.download(result, sources.len());
    memory.into_iter().chain([result]).for_each(|address| device.free(address));
    results
}

/// Runs `instruction` and `tail`; calls `seen(sources, %rd0)` for each lane.
pub fn each(instruction: &str, tail: &str, mut seen: impl FnMut([u64; 3], u64)) {
    let sources = sources();
    let results = run(&format!("{instruction}\n{tail}"), &sources);
    sources.into_iter().zip(results).for_each(|(source, result)| seen(source, result));
}

/// Checks `%rd0` after `instruction` and `tail` from all 64 bits of the sources.
pub fn check(instruction: &str, tail: &str, expected: impl Fn([u64; 3]) -> u64) {
    each(instruction, tail, |source, result| {
        let wanted = expected(source);
        assert_eq!(result, wanted, "{instruction} of {source:x?}: {result:#x} for {wanted:#x}");
    });
}

/// Checks an instruction that writes `%r0`.
pub fn words(instruction: &str, expected: impl Fn(u32, u32, u32) -> u32) {
    check(instruction, "cvt.u64.u32 %rd0, %r0;", |[a, b, c]| {
        u64::from(expected(a as u32, b as u32, c as u32))
    });
}

/// Checks an instruction that writes `%rd0`.
pub fn longs(instruction: &str, expected: impl Fn(u64, u64, u64) -> u64) {
    check(instruction, "", |[a, b, c]| expected(a, b, c));
}

/// Checks an instruction that writes `%rs0`.
pub fn shorts(instruction: &str, expected: impl Fn(u16, u16, u16) -> u16) {
    check(instruction, "cvt.u64.u16 %rd0, %rs0;", |[a, b, c]| {
        u64::from(expected(a as u16, b as u16, c as u16))
    });
}

/// Checks an instruction that writes `%p0`, from 32 bits.
pub fn truths(instruction: &str, expected: impl Fn(u32, u32, bool) -> bool) {
    check(instruction, "selp.b64 %rd0, 1, 0, %p0;", |[a, b, c]| {
        u64::from(expected(a as u32, b as u32, c & 1 == 1))
    });
}

/// The not-a-number of float32 instructions for any.
pub fn canonical(value: f32) -> u32 {
    if value.is_nan() { 0x7fff_ffff } else { value.to_bits() }
}

/// A subnormal float32's zero.
pub fn flushed(bits: u32) -> f32 {
    f32::from_bits(if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits })
}

/// Checks an instruction of float32, and the same with `.ftz`, where `#` stands for it.
pub fn floats(instruction: &str, expected: impl Fn(f32, f32, f32) -> f32) {
    words(&instruction.replace('#', ""), |a, b, c| {
        canonical(expected(f32::from_bits(a), f32::from_bits(b), f32::from_bits(c)))
    });
    words(&instruction.replace('#', ".ftz"), |a, b, c| {
        flushed(canonical(expected(flushed(a), flushed(b), flushed(c)))).to_bits()
    });
}
