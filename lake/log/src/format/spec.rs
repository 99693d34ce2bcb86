//! The bytes of a table's definition, as an entry and a checkpoint carry them.
//!
//! A type is a tag byte and its parameters; a nested field is `id · required · type`. Nesting is at most
//! `DEPTH_MAX` deep, so that hostile bytes cannot exhaust the stack.

use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::schema::check::TYPE_DEPTH_MAX;
use crate::schema::{Column, Nested, PartitionField, PseudoIds, Schema, TableSpec, TimestampUnit, Type};

/// How deep types nest.
const DEPTH_MAX: usize = TYPE_DEPTH_MAX;

/// Writes a definition as a record.
pub(crate) fn encode(spec: &TableSpec, writer: &mut Writer) {
    writer.record(|w| {
        encode_schema(&spec.schema, w);
        w.zigzag(i64::from(spec.last_column_id));
        for id in [spec.pseudo.bucket, spec.pseudo.offset, spec.pseudo.timestamp] {
            w.zigzag(i64::from(id));
        }
        ids(&spec.primary_key, w);
        w.varint(u64::from(spec.buckets));
        ids(&spec.bucket_by, w);
        w.u8(spec.bucket_function);
        w.count(spec.partitions.len());
        for field in &spec.partitions {
            w.zigzag(i64::from(field.source_id));
            w.zigzag(i64::from(field.field_id));
            w.text(&field.name);
            w.text(&field.transform);
        }
        w.count(spec.options.len());
        for (key, value) in &spec.options {
            w.text(key);
            w.text(value);
        }
    });
}

/// Reads a definition. What it says is checked by [`crate::schema::ensure::validate`], not here.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<TableSpec> {
    let mut r = reader.record()?;
    let schema = decode_schema(&mut r)?;
    let last_column_id = r.zigzag_i32()?;
    let pseudo = PseudoIds { bucket: r.zigzag_i32()?, offset: r.zigzag_i32()?, timestamp: r.zigzag_i32()? };
    let primary_key = r.sequence(1, Reader::zigzag_i32)?;
    let buckets = r.number()?;
    let bucket_by = r.sequence(1, Reader::zigzag_i32)?;
    let bucket_function = r.u8()?;
    let partitions = r.sequence(4, |r| {
        Ok(PartitionField {
            source_id: r.zigzag_i32()?,
            field_id: r.zigzag_i32()?,
            name: r.text()?,
            transform: r.text()?,
        })
    })?;
    let options = r.sequence(2, |r| Ok((r.text()?, r.text()?)))?;
    r.finish()?;
    Ok(TableSpec {
        schema,
        last_column_id,
        pseudo,
        primary_key,
        buckets,
        bucket_by,
        bucket_function,
        partitions,
        options,
    })
}

fn ids(ids: &[i32], w: &mut Writer) {
    w.count(ids.len());
    ids.iter().for_each(|id| w.zigzag(i64::from(*id)));
}

/// Writes a schema.
pub(crate) fn encode_schema(schema: &Schema, w: &mut Writer) {
    w.varint(u64::from(schema.id));
    w.count(schema.columns.len());
    schema.columns.iter().for_each(|column| encode_column(column, w));
}

/// Reads a schema.
pub(crate) fn decode_schema(r: &mut Reader<'_>) -> Result<Schema> {
    Ok(Schema { id: r.number()?, columns: r.sequence(5, |r| decode_column(r, 0))? })
}

fn encode_column(column: &Column, w: &mut Writer) {
    w.zigzag(i64::from(column.id));
    w.text(&column.name);
    w.flag(column.required);
    encode_type(&column.ty, w);
    w.text(&column.doc);
}

fn decode_column(r: &mut Reader<'_>, depth: usize) -> Result<Column> {
    Ok(Column {
        id: r.zigzag_i32()?,
        name: r.text()?,
        required: r.flag()?,
        ty: decode_type(r, depth)?,
        doc: r.text()?,
    })
}

fn encode_nested(nested: &Nested, w: &mut Writer) {
    w.zigzag(i64::from(nested.id));
    w.flag(nested.required);
    encode_type(&nested.ty, w);
}

fn decode_nested(r: &mut Reader<'_>, depth: usize) -> Result<Box<Nested>> {
    Ok(Box::new(Nested { id: r.zigzag_i32()?, required: r.flag()?, ty: decode_type(r, depth)? }))
}

fn encode_type(ty: &Type, w: &mut Writer) {
    match ty {
        Type::Boolean => w.u8(1),
        Type::Int => w.u8(2),
        Type::Bigint => w.u8(3),
        Type::Real => w.u8(4),
        Type::Double => w.u8(5),
        Type::Decimal { precision, scale } => {
            w.u8(6);
            w.u8(*precision);
            w.u8(*scale);
        }
        Type::Date => w.u8(7),
        Type::Time => w.u8(8),
        Type::Timestamp { unit, zone } => {
            w.u8(9);
            w.flag(*unit == TimestampUnit::Nanos);
            w.flag(*zone);
        }
        Type::String => w.u8(10),
        Type::Uuid => w.u8(11),
        Type::Fixed(length) => {
            w.u8(12);
            w.varint(u64::from(*length));
        }
        Type::Binary => w.u8(13),
        Type::List(element) => {
            w.u8(14);
            encode_nested(element, w);
        }
        Type::Map(key, value) => {
            w.u8(15);
            encode_nested(key, w);
            encode_nested(value, w);
        }
        Type::Struct(fields) => {
            w.u8(16);
            w.count(fields.len());
            fields.iter().for_each(|field| encode_column(field, w));
        }
        Type::Vector { length, element_id } => {
            w.u8(17);
            w.varint(u64::from(*length));
            w.zigzag(i64::from(*element_id));
        }
    }
}

fn decode_type(r: &mut Reader<'_>, depth: usize) -> Result<Type> {
    let depth = depth + 1;
    if depth > DEPTH_MAX {
        return Err(r.corrupt(&format!("types at most {DEPTH_MAX} deep"), "deeper"));
    }
    let (here, tag) = r.tag()?;
    Ok(match tag {
        1 => Type::Boolean,
        2 => Type::Int,
        3 => Type::Bigint,
        4 => Type::Real,
        5 => Type::Double,
        6 => Type::Decimal { precision: r.u8()?, scale: r.u8()? },
        7 => Type::Date,
        8 => Type::Time,
        9 => {
            let unit = if r.flag()? { TimestampUnit::Nanos } else { TimestampUnit::Micros };
            Type::Timestamp { unit, zone: r.flag()? }
        }
        10 => Type::String,
        11 => Type::Uuid,
        12 => Type::Fixed(r.number()?),
        13 => Type::Binary,
        14 => Type::List(decode_nested(r, depth)?),
        15 => Type::Map(decode_nested(r, depth)?, decode_nested(r, depth)?),
        16 => Type::Struct(r.sequence(5, |r| decode_column(r, depth))?),
        17 => Type::Vector { length: r.number()?, element_id: r.zigzag_i32()? },
        other => return Err(here.unknown("type", other)),
    })
}
