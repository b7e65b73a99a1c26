//! Loads and stores.

use crate::ptx::{Base, Instruction, Operand, PtxError, RegisterClass, type_bytes};

use super::access::{self, Pointers};
use super::decoder::{Decoder, kind};
use super::fault::{Fault, Outcome};
use super::movement::Copy;
use super::step::{Handler, InstructionSet, Step, handlers, unary};
use super::thread_block::ThreadBlock;
use super::warp::{LANES, Warp, Word, commit};

/// What lies in memory, and the register that it goes to or comes from.
trait Element: 'static {
    /// The register.
    type Word: Word;
    /// What lies in memory.
    type Stored: std::marker::Copy;
    /// The register for what was loaded.
    fn widen(stored: Self::Stored) -> Self::Word;
    /// What is stored of the register.
    fn narrow(word: Self::Word) -> Self::Stored;
}

macro_rules! elements {
    ($($name:ident: $stored:ty, $word:ty, $between:ty;)+) => {$(
        struct $name;

        impl Element for $name {
            type Word = $word;
            type Stored = $stored;

            #[inline(always)]
            fn widen(stored: $stored) -> $word {
                stored as $between as $word
            }

            #[inline(always)]
            fn narrow(word: $word) -> $stored {
                word as $stored
            }
        }
    )+};
}

// A signed number fills the declared register, whose unused upper bits are 0.
elements! {
    Byte: u8, u32, u8;
    Short: u16, u32, u16;
    Word32: u32, u32, u32;
    SignedByte16: i8, u32, u16;
    SignedByte: i8, u32, i32;
    SignedShort: i16, u32, i32;
    ByteLong: u8, u64, u8;
    ShortLong: u16, u64, u16;
    WordLong: u32, u64, u32;
    SignedByteLong: i8, u64, i64;
    SignedShortLong: i16, u64, i64;
    SignedWordLong: i32, u64, i64;
    Long: u64, u64, u64;
}

/// A kind of memory.
trait Memory: 'static {
    /// Checked addresses of the lanes for `bytes` bytes each.
    fn pointers(
        warp: &mut Warp,
        block: &mut ThreadBlock<'_>,
        step: &Step,
        mask: u32,
        bytes: usize,
    ) -> Result<Pointers, Box<Fault>>;
}

struct Global;
struct Shared;
struct Local;
struct Generic;

impl Memory for Global {
    #[inline(always)]
    fn pointers(
        warp: &mut Warp,
        block: &mut ThreadBlock<'_>,
        step: &Step,
        mask: u32,
        bytes: usize,
    ) -> Result<Pointers, Box<Fault>> {
        access::global(block, step.cache, &warp.longs[step.a as usize].0, step.offset, mask, bytes)
    }
}

impl Memory for Shared {
    #[inline(always)]
    fn pointers(
        warp: &mut Warp,
        block: &mut ThreadBlock<'_>,
        step: &Step,
        mask: u32,
        bytes: usize,
    ) -> Result<Pointers, Box<Fault>> {
        access::shared(block, &warp.words[step.a as usize].0, step.offset, mask, bytes)
    }
}

impl Memory for Local {
    #[inline(always)]
    fn pointers(
        warp: &mut Warp,
        _block: &mut ThreadBlock<'_>,
        step: &Step,
        mask: u32,
        bytes: usize,
    ) -> Result<Pointers, Box<Fault>> {
        let addresses = warp.words[step.a as usize].0;
        access::local(warp, &addresses, step.offset, mask, bytes)
    }
}

impl Memory for Generic {
    fn pointers(
        warp: &mut Warp,
        block: &mut ThreadBlock<'_>,
        step: &Step,
        mask: u32,
        bytes: usize,
    ) -> Result<Pointers, Box<Fault>> {
        let addresses = warp.longs[step.a as usize].0;
        access::generic(warp, block, step.cache, &addresses, step.offset, mask, bytes)
    }
}

handlers! {
    fn load<M: Memory, E: Element> = load_lanes;
    fn store<M: Memory, E: Element> = store_lanes;
}

