//! `atom` and `red`: reads and writes that nothing comes between.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::ptx::{Instruction, Operand, PtxError, RegisterClass};

use super::access::{self, Pointers};
use super::decoder::{Decoder, kind};
use super::fault::{Fault, Outcome};
use super::float::{canonical, maximum, minimum};
use super::small_float::nearest;
use super::step::{Handler, InstructionSet, Step, handlers};
use super::thread_block::ThreadBlock;
use super::value::{Brain, Half, Small, Two, Value};
use super::warp::{LANES, Warp, Word, commit};

/// What an atomic operation works on.
trait Cell: Value {
    /// Bytes in memory.
    const BYTES: usize;

    /// Replaces what lies at `pointer` by `change` of it; gives what lay there.
    ///
    /// # Safety
    /// `pointer` must be that of allocated memory, and a multiple of its size.
    unsafe fn exchange(pointer: u64, change: &dyn Fn(Self) -> Self) -> Self;
}

macro_rules! cells {
    ($($type:ty, $bits:ty, $atomic:ty, $read:expr, $write:expr;)+) => {$(
        impl Cell for $type {
            const BYTES: usize = size_of::<$bits>();

            unsafe fn exchange(pointer: u64, change: &dyn Fn($type) -> $type) -> $type {
                // SAFETY: the caller checked the address; what other threads do there at the same
                // time is atomic too, or a race of the kernel's.
                let cell = unsafe { <$atomic>::from_ptr(pointer as *mut $bits) };
                let mut found = cell.load(Ordering::Relaxed);
                loop {
                    let changed: $bits = $write(change($read(found)));
                    let order = Ordering::SeqCst;
                    match cell.compare_exchange_weak(found, changed, order, Ordering::Relaxed) {
                        Ok(_) => return $read(found),
                        Err(other) => found = other,
                    }
                }
            }
        }
    )+};
}

cells! {
    u16, u16, AtomicU16, |bits| bits, |value| value;
    u32, u32, AtomicU32, |bits| bits, |value| value;
    i32, u32, AtomicU32, |bits| bits as i32, |value| value as u32;
    u64, u64, AtomicU64, |bits| bits, |value| value;
    i64, u64, AtomicU64, |bits| bits as i64, |value| value as u64;
    f32, u32, AtomicU32, f32::from_bits, f32::to_bits;
    f64, u64, AtomicU64, f64::from_bits, f64::to_bits;
    Half, u16, AtomicU16, Half, |value: Half| value.0;
    Brain, u16, AtomicU16, Brain, |value: Brain| value.0;
    Two<Half>, u32, AtomicU32, Two::read, Two::write;
    Two<Brain>, u32, AtomicU32, Two::read, Two::write;
}

/// An atomic operation.
trait Atomic: 'static {
    /// What it works on.
    type On: Cell;
    /// What replaces `found`.
    fn apply(found: Self::On, b: Self::On, c: Self::On) -> Self::On;
}

macro_rules! operations {
    ($($name:ident<$($type:ty),+>($found:ident, $b:ident, $c:ident) = $body:expr;)+) => {$(
        struct $name<T>(PhantomData<T>);

        $(impl Atomic for $name<$type> {
            type On = $type;

            fn apply($found: $type, $b: $type, $c: $type) -> $type {
                let _ = ($found, $b, $c);
                $body
            }
        })+
    )+};
}

operations! {
    Add<u32, u64>(found, b, c) = found.wrapping_add(b);
    Minimum<u32, i32, u64, i64>(found, b, c) = found.min(b);
    Maximum<u32, i32, u64, i64>(found, b, c) = found.max(b);
    And<u32, u64>(found, b, c) = found & b;
    Or<u32, u64>(found, b, c) = found | b;
    Xor<u32, u64>(found, b, c) = found ^ b;
    Exchange<u32, u64>(found, b, c) = b;
    Swap<u16, u32, u64>(found, b, c) = if found == b { c } else { found };
    Increment<u32>(found, b, c) = if found >= b { 0 } else { found + 1 };
    Decrement<u32>(found, b, c) = if found == 0 || found > b { b } else { found - 1 };
    AddFloat<f32>(found, b, c) = canonical(found + b);
    AddFloat64<f64>(found, b, c) = found + b;
    MinimumFloat<f32>(found, b, c) = canonical(minimum(found, b));
    MaximumFloat<f32>(found, b, c) = canonical(maximum(found, b));
}

struct AddSmall<T>(PhantomData<T>);

impl<S: Small + Cell> Atomic for AddSmall<S> {
    type On = S;

    fn apply(found: S, b: S, _c: S) -> S {
        nearest(f64::from(found.to_f32()) + f64::from(b.to_f32()))
    }
}

struct AddTwo<T>(PhantomData<T>);

impl<S: Small + Cell> Atomic for AddTwo<S>
where
    Two<S>: Cell,
{
    type On = Two<S>;

    fn apply(found: Two<S>, b: Two<S>, _c: Two<S>) -> Two<S> {
        Two(AddSmall::apply(found.0, b.0, b.0), AddSmall::apply(found.1, b.1, b.1))
    }
}

handlers! {
    fn atomic<O: Atomic> = atomic_lanes;
}

/// Where the addresses lie, in [`Step::control`].
mod space {
    pub const GLOBAL: u32 = 0;
    pub const SHARED: u32 = 1;
    pub const GENERIC: u32 = 2;
}

fn pointers(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
    bytes: usize,
) -> Result<Pointers, Box<Fault>> {
    match step.control {
        space::GLOBAL => access::global(
            block,
            step.cache,
            &warp.longs[step.a as usize].0,
            step.offset,
            mask,
            bytes,
        ),
        space::SHARED => {
            access::shared(block, &warp.words[step.a as usize].0, step.offset, mask, bytes)
        }
        _ => {
            let addresses = warp.longs[step.a as usize].0;
            access::generic(warp, block, step.cache, &addresses, step.offset, mask, bytes)
        }
    }
}

