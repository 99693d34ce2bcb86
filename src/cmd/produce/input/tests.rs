use std::io::Write;

use proptest::prelude::*;

use super::*;

fn limits(rows_max: u64, bytes_max: usize) -> Limits {
    Limits { rows_max, bytes_max }
}

/// Splits text that comes in chunks.
fn split(mut splitter: Splitter, text: &[u8], chunk: usize) -> anyhow::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    for chunk in text.chunks(chunk) {
        splitter.push(chunk)?;
        while let Some(batch) = splitter.take()? {
            batches.push(batch);
        }
    }
    splitter.end()?;
    while let Some(batch) = splitter.take()? {
        batches.push(batch);
    }
    Ok(batches)
}

fn lines(text: &str, limits: Limits, chunk: usize) -> Vec<Batch> {
    split(Splitter::Lines(Lines::new(limits)), text.as_bytes(), chunk).unwrap()
}

fn elements(text: &str, limits: Limits, chunk: usize) -> anyhow::Result<Vec<Batch>> {
    split(Splitter::Elements(Elements::new(limits)), text.as_bytes(), chunk)
}

fn bodies(batches: &[Batch]) -> Vec<&str> {
    batches.iter().map(|batch| std::str::from_utf8(&batch.body).unwrap()).collect()
}

#[test]
fn lines_are_cut_at_their_ends_whatever_the_chunks() {
    let text = "{\"a\":1}\r\n{\"a\":2}\n\n{\"a\":3}\n  \r\n{\"a\":4}";
    for chunk in 1..=text.len() {
        let batches = lines(text, limits(2, 1000), chunk);
        assert_eq!(
            bodies(&batches),
            ["{\"a\":1}\r\n{\"a\":2}\n", "\n{\"a\":3}\n  \r\n{\"a\":4}\n"],
            "the last line needs no end; chunks of {chunk}"
        );
        let places: Vec<_> =
            batches.iter().map(|batch| (batch.rows, batch.first_row, batch.first_line)).collect();
        assert_eq!(places, [(2, 0, Some(1)), (2, 2, Some(3))]);
    }
}

#[test]
fn a_batch_has_at_most_so_many_bytes_but_one_row_always_goes() {
    let text = "{\"a\":1}\n{\"a\":22222222222222222222222}\n{\"a\":3}\n{\"a\":4}\n{\"a\":5}\n";
    for chunk in [1, 7, 1000] {
        let batches = lines(text, limits(100, 16), chunk);
        assert_eq!(
            bodies(&batches),
            ["{\"a\":1}\n", "{\"a\":22222222222222222222222}\n", "{\"a\":3}\n{\"a\":4}\n", "{\"a\":5}\n"],
            "chunks of {chunk}"
        );
    }
}

#[test]
fn text_without_rows_gives_no_batch() {
    for text in ["", "\n", "\r\n \n\n", "   "] {
        assert_eq!(lines(text, limits(1, 1), 1), [], "{text:?}");
        assert_eq!(elements(text, limits(1, 1), 1).unwrap(), [], "{text:?}");
    }
    assert_eq!(elements("[]", limits(1, 1), 1).unwrap(), []);
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let mut splitter = Lines::new(limits(1, 1));
    splitter.push(b"{}\n");
    splitter.push(&vec![b'x'; ROW_BYTES_MAX + 1]);
    assert!(splitter.take().is_ok());
    let error = splitter.take().unwrap_err().to_string();
    assert!(error.starts_with("line 2 is longer than 64 MiB"), "{error}");
}

