//! SQL text to columns: a recursive descent over sqlparser's tokens.
//!
//! ```text
//!   columns  = column { "," column }
//!   column   = name [":"] type { NOT NULL | NULL | COMMENT 'text' }
//!   type     = word ["(" n ["," n] ")"] …  |  ARRAY "<" element ">"  |  MAP "<" element "," element ">"
//!            | STRUCT "<" column { "," column } ">"
//!   element  = type [NOT NULL | NULL]
//! ```

use sqlparser::tokenizer::Token;

use crate::error::{Error, Result};
use crate::schema::check::{FIELDS_MAX, TYPE_DEPTH_MAX};
use crate::schema::ids::assign_ids;
use crate::schema::sql::words::Words;
use crate::schema::{Column, Nested, TimestampUnit, Type};

/// Bytes of a column list; a larger schema can be given in Iceberg's JSON form.
pub const COLUMNS_TEXT_BYTES_MAX: usize = 1 << 20;

/// Parses a column list such as `id BIGINT NOT NULL, url STRING`; field ids are given out in Iceberg's order.
///
/// Names are kept as they are written; whether they are allowed is checked when the table is built.
///
/// # Errors
/// Invalid: names the column and says what is expected. Unsupported: names the type or clause that is not there yet.
pub fn parse_columns(text: &str) -> Result<Vec<Column>> {
    if text.len() > COLUMNS_TEXT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the column list has {} bytes, {COLUMNS_TEXT_BYTES_MAX} are allowed: give \"schema\" in Iceberg's JSON form",
            text.len()
        )));
    }
    let mut parser = Words::cut(text)?;
    let mut columns = Vec::new();
    loop {
        columns.push(parser.column(1)?);
        if !parser.take(&Token::Comma) {
            break;
        }
    }
    if parser.peek().is_some() {
        return Err(parser.trailing(&columns));
    }
    assign_ids(&mut columns);
    Ok(columns)
}

