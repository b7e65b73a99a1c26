//! Instructions of floating-point numbers, against Rust's arithmetic.

mod device;
mod lanes;

use lanes::{canonical, check, each, floats, longs, shorts, truths, words};

/// The lesser number, -0 before +0; not-a-number is passed over.
fn least(a: f32, b: f32) -> f32 {
    match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a.total_cmp(&b).is_lt() => a,
        _ => b,
    }
}

#[test]
fn arithmetic_of_float32() {
    floats("add#.f32 %r0, %r1, %r2;", |a, b, _| a + b);
    floats("add.rn#.f32 %r0, %r1, %r2;", |a, b, _| a + b);
    floats("sub#.f32 %r0, %r1, %r2;", |a, b, _| a - b);
    floats("mul#.f32 %r0, %r1, 0f40490FDB;", |a, _, _| a * f32::from_bits(0x4049_0fdb));
    floats("fma.rn#.f32 %r0, %r1, %r2, %r3;", |a, b, c| a.mul_add(b, c));
    floats("div.rn#.f32 %r0, %r1, %r2;", |a, b, _| a / b);
    floats("div.full#.f32 %r0, %r1, %r2;", |a, b, _| a / b);
    floats("rcp.approx#.f32 %r0, %r1;", |a, _, _| 1.0 / a);
    floats("sqrt.rn#.f32 %r0, %r1;", |a, _, _| a.sqrt());
    floats("rsqrt.approx#.f32 %r0, %r1;", |a, _, _| (1.0 / f64::from(a).sqrt()) as f32);
    floats("min#.f32 %r0, %r1, %r2;", |a, b, _| least(a, b));
    floats("max#.f32 %r0, %r1, %r2;", |a, b, _| -least(-a, -b));
    floats("min.NaN#.f32 %r0, %r1, %r2;", |a, b, _| match a.is_nan() || b.is_nan() {
        true => f32::NAN,
        false => least(a, b),
    });
    floats("abs#.f32 %r0, %r1;", |a, _, _| a.abs());
    words("neg.f32 %r0, %r1;", |a, _, _| a ^ 0x8000_0000);
    words("copysign.f32 %r0, %r1, %r2;", |a, b, _| a & 0x8000_0000 | b & 0x7fff_ffff);
    words("add.sat.f32 %r0, %r1, %r2;", |a, b, _| {
        let sum = f32::from_bits(a) + f32::from_bits(b);
        if sum > 0.0 { sum.min(1.0).to_bits() } else { 0 }
    });
}

/// Checks that `instruction`, with each direction of rounding for `#`, gives the float32 next to
/// the exact result on that side. `exact` gives none where float64 can't hold it.
fn directed(instruction: &str, exact: impl Fn(f64, f64, f64) -> Option<f64>) {
    let float = |bits: u64| f64::from(f32::from_bits(bits as u32));
    for direction in ["rm", "rp", "rz"] {
        let instruction = instruction.replace('#', direction);
        let mut seen = 0;
        each(&instruction, "cvt.u64.u32 %rd0, %r0;", |[a, b, c], result| {
            let Some(exact) = exact(float(a), float(b), float(c)) else { return };
            let got = f32::from_bits(result as u32);
            if !exact.is_finite() || got.is_infinite() {
                return;
            }
            let (below, above) = (f64::from(got.next_down()), f64::from(got.next_up()));
            let got = f64::from(got);
            let right = match (direction, exact > 0.0) {
                ("rm", _) | ("rz", true) => got <= exact && exact < above,
                _ => got >= exact && exact > below,
            };
            assert!(right, "{instruction} of {a:x} {b:x} {c:x}: {got:e} for {exact:e}");
            seen += 1;
        });
        assert!(seen > 300, "{instruction}");
    }
}

/// `a + b` where float64 holds it.
fn sum(a: f64, b: f64) -> Option<f64> {
    let sum = a + b;
    let kept = sum - a;
    ((a - (sum - kept)) + (b - kept) == 0.0).then_some(sum)
}

