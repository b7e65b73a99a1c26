//! Tokens to a kernel's instructions.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::lexer::Token;
use super::parser::variable;
use super::{
    Base, Guard, Instruction, Kernel, Operand, PtxError, RegisterClass, RegisterId, SourcePlace,
    Special,
};

/// Registers of one `{ … }` by name.
#[derive(Default)]
struct Scope<'a> {
    /// Declared one by one.
    single: HashMap<&'a str, RegisterId>,
    /// `%r<9>`: the first's number and how many there are, by prefix.
    families: HashMap<&'a str, (RegisterId, u32)>,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Option<RegisterId> {
        if let Some(register) = self.single.get(name) {
            return Some(*register);
        }
        let prefix = name.trim_end_matches(|character: char| character.is_ascii_digit());
        let (first, count) = self.families.get(prefix)?;
        let number: u32 = name[prefix.len()..].parse().ok()?;
        (number < *count).then_some(first + number)
    }
}

/// Reads a kernel's body with its braces.
pub fn read<'a>(
    cursor: &mut Cursor<'a>,
    kernel: &mut Kernel<'a>,
    places: &mut Vec<SourcePlace>,
) -> Result<(), PtxError> {
    cursor.expect(b'{')?;
    let mut body = Body { cursor, kernel, scopes: vec![Scope::default()] };
    while !body.scopes.is_empty() {
        body.statement(places)?;
    }
    Ok(())
}

struct Body<'a, 'b> {
    cursor: &'b mut Cursor<'a>,
    kernel: &'b mut Kernel<'a>,
    scopes: Vec<Scope<'a>>,
}

