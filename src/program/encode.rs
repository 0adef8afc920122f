//! The compact binary form: what a fuzzer keeps and mutates.
//!
//! It begins with a byte that no text begins with. Whatever does not decode is read as *choices*
//! of the generator, so that every byte string is a program and any engine can drive the targets.
//! The form is disposable: it may change with any version, text is the durable one.

use arbitrary::{Arbitrary, Unstructured};

use super::generate::{self, ByteChoices, Shape};
use super::{Allocator, Program, fixup};

/// The first byte: not ASCII, and not the beginning of a UTF-8 character.
const MAGIC: u8 = 0xBF;
/// The version of the form.
const VERSION: u8 = 10;

/// Why bytes are not a program in the binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They begin otherwise.
    #[error(
        "these bytes are not a buflock program: they begin neither with `# buflock program` nor as the binary form"
    )]
    Foreign,
    /// They are of another version.
    #[error(
        "this binary program is of version {0}, which this buflock cannot read; text programs are the durable form"
    )]
    Version(u8),
    /// They end too soon, or make no sense.
    #[error("this binary program is truncated or damaged")]
    Damaged,
    /// They decode, but not to a valid program.
    #[error("this binary program names things that do not exist")]
    Invalid,
}

/// The binary form of a program.
pub fn encode(program: &Program) -> Vec<u8> {
    postcard::to_extend(program, vec![MAGIC, VERSION]).expect("failed to encode to memory, which cannot fail")
}

/// Reads the binary form, exactly.
pub fn decode(bytes: &[u8]) -> Result<Program, DecodeError> {
    let program = decode_loosely(bytes)?;
    let mut valid = program.clone();
    fixup::fixup(&mut valid);
    if valid == program { Ok(program) } else { Err(DecodeError::Invalid) }
}

/// Reads any bytes: a text, the binary form, repaired where needed, or else choices. A fuzzer finds nothing in what is
/// known to break memory, so that such steps are left out whatever the bytes say.
pub fn read(bytes: &[u8]) -> Program {
    if super::parse::is_text(bytes)
        && let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(program) = super::parse::parse(text)
    {
        return unconditional(program);
    }
    let mut program = decode_loosely(bytes)
        .unwrap_or_else(|_| Program::arbitrary(&mut Unstructured::new(bytes)).unwrap_or_default());
    fixup::fixup(&mut program);
    unconditional(program)
}

/// Without what a file may ask of the process that runs it.
fn unconditional(program: Program) -> Program {
    Program { unguarded: false, allocator: Allocator::default(), ..program }
}

fn decode_loosely(bytes: &[u8]) -> Result<Program, DecodeError> {
    match bytes {
        [MAGIC, VERSION, rest @ ..] => match postcard::take_from_bytes(rest) {
            Ok((program, [])) => Ok(program),
            _ => Err(DecodeError::Damaged),
        },
        [MAGIC, version, ..] => Err(DecodeError::Version(*version)),
        [MAGIC] => Err(DecodeError::Damaged),
        _ => Err(DecodeError::Foreign),
    }
}

impl<'a> Arbitrary<'a> for Program {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Program> {
        // As many steps as there are bytes to choose them by.
        let shape = Shape { steps: (bytes.len() / 8).clamp(1, 64), ..Shape::default() };
        Ok(generate::program(&mut ByteChoices(bytes), shape))
    }
}
