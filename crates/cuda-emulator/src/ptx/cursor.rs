//! A walk over tokens.

use super::lexer::{Placed, Token, tokens};
use super::{Immediate, PtxError};

/// Tokens, and the place that reading has come to.
pub struct Cursor<'a> {
    tokens: Vec<Placed<'a>>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Stands before the first token of `text`.
    pub fn new(text: &'a str) -> Result<Cursor<'a>, PtxError> {
        Ok(Cursor { tokens: tokens(text)?, at: 0 })
    }

    /// Passes one token.
    pub fn skip(&mut self) {
        self.at += 1;
    }

    /// The next token.
    pub fn peek(&self) -> Option<Placed<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// Its line; the last token's at the end.
    pub fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |placed| placed.line)
    }

    /// An error that says what was wanted and what stands here.
    pub fn unexpected(&self, wanted: &str) -> PtxError {
        let found = match self.peek().map(|placed| placed.token) {
            None => "the end".to_string(),
            Some(Token::Word(text) | Token::Number(text)) => text.to_string(),
            Some(Token::Text(text)) => format!("{text:?}"),
            Some(Token::Mark(mark)) => (mark as char).to_string(),
        };
        PtxError::new(self.line(), format!("expected {wanted}, found {found}"))
    }

    /// Passes `mark` if it is next.
    pub fn take_mark(&mut self, mark: u8) -> bool {
        let found = self.peek().is_some_and(|placed| placed.token == Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    /// Passes `mark`, which must be next.
    pub fn expect(&mut self, mark: u8) -> Result<(), PtxError> {
        if self.take_mark(mark) {
            return Ok(());
        }
        Err(self.unexpected(&(mark as char).to_string()))
    }

    /// The next token if it is a word.
    pub fn peek_word(&self) -> Option<&'a str> {
        match self.peek()?.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    /// Passes a word, which must be next.
    pub fn word(&mut self, wanted: &str) -> Result<&'a str, PtxError> {
        let word = self.peek_word().ok_or_else(|| self.unexpected(wanted))?;
        self.at += 1;
        Ok(word)
    }

    /// Passes the word `wanted` if it is next.
    pub fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.peek_word() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Passes a number with its sign.
    pub fn immediate(&mut self) -> Result<Immediate, PtxError> {
        let negative = self.take_mark(b'-');
        if let Some(Token::Number(text)) = self.peek().map(|placed| placed.token)
            && let Some(immediate) = Immediate::parse(text, negative)
        {
            self.at += 1;
            return Ok(immediate);
        }
        Err(self.unexpected("a number"))
    }

    /// Passes a whole number.
    pub fn integer(&mut self) -> Result<u64, PtxError> {
        match self.immediate()? {
            Immediate::Integer(value) => Ok(value),
            _ => Err(PtxError::new(self.line(), "expected a whole number")),
        }
    }

    /// Passes all that stands on this line.
    pub fn skip_line(&mut self) {
        let line = self.line();
        while self.peek().is_some_and(|placed| placed.line == line) {
            self.at += 1;
        }
    }

    /// Passes everything up to and with `mark`.
    pub fn skip_past(&mut self, mark: u8) -> Result<(), PtxError> {
        while let Some(placed) = self.peek() {
            self.at += 1;
            if placed.token == Token::Mark(mark) {
                return Ok(());
            }
        }
        Err(self.unexpected(&(mark as char).to_string()))
    }

    /// Skips `{ … }`, which may hold others.
    pub fn skip_braces(&mut self) -> Result<(), PtxError> {
        self.expect(b'{')?;
        let mut depth = 1;
        while depth > 0 {
            let placed = self.peek().ok_or_else(|| self.unexpected("}"))?;
            self.at += 1;
            match placed.token {
                Token::Mark(b'{') => depth += 1,
                Token::Mark(b'}') => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes a section of debugging information.
    pub fn skip_section(&mut self) -> Result<(), PtxError> {
        while self.peek().is_some_and(|placed| placed.token != Token::Mark(b'{')) {
            self.at += 1;
        }
        self.skip_braces()
    }
}