impl<'a> Body<'a, '_> {
    fn find(&self, name: &str) -> Option<RegisterId> {
        self.scopes.iter().rev().find_map(|scope| scope.find(name))
    }

    fn statement(&mut self, places: &mut Vec<SourcePlace>) -> Result<(), PtxError> {
        if self.cursor.take_mark(b'{') {
            self.scopes.push(Scope::default());
            return Ok(());
        }
        if self.cursor.take_mark(b'}') {
            self.scopes.pop();
            return Ok(());
        }
        if self.cursor.take_mark(b';') {
            return Ok(());
        }
        match self.cursor.peek_word() {
            Some(".loc") => self.place(places),
            Some(".reg") => self.registers(),
            Some(".pragma") => self.cursor.skip_past(b';'),
            Some(".local" | ".shared" | ".global" | ".const") => {
                let variable = variable(self.cursor)?;
                self.kernel.variables.push(variable);
                Ok(())
            }
            Some(word) if word.starts_with('.') => Err(self.cursor.unexpected("a statement")),
            _ => self.instruction(),
        }
    }

    /// `.loc file line column …`, to the end of its line.
    fn place(&mut self, places: &mut Vec<SourcePlace>) -> Result<(), PtxError> {
        let ptx_line = self.cursor.line();
        self.cursor.skip();
        let (file, line) = (self.cursor.integer()? as u32, self.cursor.integer()? as u32);
        places.push(SourcePlace { ptx_line, file, line });
        while self.cursor.peek().is_some_and(|placed| placed.line == ptx_line) {
            self.cursor.skip();
        }
        Ok(())
    }

    fn registers(&mut self) -> Result<(), PtxError> {
        self.cursor.skip();
        let line = self.cursor.line();
        let name = self.cursor.word("a register's type")?;
        let class = match name {
            ".pred" => RegisterClass::Predicate,
            _ => match super::variables::type_bytes(name) {
                Some(8) => RegisterClass::Long,
                Some(bytes @ 1..=4) => RegisterClass::Word(bytes as u8 * 8),
                _ => return Err(PtxError::new(line, format!("no registers of type {name}"))),
            },
        };
        loop {
            let name = self.cursor.word("a register's name")?;
            let first = self.kernel.registers.len() as RegisterId;
            let scope = self.scopes.last_mut().ok_or_else(|| PtxError::new(line, "no scope"))?;
            let mut count = 1;
            if self.cursor.take_mark(b'<') {
                count = self.cursor.integer()? as u32;
                self.cursor.expect(b'>')?;
                scope.families.insert(name, (first, count));
            } else {
                scope.single.insert(name, first);
            }
            self.kernel.registers.extend((0..count).map(|_| class));
            if !self.cursor.take_mark(b',') {
                return self.cursor.expect(b';');
            }
        }
    }

    fn guard(&mut self) -> Result<Option<Guard>, PtxError> {
        if !self.cursor.take_mark(b'@') {
            return Ok(None);
        }
        let negated = self.cursor.take_mark(b'!');
        let line = self.cursor.line();
        let name = self.cursor.word("a predicate")?;
        let register = self
            .find(name)
            .filter(|register| {
                self.kernel.registers[*register as usize] == RegisterClass::Predicate
            })
            .ok_or_else(|| PtxError::new(line, format!("no predicate {name}")))?;
        Ok(Some(Guard { register, negated }))
    }

    fn instruction(&mut self) -> Result<(), PtxError> {
        let guard = self.guard()?;
        let line = self.cursor.line();
        let opcode = self.cursor.word("an instruction")?;
        if guard.is_none() && self.cursor.take_mark(b':') {
            self.kernel.labels.insert(opcode, self.kernel.instructions.len());
            return Ok(());
        }
        let mut operands = Vec::new();
        if !self.cursor.take_mark(b';') {
            loop {
                operands.push(self.operand()?);
                if !self.cursor.take_mark(b',') {
                    self.cursor.expect(b';')?;
                    break;
                }
            }
        }
        self.kernel.instructions.push(Instruction { line, guard, opcode, operands });
        Ok(())
    }

    fn named(&mut self) -> Result<Operand<'a>, PtxError> {
        let line = self.cursor.line();
        let name = self.cursor.word("an operand")?;
        if name == "_" {
            return Ok(Operand::Sink);
        }
        if let Some(register) = self.find(name) {
            return Ok(Operand::Register(register));
        }
        let special = name.starts_with('%') && Special::parse(name).is_some();
        if name.starts_with('%') && !special {
            return Err(PtxError::new(line, format!("no register {name}")));
        }
        Ok(Operand::Symbol(name))
    }

    fn operand(&mut self) -> Result<Operand<'a>, PtxError> {
        if self.cursor.take_mark(b'{') {
            let mut elements = Vec::new();
            while !self.cursor.take_mark(b'}') {
                elements.push(self.operand()?);
                if !self.cursor.take_mark(b',') {
                    self.cursor.expect(b'}')?;
                    break;
                }
            }
            return Ok(Operand::Vector(elements));
        }
        if self.cursor.take_mark(b'[') {
            return self.address();
        }
        if self.cursor.take_mark(b'!') {
            return match self.named()? {
                Operand::Register(register) => Ok(Operand::Negated(register)),
                _ => Err(self.cursor.unexpected("a predicate")),
            };
        }
        if self.cursor.peek_word().is_none() {
            return Ok(Operand::Immediate(self.cursor.immediate()?));
        }
        let first = self.named()?;
        if self.cursor.take_mark(b'|') {
            let second = self.named()?;
            return Ok(Operand::Pair(Box::new(first), Box::new(second)));
        }
        Ok(first)
    }

    fn address(&mut self) -> Result<Operand<'a>, PtxError> {
        let base = match self.cursor.peek().map(|placed| placed.token) {
            Some(Token::Word(_)) => match self.named()? {
                Operand::Register(register) => Base::Register(register),
                Operand::Symbol(name) => Base::Symbol(name),
                _ => return Err(self.cursor.unexpected("an address")),
            },
            _ => Base::Zero,
        };
        if let Base::Register(map) = base
            && self.cursor.take_mark(b',')
        {
            let Operand::Vector(coordinates) = self.operand()? else {
                return Err(self.cursor.unexpected("coordinates"));
            };
            self.cursor.expect(b']')?;
            return Ok(Operand::Tensor { map, coordinates });
        }
        let mut displacement = 0_i64;
        let next = self.cursor.peek().map(|placed| placed.token);
        if base == Base::Zero || self.cursor.take_mark(b'+') || next == Some(Token::Mark(b'-')) {
            displacement = self.cursor.integer()? as i64;
        }
        self.cursor.expect(b']')?;
        Ok(Operand::Address { base, displacement })
    }
}