/// Loads the registers `list` from the addresses `a`.
#[inline(always)]
fn load_lanes<M: Memory, E: Element>(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let size = size_of::<E::Stored>();
    let pointers = M::pointers(warp, block, step, mask, size * step.list.len())?;
    for (place, slot) in step.list.iter().enumerate() {
        let mut result = [E::Word::default(); LANES];
        for lane in 0..LANES {
            let pointer = (pointers[lane] + (place * size) as u64) as *const E::Stored;
            // SAFETY: `M::pointers` found the memory allocated, and nothing is freed while a
            // kernel runs. Threads of other blocks write it at the same time only in a kernel
            // that has a race, which may then read anything.
            result[lane] = E::widen(unsafe { pointer.read_unaligned() });
        }
        commit(warp, *slot, &result, mask);
    }
    Ok(())
}

/// Stores the registers `list` at the addresses `a`.
#[inline(always)]
fn store_lanes<M: Memory, E: Element>(
    warp: &mut Warp,
    block: &mut ThreadBlock<'_>,
    step: &Step,
    mask: u32,
) -> Outcome {
    let size = size_of::<E::Stored>();
    let pointers = M::pointers(warp, block, step, mask, size * step.list.len())?;
    for (place, slot) in step.list.iter().enumerate() {
        let values = E::Word::lanes(warp, *slot);
        for lane in 0..LANES {
            if mask >> lane & 1 == 1 {
                let pointer = (pointers[lane] + (place * size) as u64) as *mut E::Stored;
                // SAFETY: as in `load_lanes`.
                unsafe { pointer.write_unaligned(E::narrow(values[lane])) };
            }
        }
    }
    Ok(())
}

fn in_memory<M: Memory>(
    kind: &str,
    class: RegisterClass,
    loads: bool,
    set: InstructionSet,
) -> Option<Handler> {
    macro_rules! pick {
        ($element:ty) => {
            if loads { load::<M, $element>(set) } else { store::<M, $element>(set) }
        };
    }
    let bits = match class {
        RegisterClass::Predicate => return None,
        RegisterClass::Word(bits) => bits,
        RegisterClass::Long => 64,
    };
    Some(match (kind, bits) {
        ("b8" | "u8", ..=32) => pick!(Byte),
        ("s8", ..=16) => pick!(SignedByte16),
        ("s8", 32) => pick!(SignedByte),
        ("b16" | "u16" | "f16" | "bf16", ..=32) => pick!(Short),
        ("s16", ..=16) => pick!(Short),
        ("s16", 32) => pick!(SignedShort),
        ("b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2", ..=32) => pick!(Word32),
        ("b8" | "u8", 64) => pick!(ByteLong),
        ("s8", 64) => pick!(SignedByteLong),
        ("b16" | "u16", 64) => pick!(ShortLong),
        ("s16", 64) => pick!(SignedShortLong),
        ("b32" | "u32", 64) => pick!(WordLong),
        ("s32", 64) => pick!(SignedWordLong),
        ("b64" | "u64" | "s64" | "f64", 64) => pick!(Long),
        _ => return None,
    })
}

/// What an access is, from its modifiers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parameter,
    Global,
    Shared,
    Local,
    Generic,
}

fn memory_kind(i: &Instruction) -> Option<Kind> {
    let mut found = Kind::Generic;
    for modifier in i.modifiers() {
        match modifier {
            "param" => found = Kind::Parameter,
            "global" | "const" => found = Kind::Global,
            "shared" | "shared::cta" => found = Kind::Shared,
            "local" => found = Kind::Local,
            // One host thread runs a block, and blocks meet only by atomics and at the end: order
            // and caches need nothing.
            "nc" | "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" | "volatile" | "relaxed"
            | "acquire" | "release" | "weak" | "cta" | "gpu" | "sys" | "v2" | "v4" | "v8" => {}
            _ if modifier.starts_with("L1::") || modifier.starts_with("L2::") => {}
            _ if type_bytes(&format!(".{modifier}")).is_some() => {}
            _ => return None,
        }
    }
    Some(found)
}

