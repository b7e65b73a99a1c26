//! Text to tokens.

use super::PtxError;

/// A word, number, string or mark of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A name, opcode, directive, register or label: `add.s32`, `.reg`, `%r1`, `$L__BB0_1`.
    Word(&'a str),
    /// A number as written: `12`, `0x1F`, `0f3F800000`, `7U`; a minus sign is a mark of its own.
    Number(&'a str),
    /// A string without its quotes.
    Text(&'a str),
    /// One of `{ } [ ] ( ) < > , ; : = + - @ ! | *`.
    Mark(u8),
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The token.
    pub token: Token<'a>,
    /// Its line, from 1.
    pub line: u32,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$' | b'%' | b'.')
}

fn continues_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.')
}

/// All tokens of `text`, comments left out.
pub fn tokens(text: &str) -> Result<Vec<Placed<'_>>, PtxError> {
    let bytes = text.as_bytes();
    let mut found = Vec::with_capacity(text.len() / 5);
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let byte = bytes[at];
        let next = bytes.get(at + 1).copied();
        let token = match byte {
            b'\n' => {
                line += 1;
                at += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'/' if next == Some(b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            b'/' if next == Some(b'*') => {
                let length = text[at..]
                    .find("*/")
                    .ok_or_else(|| PtxError::new(line, "a comment that doesn't end"))?;
                line += text[at..at + length].matches('\n').count() as u32;
                at += length + 2;
                continue;
            }
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += 1;
                }
                if at == bytes.len() {
                    return Err(PtxError::new(line, "a string that doesn't end"));
                }
                at += 1;
                Token::Text(&text[start + 1..at - 1])
            }
            byte if byte.is_ascii_digit() => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'.') {
                    at += 1;
                }
                Token::Number(&text[start..at])
            }
            byte if starts_word(byte) => {
                at += 1;
                while at < bytes.len() {
                    let scope = bytes[at] == b':'
                        && bytes.get(at + 1) == Some(&b':')
                        && bytes.get(at + 2).is_some_and(|byte| continues_word(*byte));
                    if scope {
                        at += 2;
                    } else if continues_word(bytes[at]) {
                        at += 1;
                    } else {
                        break;
                    }
                }
                Token::Word(&text[start..at])
            }
            b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'<' | b'>' | b',' | b';' | b':' | b'='
            | b'+' | b'-' | b'@' | b'!' | b'|' | b'*' => {
                at += 1;
                Token::Mark(byte)
            }
            // The text handed to a driver ends with a NUL.
            0 => break,
            _ => {
                let character = text[at..].chars().next().unwrap_or('?');
                return Err(PtxError::new(line, format!("character {character:?}")));
            }
        };
        found.push(Placed { token, line });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Token<'_>> {
        tokens(text).unwrap().into_iter().map(|placed| placed.token).collect()
    }

    #[test]
    fn splits_an_instruction() {
        assert_eq!(
            of("@!%p1 ld.shared::cta.v2.b32 { %r1, _ }, [ %rd1 + -8 ]; // tail"),
            [
                Token::Mark(b'@'),
                Token::Mark(b'!'),
                Token::Word("%p1"),
                Token::Word("ld.shared::cta.v2.b32"),
                Token::Mark(b'{'),
                Token::Word("%r1"),
                Token::Mark(b','),
                Token::Word("_"),
                Token::Mark(b'}'),
                Token::Mark(b','),
                Token::Mark(b'['),
                Token::Word("%rd1"),
                Token::Mark(b'+'),
                Token::Mark(b'-'),
                Token::Number("8"),
                Token::Mark(b']'),
                Token::Mark(b';'),
            ]
        );
    }

    #[test]
    fn parts_labels_from_their_colon_and_counts_lines() {
        let placed = tokens("/* a\nb */ $L__BB0_1:\n\tret;\0").unwrap();
        assert_eq!(placed[0].token, Token::Word("$L__BB0_1"));
        assert_eq!(placed[1].token, Token::Mark(b':'));
        assert_eq!((placed[0].line, placed[2].line), (2, 3));
        assert_eq!(placed.len(), 4);
    }

    #[test]
    fn refuses_what_the_language_lacks() {
        assert_eq!(tokens("\n#").unwrap_err().line, 2);
        assert!(tokens("\"open").is_err());
        assert!(tokens("/* open").is_err());
    }
}