fn atomic_lanes<O: Atomic>(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    type W<O> = <<O as Atomic>::On as Value>::Word;
    let pointers = pointers(warp, block, step, mask, O::On::BYTES)?;
    let (b, c) = (*W::<O>::lanes(warp, step.b), *W::<O>::lanes(warp, step.c));
    let mut result = [W::<O>::default(); LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let (b, c) = (O::On::read(b[lane]), O::On::read(c[lane]));
        // SAFETY: `pointers` found the memory allocated and the address a multiple of its size.
        let found = unsafe { O::On::exchange(pointers[lane], &|found| O::apply(found, b, c)) };
        result[lane] = found.write();
    }
    commit(warp, step.d, &result, mask);
    Ok(())
}

fn operation(name: &str, kind: &str, set: InstructionSet) -> Option<Handler> {
    Some(match (name, kind) {
        ("add", "u32" | "s32") => atomic::<Add<u32>>(set),
        ("add", "u64" | "s64") => atomic::<Add<u64>>(set),
        ("add", "f32") => atomic::<AddFloat<f32>>(set),
        ("add", "f64") => atomic::<AddFloat64<f64>>(set),
        ("add", "f16") => atomic::<AddSmall<Half>>(set),
        ("add", "bf16") => atomic::<AddSmall<Brain>>(set),
        ("add", "f16x2") => atomic::<AddTwo<Half>>(set),
        ("add", "bf16x2") => atomic::<AddTwo<Brain>>(set),
        ("min", "u32") => atomic::<Minimum<u32>>(set),
        ("min", "s32") => atomic::<Minimum<i32>>(set),
        ("min", "u64") => atomic::<Minimum<u64>>(set),
        ("min", "s64") => atomic::<Minimum<i64>>(set),
        ("min", "f32") => atomic::<MinimumFloat<f32>>(set),
        ("max", "u32") => atomic::<Maximum<u32>>(set),
        ("max", "s32") => atomic::<Maximum<i32>>(set),
        ("max", "u64") => atomic::<Maximum<u64>>(set),
        ("max", "s64") => atomic::<Maximum<i64>>(set),
        ("max", "f32") => atomic::<MaximumFloat<f32>>(set),
        ("and", "b32") => atomic::<And<u32>>(set),
        ("and", "b64") => atomic::<And<u64>>(set),
        ("or", "b32") => atomic::<Or<u32>>(set),
        ("or", "b64") => atomic::<Or<u64>>(set),
        ("xor", "b32") => atomic::<Xor<u32>>(set),
        ("xor", "b64") => atomic::<Xor<u64>>(set),
        ("exch", "b32") => atomic::<Exchange<u32>>(set),
        ("exch", "b64") => atomic::<Exchange<u64>>(set),
        ("cas", "b16") => atomic::<Swap<u16>>(set),
        ("cas", "b32") => atomic::<Swap<u32>>(set),
        ("cas", "b64") => atomic::<Swap<u64>>(set),
        ("inc", "u32") => atomic::<Increment<u32>>(set),
        ("dec", "u32") => atomic::<Decrement<u32>>(set),
        _ => return None,
    })
}

/// Decodes `atom` and `red`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let (mut control, mut name) = (space::GENERIC, None);
    let count = i.modifiers().count();
    for modifier in i.modifiers().take(count - 1) {
        match modifier {
            "global" => control = space::GLOBAL,
            "shared" | "shared::cta" => control = space::SHARED,
            "relaxed" | "acquire" | "release" | "acq_rel" | "cta" | "gpu" | "sys" | "noftz" => {}
            _ if name.is_none() => name = Some(modifier),
            _ => return Err(decoder.unknown(i)),
        }
    }
    let run =
        operation(name.unwrap_or(""), kind(i), decoder.set).ok_or_else(|| decoder.unknown(i))?;
    let sink = [Operand::Sink];
    let targets = if i.name() == "red" { &sink[..] } else { &i.operands[..1] };
    let sources = if i.name() == "red" { &i.operands[..] } else { &i.operands[1..] };
    let (address, b, c) = match sources {
        [address, b] => (address, b, b),
        [address, b, c] => (address, b, c),
        _ => return Err(i.error("another number of operands")),
    };
    let long = matches!(kind(i), "u64" | "s64" | "b64" | "f64");
    let class = decoder.class(b);
    if class.is_some_and(|class| (class == RegisterClass::Long) != long) {
        return Err(i.error("a register of another width"));
    }
    let mut value = |operand: &Operand| {
        let operand = match operand {
            Operand::Vector(elements) if elements.len() == 1 => &elements[0],
            other => other,
        };
        match kind(i) {
            "f32" => decoder.source::<f32>(i, operand),
            "f64" => decoder.source::<f64>(i, operand),
            _ if long => decoder.source::<u64>(i, operand),
            _ => decoder.source::<u32>(i, operand),
        }
    };
    let (b, c) = (value(b)?, value(c)?);
    let d = if long {
        decoder.target::<u64>(i, &targets[0])?
    } else {
        decoder.target::<u32>(i, &targets[0])?
    };
    let (a, offset) = if control == space::SHARED {
        decoder.narrow_address(i, address)?
    } else {
        decoder.wide_address(i, address)?
    };
    let cache = decoder.new_cache();
    let step = decoder.push(i, run);
    (step.d, step.a, step.b, step.c) = (d, a, b, c);
    (step.offset, step.control, step.cache) = (offset, control, cache);
    Ok(())
}
