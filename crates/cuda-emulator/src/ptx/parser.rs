//! Tokens to a module: its variables, and the kernels' heads.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::lexer::Token;
use super::variables::type_bytes;
use super::{Immediate, Kernel, Module, Parameter, PtxError, Space, Variable, body};

/// Reads a module.
pub fn parse(text: &str) -> Result<Module<'_>, PtxError> {
    let mut cursor = Cursor::new(text)?;
    let mut module = Module {
        variables: Vec::new(),
        kernels: Vec::new(),
        files: HashMap::new(),
        places: Vec::new(),
    };
    while cursor.peek().is_some() {
        match cursor.peek_word() {
            Some(".version" | ".target" | ".address_size") => cursor.skip_line(),
            Some(".file") => file(&mut cursor, &mut module)?,
            Some(".section") => cursor.skip_section()?,
            Some(".pragma") => cursor.skip_past(b';')?,
            Some(
                ".visible" | ".weak" | ".extern" | ".common" | ".global" | ".const" | ".shared"
                | ".entry" | ".func",
            ) => declaration(&mut cursor, &mut module)?,
            _ => return Err(cursor.unexpected("a directive")),
        }
    }
    Ok(module)
}

fn file<'a>(cursor: &mut Cursor<'a>, module: &mut Module<'a>) -> Result<(), PtxError> {
    let line = cursor.line();
    cursor.skip();
    let number = cursor.integer()? as u32;
    if let Some(Token::Text(name)) = cursor.peek().map(|placed| placed.token) {
        module.files.insert(number, name);
    }
    while cursor.peek().is_some_and(|placed| placed.line == line) {
        cursor.skip();
    }
    Ok(())
}

fn declaration<'a>(cursor: &mut Cursor<'a>, module: &mut Module<'a>) -> Result<(), PtxError> {
    while matches!(cursor.peek_word(), Some(".visible" | ".weak" | ".extern" | ".common")) {
        cursor.skip();
    }
    match cursor.peek_word() {
        Some(".entry") => {
            cursor.skip();
            let mut kernel = head(cursor)?;
            body::read(cursor, &mut kernel, &mut module.places)?;
            module.kernels.push(kernel);
        }
        // A kernel that calls a function is refused there: `call` is an unknown instruction.
        Some(".func") => {
            while cursor.peek().is_some_and(|placed| {
                !matches!(placed.token, Token::Mark(b'{') | Token::Mark(b';'))
            }) {
                cursor.skip();
            }
            if !cursor.take_mark(b';') {
                cursor.skip_braces()?;
            }
        }
        _ => module.variables.push(variable(cursor)?),
    }
    Ok(())
}

fn space(cursor: &mut Cursor) -> Result<Space, PtxError> {
    let space = match cursor.peek_word() {
        Some(".global") => Space::Global,
        Some(".const") => Space::Constant,
        Some(".shared") => Space::Shared,
        Some(".local") => Space::Local,
        _ => return Err(cursor.unexpected("a state space")),
    };
    cursor.skip();
    Ok(space)
}

fn align(cursor: &mut Cursor) -> Result<Option<usize>, PtxError> {
    if !cursor.take_word(".align") {
        return Ok(None);
    }
    let align = cursor.integer()? as usize;
    if !align.is_power_of_two() {
        return Err(PtxError::new(cursor.line(), format!("alignment {align}")));
    }
    Ok(Some(align))
}

fn element_bytes(cursor: &mut Cursor) -> Result<usize, PtxError> {
    let word = cursor.word("a type")?;
    type_bytes(word).ok_or_else(|| PtxError::new(cursor.line(), format!("unknown type {word}")))
}

