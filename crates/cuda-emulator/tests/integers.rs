//! Instructions of whole numbers and bits, against Rust's arithmetic.

mod device;
mod lanes;

use lanes::{check, longs, shorts, truths, words};

#[test]
fn arithmetic_of_32_bits() {
    words("add.s32 %r0, %r1, %r2;", |a, b, _| a.wrapping_add(b));
    words("add.u32 %r0, %r1, -5;", |a, _, _| a.wrapping_sub(5));
    words("add.sat.s32 %r0, %r1, %r2;", |a, b, _| (a as i32).saturating_add(b as i32) as u32);
    words("sub.s32 %r0, %r1, %r2;", |a, b, _| a.wrapping_sub(b));
    words("mul.lo.s32 %r0, %r1, %r2;", |a, b, _| a.wrapping_mul(b));
    words("mul.hi.u32 %r0, %r1, %r2;", |a, b, _| ((u64::from(a) * u64::from(b)) >> 32) as u32);
    words("mul.hi.s32 %r0, %r1, %r2;", |a, b, _| {
        ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
    });
    words("mad.lo.u32 %r0, %r1, %r2, %r3;", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    words("mad.hi.s32 %r0, %r1, %r2, %r3;", |a, b, c| {
        (((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32).wrapping_add(c)
    });
    words("div.s32 %r0, %r1, %r2;", |a, b, _| match b {
        0 => u32::MAX,
        _ => (a as i32).wrapping_div(b as i32) as u32,
    });
    words("div.u32 %r0, %r1, %r2;", |a, b, _| a.checked_div(b).unwrap_or(u32::MAX));
    words("rem.s32 %r0, %r1, %r2;", |a, b, _| match b {
        0 => a,
        _ => (a as i32).wrapping_rem(b as i32) as u32,
    });
    words("rem.u32 %r0, %r1, %r2;", |a, b, _| a.checked_rem(b).unwrap_or(a));
    words("min.s32 %r0, %r1, %r2;", |a, b, _| (a as i32).min(b as i32) as u32);
    words("max.u32 %r0, %r1, %r2;", |a, b, _| a.max(b));
    words("abs.s32 %r0, %r1;", |a, _, _| (a as i32).wrapping_abs() as u32);
    words("neg.s32 %r0, %r1;", |a, _, _| a.wrapping_neg());
    words("sad.s32 %r0, %r1, %r2, %r3;", |a, b, c| c.wrapping_add((a as i32).abs_diff(b as i32)));
}

#[test]
fn arithmetic_of_16_and_64_bits() {
    shorts("add.s16 %rs0, %rs1, %rs2;", |a, b, _| a.wrapping_add(b));
    shorts("sub.u16 %rs0, %rs1, %rs2;", |a, b, _| a.wrapping_sub(b));
    shorts("mul.lo.s16 %rs0, %rs1, %rs2;", |a, b, _| a.wrapping_mul(b));
    shorts("mad.lo.s16 %rs0, %rs1, %rs2, %rs3;", |a, b, c| a.wrapping_mul(b).wrapping_add(c));
    shorts("div.s16 %rs0, %rs1, %rs2;", |a, b, _| match b {
        0 => u16::MAX,
        _ => (a as i16).wrapping_div(b as i16) as u16,
    });
    shorts("max.s16 %rs0, %rs1, %rs2;", |a, b, _| (a as i16).max(b as i16) as u16);
    shorts("neg.s16 %rs0, %rs1;", |a, _, _| a.wrapping_neg());
    words("mul.wide.s16 %r0, %rs1, %rs2;", |a, b, _| {
        (i32::from(a as i16) * i32::from(b as i16)) as u32
    });
    longs("add.s64 %rd0, %rd1, %rd2;", |a, b, _| a.wrapping_add(b));
    longs("mul.lo.u64 %rd0, %rd1, %rd2;", |a, b, _| a.wrapping_mul(b));
    longs("mul.hi.u64 %rd0, %rd1, %rd2;", |a, b, _| ((u128::from(a) * u128::from(b)) >> 64) as u64);
    longs("mul.wide.s32 %rd0, %r1, %r2;", |a, b, _| {
        (i64::from(a as i32) * i64::from(b as i32)) as u64
    });
    longs("mul.wide.u32 %rd0, %r1, 2;", |a, _, _| u64::from(a as u32) * 2);
    longs("mad.wide.s32 %rd0, %r1, %r2, %rd3;", |a, b, c| {
        ((i64::from(a as i32) * i64::from(b as i32)) as u64).wrapping_add(c)
    });
    longs("div.s64 %rd0, %rd1, %rd2;", |a, b, _| match b {
        0 => u64::MAX,
        _ => (a as i64).wrapping_div(b as i64) as u64,
    });
    longs("rem.u64 %rd0, %rd1, %rd2;", |a, b, _| a.checked_rem(b).unwrap_or(a));
    longs("min.s64 %rd0, %rd1, %rd2;", |a, b, _| (a as i64).min(b as i64) as u64);
}

#[test]
fn carries() {
    let pair = "add.cc.u32 %r20, %r1, %r2; addc.u32 %r21, %r2, %r3; mov.b64 %rd0, {%r20, %r21};";
    longs(pair, |a, b, c| {
        let (low, carry) = (a as u32).overflowing_add(b as u32);
        let high = (b as u32).wrapping_add(c as u32).wrapping_add(carry.into());
        u64::from(low) | u64::from(high) << 32
    });
    let pair = "sub.cc.u32 %r20, %r1, %r2; subc.u32 %r21, %r2, %r3; mov.b64 %rd0, {%r20, %r21};";
    longs(pair, |a, b, c| {
        let (low, borrow) = (a as u32).overflowing_sub(b as u32);
        let high = (b as u32).wrapping_sub(c as u32).wrapping_sub(borrow.into());
        u64::from(low) | u64::from(high) << 32
    });
    let pair = "mad.lo.cc.u32 %r20, %r1, %r2, %r3; madc.hi.u32 %r21, %r1, %r2, 0;\n\
         mov.b64 %rd0, {%r20, %r21};";
    longs(pair, |a, b, c| (a & 0xffff_ffff) * (b & 0xffff_ffff) + (c & 0xffff_ffff));
}

#[test]
fn logic_and_shifts() {
    words("and.b32 %r0, %r1, %r2;", |a, b, _| a & b);
    words("or.b32 %r0, %r1, 0x3340U;", |a, _, _| a | 0x3340);
    words("xor.b32 %r0, %r1, %r2;", |a, b, _| a ^ b);
    words("not.b32 %r0, %r1;", |a, _, _| !a);
    shorts("not.b16 %rs0, %rs1;", |a, _, _| !a);
    words("cnot.b32 %r0, %r1;", |a, _, _| (a == 0).into());
    words("shl.b32 %r0, %r1, %r3;", |a, _, c| a.checked_shl(c).unwrap_or(0));
    words("shr.u32 %r0, %r1, %r3;", |a, _, c| a.checked_shr(c).unwrap_or(0));
    words("shr.s32 %r0, %r1, %r3;", |a, _, c| ((a as i32) >> c.min(31)) as u32);
    longs("shl.b64 %rd0, %rd1, %r3;", |a, _, c| a.checked_shl(c as u32).unwrap_or(0));
    longs("shr.s64 %rd0, %rd1, %r3;", |a, _, c| ((a as i64) >> (c as u32).min(63)) as u64);
    check("shr.s16 %rs0, %rs1, %r3;", "cvt.u64.u16 %rd0, %rs0;", |[a, _, c]| {
        u64::from(((a as i16) >> (c as u32).min(15)) as u16)
    });
    words("shf.l.wrap.b32 %r0, %r1, %r2, %r3;", |a, b, c| {
        ((u64::from(b) << 32 | u64::from(a)) << (c & 31) >> 32) as u32
    });
    words("shf.r.wrap.b32 %r0, %r1, %r2, %r3;", |a, b, c| {
        ((u64::from(b) << 32 | u64::from(a)) >> (c & 31)) as u32
    });
    words("shf.l.clamp.b32 %r0, %r1, %r2, %r3;", |a, b, c| {
        ((u64::from(b) << 32 | u64::from(a)) << c.min(32) >> 32) as u32
    });
    words("lop3.b32 %r0, %r1, %r2, %r3, 0xca;", |a, b, c| a & b | !a & c);
    words("lop3.b32 %r0, %r1, %r2, %r3, 0x96;", |a, b, c| a ^ b ^ c);
    words("clz.b32 %r0, %r1;", |a, _, _| a.leading_zeros());
    check("clz.b64 %r0, %rd1;", "cvt.u64.u32 %rd0, %r0;", |[a, _, _]| a.leading_zeros().into());
    words("popc.b32 %r0, %r1;", |a, _, _| a.count_ones());
    words("brev.b32 %r0, %r1;", |a, _, _| a.reverse_bits());
    words("bfind.u32 %r0, %r1;", |a, _, _| a.checked_ilog2().unwrap_or(u32::MAX));
}

/// `bfe` by PTX's own definition.
fn field(value: u64, bits: u32, signed: bool, start: u32, length: u32) -> u64 {
    let (start, length) = (start & 0xff, length & 0xff);
    let top = bits - 1;
    let bit = |place: u32| value >> place & 1;
    let sign = if !signed || length == 0 { 0 } else { bit((start + length - 1).min(top)) };
    (0..bits).fold(0, |result, place| {
        let inside = place < length && start + place <= top;
        result | (if inside { bit(start + place) } else { sign }) << place
    })
}

#[test]
fn fields_of_bits() {
    words("bfe.u32 %r0, %r1, %r2, %r3;", |a, b, c| field(a.into(), 32, false, b, c) as u32);
    words("bfe.s32 %r0, %r1, %r2, %r3;", |a, b, c| field(a.into(), 32, true, b, c) as u32);
    words("bfe.s32 %r0, %r1, 5, 1;", |a, _, _| field(a.into(), 32, true, 5, 1) as u32);
    longs("bfe.u64 %rd0, %rd1, %r2, %r3;", |a, b, c| field(a, 64, false, b as u32, c as u32));
    longs("bfe.s64 %rd0, %rd1, %r2, %r3;", |a, b, c| field(a, 64, true, b as u32, c as u32));
    words("bfi.b32 %r0, %r1, %r2, %r3, 7;", |a, b, c| {
        (0..32).fold(0, |result, place| {
            let start = c & 0xff;
            let inside = place >= start && place < start + 7;
            let bit = if inside { a >> (place - start) } else { b >> place };
            result | (bit & 1) << place
        })
    });
    words("prmt.b32 %r0, %r1, %r2, %r3;", |a, b, c| {
        let bytes: Vec<u8> = a.to_le_bytes().into_iter().chain(b.to_le_bytes()).collect();
        u32::from_le_bytes(std::array::from_fn(|place| {
            let selector = c >> (4 * place) & 15;
            let byte = bytes[selector as usize & 7];
            if selector < 8 { byte } else { ((byte as i8) >> 7) as u8 }
        }))
    });
    words("prmt.b32 %r0, %r1, %r2, 0x5410U;", |a, b, _| a & 0xffff | b << 16);
}

#[test]
fn moves_and_conversions_of_whole_numbers() {
    words("mov.b32 %r0, {%rs1, %rs2};", |a, b, _| a & 0xffff | b << 16);
    words("mov.b32 {%rs4, %rs5}, %r1; mov.b32 %r0, {%rs5, %rs4};", |a, _, _| a.rotate_left(16));
    check("mov.b64 {_, %r0}, %rd1;", "cvt.u64.u32 %rd0, %r0;", |[a, _, _]| a >> 32);
    longs("mov.b64 %rd0, {%r1, %r2};", |a, b, _| a & 0xffff_ffff | b << 32);
    longs("cvt.s64.s32 %rd0, %r1;", |a, _, _| i64::from(a as i32) as u64);
    longs("cvt.u64.u32 %rd0, %r1;", |a, _, _| a & 0xffff_ffff);
    longs("cvt.s64.s8 %rd0, %rd1;", |a, _, _| i64::from(a as i8) as u64);
    words("cvt.s32.s16 %r0, %rs1;", |a, _, _| i32::from(a as i16) as u32);
    words("cvt.s8.s32 %r0, %r1;", |a, _, _| i32::from(a as i8) as u32);
    shorts("cvt.s8.s32 %rs0, %r1;", |a, _, _| i16::from(a as i8) as u16);
    shorts("cvt.u8.u32 %rs0, %r1;", |a, _, _| a & 0xff);
    shorts("cvt.s16.s8 %rs0, %rs1;", |a, _, _| i16::from(a as i8) as u16);
    words("cvt.sat.s8.s32 %r0, %r1;", |a, _, _| (a as i32).clamp(-128, 127) as u32);
    words("cvt.sat.u16.s32 %r0, %r1;", |a, _, _| (a as i32).clamp(0, 65_535) as u32);
}

#[test]
fn comparisons_and_choices() {
    truths("setp.lt.s32 %p0, %r1, %r2;", |a, b, _| (a as i32) < b as i32);
    truths("setp.lt.u32 %p0, %r1, %r2;", |a, b, _| a < b);
    truths("setp.hs.u32 %p0, %r1, %r2;", |a, b, _| a >= b);
    truths("setp.ne.b32 %p0, %r1, %r2;", |a, b, _| a != b);
    truths("setp.gt.s16 %p0, %rs1, %rs2;", |a, b, _| a as i16 > b as i16);
    truths("setp.le.and.s32 %p0, %r1, %r2, %p3;", |a, b, c| a as i32 <= b as i32 && c);
    truths("setp.eq.or.s32 %p0, %r1, %r2, !%p3;", |a, b, c| a == b || !c);
    truths("setp.ge.xor.s32 _|%p0, %r1, %r2, %p3;", |a, b, c| ((a as i32) < b as i32) != c);
    truths("setp.lt.u32 %p1, %r1, %r2; and.pred %p0, %p1, %p3;", |a, b, c| a < b && c);
    truths("setp.lt.u32 %p1, %r1, %r2; xor.pred %p0, %p1, %p3;", |a, b, c| (a < b) != c);
    truths("not.pred %p0, %p3;", |_, _, c| !c);
    truths("mov.pred %p0, %p3;", |_, _, c| c);
    truths("mov.pred %p0, -1;", |_, _, _| true);
    words("selp.b32 %r0, %r1, 520, %p3;", |a, _, c| if c & 1 == 1 { a } else { 520 });
    words("slct.b32.s32 %r0, %r1, %r2, %r3;", |a, b, c| if c as i32 >= 0 { a } else { b });
    longs("selp.b64 %rd0, %rd1, %rd2, %p3;", |a, b, c| if c & 1 == 1 { a } else { b });
    words("mov.b32 %r0, 3; @%p3 add.s32 %r0, %r1, %r2;", |a, b, c| match c & 1 {
        1 => a.wrapping_add(b),
        _ => 3,
    });
}