#[test]
fn an_array_is_cut_between_its_elements_whatever_the_chunks() {
    let text = " [ {\"a\": \"],}{\\\"[\"} ,\n{\"b\":[1,{\"c\":2}]}, 7, \"x,]\" , [3] ] \n";
    for chunk in 1..=text.len() {
        let batches = elements(text, limits(2, 1000), chunk).unwrap();
        assert_eq!(
            bodies(&batches),
            ["[{\"a\": \"],}{\\\"[\"},{\"b\":[1,{\"c\":2}]}]", "[7,\"x,]\"]", "[[3]]"],
            "chunks of {chunk}"
        );
        assert_eq!(batches.iter().map(|batch| batch.first_row).collect::<Vec<_>>(), [0, 2, 4]);
    }
    let alone = elements("[{\"a\":1},{\"a\":2}]", limits(10, 1), 3).unwrap();
    assert_eq!(bodies(&alone), ["[{\"a\":1}]", "[{\"a\":2}]"]);
}

#[test]
fn objects_one_after_another_are_rows_too() {
    for text in ["{\"a\":1}", "{\n  \"a\": 1\n}\n{\"b\":{}}\n"] {
        let batches = elements(text, limits(10, 1000), 4).unwrap();
        let parsed: serde_json::Value = serde_json::from_slice(&batches[0].body).unwrap();
        assert_eq!(parsed[0], serde_json::json!({"a": 1}));
        assert_eq!(batches[0].rows, text.matches('\n').count().clamp(1, 2) as u64);
    }
}

#[test]
fn brackets_that_do_not_fit_are_refused() {
    for text in ["[", "[{}", "[{},]", "[{}]]", "[,]", "[}", "]", "{", "{}x", "[{}]{", "[\"x", "x"] {
        assert!(elements(text, limits(10, 1000), 2).is_err(), "{text}");
    }
}

