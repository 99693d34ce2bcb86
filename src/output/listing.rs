//! A list of objects: the same rows as a table, as CSV, or as the document that the gateway gave.

use serde_json::Value;

use super::grid::{cell_text, plain_table, push_table};
use super::{Format, arrow_is_for_rows, print, print_json};

/// A list with a header.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    header: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Listing {
    /// An empty list.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; its values stand in the header's order.
    pub(crate) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    /// Prints it; `document` is what programs get.
    ///
    /// # Errors
    /// If nobody reads, or the format is for rows of tables only.
    pub(crate) fn print(&self, format: Format, document: &Value) -> anyhow::Result<()> {
        match format {
            Format::Table => print(&self.table())?,
            Format::Json => print_json(document)?,
            Format::Csv => print(&self.csv())?,
            Format::Arrow => return Err(arrow_is_for_rows()),
        }
        Ok(())
    }

    /// As a table for people.
    pub(crate) fn table(&self) -> String {
        let mut table = plain_table();
        table.set_header(&self.header);
        for row in &self.rows {
            table.add_row(row.iter().map(cell_text));
        }
        for (place, column) in table.column_iter_mut().enumerate() {
            let mut values =
                self.rows.iter().filter_map(|row| row.get(place)).filter(|value| !value.is_null());
            if values.clone().next().is_some() && values.all(Value::is_number) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        let mut text = String::new();
        push_table(&table, &mut text);
        text
    }

    /// As CSV (RFC 4180, with the line ends of Unix): null is nothing, empty text is `""`.
    fn csv(&self) -> String {
        let mut text = self.header.join(",");
        text.push('\n');
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(csv_cell).collect();
            text.push_str(&cells.join(","));
            text.push('\n');
        }
        text
    }
}

fn csv_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing() -> Listing {
        let mut listing = Listing::new(&["table", "buckets"]);
        listing.push(vec![json!("clicks"), json!(4)]);
        listing.push(vec![json!("a,\"b\""), json!(null)]);
        listing.push(vec![json!(""), json!(16)]);
        listing
    }

    #[test]
    fn a_list_is_a_table_for_people() {
        assert_eq!(
            listing().table(),
            " table   buckets\n clicks        4\n a,\"b\"         ·\n              16\n"
        );
        assert_eq!(Listing::new(&["table"]).table(), " table\n");
    }

    #[test]
    fn a_list_is_csv_for_spreadsheets() {
        assert_eq!(listing().csv(), "table,buckets\nclicks,4\n\"a,\"\"b\"\"\",\n\"\",16\n");
    }
}