#[test]
fn rounding_in_directions() {
    directed("add.#.f32 %r0, %r1, %r2;", |a, b, _| sum(a, b));
    directed("sub.#.f32 %r0, %r1, %r2;", |a, b, _| sum(a, -b));
    directed("mul.#.f32 %r0, %r1, %r2;", |a, b, _| Some(a * b));
    directed("fma.#.f32 %r0, %r1, %r2, %r3;", |a, b, c| sum(a * b, c));
    // Of a quotient and a root that float64 rounds the side may be lost; those aren't near to a
    // float32 unless they are one.
    directed("div.#.f32 %r0, %r1, %r2;", |a, b, _| Some(a / b));
    directed("sqrt.#.f32 %r0, %r1;", |a, _, _| (a >= 0.0).then(|| a.sqrt()));
}

#[test]
fn arithmetic_of_float64() {
    let float = f64::from_bits;
    // Which bits a not-a-number has is left open.
    let plain = |value: f64| if value.is_nan() { 0 } else { value.to_bits() };
    let without_nan = "setp.nan.f64 %p1, %rd0, %rd0; @%p1 mov.b64 %rd0, 0;";
    check("add.f64 %rd0, %rd1, %rd2;", without_nan, |[a, b, _]| plain(float(a) + float(b)));
    check("fma.rn.f64 %rd0, %rd1, %rd2, %rd3;", without_nan, |[a, b, c]| {
        plain(float(a).mul_add(float(b), float(c)))
    });
    check("div.rn.f64 %rd0, %rd1, %rd2;", without_nan, |[a, b, _]| plain(float(a) / float(b)));
    check("sqrt.rn.f64 %rd0, %rd1;", without_nan, |[a, _, _]| plain(float(a).sqrt()));
    check("mul.f64 %rd0, %rd1, 0d3FE0000000000000;", without_nan, |[a, _, _]| {
        plain(float(a) * 0.5)
    });
    longs("neg.f64 %rd0, %rd1;", |a, _, _| a ^ 1 << 63);
}

/// Compares for all the ways that `setp` can; `None` where a source is no number.
fn order(a: f32, b: f32) -> Option<std::cmp::Ordering> {
    a.partial_cmp(&b)
}

#[test]
fn comparisons_of_floats() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (name, orders, unordered) in [
        ("eq", &[Equal][..], false),
        ("ne", &[Less, Greater][..], false),
        ("lt", &[Less][..], false),
        ("le", &[Less, Equal][..], false),
        ("gt", &[Greater][..], false),
        ("ge", &[Greater, Equal][..], false),
        ("equ", &[Equal][..], true),
        ("neu", &[Less, Greater][..], true),
        ("ltu", &[Less][..], true),
        ("leu", &[Less, Equal][..], true),
        ("gtu", &[Greater][..], true),
        ("geu", &[Greater, Equal][..], true),
        ("num", &[Less, Equal, Greater][..], false),
        ("nan", &[][..], true),
    ] {
        truths(&format!("setp.{name}.f32 %p0, %r1, %r2;"), |a, b, _| {
            order(f32::from_bits(a), f32::from_bits(b))
                .map_or(unordered, |order| orders.contains(&order))
        });
        truths(&format!("setp.{name}.ftz.f32 %p0, %r1, %r2;"), |a, b, _| {
            order(lanes::flushed(a), lanes::flushed(b))
                .map_or(unordered, |order| orders.contains(&order))
        });
        truths(&format!("setp.{name}.bf16 %p0, %rs1, %rs2;"), |a, b, _| {
            order(f32::from_bits(a << 16), f32::from_bits(b << 16))
                .map_or(unordered, |order| orders.contains(&order))
        });
    }
}