impl Words {
    /// A column, or a field of a struct, whose type has the given depth.
    fn column(&mut self, depth: usize) -> Result<Column> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(Error::invalid(format!(
                "a table may have {FIELDS_MAX} columns and nested fields, this one has more: split it"
            )));
        }
        let name = match self.peek() {
            Some(Token::Word(word)) => word.value.clone(),
            _ => return Err(self.expected("a column name")),
        };
        self.at += 1;
        if name.eq_ignore_ascii_case("primary") && self.keyword().as_deref() == Some("KEY") {
            return Err(Error::unsupported("PRIMARY KEY is not there yet in a column list: leave it out"));
        }
        self.path.push(name.clone());
        if depth > 1 {
            self.take(&Token::Colon);
        }
        let ty = self.parse_type(depth)?;
        let (required, doc) = self.clauses(true)?;
        self.path.pop();
        Ok(Column { id: 0, name, required: required.unwrap_or(false), ty, doc: doc.unwrap_or_default() })
    }

    /// `NOT NULL`, `NULL` and `COMMENT`, each at most once, in any order.
    fn clauses(&mut self, with_comment: bool) -> Result<(Option<bool>, Option<String>)> {
        let (mut required, mut doc) = (None, None);
        loop {
            let word = self.keyword();
            match word.as_deref() {
                Some("NOT" | "NULL") if required.is_some() => {
                    return Err(self.fail("NULL or NOT NULL is said twice: say it once"));
                }
                Some("NOT") => {
                    self.at += 1;
                    self.words(&["NULL"], "NULL after NOT")?;
                    required = Some(true);
                }
                Some("NULL") => {
                    self.at += 1;
                    required = Some(false);
                }
                Some("COMMENT") if with_comment => {
                    self.at += 1;
                    let Some(Token::SingleQuotedString(text)) = self.peek() else {
                        return Err(self.expected("the comment in single quotes"));
                    };
                    if doc.replace(text.clone()).is_some() {
                        return Err(self.fail("COMMENT is said twice: say it once"));
                    }
                    self.at += 1;
                }
                Some(
                    clause @ ("PRIMARY" | "UNIQUE" | "DEFAULT" | "CHECK" | "REFERENCES" | "GENERATED"
                    | "COLLATE" | "AUTO_INCREMENT" | "CONSTRAINT"),
                ) => {
                    return Err(Error::unsupported(
                        self.at_column(&format!("{clause} is not there yet: leave it out")),
                    ));
                }
                _ => return Ok((required, doc)),
            }
        }
    }

    fn parse_type(&mut self, depth: usize) -> Result<Type> {
        if depth > TYPE_DEPTH_MAX {
            return Err(self.fail(&format!("types may nest {TYPE_DEPTH_MAX} deep, this one goes deeper")));
        }
        let Some(word) = self.keyword() else {
            return Err(self.expected("a type such as BIGINT or ARRAY<STRING>"));
        };
        self.at += 1;
        let ty = match word.as_str() {
            "BOOLEAN" | "BOOL" => Type::Boolean,
            "INT" | "INTEGER" => Type::Int,
            "BIGINT" => Type::Bigint,
            "REAL" | "FLOAT" => Type::Real,
            "DOUBLE" => {
                self.take_word("PRECISION");
                Type::Double
            }
            "DECIMAL" | "NUMERIC" => return self.decimal(&word),
            "DATE" => Type::Date,
            "TIME" | "TIMESTAMP" | "TIMESTAMPTZ" => return self.time(&word),
            "STRING" | "TEXT" | "VARCHAR" => Type::String,
            "UUID" => Type::Uuid,
            "BINARY" | "BYTEA" | "VARBINARY" => Type::Binary,
            "FIXED" => {
                let bytes = self.parameter("FIXED(n), n bytes")?;
                return Type::fixed(bytes).map_err(|error| self.fail(error.message()));
            }
            "VECTOR" => {
                self.fields += 1;
                let length = self.parameter("VECTOR(n), n REALs")?;
                return Type::vector(length).map_err(|error| self.fail(error.message()));
            }
            "ARRAY" => return self.array(depth),
            "MAP" => return self.map(depth),
            "STRUCT" => return self.structure(depth),
            "VARIANT" | "GEOMETRY" | "GEOGRAPHY" => {
                return Err(Error::unsupported(self.at_column(&format!("the type {word} is not there yet"))));
            }
            other => return Err(self.unknown_type(other)),
        };
        self.no_parameters(&word, &ty)?;
        Ok(ty)
    }

    fn decimal(&mut self, word: &str) -> Result<Type> {
        let form = format!("{word}(p,s), p digits of which s behind the point");
        self.token(&Token::LParen, &form)?;
        let precision = self.number(&form)?;
        let scale = if self.take(&Token::Comma) { self.number(&form)? } else { 0 };
        self.token(&Token::RParen, &form)?;
        Type::decimal(precision, scale).map_err(|error| self.fail(error.message()))
    }

    /// TIME, TIMESTAMP or TIMESTAMPTZ, after the word.
    fn time(&mut self, word: &str) -> Result<Type> {
        let digits =
            if self.peek() == Some(&Token::LParen) { self.parameter(&format!("{word}(6)"))? } else { 6 };
        let zone = match self.keyword().as_deref() {
            Some(side @ ("WITH" | "WITHOUT")) if word != "TIMESTAMPTZ" => {
                let with = side == "WITH";
                self.at += 1;
                self.words(&["TIME", "ZONE"], "TIME ZONE after WITH or WITHOUT")?;
                with
            }
            _ => word == "TIMESTAMPTZ",
        };
        match (word, digits, zone) {
            ("TIME", 6, false) => Ok(Type::Time),
            ("TIME", _, true) => {
                Err(self.fail("TIME WITH TIME ZONE is not a type here: use TIME, or TIMESTAMP"))
            }
            ("TIME", digits, false) => {
                Err(self.fail(&format!("TIME({digits}) is not a type here: use TIME")))
            }
            (_, 6, zone) => Ok(Type::Timestamp { unit: TimestampUnit::Micros, zone }),
            (_, 9, zone) => Ok(Type::Timestamp { unit: TimestampUnit::Nanos, zone }),
            (word, digits, _) => Err(self.fail(&format!(
                "{word}({digits}) is not a type here: use {word}(6), microseconds, or {word}(9)"
            ))),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Type> {
        self.token(&Token::Lt, "ARRAY<t>, t the type of the elements")?;
        let element = self.element("element", depth + 1)?;
        self.token(&Token::Gt, "> after the element's type")?;
        Ok(Type::List(Box::new(element)))
    }

    fn map(&mut self, depth: usize) -> Result<Type> {
        self.token(&Token::Lt, "MAP<k,v>, the types of keys and values")?;
        let key = self.element("key", depth + 1)?;
        self.token(&Token::Comma, ", and the values' type after the keys'")?;
        let value = self.element("value", depth + 1)?;
        self.token(&Token::Gt, "> after the values' type")?;
        Ok(Type::Map(Box::new(key), Box::new(value)))
    }

    fn structure(&mut self, depth: usize) -> Result<Type> {
        self.token(&Token::Lt, "STRUCT<name t, …>, the fields with their types")?;
        let mut fields = vec![self.column(depth + 1)?];
        while self.take(&Token::Comma) {
            fields.push(self.column(depth + 1)?);
        }
        self.token(&Token::Gt, ", or > after a field")?;
        Ok(Type::Struct(fields))
    }

    /// An element, key or value. Keys are required whether it is said or not.
    fn element(&mut self, name: &str, depth: usize) -> Result<Nested> {
        self.fields += 1;
        self.path.push(name.to_owned());
        let ty = self.parse_type(depth)?;
        let (required, _) = self.clauses(false)?;
        if name == "key" && required == Some(false) {
            return Err(self.fail("the keys of a map are never null: leave NULL out"));
        }
        self.path.pop();
        Ok(Nested { id: 0, required: name == "key" || required.unwrap_or(false), ty })
    }

    fn no_parameters(&self, word: &str, ty: &Type) -> Result<()> {
        match self.peek() {
            Some(Token::LParen) if *ty == Type::Binary => Err(self
                .fail(&format!("{word} takes no length here: use BINARY, or FIXED(n) for exactly n bytes"))),
            Some(Token::LParen) => Err(self.fail(&format!("{word} takes no parameters here: write {ty}"))),
            Some(Token::LBracket) => {
                Err(self.fail(&format!("{word}[] is not a type here: write ARRAY<{ty}>")))
            }
            _ => Ok(()),
        }
    }

    fn unknown_type(&self, word: &str) -> Error {
        let use_instead = match word {
            "TINYINT" | "SMALLINT" | "INT2" | "INT4" | "INT8" | "INT16" | "INT32" | "SHORT" | "BYTE" => "INT",
            "LONG" | "INT64" | "BIGSERIAL" | "SERIAL" => "BIGINT",
            "FLOAT4" | "FLOAT32" => "REAL",
            "FLOAT8" | "FLOAT64" => "DOUBLE",
            "CHAR" | "CHARACTER" | "NVARCHAR" | "UTF8" | "JSON" | "JSONB" => "STRING",
            "BLOB" | "BYTES" => "BINARY",
            "DATETIME" => "TIMESTAMP(6)",
            "LIST" => "ARRAY<t>",
            "ROW" | "RECORD" => "STRUCT<name t, …>",
            _ => {
                return self.fail(&format!(
                    "{word} is not a type here: use one of BOOLEAN, INT, BIGINT, REAL, DOUBLE, DECIMAL(p,s), DATE, TIME, \
                     TIMESTAMP(6) [WITH TIME ZONE], STRING, UUID, FIXED(n), BINARY, ARRAY<t>, MAP<k,v>, \
                     STRUCT<name t, …>, VECTOR(n)"
                ));
            }
        };
        self.fail(&format!("{word} is not a type here: use {use_instead}"))
    }
}