#[test]
fn formats_are_told_apart_by_their_first_bytes() {
    for (head, extension, expected) in [
        (&b"ARROW1\0\0"[..], "feather", Format::Arrow),
        (b"\xFF\xFF\xFF\xFF\x10", "", Format::Arrow),
        (b" \n[{", "ndjson", Format::Json),
        (b"{\"a\":1}\n{", "ndjson", Format::Ndjson),
        (b"\xEF\xBB\xBF{\"a\":1}", "", Format::Ndjson),
        (b"{\n \"a\"", "json", Format::Json),
        (b"", "", Format::Ndjson),
        (b"id,url\n", "csv", Format::Csv),
        (b"[id],url\n", "csv", Format::Csv),
    ] {
        assert_eq!(sniff(head, extension).unwrap(), expected, "{head:?}");
    }
    for (head, extension, word) in [(&b"PAR1"[..], "parquet", "Parquet"), (b"hello", "txt", "neither")] {
        let error = sniff(head, extension).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_file_is_read_through_to_its_end() {
    let mut file = tempfile::NamedTempFile::with_suffix(".ndjson").unwrap();
    file.write_all(b"\xEF\xBB\xBF").unwrap();
    for id in 0..100_000 {
        writeln!(file, "{{\"id\":{id}}}").unwrap();
    }
    let mut input = Input::open(Some(file.path()), None, limits(30_000, 1 << 20)).await.unwrap();
    assert_eq!(input.length(), Some(file.as_file().metadata().unwrap().len()));
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = input.next().await.unwrap() {
        assert_eq!(batch.first_row, rows);
        assert!(batch.body.starts_with(format!("{{\"id\":{rows}}}").as_bytes()));
        rows += batch.rows;
        batches += 1;
    }
    assert_eq!((rows, batches), (100_000, 4));
    assert!(Input::open(Some(Path::new("/nonexistent/x")), None, limits(1, 1)).await.is_err());
    assert!(Input::open(Some(Path::new("/")), None, limits(1, 1)).await.is_err());
}

#[tokio::test]
async fn packed_csv_is_cut_at_its_records_each_batch_with_the_header() {
    let mut text = "id,note\r\n".to_owned();
    for id in 0..1000 {
        text.push_str(&format!("{id},\"line\n{id}, \"\"x\"\"\"\r\n"));
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    for (suffix, bytes) in
        [(".csv", text.clone().into_bytes()), (".csv.gz", gzip.finish().unwrap()), (".CSV.zst", zstd)]
    {
        let mut file = tempfile::NamedTempFile::with_suffix(suffix).unwrap();
        file.write_all(&bytes).unwrap();
        let mut input = Input::open(Some(file.path()), None, limits(300, 1 << 20)).await.unwrap();
        let (mut rows, mut all) = (Vec::new(), String::new());
        while let Some(batch) = input.next().await.unwrap() {
            assert_eq!(batch.format, Format::Csv);
            let body = std::str::from_utf8(&batch.body).unwrap();
            all.push_str(body.strip_prefix("id,note\r\n").expect("each batch has the header"));
            rows.push(batch.rows);
        }
        assert_eq!(rows, [300, 300, 300, 100], "{suffix}");
        assert_eq!(format!("id,note\r\n{all}"), text);
    }
}

proptest! {
    #[test]
    fn csv_batches_put_together_are_the_file(
        records in prop::collection::vec("([a-z]{0,5}|\"[a-z,\n]{0,5}\"),([a-z]{0,5}|\"(\"\"|\r\n|,){0,3}\")", 0..30),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ended in any::<bool>(),
        rows_max in 1_u64..6,
        bytes_max in 1_usize..60,
        chunk in 1_usize..50,
    ) {
        let mut text = format!("a,b{end}");
        text.push_str(&records.join(end));
        if ended && !records.is_empty() {
            text.push_str(end);
        }
        let batches = split(Splitter::Csv(Csv::new(limits(rows_max, bytes_max))), text.as_bytes(), chunk).unwrap();
        let mut before = 0;
        let mut kept = format!("a,b{end}");
        for batch in &batches {
            let body = std::str::from_utf8(&batch.body).unwrap();
            kept.push_str(body.strip_prefix(&format!("a,b{end}")).unwrap());
            prop_assert_eq!(batch.first_row, before);
            prop_assert!((1..=rows_max).contains(&batch.rows));
            prop_assert!(batch.rows == 1 || batch.body.len() <= bytes_max);
            before += batch.rows;
        }
        prop_assert_eq!(before, records.len() as u64);
        prop_assert_eq!(kept.trim_end(), text.trim_end());
    }

    #[test]
    fn batches_put_together_are_the_file(
        lines_of in prop::collection::vec("[a-z{}\" ]{0,12}\r?", 0..40),
        ended in any::<bool>(),
        rows_max in 1_u64..6,
        bytes_max in 1_usize..60,
        chunk in 1_usize..50,
    ) {
        let mut text = lines_of.join("\n");
        if ended {
            text.push('\n');
        }
        let batches = lines(&text, limits(rows_max, bytes_max), chunk);
        let kept: Vec<u8> = batches.iter().flat_map(|batch| batch.body.to_vec()).collect();
        let rows_of = |text: &[u8]| -> Vec<Vec<u8>> {
            let lines = text.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().to_vec());
            lines.filter(|line| !line.is_empty()).collect()
        };
        prop_assert_eq!(rows_of(&kept), rows_of(text.as_bytes()));
        let mut before = 0;
        for batch in &batches {
            prop_assert!(batch.body.ends_with(b"\n"));
            prop_assert_eq!(batch.first_row, before);
            prop_assert!((1..=rows_max).contains(&batch.rows));
            prop_assert!(batch.rows == 1 || batch.body.len() <= bytes_max);
            prop_assert_eq!(rows_of(&batch.body).len() as u64, batch.rows);
            let line = usize::try_from(batch.first_line.unwrap_or_default() - 1).unwrap();
            let first = text.split('\n').skip(line).map(str::trim_ascii).find(|line| !line.is_empty());
            prop_assert_eq!(first.map(|line| line.as_bytes().to_vec()), rows_of(&batch.body).into_iter().next());
            before += batch.rows;
        }
    }
}
