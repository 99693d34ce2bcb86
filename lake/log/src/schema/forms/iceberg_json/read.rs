//! Iceberg's JSON as columns.

use serde_json::{Map, Value};

use super::VECTOR_LENGTH_KEY;
use crate::error::{Error, Result};
use crate::id::FieldId;
use crate::schema::check::{FIELDS_MAX, TYPE_DEPTH_MAX, check_columns, same_unicode};
use crate::schema::ids::{FIELD_ID_MAX, fill_ids};
use crate::schema::shown::{quoted, shown_path};
use crate::schema::{Column, Nested, TimestampUnit, Type};

type Object = Map<String, Value>;

/// The columns of a schema in Iceberg's JSON form, names and limits checked; a `schema-id` is taken and not used.
///
/// # Errors
/// Invalid: names the column and says what is expected. Unsupported: names the type or attribute that is not there yet.
pub fn from_json(value: &Value) -> Result<Vec<Column>> {
    let mut reader = Reader { path: Vec::new(), fields: 0 };
    let object = reader.object(value, "an object such as {\"type\":\"struct\",\"fields\":[…]}")?;
    reader.type_is_struct(object)?;
    if object.get("identifier-field-ids").is_some_and(|ids| ids.as_array().is_none_or(|ids| !ids.is_empty()))
    {
        return Err(Error::unsupported("schema: identifier-field-ids is not there yet: leave it out"));
    }
    reader.known(object, &["type", "schema-id", "identifier-field-ids", "fields"])?;
    let mut columns = reader.columns(object, 1)?;
    fill_ids(&mut columns);
    check_columns(&columns, same_unicode)?;
    Ok(columns)
}

/// Reads JSON into columns; ids that are missing are 0.
struct Reader {
    path: Vec<String>,
    fields: usize,
}

impl Reader {
    fn columns(&mut self, object: &Object, depth: usize) -> Result<Vec<Column>> {
        let Some(Value::Array(fields)) = object.get("fields") else {
            return Err(self.expected("\"fields\", an array", object.get("fields")));
        };
        if fields.len() > FIELDS_MAX {
            return Err(self.too_many());
        }
        fields.iter().map(|field| self.column(field, depth)).collect()
    }

