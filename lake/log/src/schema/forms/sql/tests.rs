use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::{columns_sql, parse_columns};
use crate::error::ErrorKind;
use crate::schema::check::TYPE_DEPTH_MAX;
use crate::schema::{Column, Nested, Schema, TimestampUnit, Type, arbitrary};

fn one_type(text: &str) -> Type {
    let mut columns = parse_columns(&format!("c {text}")).unwrap();
    assert_eq!(columns.len(), 1);
    columns.remove(0).ty
}

fn error(text: &str) -> String {
    let error = parse_columns(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.to_string()
}

fn unsupported(text: &str) -> String {
    let error = parse_columns(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    error.to_string()
}

#[test]
fn the_example_of_the_api_is_read_as_meant() {
    let columns =
        parse_columns("id BIGINT NOT NULL, url STRING, at TIMESTAMP(6) WITH TIME ZONE COMMENT 'it''s when'")
            .unwrap();

    let zoned = Type::Timestamp { unit: TimestampUnit::Micros, zone: true };
    let column = |id, name: &str, required, ty, doc: &str| Column {
        id,
        name: name.to_owned(),
        required,
        ty,
        doc: doc.to_owned(),
    };
    let expected = [
        column(1, "id", true, Type::Bigint, ""),
        column(2, "url", false, Type::String, ""),
        column(3, "at", false, zoned, "it's when"),
    ];
    assert_eq!(columns, expected);
}

#[test]
fn every_synonym_has_one_canonical_text() {
    let cases = [
        ("BOOLEAN", "boolean bool"),
        ("INT", "INT INTEGER integer"),
        ("BIGINT", "BIGINT"),
        ("REAL", "REAL FLOAT"),
        ("DOUBLE", "DOUBLE"),
        ("DATE", "DATE"),
        ("TIME", "TIME TIME(6)"),
        ("TIMESTAMP(6)", "TIMESTAMP TIMESTAMP(6)"),
        ("TIMESTAMP(6) WITH TIME ZONE", "TIMESTAMPTZ TIMESTAMPTZ(6)"),
        ("TIMESTAMP(9) WITH TIME ZONE", "TIMESTAMPTZ(9)"),
        ("STRING", "STRING TEXT VARCHAR string"),
        ("UUID", "UUID"),
        ("FIXED(16)", "FIXED(16)"),
        ("BINARY", "BINARY BYTEA VARBINARY"),
        ("DECIMAL(15,2)", "DECIMAL(15,2) NUMERIC(15,2)"),
        ("DECIMAL(15,0)", "DECIMAL(15) NUMERIC(15)"),
        ("VECTOR(768)", "VECTOR(768)"),
    ];
    for (canonical, synonyms) in cases {
        for synonym in synonyms.split(' ') {
            assert_eq!(one_type(synonym).to_string(), canonical, "{synonym}");
        }
    }
    assert_eq!(one_type("DOUBLE PRECISION"), Type::Double);
    assert_eq!(one_type("TIME WITHOUT TIME ZONE"), Type::Time);
    assert_eq!(one_type("TIMESTAMP WITHOUT TIME ZONE").to_string(), "TIMESTAMP(6)");
    assert_eq!(one_type("TIMESTAMP(9) WITH TIME ZONE").to_string(), "TIMESTAMP(9) WITH TIME ZONE");
}

#[test]
fn nested_types_keep_not_null_and_comments() {
    let text = "ARRAY<STRUCT<a INT NOT NULL COMMENT 'x', m MAP<STRING,ARRAY<INT NOT NULL> NOT NULL>>>";
    assert_eq!(one_type(text).to_string(), text);
    let Type::Struct(fields) = one_type("STRUCT<name: STRING, \"Age in y\" : INT>") else {
        panic!("a struct")
    };
    assert_eq!((fields[0].name.as_str(), fields[1].name.as_str()), ("name", "Age in y"));
    let Type::Map(key, _) = one_type("MAP<STRING NOT NULL, INT>") else { panic!("a map") };
    assert!(key.required);
}

#[test]
fn a_column_may_be_named_like_a_word_of_the_language() {
    let columns =
        parse_columns("key STRING, timestamp TIMESTAMP, comment STRING, `select` INT, primary INT").unwrap();
    let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["key", "timestamp", "comment", "select", "primary"]);
}

/// Texts with the whole message that each gives.
const WRONG: &[(&str, &str)] = &[
    ("", "columns: expected a column name, found the end"),
    ("id BIGINT, ", "columns: expected a column name, found the end"),
    ("id", "column id: expected a type such as BIGINT or ARRAY<STRING>, found the end"),
    ("id SMALLINT", "column id: SMALLINT is not a type here: use INT"),
    (
        "id BIGINT url STRING",
        r#"column id: expected NOT NULL, COMMENT, a comma or the end after its type, found "url""#,
    ),
    ("id BIGINT NOT NUL", r#"column id: expected NULL after NOT, found "NUL""#),
    ("id BIGINT NULL NOT NULL", "column id: NULL or NOT NULL is said twice: say it once"),
    ("id BIGINT COMMENT x", r#"column id: expected the comment in single quotes, found "x""#),
    ("id INT COMMENT 'a' COMMENT 'b'", "column id: COMMENT is said twice: say it once"),
    ("id DECIMAL", "column id: expected DECIMAL(p,s), p digits of which s behind the point, found the end"),
    (
        "id DECIMAL(39,2)",
        "column id: DECIMAL(39,2) is out of bounds: give a precision from 1 to 38 and a scale from 0 to the precision",
    ),
    ("id FIXED(0)", "column id: FIXED(0) is out of bounds: give 1 to 1048576 bytes"),
    ("id VECTOR(65537)", "column id: VECTOR(65537) is out of bounds: give 1 to 65536 elements"),
    ("id FIXED", "column id: expected FIXED(n), n bytes, found the end"),
    ("id FIXED(n)", r#"column id: expected a whole number as in FIXED(n), n bytes, found "n""#),
    (
        "at TIMESTAMP(3)",
        "column at: TIMESTAMP(3) is not a type here: use TIMESTAMP(6), microseconds, or TIMESTAMP(9)",
    ),
    ("at TIME(9)", "column at: TIME(9) is not a type here: use TIME"),
    ("at TIME WITH TIME ZONE", "column at: TIME WITH TIME ZONE is not a type here: use TIME, or TIMESTAMP"),
    ("at TIMESTAMP WITH ZONE", r#"column at: expected TIME ZONE after WITH or WITHOUT, found "ZONE""#),
    ("url VARCHAR(20)", "column url: VARCHAR takes no parameters here: write STRING"),
    ("b BINARY(3)", "column b: BINARY takes no length here: use BINARY, or FIXED(n) for exactly n bytes"),
    ("b INT[]", "column b: INT[] is not a type here: write ARRAY<INT>"),
    ("a ARRAY", "column a: expected ARRAY<t>, t the type of the elements, found the end"),
    ("a ARRAY<INT", "column a: expected > after the element's type, found the end"),
    ("a STRUCT<b MAP<STRING,CHAR>>", "column a.b.value: CHAR is not a type here: use STRING"),
    ("m MAP<INT>", r#"column m: expected , and the values' type after the keys', found ">""#),
    ("m MAP<INT NULL, INT>", "column m.key: the keys of a map are never null: leave NULL out"),
    ("s STRUCT<>", r#"column s: expected a column name, found ">""#),
];

#[test]
fn an_error_names_the_column_and_says_what_is_expected() {
    for (text, message) in WRONG {
        assert_eq!(error(text), *message, "{text}");
    }
    assert!(
        error("id BIGNIT").starts_with("column id: BIGNIT is not a type here: use one of BOOLEAN, INT, ")
    );
    assert!(error("s 'STRING").starts_with("columns: "));
}

#[test]
fn what_is_not_there_yet_is_named() {
    assert_eq!(unsupported("v VARIANT"), "column v: the type VARIANT is not there yet");
    assert_eq!(unsupported("v ARRAY<GEOMETRY>"), "column v.element: the type GEOMETRY is not there yet");
    assert_eq!(unsupported("v geography"), "column v: the type GEOGRAPHY is not there yet");
    assert_eq!(unsupported("v INT DEFAULT 3"), "column v: DEFAULT is not there yet: leave it out");
    assert_eq!(unsupported("v INT PRIMARY KEY"), "column v: PRIMARY is not there yet: leave it out");
    assert_eq!(
        unsupported("v INT, PRIMARY KEY (v)"),
        "PRIMARY KEY is not there yet in a column list: leave it out"
    );
}

#[test]
fn depth_number_and_length_are_bounded() {
    let nest = |levels: usize| format!("a {}INT{}", "ARRAY<".repeat(levels), ">".repeat(levels));
    assert!(parse_columns(&nest(TYPE_DEPTH_MAX - 1)).is_ok());
    assert!(error(&nest(TYPE_DEPTH_MAX)).ends_with(": types may nest 16 deep, this one goes deeper"));
    assert!(error(&nest(100_000)).ends_with(": types may nest 16 deep, this one goes deeper"));
    assert!(parse_columns(&vec!["a INT"; 10_000].join(",")).is_ok());
    assert_eq!(
        error(&vec!["a INT"; 10_001].join(",")),
        "a table may have 10000 columns and nested fields, this one has more: split it"
    );
    assert_eq!(
        error(&" ".repeat(1_048_577)),
        "the column list has 1048577 bytes, 1048576 are allowed: give \"schema\" in Iceberg's JSON form"
    );
}

#[test]
fn a_type_inside_a_type_counts_its_nulls_apart() {
    let columns = parse_columns("a ARRAY<INT NOT NULL>").unwrap();
    let element = Nested { id: 2, required: true, ty: Type::Int };
    assert_eq!(columns[0].ty, Type::List(Box::new(element)));
    assert!(!columns[0].required);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read_back(schema in arbitrary::schemas()) {
        let text = columns_sql(&schema);
        prop_assert_eq!(parse_columns(&text).unwrap(), schema.columns, "{}", text);
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        drop(parse_columns(&text));
    }

    #[test]
    fn no_sequence_of_words_panics(words in proptest::collection::vec(
        "(a|STRUCT|ARRAY|MAP|<|>|>>|<>|,|\\(|\\)|6|INT|DECIMAL|NOT|NULL|COMMENT|'x'|:|TIMESTAMP|WITH|TIME|ZONE|\\[)", 0..24,
    )) {
        if let Ok(columns) = parse_columns(&words.join(" ")) {
            let again = columns_sql(&Schema { id: 0, columns: columns.clone() });
            prop_assert!(parse_columns(&again).is_ok_and(|read| read == columns));
        }
    }
}
