//! Kernels as read to programs.

use std::collections::HashMap;

use crate::ptx::{
    BarrierNumber, Instruction, Kernel, PtxError, Space, Special, Terminator, Variable,
    assign_slots, registers_of_products,
};

use super::decoder::{Decoder, Place, kind};
use super::program::{Program, Section};
use super::step::InstructionSet;
use super::{
    async_copy, async_product, async_registers, atomic, barrier, bits, compare, convert, float,
    integer, load_store, math, matrix, movement, phase_barrier, shuffle, small_float,
};

/// Gives variables of `space` addresses from `start`; gives the end.
fn lay_out(
    variables: &mut dyn Iterator<Item = &Variable>,
    space: Space,
    start: usize,
    symbols: &mut HashMap<String, Place>,
) -> usize {
    let mut end = start;
    for variable in variables.filter(|variable| variable.space == space) {
        let address = end.next_multiple_of(variable.align);
        symbols.insert(variable.name.clone(), Place { space, address: address as u64 });
        if variable.dynamic {
            // All of them begin where the others end, and share what the launch asks for.
            continue;
        }
        end = address + variable.bytes;
    }
    end
}

/// Decodes `kernel`. `variables` are the module's; `globals` says where those in device memory lie.
pub fn decode(
    kernel: &Kernel<'_>,
    variables: &[Variable],
    globals: &HashMap<String, u64>,
    set: InstructionSet,
) -> Result<Program, PtxError> {
    let blocks = kernel.blocks()?;
    let assignment = assign_slots(kernel, &blocks);
    let mut symbols: HashMap<String, Place> = globals
        .iter()
        .map(|(name, address)| (name.clone(), Place { space: Space::Global, address: *address }))
        .collect();
    let all = || variables.iter().chain(&kernel.variables);
    let fixed = &mut all().filter(|variable| !variable.dynamic);
    let static_shared = lay_out(fixed, Space::Shared, 0, &mut symbols);
    let dynamic = &mut all().filter(|variable| variable.dynamic);
    // Aligned as the most demanding access wants it.
    let dynamic_start = static_shared.next_multiple_of(128);
    lay_out(dynamic, Space::Shared, dynamic_start, &mut symbols);
    let local_bytes = lay_out(&mut all(), Space::Local, 0, &mut symbols).next_multiple_of(16);
    for parameter in &kernel.parameters {
        let place = Place { space: Space::Parameter, address: parameter.offset as u64 };
        symbols.insert(parameter.name.clone(), place);
    }
    let tracked = registers_of_products(kernel);
    let mut decoder = Decoder {
        set,
        kernel,
        slots: assignment.slots,
        symbols,
        fills: Vec::new(),
        known: HashMap::new(),
        specials: HashMap::new(),
        words: assignment.words,
        longs: assignment.longs,
        predicates: assignment.predicates,
        sinks: [None; 3],
        steps: Vec::new(),
        caches: 0,
    };
    let mut sections = Vec::with_capacity(blocks.len());
    for block in &blocks {
        let start = decoder.steps.len();
        for instruction in &kernel.instructions[block.body.clone()] {
            async_registers::decode_touch(&mut decoder, instruction, &tracked);
            decode_instruction(&mut decoder, instruction)?;
        }
        let terminator = match block.terminator {
            Terminator::Branch { mut guard, target } => {
                guard.register = decoder.slots[guard.register as usize];
                Terminator::Branch { guard, target }
            }
            Terminator::Exit { guard: Some(mut guard) } => {
                guard.register = decoder.slots[guard.register as usize];
                Terminator::Exit { guard: Some(guard) }
            }
            Terminator::Barrier { barrier: BarrierNumber::Register(register), threads } => {
                let slot = decoder.slots[register as usize];
                Terminator::Barrier { barrier: BarrierNumber::Register(slot), threads }
            }
            other => other,
        };
        sections.push(Section { body: start..decoder.steps.len(), terminator, line: block.line });
    }
    let axis = |(special, slot): (&Special, &u32)| match special {
        Special::Block(axis) => Some((*slot, *axis)),
        _ => None,
    };
    Ok(Program {
        name: kernel.name.to_string(),
        parameters: kernel.parameters.clone(),
        required_threads: kernel.required_threads,
        maximum_threads: kernel.maximum_threads,
        block_indices: decoder.specials.iter().filter_map(axis).collect(),
        steps: decoder.steps,
        blocks: sections,
        words: decoder.words,
        longs: decoder.longs,
        predicates: decoder.predicates,
        multiplies: !tracked.is_empty(),
        caches: decoder.caches,
        fills: decoder.fills,
        static_shared,
        dynamic_start,
        local_bytes,
        text: Vec::new(),
    })
}

fn decode_instruction(decoder: &mut Decoder, instruction: &Instruction) -> Result<(), PtxError> {
    match instruction.name() {
        "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "abs" | "neg" | "min" | "max"
        | "addc" | "subc" | "madc" | "sqrt" | "rsqrt" | "rcp" | "copysign" => {
            match kind(instruction) {
                "f32" | "f64" => float::decode(decoder, instruction),
                "f16" | "bf16" | "f16x2" | "bf16x2" => small_float::decode(decoder, instruction),
                _ => integer::decode(decoder, instruction),
            }
        }
        "ex2" | "lg2" | "sin" | "cos" | "tanh" => math::decode(decoder, instruction),
        "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "bfe" | "bfi" | "bfind"
        | "brev" | "clz" | "popc" | "prmt" | "lop3" | "sad" => bits::decode(decoder, instruction),
        "setp" | "selp" | "slct" => compare::decode(decoder, instruction),
        "mov" | "cvta" | "isspacep" | "createpolicy" => movement::decode(decoder, instruction),
        "cvt" => convert::decode(decoder, instruction),
        "ld" | "ldu" | "st" => load_store::decode(decoder, instruction),
        "atom" | "red" => atomic::decode(decoder, instruction),
        "cp" => async_copy::decode(decoder, instruction),
        "shfl" | "vote" | "activemask" | "redux" | "elect" => shuffle::decode(decoder, instruction),
        "ldmatrix" | "mma" => matrix::decode(decoder, instruction),
        "wgmma" => async_product::decode(decoder, instruction),
        "mbarrier" => phase_barrier::decode(decoder, instruction),
        "bar" | "barrier" | "membar" | "fence" | "prefetch" | "prefetchu" | "discard"
        | "applypriority" | "nanosleep" | "trap" | "pmevent" | "setmaxnreg" => {
            barrier::decode(decoder, instruction)
        }
        _ => Err(decoder.unknown(instruction)),
    }
}
