//! The rows that are sent: clicks of a shop, about a hundred bytes each, from a fixed seed.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The table's columns.
pub(crate) const COLUMNS: &str = "id BIGINT NOT NULL, seen TIMESTAMP WITH TIME ZONE NOT NULL, visitor STRING NOT NULL, country STRING, \
     url STRING NOT NULL, referrer STRING, status INT NOT NULL, duration DOUBLE, amount DOUBLE";

const COUNTRIES: [&str; 8] = ["DE", "FR", "US", "GB", "JP", "BR", "IN", "ZA"];
const PARTS: [&str; 6] = ["shoes", "shirts", "bags", "books", "garden", "toys"];

/// Batches that differ, so that nothing is found again by luck.
const BATCHES: u64 = 8;

/// Some batches of so many rows.
pub(crate) fn batches(rows: usize) -> anyhow::Result<Vec<RecordBatch>> {
    (0..BATCHES).map(|number| batch(rows, number)).collect()
}

fn batch(rows: usize, number: u64) -> anyhow::Result<RecordBatch> {
    let mut dice = StdRng::seed_from_u64(number);
    let rows_u64 = u64::try_from(rows)?;
    let first = i64::try_from(number * rows_u64)?;
    let ids: Vec<i64> = (first..).take(rows).collect();
    let seen: Vec<i64> =
        ids.iter().map(|id| 1_790_000_000_000_000 + id * 731 + dice.random_range(0..500)).collect();
    let texts = |text: &mut dyn FnMut() -> String| StringArray::from_iter_values((0..rows).map(|_| text()));
    let visitors = texts(&mut || format!("{:016x}", dice.random::<u64>() >> 20));
    let countries = texts(&mut || COUNTRIES[dice.random_range(0..COUNTRIES.len())].to_owned());
    let mut url = || {
        let part = PARTS[dice.random_range(0..PARTS.len())];
        format!(
            "https://shop.example/{part}/{}?page={}",
            dice.random_range(0..20_000),
            dice.random_range(1..9)
        )
    };
    let urls = texts(&mut url);
    let referrers = (0..rows).map(|_| dice.random_bool(0.4).then_some("https://search.example/"));
    let referrers = StringArray::from_iter(referrers);
    let status =
        Int32Array::from_iter_values((0..rows).map(|_| if dice.random_bool(0.97) { 200 } else { 404 }));
    let durations = Float64Array::from_iter_values((0..rows).map(|_| dice.random::<f64>() * 300.0));
    let amounts =
        (0..rows).map(|_| dice.random_bool(0.1).then(|| f64::from(dice.random_range(100..99_999)) / 100.0));
    let amounts = Float64Array::from_iter(amounts);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(ids))),
        ("seen", Arc::new(TimestampMicrosecondArray::from(seen).with_timezone("UTC"))),
        ("visitor", Arc::new(visitors)),
        ("country", Arc::new(countries)),
        ("url", Arc::new(urls)),
        ("referrer", Arc::new(referrers)),
        ("status", Arc::new(status)),
        ("duration", Arc::new(durations)),
        ("amount", Arc::new(amounts)),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, Arc::clone(&array), array.null_count() > 0)),
    )?)
}

/// A batch as a row a line.
pub(crate) fn lines(batch: &RecordBatch) -> anyhow::Result<String> {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
    let mut lines = String::new();
    let text = |column: usize, row: usize| {
        let array = batch.column(column).as_string::<i32>();
        array.is_valid(row).then(|| array.value(row).to_owned())
    };
    let double = |column: usize, row: usize| {
        let array = batch.column(column).as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    for row in 0..batch.num_rows() {
        let line = serde_json::json!({
            "id": batch.column(0).as_primitive::<Int64Type>().value(row),
            "seen": crate::store_args::time_text(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(row)),
            "visitor": text(2, row),
            "country": text(3, row),
            "url": text(4, row),
            "referrer": text(5, row),
            "status": batch.column(6).as_primitive::<Int32Type>().value(row),
            "duration": double(7, row),
            "amount": double(8, row),
        });
        lines.push_str(&serde_json::to_string(&line)?);
        lines.push('\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_same_each_time_and_have_a_line_each() {
        let batches = batches(100).unwrap();
        assert_eq!(batches, super::batches(100).unwrap());
        assert_ne!(batches[0], batches[1]);
        let lines = lines(&batches[0]).unwrap();
        assert_eq!(lines.lines().count(), 100);
        let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(first["id"], 0);
        assert!(first["seen"].as_str().unwrap().starts_with("2026-"));
    }
}
