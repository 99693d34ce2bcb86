//! The words of a column list, as sqlparser cuts them, and where the parser stands: place, column, count of fields.

use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Token, Tokenizer, Word};

use crate::error::{Error, Result};
use crate::schema::Column;
use crate::schema::shown::{quoted, shown_path};

/// Plain identifiers, and quoted ones in `"` or backquotes; none of the operators that would join `<`, `>` with others.
#[derive(Debug)]
struct ColumnDialect;

impl Dialect for ColumnDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch == '_' || ch.is_alphabetic()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch == '_' || ch.is_alphanumeric()
    }
}

/// Drops blanks and comments, and cuts `>>` and `<>` in two: they are brackets here.
fn split(tokens: Vec<Token>) -> Vec<Token> {
    let mut split = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Whitespace(_) => {}
            Token::ShiftRight => split.extend([Token::Gt, Token::Gt]),
            Token::Neq => split.extend([Token::Lt, Token::Gt]),
            token => split.push(token),
        }
    }
    split
}

/// A cursor over the words.
pub(super) struct Words {
    tokens: Vec<Token>,
    pub(super) at: usize,
    /// The names of the column and fields being read, for messages.
    pub(super) path: Vec<String>,
    /// Fields so far, nested ones included.
    pub(super) fields: usize,
}

impl Words {
    pub(super) fn cut(text: &str) -> Result<Self> {
        let tokens = Tokenizer::new(&ColumnDialect, text)
            .tokenize()
            .map_err(|error| Error::invalid(format!("columns: {error}")).with_source(error))?;
        Ok(Self { tokens: split(tokens), at: 0, path: Vec::new(), fields: 0 })
    }

    /// `(n)` after a word.
    pub(super) fn parameter(&mut self, form: &str) -> Result<u64> {
        self.token(&Token::LParen, form)?;
        let number = self.number(form)?;
        self.token(&Token::RParen, form)?;
        Ok(number)
    }

    pub(super) fn number(&mut self, form: &str) -> Result<u64> {
        let number = match self.peek() {
            Some(Token::Number(text, _)) => text.parse().ok(),
            _ => None,
        };
        self.at += 1;
        number.ok_or_else(|| {
            self.at -= 1;
            self.expected(&format!("a whole number as in {form}"))
        })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// The next token as an unquoted word in capitals.
    pub(super) fn keyword(&self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(Word { value, quote_style: None, .. })) => Some(value.to_ascii_uppercase()),
            _ => None,
        }
    }

    pub(super) fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.keyword().as_deref() == Some(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn token(&mut self, token: &Token, expected: &str) -> Result<()> {
        if self.take(token) { Ok(()) } else { Err(self.expected(expected)) }
    }

    pub(super) fn words(&mut self, words: &[&str], expected: &str) -> Result<()> {
        for word in words {
            if !self.take_word(word) {
                return Err(self.expected(expected));
            }
        }
        Ok(())
    }

    pub(super) fn found(&self) -> String {
        self.peek().map_or_else(|| "the end".to_owned(), |token| quoted(&token.to_string()))
    }

    pub(super) fn at_column(&self, message: &str) -> String {
        if self.path.is_empty() {
            return format!("columns: {message}");
        }
        format!("column {}: {message}", shown_path(self.path.iter().map(String::as_str)))
    }

    pub(super) fn fail(&self, message: &str) -> Error {
        Error::invalid(self.at_column(message))
    }

    pub(super) fn expected(&self, what: &str) -> Error {
        self.fail(&format!("expected {what}, found {}", self.found()))
    }

    pub(super) fn trailing(&self, columns: &[Column]) -> Error {
        let last = columns.last().map_or("", |column| column.name.as_str());
        Error::invalid(format!(
            "column {}: expected NOT NULL, COMMENT, a comma or the end after its type, found {}",
            shown_path([last]),
            self.found()
        ))
    }
}
