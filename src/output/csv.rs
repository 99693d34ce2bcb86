//! Where the records of CSV text end. What stands in them is the gateway's to judge.

/// A place in CSV text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the beginning of a record.
    #[default]
    Record,
    /// At the beginning of another cell.
    Cell,
    Plain,
    Quoted,
    /// Behind a quote within quotes: the end, or the first of two.
    Quote,
}

/// Looks for the ends of records in text that comes in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    state: State,
    cells: usize,
}

/// A record that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its bytes, its line's end among them.
    pub(crate) bytes: usize,
    /// Its cells; none in an empty line.
    pub(crate) cells: usize,
}

impl Records {
    /// Takes more text and says where the record ends that goes on in it, if it does. A `\r` needs the byte behind it.
    pub(crate) fn next(&mut self, text: &[u8]) -> Option<Record> {
        for (at, byte) in text.iter().enumerate() {
            let ends = matches!(byte, b'\n' | b'\r') && self.state != State::Quoted;
            if ends {
                let bytes = at + if text[at..].starts_with(b"\r\n") { 2 } else { 1 };
                let cells = if self.state == State::Record { 0 } else { self.cells + 1 };
                *self = Self::default();
                return Some(Record { bytes, cells });
            }
            self.state = match (self.state, byte) {
                (State::Quoted, b'"') => State::Quote,
                (State::Quoted, _) => State::Quoted,
                (_, b',') => {
                    self.cells += 1;
                    State::Cell
                }
                (State::Record | State::Cell | State::Quote, b'"') => State::Quoted,
                _ => State::Plain,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_outside_of_quotes() {
        let mut text = &b"a,b\r\n1,\"x\ny\"\"\"\n\n2,\"\"\n3\"\n"[..];
        let mut found = Vec::new();
        while let Some(record) = Records::default().next(text) {
            found.push((std::str::from_utf8(&text[..record.bytes]).unwrap(), record.cells));
            text = &text[record.bytes..];
        }
        assert_eq!(
            found,
            [("a,b\r\n", 2), ("1,\"x\ny\"\"\"\n", 2), ("\n", 0), ("2,\"\"\n", 2), ("3\"\n", 1)]
        );
    }
}