/// The value of a float16, by its definition.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 31 {
        0 => fraction * 2.0_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2.0_f64.powi(i32::from(exponent) - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// The value of a bfloat16.
fn brain(bits: u16) -> f64 {
    f32::from_bits(u32::from(bits) << 16).into()
}

/// Whether `got` is the float nearest to `exact` of those that `value` gives, ties to even: no
/// neighbour is nearer. `exact` is the exact result, or as near as float64 comes.
fn assert_nearest(got: u16, exact: f64, value: fn(u16) -> f64, case: &str) {
    let largest = if value(0x7c00).is_infinite() { 0x7bff_u16 } else { 0x7f7f };
    if exact.is_nan() {
        assert_eq!(got, 0x7fff, "{case}");
        return;
    }
    assert_eq!(got >> 15 == 1, exact.is_sign_negative(), "{case}: {got:#x} for {exact:e}");
    let (got, exact) = (got & 0x7fff, exact.abs());
    let step = value(largest) - value(largest - 1);
    if got == largest + 1 {
        assert!(exact >= value(largest) + step / 2.0, "{case}: {got:#x} for {exact:e}");
        return;
    }
    let distance = (value(got) - exact).abs();
    for other in [got.checked_sub(1), Some(got + 1).filter(|other| *other <= largest)] {
        let Some(other) = other else { continue };
        let apart = (value(other) - exact).abs();
        let nearer = distance < apart || distance == apart && got % 2 == 0;
        assert!(nearer, "{case}: {got:#x} for {exact:e}");
    }
}

/// The value of 16 bits.
type Decode = fn(u16) -> f64;

/// Types of 16 bits, with their values.
const SMALL: [(&str, Decode); 2] = [("f16", half), ("bf16", brain)];

/// Checks an instruction that writes `%rs0`, with both types of 16 bits for `#`.
fn small(instruction: &str, exact: impl Fn(f64, f64, f64) -> f64) {
    for (name, value) in SMALL {
        let instruction = instruction.replace('#', name);
        each(&instruction, "cvt.u64.u16 %rd0, %rs0;", |[a, b, c], result| {
            let exact = exact(value(a as u16), value(b as u16), value(c as u16));
            let case = format!("{instruction} of {a:x} {b:x} {c:x}");
            assert_nearest(result as u16, exact, value, &case);
        });
    }
}

#[test]
fn arithmetic_of_small_floats() {
    small("add.# %rs0, %rs1, %rs2;", |a, b, _| a + b);
    small("sub.# %rs0, %rs1, %rs2;", |a, b, _| a - b);
    small("mul.# %rs0, %rs1, %rs2;", |a, b, _| a * b);
    small("fma.rn.# %rs0, %rs1, %rs2, %rs3;", |a, b, c| a.mul_add(b, c));
    small("min.# %rs0, %rs1, %rs2;", |a, b, _| least(a as f32, b as f32).into());
    small("fma.rn.#x2 %r0, %r1, %r2, %r3; cvt.u16.u32 %rs0, %r0;", |a, b, c| a.mul_add(b, c));
    shorts("neg.bf16 %rs0, %rs1;", |a, _, _| a ^ 0x8000);
    shorts("abs.f16 %rs0, %rs1;", |a, _, _| a & 0x7fff);
}

#[test]
fn conversions_between_floats() {
    words("cvt.f32.f16 %r0, %rs1;", |a, _, _| canonical(half(a as u16) as f32));
    words("cvt.f32.bf16 %r0, %rs1;", |a, _, _| canonical(brain(a as u16) as f32));
    for (name, value) in SMALL {
        for (instruction, low) in [
            ("cvt.rn.#.f32 %rs0, %r1;", true),
            ("cvt.rn.#x2.f32 %r0, %r2, %r1; mov.b32 {%rs0, %rs4}, %r0;", true),
            ("cvt.rn.#x2.f32 %r0, %r2, %r1; mov.b32 {%rs4, %rs0}, %r0;", false),
        ] {
            let instruction = instruction.replace('#', name);
            each(&instruction, "cvt.u64.u16 %rd0, %rs0;", |[a, b, _], result| {
                let source = f32::from_bits(if low { a } else { b } as u32);
                let case = format!("{instruction} of {source:e}");
                assert_nearest(result as u16, source.into(), value, &case);
            });
        }
    }
    floats("cvt.rmi#.f32.f32 %r0, %r1;", |a, _, _| a.floor());
    floats("cvt.rni#.f32.f32 %r0, %r1;", |a, _, _| a.round_ties_even());
    floats("cvt.rzi#.f32.f32 %r0, %r1;", |a, _, _| a.trunc());
    words("cvt.ftz.sat.f32.f32 %r0, %r1;", |a, _, _| match lanes::flushed(a) {
        value if value > 0.0 => value.min(1.0).to_bits(),
        _ => 0,
    });
    words("cvt.rna.tf32.f32 %r0, %r1;", |a, _, _| match f32::from_bits(a) {
        value if value.is_nan() => 0x7fff_ffff,
        value if value.is_infinite() => a,
        _ => (a + 0x1000) & !0x1fff,
    });
}

#[test]
fn conversions_between_floats_and_whole_numbers() {
    words("cvt.rn.f32.s32 %r0, %r1;", |a, _, _| (a as i32 as f32).to_bits());
    words("cvt.rn.f32.u8 %r0, %r1;", |a, _, _| f32::from(a as u8).to_bits());
    check("cvt.rn.f32.s64 %r0, %rd1;", "cvt.u64.u32 %rd0, %r0;", |[a, _, _]| {
        (a as i64 as f32).to_bits().into()
    });
    check("cvt.rn.f32.f64 %r0, %rd1;", "cvt.u64.u32 %rd0, %r0;", |[a, _, _]| {
        canonical(f64::from_bits(a) as f32).into()
    });
    longs("cvt.rn.f64.s64 %rd0, %rd1;", |a, _, _| (a as i64 as f64).to_bits());
    words("cvt.rzi.s32.f32 %r0, %r1;", |a, _, _| f32::from_bits(a) as i32 as u32);
    words("cvt.rzi.u32.f32 %r0, %r1;", |a, _, _| f32::from_bits(a) as u32);
    words("cvt.rni.ftz.s32.f32 %r0, %r1;", |a, _, _| {
        lanes::flushed(a).round_ties_even() as i32 as u32
    });
    check("cvt.rpi.u8.f32 %rs0, %r1;", "cvt.u64.u16 %rd0, %rs0;", |[a, _, _]| {
        u64::from(f32::from_bits(a as u32).ceil() as u8)
    });
    longs("cvt.rzi.s64.f32 %rd0, %r1;", |a, _, _| match f32::from_bits(a as u32) {
        value if value.is_nan() => 1 << 63,
        value => value as i64 as u64,
    });
    for (name, value) in SMALL {
        let instruction = format!("cvt.rn.{name}.s32 %rs0, %r1;");
        each(&instruction, "cvt.u64.u16 %rd0, %rs0;", |[a, _, _], result| {
            assert_nearest(result as u16, f64::from(a as i32), value, &instruction);
        });
        words(&format!("cvt.rzi.s32.{name} %r0, %rs1;"), |a, _, _| value(a as u16) as i32 as u32);
    }
}

#[test]
fn approximations_are_nearly_exact() {
    // Within one unit in the last place, of which PTX allows more.
    let near = |instruction: &str, exact: fn(f64) -> f64| {
        each(instruction, "cvt.u64.u32 %rd0, %r0;", |[a, _, _], result| {
            let (source, got) = (f32::from_bits(a as u32), f32::from_bits(result as u32));
            let exact = exact(source.into()) as f32;
            let right = got == exact
                || got.is_nan() && exact.is_nan()
                || got == exact.next_up()
                || got == exact.next_down();
            assert!(right, "{instruction} of {source:e}: {got:e} for {exact:e}");
        });
    };
    near("ex2.approx.f32 %r0, %r1;", f64::exp2);
    near("lg2.approx.f32 %r0, %r1;", f64::log2);
    near("sin.approx.f32 %r0, %r1;", f64::sin);
    near("cos.approx.f32 %r0, %r1;", f64::cos);
    near("tanh.approx.f32 %r0, %r1;", f64::tanh);
}