/// Reads a variable, from its state space to its semicolon.
pub fn variable(cursor: &mut Cursor) -> Result<Variable, PtxError> {
    let space = space(cursor)?;
    let align = align(cursor)?;
    let element = element_bytes(cursor)?;
    let name = cursor.word("a name")?.to_string();
    let mut count = 1;
    let mut dynamic = false;
    while cursor.take_mark(b'[') {
        if cursor.take_mark(b']') {
            dynamic = true;
            continue;
        }
        count *= cursor.integer()? as usize;
        cursor.expect(b']')?;
    }
    let mut values = Vec::new();
    if cursor.take_mark(b'=') {
        let braced = cursor.take_mark(b'{');
        loop {
            let value = match cursor.immediate()? {
                Immediate::Integer(value) | Immediate::F64(value) => value,
                Immediate::F32(value) => u64::from(value),
            };
            values.extend_from_slice(&value.to_le_bytes()[..element.min(8)]);
            if !cursor.take_mark(b',') {
                break;
            }
        }
        if braced {
            cursor.expect(b'}')?;
        }
        if dynamic {
            (dynamic, count) = (false, values.len() / element);
        }
    }
    cursor.expect(b';')?;
    if values.len() > count * element {
        return Err(PtxError::new(cursor.line(), format!("{name} has too many values")));
    }
    let align = align.unwrap_or(element);
    Ok(Variable { name, space, align, bytes: count * element, dynamic, values })
}

fn parameters(cursor: &mut Cursor) -> Result<Vec<Parameter>, PtxError> {
    let mut parameters = Vec::new();
    let mut end = 0_usize;
    if !cursor.take_mark(b'(') || cursor.take_mark(b')') {
        return Ok(parameters);
    }
    loop {
        if !cursor.take_word(".param") {
            return Err(cursor.unexpected(".param"));
        }
        let alignment = align(cursor)?;
        let element = element_bytes(cursor)?;
        // `.ptr .global .align 16` states what the argument points to.
        if cursor.take_word(".ptr") {
            if matches!(cursor.peek_word(), Some(".global" | ".const" | ".shared" | ".local")) {
                cursor.skip();
            }
            align(cursor)?;
        }
        let name = cursor.word("a parameter's name")?.to_string();
        let mut bytes = element;
        if cursor.take_mark(b'[') {
            bytes *= cursor.integer()? as usize;
            cursor.expect(b']')?;
        }
        let offset = end.next_multiple_of(alignment.unwrap_or(element));
        end = offset + bytes;
        parameters.push(Parameter { name, offset, bytes });
        if !cursor.take_mark(b',') {
            break;
        }
    }
    cursor.expect(b')')?;
    Ok(parameters)
}

fn threads(cursor: &mut Cursor) -> Result<[u32; 3], PtxError> {
    let mut threads = [1; 3];
    for (axis, size) in threads.iter_mut().enumerate() {
        if axis > 0 && !cursor.take_mark(b',') {
            break;
        }
        *size = cursor.integer()? as u32;
    }
    Ok(threads)
}

