//! What is wrong with the rows of one request: collected, not thrown at the first.

use std::fmt::Write;

use super::scan::SyntaxError;
use crate::error::{FOUND_CHARS_MAX, Problem, ROW_ERRORS_MAX, RowError, RowErrorKind};

/// Where in a request a value stands; built on the stack, turned into text only for an error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Path<'p> {
    Row,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

/// Why a body is given up at once.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is not JSON from here on.
    Syntax(SyntaxError),
    /// Its rows would take more memory than allowed.
    TooLarge,
    /// Something else that the client must know.
    Problem(Problem),
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The memory that the rows of a request may still take.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { left: bytes_max }
    }

    pub(crate) fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        self.left = self.left.checked_sub(bytes).ok_or(Stop::TooLarge)?;
        Ok(())
    }
}

/// The row errors of a request: the first [`ROW_ERRORS_MAX`], and how many there were.
#[derive(Debug, Default)]
pub(crate) struct RowErrors {
    list: Vec<RowError>,
    total: u64,
}

impl RowErrors {
    /// Notes an error; `expected` is only asked for when the error is kept.
    pub(crate) fn report(
        &mut self,
        row: u64,
        path: Path<'_>,
        kind: RowErrorKind,
        expected: impl FnOnce() -> String,
        found: &str,
    ) {
        self.total += 1;
        if self.list.len() < ROW_ERRORS_MAX {
            self.list.push(RowError {
                row,
                column: path.column().map(str::to_owned),
                kind,
                pointer: path.pointer(row),
                expected: expected(),
                found: shorten(found),
            });
        }
    }

    /// Fails if there was any.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        if self.total == 0 { Ok(()) } else { Err(Problem::invalid_rows(self.list, self.total)) }
    }
}

impl Path<'_> {
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::Row => None,
            Self::Key(Path::Row, key) => Some(key),
            Self::Key(parent, _) | Self::Index(parent, _) => parent.column(),
        }
    }

    fn pointer(&self, row: u64) -> String {
        let mut pointer = match self {
            Self::Row => format!("/{row}"),
            Self::Key(parent, _) | Self::Index(parent, _) => parent.pointer(row),
        };
        match self {
            Self::Row => {}
            Self::Key(_, key) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Self::Index(_, index) => write!(pointer, "/{index}").expect("writing to a string cannot fail"),
        }
        pointer
    }
}

/// The text cut to [`FOUND_CHARS_MAX`] characters.
pub(crate) fn shorten(found: &str) -> String {
    match found.char_indices().nth(FOUND_CHARS_MAX) {
        None => found.to_owned(),
        Some(_) => {
            let kept: String = found.chars().take(FOUND_CHARS_MAX - 1).collect();
            format!("{kept}…")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_json_pointers_escape() {
        let column = Path::Key(&Path::Row, "a/b~c");
        let item = Path::Index(&column, 7);
        assert_eq!(item.pointer(3), "/3/a~1b~0c/7");
        assert_eq!(item.column(), Some("a/b~c"));
        assert_eq!(Path::Row.pointer(3), "/3");
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(shorten("abc"), "abc");
        let long = shorten(&"é".repeat(500));
        assert_eq!(long.chars().count(), FOUND_CHARS_MAX);
    }

    #[test]
    fn a_budget_is_spent_once() {
        let mut budget = Budget::new(10);
        assert!(budget.spend(10).is_ok());
        assert!(matches!(budget.spend(1), Err(Stop::TooLarge)));
    }
}
