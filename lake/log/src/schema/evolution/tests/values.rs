//! A model of rows: values by field id, whatever the columns are called and wherever they stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, MapArray,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;

use crate::id::FieldId;
use crate::schema::arrow_form::data_type;
use crate::schema::{Column, Type};

/// A row, or one element of a list, or one entry of a map: values by field id, nested fields beside their structs; null is absent.
pub(super) type Row = BTreeMap<FieldId, Cell>;

#[derive(Clone, Debug)]
pub(super) enum Cell {
    Int(i64),
    Real(f64),
    Decimal(i128),
    Text(String),
    Struct,
    /// A list's elements, or a map's entries.
    Many(Vec<Row>),
}

/// The rows as a struct array of these columns; what no column asks for is left out.
pub(super) fn write_rows(columns: &[Column], rows: &[Row]) -> ArrayRef {
    let rows: Vec<&Row> = rows.iter().collect();
    let children = columns.iter().map(|column| write(column.id, &column.ty, &rows)).collect();
    let DataType::Struct(fields) = data_type(&Type::Struct(columns.to_vec())) else { panic!("a struct") };
    Arc::new(StructArray::try_new(fields, children, None).unwrap())
}

fn write(id: FieldId, ty: &Type, rows: &[&Row]) -> ArrayRef {
    let ints = rows.iter().map(|row| match row.get(&id) {
        Some(Cell::Int(value)) => Some(*value),
        _ => None,
    });
    let reals = rows.iter().map(|row| match row.get(&id) {
        Some(Cell::Real(value)) => Some(*value),
        _ => None,
    });
    let present = NullBuffer::from_iter(rows.iter().map(|row| row.contains_key(&id)));
    match ty {
        Type::Int => {
            Arc::new(ints.map(|value| value.map(|v| i32::try_from(v).unwrap())).collect::<Int32Array>())
        }
        Type::Bigint => Arc::new(ints.collect::<Int64Array>()),
        #[expect(clippy::cast_possible_truncation, reason = "a cell for a REAL holds one")]
        Type::Real => Arc::new(reals.map(|value| value.map(|v| v as f32)).collect::<Float32Array>()),
        Type::Double => Arc::new(reals.collect::<Float64Array>()),
        Type::Decimal { precision, scale } => {
            let values = rows.iter().map(|row| match row.get(&id) {
                Some(Cell::Decimal(value)) => Some(*value),
                _ => None,
            });
            let values = values.collect::<Decimal128Array>();
            Arc::new(values.with_precision_and_scale(*precision, scale.cast_signed()).unwrap())
        }
        Type::String => Arc::new(
            rows.iter()
                .map(|row| match row.get(&id) {
                    Some(Cell::Text(text)) => Some(text.as_str()),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        Type::Struct(columns) => {
            let children = columns.iter().map(|column| write(column.id, &column.ty, rows)).collect();
            let DataType::Struct(fields) = data_type(ty) else { panic!("a struct") };
            Arc::new(StructArray::try_new_with_length(fields, children, Some(present), rows.len()).unwrap())
        }
        Type::List(element) => {
            let (offsets, flat) = flattened(id, rows);
            let DataType::List(field) = data_type(ty) else { panic!("a list") };
            let values = write(element.id, &element.ty, &flat);
            Arc::new(ListArray::try_new(field, offsets, values, Some(present)).unwrap())
        }
        Type::Map(key, value) => {
            let (offsets, flat) = flattened(id, rows);
            let DataType::Map(field, ordered) = data_type(ty) else { panic!("a map") };
            let DataType::Struct(fields) = field.data_type().clone() else { panic!("entries") };
            let entries = vec![write(key.id, &key.ty, &flat), write(value.id, &value.ty, &flat)];
            let entries = StructArray::try_new(fields, entries, None).unwrap();
            Arc::new(MapArray::try_new(field, offsets, entries, Some(present), ordered).unwrap())
        }
        other => panic!("no model of {other}"),
    }
}

fn flattened<'r>(id: FieldId, rows: &[&'r Row]) -> (OffsetBuffer<i32>, Vec<&'r Row>) {
    let of = |row: &&'r Row| match row.get(&id) {
        Some(Cell::Many(rows)) => rows.as_slice(),
        _ => &[],
    };
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| of(row).len()));
    (offsets, rows.iter().flat_map(of).collect())
}

/// The bits of a random number, used up one choice after the other.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        // The finishing steps of SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = u64::try_from(end).unwrap();
        usize::try_from((mixed ^ (mixed >> 31)) % end).unwrap()
    }

    fn number(&mut self) -> i64 {
        let far = [0, 1, -1, i64::from(i32::MAX), i64::from(i32::MIN)];
        far[self.below(far.len())] / (1 + i64::try_from(self.below(3)).unwrap())
    }

    /// A row of these columns.
    pub(super) fn row(&mut self, columns: &[Column]) -> Row {
        let mut row = Row::new();
        for column in columns {
            self.fill(&mut row, column.id, column.required, &column.ty);
        }
        row
    }

    fn fill(&mut self, row: &mut Row, id: FieldId, required: bool, ty: &Type) {
        if !required && self.below(4) == 0 {
            return;
        }
        let cell = match ty {
            Type::Int => Cell::Int(self.number()),
            Type::Bigint => Cell::Int(self.number().saturating_mul(1 << 31)),
            // A third is another number in a REAL than in a DOUBLE.
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            Type::Real => Cell::Real(f64::from(self.number() as f32 / 3.0)),
            #[expect(clippy::cast_precision_loss, reason = "any number will do")]
            Type::Double => Cell::Real(self.number() as f64 / 3.0),
            Type::Decimal { precision, .. } => {
                let most = 10i128.pow(u32::from(*precision)) - 1;
                Cell::Decimal([0, most, -most, 7][self.below(4)])
            }
            Type::String => Cell::Text("é日x".repeat(self.below(3))),
            Type::Struct(columns) => {
                for column in columns {
                    self.fill(row, column.id, column.required, &column.ty);
                }
                Cell::Struct
            }
            Type::List(element) => {
                let mut elements = vec![Row::new(); self.below(3)];
                for one in &mut elements {
                    self.fill(one, element.id, element.required, &element.ty);
                }
                Cell::Many(elements)
            }
            Type::Map(key, value) => {
                let mut entries = vec![Row::new(); self.below(3)];
                for (place, entry) in entries.iter_mut().enumerate() {
                    entry.insert(key.id, Cell::Text(format!("key {place}")));
                    self.fill(entry, value.id, value.required, &value.ty);
                }
                Cell::Many(entries)
            }
            other => panic!("no values of {other}"),
        };
        row.insert(id, cell);
    }
}