    fn column(&mut self, value: &Value, depth: usize) -> Result<Column> {
        let object =
            self.object(value, "a field, an object such as {\"name\":\"url\",\"type\":\"string\"}")?;
        let name = match object.get("name") {
            Some(Value::String(name)) => name.clone(),
            other => return Err(self.expected("\"name\" in each field, a string", other)),
        };
        self.path.push(name.clone());
        for later in ["initial-default", "write-default"] {
            if object.contains_key(later) {
                return Err(Error::unsupported(
                    self.at_column(&format!("{later} is not there yet: leave it out")),
                ));
            }
        }
        self.known(object, &["id", "name", "required", "type", "doc"])?;
        let doc = match object.get("doc") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(doc)) => doc.clone(),
            other => return Err(self.expected("\"doc\", a string", other)),
        };
        let id = self.id(object, "id")?;
        let required = self.flag(object, "required")?;
        let ty = self.parse_type(object, "type", depth)?;
        self.path.pop();
        Ok(Column { id, name, required, ty, doc })
    }

    /// The type in the given attribute of an object.
    fn parse_type(&mut self, object: &Object, key: &str, depth: usize) -> Result<Type> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(self.too_many());
        }
        if depth > TYPE_DEPTH_MAX {
            return Err(self.fail(&format!("types may nest {TYPE_DEPTH_MAX} deep, this one goes deeper")));
        }
        match object.get(key) {
            Some(Value::String(name)) => self.primitive(name),
            Some(Value::Object(nested)) => self.nested_type(nested, depth),
            other => Err(self
                .expected(&format!("\"{key}\", a type such as \"long\" or {{\"type\":\"list\",…}}"), other)),
        }
    }

    fn nested_type(&mut self, object: &Object, depth: usize) -> Result<Type> {
        match object.get("type").and_then(Value::as_str) {
            Some("struct") => {
                self.known(object, &["type", "fields"])?;
                Ok(Type::Struct(self.columns(object, depth + 1)?))
            }
            Some("list") => {
                self.known(
                    object,
                    &["type", "element-id", "element-required", "element", VECTOR_LENGTH_KEY],
                )?;
                let required = self.flag(object, "element-required")?;
                let element = self.nested(object, "element", required, depth + 1)?;
                match object.get(VECTOR_LENGTH_KEY) {
                    None => Ok(Type::List(Box::new(element))),
                    Some(length) => self.vector(length, &element),
                }
            }
            Some("map") => {
                self.known(object, &["type", "key-id", "key", "value-id", "value-required", "value"])?;
                let key = self.nested(object, "key", true, depth + 1)?;
                let required = self.flag(object, "value-required")?;
                let value = self.nested(object, "value", required, depth + 1)?;
                Ok(Type::Map(Box::new(key), Box::new(value)))
            }
            _ => Err(self.expected("\"type\", one of \"struct\", \"list\", \"map\"", object.get("type"))),
        }
    }

    fn nested(&mut self, object: &Object, name: &str, required: bool, depth: usize) -> Result<Nested> {
        let id = self.id(object, &format!("{name}-id"))?;
        self.path.push(name.to_owned());
        let ty = self.parse_type(object, name, depth)?;
        self.path.pop();
        Ok(Nested { id, required, ty })
    }

    fn vector(&self, length: &Value, element: &Nested) -> Result<Type> {
        if element.ty != Type::Real || !element.required {
            return Err(
                self.fail(&format!("{VECTOR_LENGTH_KEY} needs an element that is a required \"float\""))
            );
        }
        let Some(length) = length.as_u64() else {
            return Err(self.expected(&format!("{VECTOR_LENGTH_KEY}, a whole number"), Some(length)));
        };
        match Type::vector(length).map_err(|error| self.fail(error.message()))? {
            Type::Vector { length, .. } => Ok(Type::Vector { length, element_id: element.id }),
            other => Ok(other),
        }
    }

    fn primitive(&self, name: &str) -> Result<Type> {
        let timestamp = |unit, zone| Ok(Type::Timestamp { unit, zone });
        match name {
            "boolean" => Ok(Type::Boolean),
            "int" => Ok(Type::Int),
            "long" => Ok(Type::Bigint),
            "float" => Ok(Type::Real),
            "double" => Ok(Type::Double),
            "date" => Ok(Type::Date),
            "time" => Ok(Type::Time),
            "timestamp" => timestamp(TimestampUnit::Micros, false),
            "timestamptz" => timestamp(TimestampUnit::Micros, true),
            "timestamp_ns" => timestamp(TimestampUnit::Nanos, false),
            "timestamptz_ns" => timestamp(TimestampUnit::Nanos, true),
            "string" => Ok(Type::String),
            "uuid" => Ok(Type::Uuid),
            "binary" => Ok(Type::Binary),
            _ => self.parametrised(name),
        }
    }

    /// `decimal(p,s)`, `fixed[n]`, and what is not known.
    fn parametrised(&self, name: &str) -> Result<Type> {
        let inner = |open: &str, close| name.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let checked = if let Some((precision, scale)) =
            inner("decimal(", ')').and_then(|inner| inner.split_once(','))
        {
            number(precision).zip(number(scale)).map(|(precision, scale)| Type::decimal(precision, scale))
        } else {
            inner("fixed[", ']').and_then(number).map(Type::fixed)
        };
        if let Some(checked) = checked {
            return checked.map_err(|error| self.fail(error.message()));
        }
        let stem = name.split(['(', '[']).next().unwrap_or(name);
        if ["variant", "geometry", "geography", "unknown"].contains(&stem) {
            return Err(Error::unsupported(self.at_column(&format!("the type {stem} is not there yet"))));
        }
        Err(self.fail(&format!(
            "{} is not a type of Iceberg's: use one of boolean, int, long, float, double, decimal(p,s), date, time, \
             timestamp, timestamptz, timestamp_ns, timestamptz_ns, string, uuid, fixed[n], binary, or an object",
            quoted(name)
        )))
    }

    /// A field id, or 0 where there is none.
    fn id(&self, object: &Object, key: &str) -> Result<FieldId> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => {
                let id = value.as_i64().and_then(|id| FieldId::try_from(id).ok());
                id.filter(|id| (1..=FIELD_ID_MAX).contains(id)).ok_or_else(|| {
                    self.expected(
                        &format!("\"{key}\", a whole number from 1 to {FIELD_ID_MAX}, or none"),
                        Some(value),
                    )
                })
            }
        }
    }

    /// `required` and its like; false where it is missing.
    fn flag(&self, object: &Object, key: &str) -> Result<bool> {
        match object.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            other => Err(self.expected(&format!("\"{key}\", true or false"), other)),
        }
    }

    fn object<'a>(&self, value: &'a Value, what: &str) -> Result<&'a Object> {
        value.as_object().ok_or_else(|| self.expected(what, Some(value)))
    }

    fn type_is_struct(&self, object: &Object) -> Result<()> {
        match object.get("type") {
            None => Ok(()),
            Some(Value::String(name)) if name == "struct" => Ok(()),
            other => Err(self.expected("\"type\":\"struct\"", other)),
        }
    }

    fn known(&self, object: &Object, known: &[&str]) -> Result<()> {
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.fail(&format!(
                "the attribute {} is not known here: leave it out; known are {}",
                quoted(key),
                known.join(", ")
            ))),
        }
    }

    fn too_many(&self) -> Error {
        Error::invalid(format!(
            "a table may have {FIELDS_MAX} columns and nested fields, this one has more: split it"
        ))
    }

    fn at_column(&self, message: &str) -> String {
        if self.path.is_empty() {
            return format!("schema: {message}");
        }
        format!("column {}: {message}", shown_path(self.path.iter().map(String::as_str)))
    }

    fn fail(&self, message: &str) -> Error {
        Error::invalid(self.at_column(message))
    }

    fn expected(&self, what: &str, found: Option<&Value>) -> Error {
        let found = found.map_or_else(|| "nothing".to_owned(), shown_value);
        self.fail(&format!("expected {what}, found {found}"))
    }
}

/// A JSON value for messages: its kind if it is large, else itself, cut.
fn shown_value(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}