/// Reads a kernel's name, parameters and demands, up to its brace.
fn head<'a>(cursor: &mut Cursor<'a>) -> Result<Kernel<'a>, PtxError> {
    let mut kernel = Kernel {
        name: cursor.word("a kernel's name")?,
        parameters: parameters(cursor)?,
        required_threads: None,
        maximum_threads: None,
        registers: Vec::new(),
        variables: Vec::new(),
        instructions: Vec::new(),
        labels: HashMap::new(),
    };
    loop {
        match cursor.peek_word() {
            Some(".reqntid") => {
                cursor.skip();
                kernel.required_threads = Some(threads(cursor)?);
            }
            Some(".maxntid") => {
                cursor.skip();
                kernel.maximum_threads = Some(threads(cursor)?);
            }
            Some(".minnctapersm" | ".maxnreg" | ".noreturn" | ".pragma") => cursor.skip_line(),
            _ => return Ok(kernel),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ptx::{BarrierNumber, Base, Operand, RegisterClass, Terminator};

    const TEXT: &str = r#"
.version 8.8
.target sm_80
.address_size 64
.extern .shared .align 16 .b8 global_smem[];
.global .align 4 .b8 table[8] = {65, 144, 67};
.const .align 4 .f32 factors[2] = {0f3F800000, 0fBF800000};
.visible .entry kernel(
	.param .u64 .ptr .global .align 1 kernel_param_0,
	.param .u32 kernel_param_1,
	.param .u64 kernel_param_2
)
.reqntid 128
{
	.local .align 4 .b8 	__local_depot0[28];
	.reg .pred 	%p<2>;
	.reg .b16 	%rs<3>;
	.reg .b32 	%r<4>;
	.reg .b64 	%rd<3>;
	.loc	1 11 0                          // a.py:11:0
	ld.param.b64 	%rd1, [kernel_param_0+8];
	{
	.reg .b32 %r<2>;
	.loc 1 12 3
	mov.b32 %r1, -1;
	}
	mov.b32 {%rs1, _}, %r1;
$L__BB0_1:
	.pragma "nounroll";
	shfl.sync.bfly.b32 	%r2|%p1, %r1, 1, 31, -1;
	@!%p1 bra 	$L__BB0_1;
	bar.sync 	0;
	ret;
$L__end:
}
	.file	1 "/x/a.py"
	.section	.debug_abbrev
	{
.b8 1                                   // Abbreviation Code
	}
"#;

    #[test]
    fn reads_a_module() {
        let module = parse(TEXT).unwrap();
        let [shared, table, factors] = &module.variables[..] else { panic!() };
        assert!(shared.dynamic && shared.space == Space::Shared && shared.align == 16);
        assert_eq!((table.bytes, &table.values[..]), (8, &[65, 144, 67][..]));
        assert_eq!(factors.values, [0, 0, 128, 63, 0, 0, 128, 191]);
        assert_eq!(module.files[&1], "/x/a.py");
        let kernel = &module.kernels[0];
        assert_eq!(kernel.required_threads, Some([128, 1, 1]));
        let places: Vec<_> =
            kernel.parameters.iter().map(|parameter| (parameter.offset, parameter.bytes)).collect();
        assert_eq!(places, [(0, 8), (8, 4), (16, 8)]);
        assert_eq!(kernel.variables[0].bytes, 28);
        assert_eq!(kernel.instructions.len(), 7);
        assert_eq!(module.places[0].line, 11);
    }

    #[test]
    fn parts_registers_of_an_inner_scope() {
        let module = parse(TEXT).unwrap();
        let kernel = &module.kernels[0];
        let Operand::Register(inner) = kernel.instructions[1].operands[0] else { panic!() };
        let Operand::Register(outer) = kernel.instructions[2].operands[1] else { panic!() };
        assert_ne!(inner, outer);
        assert_eq!(kernel.registers[inner as usize], RegisterClass::Word(32));
        assert_eq!(
            kernel.instructions[0].operands[1],
            Operand::Address { base: Base::Symbol("kernel_param_0"), displacement: 8 }
        );
        assert!(matches!(kernel.instructions[3].operands[0], Operand::Pair(..)));
    }

    #[test]
    fn splits_a_kernel_into_blocks() {
        let module = parse(TEXT).unwrap();
        let blocks = module.kernels[0].blocks().unwrap();
        let ends: Vec<_> = blocks.iter().map(|block| block.terminator).collect();
        assert!(matches!(
            ends[..],
            [
                Terminator::Next,
                Terminator::Branch { target: 1, .. },
                Terminator::Barrier { barrier: BarrierNumber::Fixed(0), threads: None },
                Terminator::Exit { guard: None },
                Terminator::Exit { guard: None }
            ]
        ));
    }

    #[test]
    fn says_where_a_text_is_wrong() {
        let text = TEXT.replace("%r1, 1, 31", "%r9, 1, 31");
        assert!(parse(&text).unwrap_err().message.contains("%r9"));
        let text = TEXT.replace("bra \t$L__BB0_1", "bra \t$L__BB0_7");
        let module = parse(&text).unwrap();
        assert!(module.kernels[0].blocks().unwrap_err().message.contains("$L__BB0_7"));
        assert_eq!(parse("\n.entry x() {").unwrap_err().line, 2);
        assert!(parse(".unknown").is_err());
    }
}
