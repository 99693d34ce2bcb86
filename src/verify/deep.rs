//! Slices decoded to Arrow: row counts and statistics against the rows themselves. PURE.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use frazil_log::format::slice::{ColumnStatistics, Slice};
use frazil_log::id::TableId;
use frazil_log::plan::columns::SliceColumns;
use frazil_log::segment::{BodyPlace, decode, statistics};
use frazil_log::state::tables::Table;

use super::Check;
use super::object::{Fault, slice_bytes};

/// What decoding a slice showed.
pub(super) enum Decoded {
    /// Its rows are what its header says.
    Agrees,
    /// Its table is forgotten: nobody can read it.
    NoTable,
    /// They are not.
    Faults(Vec<Fault>),
}

impl Check<'_> {
    pub(super) fn take_decoded(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::NoTable => self.found.slices_of_no_table += 1,
            Decoded::Agrees => self.found.slices_decoded += 1,
            Decoded::Faults(faults) => {
                self.found.slices_decoded += 1;
                self.tell_all(faults);
            }
        }
    }
}

/// Decodes one slice of an object whose checksums hold.
pub(super) fn check(
    object: &str,
    bytes: &[u8],
    body_start: u64,
    slice: &Slice,
    tables: &BTreeMap<TableId, Table>,
) -> Decoded {
    let range = slice.object_range(body_start);
    let Some(table) = tables.get(&slice.table) else { return Decoded::NoTable };
    let fault = |expected: String, found: String| {
        Decoded::Faults(vec![Fault::new(object, range.clone(), expected, found)])
    };
    let fields = match SliceColumns::of(table, slice) {
        Ok(columns) => columns.fields,
        Err(error) => return fault(format!("columns of table {}", slice.table), error.message().to_owned()),
    };
    let Some(bytes) = slice_bytes(bytes, body_start, slice) else {
        return fault(format!("{} bytes of rows", slice.bytes), "an object that ends before them".to_owned());
    };
    let place = BodyPlace { object, start: body_start };
    let batches = match decode(slice, &bytes, &fields, &place) {
        Ok(batches) => batches,
        Err(error) => {
            let expected = format!("{} rows of table {}", slice.rows, slice.table);
            return Decoded::Faults(vec![Fault::of_decoder(object, range.clone(), &expected, &error)]);
        }
    };
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    if u32::try_from(rows) != Ok(slice.rows) {
        return fault(format!("{} rows", slice.rows), format!("{rows}"));
    }
    let actual = statistics::of_columns(&slice.columns, &batches);
    let faults: Vec<Fault> = fields
        .iter()
        .zip(&actual)
        .filter_map(|(field, actual)| {
            let said = slice.statistics.iter().find(|said| said.field == actual.field)?;
            let (expected, found) = contradiction(field.data_type(), said, actual)?;
            Some(Fault::new(object, range.clone(), format!("column {} with {expected}", field.name()), found))
        })
        .collect();
    if faults.is_empty() { Decoded::Agrees } else { Decoded::Faults(faults) }
}

/// How what a header says of a column does not hold for its values: what it says, what is.
fn contradiction(
    ty: &DataType,
    said: &ColumnStatistics,
    actual: &ColumnStatistics,
) -> Option<(String, String)> {
    if said.nulls != actual.nulls {
        return Some((format!("{} nulls", said.nulls), format!("{} nulls", actual.nulls)));
    }
    // An empty bound says nothing; nor do values without an order.
    let known = |said: &[u8], actual: &[u8]| !said.is_empty() && !actual.is_empty();
    if known(&said.min, &actual.min) && order(ty, &said.min, &actual.min) == Ordering::Greater {
        return Some((format!("values from {:02x?} on", said.min), format!("{:02x?}", actual.min)));
    }
    if known(&said.max, &actual.max) && order(ty, &said.max, &actual.max) == Ordering::Less {
        return Some((format!("values up to {:02x?}", said.max), format!("{:02x?}", actual.max)));
    }
    None
}

/// Compares two single values in their bytes.
fn order(ty: &DataType, a: &[u8], b: &[u8]) -> Ordering {
    match ty {
        DataType::Float32 => floats(a, b, |bytes: [u8; 4]| f64::from(f32::from_le_bytes(bytes))),
        DataType::Float64 => floats(a, b, f64::from_le_bytes),
        DataType::Decimal128(..) => signed(a.iter().rev()).cmp(&signed(b.iter().rev())),
        DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Time64(_)
        | DataType::Timestamp(..) => signed(a.iter()).cmp(&signed(b.iter())),
        _ => a.cmp(b),
    }
}

fn floats<const N: usize>(a: &[u8], b: &[u8], value: fn([u8; N]) -> f64) -> Ordering {
    let read = |bytes: &[u8]| <[u8; N]>::try_from(bytes).map(value).unwrap_or(f64::NAN);
    read(a).total_cmp(&read(b))
}

/// A two's complement number, its least byte first; more than sixteen bytes are no number of ours.
fn signed<'a>(bytes: impl DoubleEndedIterator<Item = &'a u8>) -> i128 {
    let mut highest_first = bytes.rev().peekable();
    let sign = if highest_first.peek().is_some_and(|byte| **byte >= 0x80) { -1 } else { 0 };
    highest_first.fold(sign, |value: i128, byte| (value << 8) | i128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_compared_as_the_values_that_they_are() {
        let cases: [(DataType, Vec<u8>, Vec<u8>); 5] = [
            (DataType::Int64, (-2i64).to_le_bytes().to_vec(), 1i64.to_le_bytes().to_vec()),
            (DataType::Date32, 255i32.to_le_bytes().to_vec(), 256i32.to_le_bytes().to_vec()),
            (DataType::Float64, (-1.5f64).to_le_bytes().to_vec(), (-0.5f64).to_le_bytes().to_vec()),
            (DataType::Decimal128(10, 2), vec![0xFF], vec![0x01, 0x00]),
            (DataType::Utf8, b"a".to_vec(), b"ab".to_vec()),
        ];
        for (ty, less, more) in cases {
            assert_eq!(order(&ty, &less, &more), Ordering::Less, "{ty}");
            assert_eq!(order(&ty, &more, &less), Ordering::Greater, "{ty}");
            assert_eq!(order(&ty, &less, &less), Ordering::Equal, "{ty}");
        }
    }

    #[test]
    fn only_a_bound_that_excludes_a_value_contradicts() {
        let statistics = |min: &[u8], max: &[u8], nulls| ColumnStatistics {
            field: 1,
            nulls,
            min: min.to_vec(),
            max: max.to_vec(),
        };
        let actual = statistics(b"b", b"c", 1);
        for fits in [statistics(b"a", b"d", 1), statistics(b"b", b"c", 1), statistics(b"", b"", 1)] {
            assert_eq!(contradiction(&DataType::Utf8, &fits, &actual), None);
        }
        for lies in [statistics(b"bb", b"d", 1), statistics(b"a", b"bz", 1), statistics(b"a", b"d", 2)] {
            assert!(contradiction(&DataType::Utf8, &lies, &actual).is_some(), "{lies:?}");
        }
    }
}
