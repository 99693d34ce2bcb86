//! `frazil table describe`: a table's columns and options, and how far its buckets reach.

use std::fmt::Write;

use frazil_log::schema::iceberg_json::from_json;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, TableName};
use crate::output::{Format, Listing, number, print, print_json};

/// Describes a table: its description, and its offsets under the member `offsets`.
pub(super) async fn run(client: &Client, format: Format, name: &TableName) -> anyhow::Result<()> {
    let mut document = client.json(&client.request(Method::GET, &name.path(&[]))).await?;
    let offsets = client.json(&client.request(Method::GET, &name.path(&["offsets"]))).await?;
    if let Some(members) = document.as_object_mut() {
        members.insert("offsets".to_owned(), offsets["buckets"].clone());
    }
    match format {
        Format::Table => print(&for_people(name, &document))?,
        Format::Json => print_json(&document)?,
        Format::Csv => columns(&document).print(format, &document)?,
        Format::Arrow => anyhow::bail!("-o arrow is for rows, as in `frazil consume`: use -o json"),
    }
    Ok(())
}

fn for_people(name: &TableName, table: &Value) -> String {
    let buckets = offsets(table);
    let rows: u64 = buckets.iter().map(|bucket| bucket.latest.saturating_sub(bucket.earliest)).sum();
    let mut text = format!("{name}: {} rows in {}\n\n", number::thousands(rows), count(buckets.len()));
    text.push_str(&columns(table).table());
    text.push('\n');
    let mut listing = Listing::new(&["bucket", "earliest", "latest", "rows"]);
    for bucket in &buckets {
        let rows = bucket.latest.saturating_sub(bucket.earliest);
        listing.push([bucket.bucket, bucket.earliest, bucket.latest, rows].map(Value::from).to_vec());
    }
    text.push_str(&listing.table());
    text.push('\n');
    push_facts(table, &mut text);
    text
}

fn count(buckets: usize) -> String {
    format!("{buckets} {}", if buckets == 1 { "bucket" } else { "buckets" })
}

/// What does not fit into a table of its own: the bucket columns, partitions, options, the ids.
fn push_facts(table: &Value, text: &mut String) {
    let mut facts: Vec<(String, String)> = Vec::new();
    for (member, label) in [("bucket_by", "bucket by"), ("partitioned_by", "partitioned by")] {
        let by: Vec<&str> =
            table[member].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !by.is_empty() {
            facts.push((label.to_owned(), by.join(", ")));
        }
    }
    for (option, value) in table["options"].as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        facts.push((option.clone(), value));
    }
    for (member, label) in [("uuid", "uuid"), ("id", "id"), ("schema_id", "schema")] {
        let value = &table[member];
        if !value.is_null() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            facts.push((label.to_owned(), value));
        }
    }
    let width = facts.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    for (label, value) in facts {
        writeln!(text, " {label:width$}  {value}").expect("writing to a string cannot fail");
    }
}

/// The columns, from the schema in Iceberg's form; as the SQL text where that cannot be read.
fn columns(table: &Value) -> Listing {
    let mut listing = Listing::new(&["column", "type", "null", "comment"]);
    match from_json(&table["schema"]) {
        Ok(columns) => {
            for column in columns {
                let nullable = if column.required { "no" } else { "yes" };
                let comment = if column.doc.is_empty() { Value::Null } else { json!(column.doc) };
                listing.push(vec![
                    json!(column.name),
                    json!(column.ty.to_string()),
                    json!(nullable),
                    comment,
                ]);
            }
        }
        Err(_) => listing.push(vec![table["columns"].clone(), Value::Null, Value::Null, Value::Null]),
    }
    listing
}

struct Bucket {
    bucket: u64,
    earliest: u64,
    latest: u64,
}

fn offsets(table: &Value) -> Vec<Bucket> {
    let read = |bucket: &Value| {
        let [bucket, earliest, latest] =
            ["bucket", "earliest", "latest"].map(|member| bucket[member].as_u64());
        Some(Bucket { bucket: bucket?, earliest: earliest?, latest: latest? })
    };
    table["offsets"].as_array().into_iter().flatten().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_described() {
        let Ok(name) = "clicks".parse::<TableName>();
        let table = json!({
            "name": "clicks", "id": 3, "uuid": "5d0c", "schema_id": 0, "columns": "id BIGINT NOT NULL, url STRING",
            "schema": {"type": "struct", "schema-id": 0, "fields": [
                {"id": 1, "name": "id", "required": true, "type": "long"},
                {"id": 2, "name": "url", "required": false, "type": "string"}]},
            "bucket_by": ["id"], "options": {"retention": "7d"}, "partitioned_by": ["day(at)"],
            "offsets": [{"bucket": 0, "earliest": 2, "latest": 1002}, {"bucket": 1, "earliest": 0, "latest": 7}]
        });
        assert_eq!(
            for_people(&name, &table),
            "clicks: 1,007 rows in 2 buckets\n\n \
             column  type    null  comment\n id      BIGINT  no    ·\n url     STRING  yes   ·\n\n \
             bucket  earliest  latest  rows\n      0         2    1002  1000\n      1         0       7     7\n\n \
             bucket by       id\n partitioned by  day(at)\n retention       7d\n uuid            5d0c\n id              3\n schema          0\n"
        );
    }

    #[test]
    fn a_schema_of_a_later_version_is_shown_as_sql() {
        let table = json!({"columns": "v VARIANT", "schema": {"type": "struct", "fields": [{"id": 1}]}});
        assert!(columns(&table).table().contains("v VARIANT"));
    }
}
