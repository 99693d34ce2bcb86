//! Rows that come over time, as a table that keeps its columns in place.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table, Width};
use serde_json::{Map, Value};

/// The widest that a value is shown while rows stream by, in characters.
const CELL_CHARS_MAX: usize = 200;

/// A table that grows downwards: its header first, then rows as they come. A column never gets narrower.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    names: Vec<String>,
    widths: Vec<u16>,
    numeric: Vec<bool>,
}

impl Grid {
    /// The lines of more rows: with the header if they are the first, or if their columns are others than before.
    pub(crate) fn lines(&mut self, rows: &[Map<String, Value>]) -> String {
        let mut text = String::new();
        let mut rest = rows;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take_while(|row| row.keys().eq(first.keys())).count();
            let (now, later) = rest.split_at(alike);
            self.section(now, &mut text);
            rest = later;
        }
        text
    }

    /// Rows of the same columns.
    fn section(&mut self, rows: &[Map<String, Value>], text: &mut String) {
        let names: Vec<String> = rows.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let is_new = names != self.names;
        if is_new {
            let numeric = |name: &String| {
                let mut values = rows.iter().filter_map(|row| row.get(name)).filter(|value| !value.is_null());
                values.clone().next().is_some() && values.all(Value::is_number)
            };
            self.numeric = names.iter().map(numeric).collect();
            self.widths = vec![0; names.len()];
            self.names = names;
        }
        let mut table = plain_table();
        if is_new {
            table.set_header(self.cells(self.names.iter().map(|name| shown(name))));
        }
        for row in rows {
            table.add_row(self.cells(row.values().map(cell_text)));
        }
        let content = table.column_max_content_widths();
        for (width, now) in self.widths.iter_mut().zip(content) {
            *width = now.max(*width);
        }
        for (column, width) in table.column_iter_mut().zip(&self.widths) {
            let padded = width.saturating_add(column.padding_width());
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(padded)));
        }
        push_table(&table, text);
    }

    fn cells(&self, texts: impl Iterator<Item = String>) -> Vec<Cell> {
        let aligned = |(text, numeric): (String, &bool)| {
            let side = if *numeric { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(side)
        };
        texts.zip(&self.numeric).map(aligned).collect()
    }
}

/// A table without lines.
pub(super) fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).force_no_tty();
    table
}

/// Adds a table's lines, without blanks at their ends.
pub(super) fn push_table(table: &Table, text: &mut String) {
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A value as it stands in a cell: text as it is, null as nothing much, all else as JSON.
pub(super) fn cell_text(value: &Value) -> String {
    match value {
        Value::Null => "·".to_owned(),
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

/// Text without control characters, and not endless.
pub(super) fn shown(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(CELL_CHARS_MAX));
    for (place, character) in text.chars().enumerate() {
        if place == CELL_CHARS_MAX {
            kept.push('…');
            break;
        }
        if steers(character) {
            kept.extend(character.escape_default());
        } else {
            kept.push(character);
        }
    }
    kept
}

/// Text of any length without control characters, for a line of its own.
pub(crate) fn harmless(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            kept.extend(character.escape_default());
        } else {
            kept.push(character);
        }
    }
    kept
}

/// Whether a terminal would act on a character, or write what follows in another direction.
fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(values: &[Value]) -> Vec<Map<String, Value>> {
        values.iter().filter_map(|value| value.as_object().cloned()).collect()
    }

    #[test]
    fn rows_stand_below_their_header() {
        let mut grid = Grid::default();
        let lines = grid.lines(&rows(&[json!({"id": 1, "url": "/home"}), json!({"id": 2, "url": "/buy"})]));
        assert_eq!(lines, " id  url\n  1  /home\n  2  /buy\n");
        assert_eq!(grid.lines(&rows(&[json!({"id": 3, "url": "/"})])), "  3  /\n", "the header comes once");
    }

    #[test]
    fn later_rows_keep_to_the_columns() {
        let mut grid = Grid::default();
        let first = grid.lines(&rows(&[json!({"name": "a long name", "n": 1})]));
        let second = grid.lines(&rows(&[json!({"name": "b", "n": 22})]));
        assert_eq!(first, " name         n\n a long name  1\n");
        assert_eq!(second, " b            22\n");
        assert_eq!(grid.lines(&rows(&[json!({"name": "c", "n": 3})])), " c             3\n");
    }

    #[test]
    fn wide_characters_take_two_places_and_null_shows_as_a_dot() {
        let mut grid = Grid::default();
        let lines = grid.lines(&rows(&[
            json!({"city": "東京", "n": null}),
            json!({"city": "Zürich", "n": 2.5}),
            json!({"city": null, "n": 10}),
        ]));
        assert_eq!(lines, " city      n\n 東京      ·\n Zürich  2.5\n ·        10\n");
    }

    #[test]
    fn nested_values_are_shown_as_json() {
        let mut grid = Grid::default();
        let lines = grid.lines(&rows(&[json!({"a": [1, 2], "s": {"x": "y"}, "b": true})]));
        assert_eq!(lines, " a      s          b\n [1,2]  {\"x\":\"y\"}  true\n");
    }

    #[test]
    fn other_columns_get_their_own_header() {
        let mut grid = Grid::default();
        let lines = grid.lines(&rows(&[json!({"a": 1}), json!({"b": 1})]));
        assert_eq!(lines, " a\n 1\n b\n 1\n");
        assert_eq!(grid.lines(&[]), "");
    }

    #[test]
    fn stored_text_cannot_steer_the_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\nc\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{202e}");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), CELL_CHARS_MAX + 1);
    }
}
