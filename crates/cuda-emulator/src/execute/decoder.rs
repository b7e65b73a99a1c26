//! What decoding keeps: slots, constants, symbols and the steps so far.

use std::collections::HashMap;

use crate::ptx::{
    Base, Immediate, Instruction, Kernel, Operand, PtxError, RegisterClass, Space, Special,
};

use super::movement;
use super::program::Fill;
use super::step::{Binary, Handler, InstructionSet, Step, Ternary, Unary, binary, ternary, unary};
use super::value::Value;
use super::warp::{Word, fits};

/// Where a variable lies, as instructions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its space.
    pub space: Space,
    /// Its address there.
    pub address: u64,
}

/// Turns a kernel into a [`Program`].
pub struct Decoder<'a> {
    /// What loops over lanes are compiled for.
    pub set: InstructionSet,
    /// The kernel.
    pub kernel: &'a Kernel<'a>,
    /// The slot of each register.
    pub slots: Vec<u32>,
    /// Variables by name.
    pub symbols: HashMap<String, Place>,
    /// What slots hold that no instruction writes.
    pub fills: Vec<(u32, Fill)>,
    /// Slots of constants: whether of 64 bits, and the value.
    pub known: HashMap<(bool, u64), u32>,
    /// Slots of special registers.
    pub specials: HashMap<Special, u32>,
    /// Slots of 32 bits.
    pub words: u32,
    /// Slots of 64 bits.
    pub longs: u32,
    /// Slots of predicates.
    pub predicates: u32,
    /// Slots for results that nobody wants, by class.
    pub sinks: [Option<u32>; 3],
    /// Steps so far.
    pub steps: Vec<Step>,
    /// Accesses to global memory so far.
    pub caches: u32,
}

