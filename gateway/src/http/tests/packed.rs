use async_compression::Level;
use async_compression::tokio::write::{GzipEncoder, ZstdEncoder};
use async_compression::zstd::CParameter;
use axum::body::Body;
use axum::http::StatusCode;
use tokio::io::AsyncWriteExt;

use super::{Door, Options, ROWS};

async fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

async fn zstd(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let params = [CParameter::window_log(window_log)];
    let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Default, &params);
    encoder.write_all(bytes).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

#[tokio::test]
async fn packed_rows_are_the_rows() {
    let door = Door::with_clicks(Options::default()).await;
    door.post("clicks/rows", ROWS).await;
    let (head, tail) = ROWS.split_at(20);
    let members = [gzip(head.as_bytes()).await, gzip(tail.as_bytes()).await].concat();
    let frames = [zstd(head.as_bytes(), 20).await, zstd(tail.as_bytes(), 20).await].concat();
    for (encoding, body) in [
        ("gzip", gzip(ROWS.as_bytes()).await),
        ("x-gzip", members),
        ("zstd", zstd(ROWS.as_bytes(), 23).await),
        ("ZSTD", frames),
        ("identity", ROWS.into()),
    ] {
        let length = format!("Content-Length: {}", body.len());
        let header = format!("Content-Encoding: {encoding}");
        let answer = door.send("POST clicks/rows", body, &[&header, &length]).await;
        assert_eq!(answer.status, StatusCode::OK, "{encoding}: {}", answer.body);
    }
    let produced = door.app.produced.lock();
    assert_eq!(produced.len(), 6);
    assert!(produced.iter().all(|request| request.request_hash == produced[0].request_hash), "rule 3");
    assert!(produced.iter().all(|request| request.batch == produced[0].batch));
}

#[tokio::test]
async fn a_table_may_be_packed_too() {
    let door = Door::new();
    let body = gzip(br#"{"columns":"id INT"}"#).await;
    let answer = door.send("PUT clicks", body, &["Content-Encoding: gzip"]).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
}

#[tokio::test]
async fn what_unpacks_to_too_much_is_refused() {
    let door = Door::with_clicks(Options { request_bytes_max: 4 << 20, ..Options::default() }).await;
    let blank = vec![b' '; 3 << 20];
    for (encoding, body) in [("gzip", gzip(&blank).await), ("zstd", zstd(&blank, 20).await)] {
        let header = format!("Content-Encoding: {encoding}");
        let problem = door.send("POST clicks/rows", body, &[&header]).await.problem();
        assert!(problem.starts_with("413 too-large: the body unpacks to more than 250 times"), "{problem}");
    }
    // Ten letters by chance in a row, packed ten to one: large, but no bomb.
    let words: Vec<u8> = (0_u32..600_000)
        .flat_map(|at| {
            let letter = b'a' + u8::try_from((at.wrapping_mul(2_654_435_761) >> 16) % 26).unwrap();
            [letter; 10]
        })
        .collect();
    for (encoding, body) in [("gzip", gzip(&words).await), ("zstd", zstd(&words, 20).await)] {
        let header = format!("Content-Encoding: {encoding}");
        let problem = door.send("POST clicks/rows", body, &[&header]).await.problem();
        assert!(problem.starts_with("413 too-large: the body is larger than 4194304 bytes"), "{problem}");
    }
    // The memory is free again.
    let again = door.send("POST clicks/rows", gzip(ROWS.as_bytes()).await, &["Content-Encoding: gzip"]).await;
    assert_eq!(again.status, StatusCode::OK);
}

#[tokio::test]
async fn members_of_nothing_come_to_an_end() {
    let door = Door::with_clicks(Options { request_bytes_max: 100_000, ..Options::default() }).await;
    // Nothing is ever unpacked, and still it ends.
    let empty = bytes::Bytes::from(gzip(b"").await.repeat(100));
    let endless = futures::stream::iter((0..100).map(move |_| Ok::<_, std::io::Error>(empty.clone())));
    let answer = door.send("POST clicks/rows", Body::from_stream(endless), &["Content-Encoding: gzip"]).await;
    assert!(answer.problem().starts_with("413 too-large: the body is larger"), "{}", answer.body);
}

#[tokio::test]
async fn a_window_beyond_what_http_allows_is_refused() {
    let door = Door::with_clicks(Options::default()).await;
    let rows = format!("[{}{}]", r#"{"id":1,"url":"x"},"#.repeat(9), r#"{"id":2}"#);
    let body = zstd(rows.as_bytes(), 27).await;
    let problem = door.send("POST clicks/rows", body, &["Content-Encoding: zstd"]).await.problem();
    assert!(problem.starts_with("400 malformed: the body is no zstd"), "{problem}");
}

#[tokio::test]
async fn cut_and_flipped_bodies_are_refused() {
    let door = Door::with_clicks(Options::default()).await;
    for (encoding, whole) in
        [("gzip", gzip(ROWS.as_bytes()).await), ("zstd", zstd(ROWS.as_bytes(), 20).await)]
    {
        let header = format!("Content-Encoding: {encoding}");
        for end in 1..whole.len() {
            let problem = door.send("POST clicks/rows", whole[..end].to_vec(), &[&header]).await.problem();
            assert!(problem.starts_with("400 malformed"), "{encoding} up to {end}: {problem}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A bit of the header may mean nothing; none may be a panic.
            let status = door.send("POST clicks/rows", flipped, &[&header]).await.status;
            assert!(status == StatusCode::OK || status.is_client_error(), "{encoding} bit {bit}: {status}");
        }
    }
    let answer = door.send("POST clicks/rows", ROWS, &["Content-Encoding: deflate"]).await;
    assert_eq!(answer.headers["accept-encoding"], "gzip, zstd");
}