/// The class of the registers of a vector; numbers and sinks take that of the type.
fn element_class(decoder: &Decoder, i: &Instruction, elements: &[&Operand]) -> RegisterClass {
    let bytes = type_bytes(&format!(".{}", kind(i))).unwrap_or(4);
    let of_type = if bytes == 8 { RegisterClass::Long } else { RegisterClass::Word(32) };
    elements.iter().find_map(|element| decoder.class(element)).unwrap_or(of_type)
}

/// Decodes `ld`, `ldu` and `st`.
pub fn decode(decoder: &mut Decoder, i: &Instruction) -> Result<(), PtxError> {
    let memory = memory_kind(i).ok_or_else(|| decoder.unknown(i))?;
    let loads = i.name() != "st";
    let (values, address) = match &i.operands[..] {
        // A policy of caches may follow.
        [first, second] | [first, second, _] if loads => (first, second),
        [first, second] | [first, second, _] => (second, first),
        _ => return Err(i.error("expected a register and an address")),
    };
    let elements: Vec<&Operand> = match values {
        Operand::Vector(elements) => elements.iter().collect(),
        other => vec![other],
    };
    let count = ["v2", "v4", "v8"].iter().position(|vector| i.has(vector));
    if elements.len() != count.map_or(1, |place| 2 << place) {
        return Err(i.error("another number of elements than the vector has"));
    }
    let class = element_class(decoder, i, &elements);
    let long = class == RegisterClass::Long;
    if memory == Kind::Parameter {
        return load_parameter(decoder, i, &elements, address, long);
    }
    let set = decoder.set;
    let run = match memory {
        Kind::Global => in_memory::<Global>(kind(i), class, loads, set),
        Kind::Shared => in_memory::<Shared>(kind(i), class, loads, set),
        Kind::Local => in_memory::<Local>(kind(i), class, loads, set),
        _ => in_memory::<Generic>(kind(i), class, loads, set),
    };
    let run = run.ok_or_else(|| decoder.unknown(i))?;
    let (a, offset) = match memory {
        Kind::Shared | Kind::Local => decoder.narrow_address(i, address)?,
        _ => decoder.wide_address(i, address)?,
    };
    let mut list = Vec::with_capacity(elements.len());
    for element in elements {
        list.push(match (loads, long) {
            (true, true) => decoder.target::<u64>(i, element)?,
            (true, false) => decoder.target::<u32>(i, element)?,
            (false, true) => decoder.source::<u64>(i, element)?,
            (false, false) => decoder.source::<u32>(i, element)?,
        });
    }
    let cache = decoder.new_cache();
    let step = decoder.push(i, run);
    (step.a, step.offset, step.cache) = (a, offset, cache);
    step.list = list.into();
    Ok(())
}

fn load_parameter(
    decoder: &mut Decoder,
    i: &Instruction,
    elements: &[&Operand],
    address: &Operand,
    long: bool,
) -> Result<(), PtxError> {
    let Operand::Address { base: Base::Symbol(name), displacement } = address else {
        return Err(i.error("expected a parameter's name"));
    };
    let parameter = decoder
        .kernel
        .parameters
        .iter()
        .find(|parameter| parameter.name == *name)
        .ok_or_else(|| i.error(format!("no parameter {name}")))?;
    let bytes = type_bytes(&format!(".{}", kind(i))).ok_or_else(|| decoder.unknown(i))?;
    let start = usize::try_from(*displacement)
        .ok()
        .filter(|start| start + bytes * elements.len() <= parameter.bytes && bytes <= 8)
        .ok_or_else(|| i.error(format!("{name} has {} bytes", parameter.bytes)))?;
    let signed = kind(i).starts_with('s');
    let first = parameter.offset + start;
    for (place, element) in elements.iter().enumerate() {
        let a = decoder.parameter(long, first + place * bytes, bytes, signed);
        let (d, run) = if long {
            (decoder.target::<u64>(i, element)?, unary::<Copy<u64>>(decoder.set))
        } else {
            (decoder.target::<u32>(i, element)?, unary::<Copy<u32>>(decoder.set))
        };
        let step = decoder.push(i, run);
        (step.d, step.a) = (d, a);
    }
    Ok(())
}