impl Decoder<'_> {
    /// The error for an instruction that the emulator doesn't know.
    pub fn unknown(&self, instruction: &Instruction) -> PtxError {
        instruction.error("an instruction that the emulator doesn't know")
    }

    /// Appends a step of `instruction`, its operands still to be filled in.
    pub fn push(&mut self, instruction: &Instruction, run: Handler) -> &mut Step {
        let (guard, invert) = match instruction.guard {
            None => (0, 0),
            Some(guard) => {
                (self.slots[guard.register as usize], if guard.negated { u32::MAX } else { 0 })
            }
        };
        let line = instruction.line;
        let (d, a, b, c, control, cache, offset) = (0, 0, 0, 0, 0, 0, 0);
        let list = Box::default();
        self.steps.push(Step {
            run,
            guard,
            invert,
            line,
            d,
            a,
            b,
            c,
            control,
            cache,
            offset,
            list,
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// A place in [`super::thread_block::ThreadBlock::cached`] for one instruction.
    pub fn new_cache(&mut self) -> u32 {
        self.caches += 1;
        self.caches - 1
    }

    fn fill<W: Word>(&mut self, fill: Fill) -> u32 {
        let slot = self.scratch::<W>();
        self.fills.push((slot, fill));
        slot
    }

    /// A slot that nothing else uses.
    pub fn scratch<W: Word>(&mut self) -> u32 {
        let total = if W::LONG { &mut self.longs } else { &mut self.words };
        *total += 1;
        *total - 1
    }

    fn constant<W: Word>(&mut self, bits: u64) -> u32 {
        if let Some(slot) = self.known.get(&(W::LONG, bits)) {
            return *slot;
        }
        let slot = self.fill::<W>(if W::LONG { Fill::Long(bits) } else { Fill::Word(bits as u32) });
        self.known.insert((W::LONG, bits), slot);
        slot
    }

    /// A slot that holds `value`.
    pub fn constant_word(&mut self, value: u32) -> u32 {
        self.constant::<u32>(u64::from(value))
    }

    /// A slot that holds `value`.
    pub fn constant_long(&mut self, value: u64) -> u32 {
        self.constant::<u64>(value)
    }

    /// A slot that holds an argument or a part of one.
    pub fn parameter(&mut self, long: bool, offset: usize, bytes: usize, signed: bool) -> u32 {
        if long {
            self.fill::<u64>(Fill::LongParameter { offset, bytes, signed })
        } else {
            self.fill::<u32>(Fill::WordParameter { offset, bytes, signed })
        }
    }

    /// Where the variable `name` lies.
    pub fn symbol(&self, name: &str) -> Option<Place> {
        self.symbols.get(name).copied()
    }

    /// The class of an operand that is a register.
    pub fn class(&self, operand: &Operand) -> Option<RegisterClass> {
        match operand {
            Operand::Register(register) => Some(self.kernel.registers[*register as usize]),
            _ => None,
        }
    }

    /// The slot of a source.
    pub fn source<V: Value>(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<u32, PtxError> {
        match operand {
            Operand::Register(register) => {
                let class = self.kernel.registers[*register as usize];
                if !fits::<V::Word>(class) {
                    return Err(instruction.error(format!("a register of class {class:?}")));
                }
                Ok(self.slots[*register as usize])
            }
            Operand::Immediate(immediate) => {
                let word = V::immediate(*immediate)
                    .ok_or_else(|| instruction.error("a number of another kind"))?;
                Ok(self.constant_of::<V::Word>(word))
            }
            Operand::Symbol(name) => self.named_source::<V::Word>(instruction, name),
            _ => Err(instruction.error("expected a register or a number")),
        }
    }

    fn constant_of<W: Word>(&mut self, word: W) -> u32 {
        self.constant::<W>(word.bits())
    }

    fn named_source<W: Word>(
        &mut self,
        instruction: &Instruction,
        name: &str,
    ) -> Result<u32, PtxError> {
        if let Some(place) = self.symbol(name) {
            return Ok(self.constant::<W>(place.address));
        }
        let special = Special::parse(name)
            .filter(|_| !W::LONG)
            .ok_or_else(|| instruction.error(format!("{name} is not known")))?;
        if let Some(slot) = self.specials.get(&special) {
            return Ok(*slot);
        }
        let slot = self.fill::<u32>(Fill::Special(special));
        self.specials.insert(special, slot);
        Ok(slot)
    }

    /// The slot of a result.
    pub fn target<V: Value>(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<u32, PtxError> {
        match operand {
            Operand::Sink => Ok(self.sink(if V::Word::LONG { 1 } else { 0 })),
            Operand::Register(_) => self.source::<V>(instruction, operand),
            _ => Err(instruction.error("expected a register for the result")),
        }
    }

    fn sink(&mut self, class: usize) -> u32 {
        if let Some(slot) = self.sinks[class] {
            return slot;
        }
        let slot = match class {
            0 => self.scratch::<u32>(),
            1 => self.scratch::<u64>(),
            _ => {
                self.predicates += 1;
                self.predicates - 1
            }
        };
        self.sinks[class] = Some(slot);
        slot
    }

    /// The slot of a predicate that is read, and whether it is negated.
    pub fn predicate(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<(u32, bool), PtxError> {
        let (register, negated) = match operand {
            Operand::Register(register) => (*register, false),
            Operand::Negated(register) => (*register, true),
            Operand::Immediate(Immediate::Integer(value)) => return Ok((0, *value == 0)),
            _ => return Err(instruction.error("expected a predicate")),
        };
        if self.kernel.registers[register as usize] != RegisterClass::Predicate {
            return Err(instruction.error("expected a predicate"));
        }
        Ok((self.slots[register as usize], negated))
    }

    /// The slot of a predicate that is written.
    pub fn predicate_target(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<u32, PtxError> {
        match operand {
            Operand::Sink => Ok(self.sink(2)),
            Operand::Register(_) => Ok(self.predicate(instruction, operand)?.0),
            _ => Err(instruction.error("expected a predicate for the result")),
        }
    }

    /// Slot and displacement of an address in global memory, or a generic one.
    pub fn wide_address(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<(u32, i64), PtxError> {
        let Operand::Address { base, displacement } = operand else {
            return Err(instruction.error("expected an address"));
        };
        let slot = match base {
            Base::Register(register) => {
                self.source::<u64>(instruction, &Operand::Register(*register))?
            }
            Base::Symbol(name) => self.source::<u64>(instruction, &Operand::Symbol(name))?,
            Base::Zero => self.constant_long(0),
        };
        Ok((slot, *displacement))
    }

    /// Slot and displacement of an address in shared or local memory.
    pub fn narrow_address(
        &mut self,
        instruction: &Instruction,
        operand: &Operand,
    ) -> Result<(u32, i64), PtxError> {
        let Operand::Address { base, displacement } = operand else {
            return Err(instruction.error("expected an address"));
        };
        let slot = match base {
            Base::Register(register) => {
                let register = Operand::Register(*register);
                if self.class(&register) == Some(RegisterClass::Long) {
                    let a = self.source::<u64>(instruction, &register)?;
                    let d = self.scratch::<u32>();
                    let step = self.push(instruction, unary::<movement::Low>(self.set));
                    (step.d, step.a) = (d, a);
                    d
                } else {
                    self.source::<u32>(instruction, &register)?
                }
            }
            Base::Symbol(name) => self.source::<u32>(instruction, &Operand::Symbol(name))?,
            Base::Zero => self.constant_word(0),
        };
        Ok((slot, *displacement))
    }

    /// Appends `d = f(a)`.
    pub fn unary<O: Unary>(&mut self, instruction: &Instruction) -> Result<(), PtxError> {
        let [d, a] = &instruction.operands[..] else {
            return Err(instruction.error("expected two operands"));
        };
        let d = self.target::<O::D>(instruction, d)?;
        let a = self.source::<O::A>(instruction, a)?;
        let step = self.push(instruction, unary::<O>(self.set));
        (step.d, step.a) = (d, a);
        Ok(())
    }

    /// Appends `d = f(a, b)`.
    pub fn binary<O: Binary>(&mut self, instruction: &Instruction) -> Result<(), PtxError> {
        let [d, a, b] = &instruction.operands[..] else {
            return Err(instruction.error("expected three operands"));
        };
        let d = self.target::<O::D>(instruction, d)?;
        let a = self.source::<O::A>(instruction, a)?;
        let b = self.source::<O::B>(instruction, b)?;
        let step = self.push(instruction, binary::<O>(self.set));
        (step.d, step.a, step.b) = (d, a, b);
        Ok(())
    }

    /// Appends `d = f(a, b, c)`.
    pub fn ternary<O: Ternary>(&mut self, instruction: &Instruction) -> Result<(), PtxError> {
        let [d, a, b, c] = &instruction.operands[..] else {
            return Err(instruction.error("expected four operands"));
        };
        let d = self.target::<O::D>(instruction, d)?;
        let a = self.source::<O::A>(instruction, a)?;
        let b = self.source::<O::B>(instruction, b)?;
        let c = self.source::<O::C>(instruction, c)?;
        let step = self.push(instruction, ternary::<O>(self.set));
        (step.d, step.a, step.b, step.c) = (d, a, b, c);
        Ok(())
    }
}

/// The last modifier: the type that an instruction works on.
pub fn kind<'a>(instruction: &Instruction<'a>) -> &'a str {
    instruction.opcode.rsplit('.').next().unwrap_or("")
}
