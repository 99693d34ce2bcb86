//! Stores that misbehave: the probe refuses them with the right words, retries end, outcomes are mapped.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Failure, Fake, Put};
use super::{payload, quick_retry, ulid, wall};
use crate::error::{Error, ErrorKind};
use crate::store::conformance::conformance;
use crate::store::{CreateOutcome, Listing, Op, Outcome, PROBE_TIMEOUT, Path, RetryPolicy};

async fn refused(fake: Fake) -> Error {
    let (store, fake) = fake.store();
    let store = store.with_retry(quick_retry());
    let start = Instant::now();
    let error = store.probe(ulid(), &wall, PROBE_TIMEOUT).await.unwrap_err();
    assert!(start.elapsed() <= PROBE_TIMEOUT);
    assert!(error.to_string().starts_with("probe of a fake: "), "{error}");
    assert!(fake.puts.load(Ordering::Relaxed) > 0);
    error
}

async fn refused_as_unfit(fake: Fake, words: &str) {
    let error = refused(fake).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert!(error.to_string().contains("If-None-Match: * that fails with 412"), "{error}");
}

#[tokio::test]
async fn a_store_that_ignores_create_if_absent_is_refused_and_fails_the_suite() {
    let words = "the second PUT If-None-Match: * of the same key answered 200 and replaced the bytes";
    refused_as_unfit(Fake::new().put(|_| Put::Replace), words).await;

    let (store, _) = Fake::new().put(|_| Put::Replace).store();
    let verdict = conformance(&store).await.unwrap_err();
    assert!(verdict.contains("the second create of a key wins"), "{verdict}");
}

#[tokio::test]
async fn a_store_that_answers_200_but_keeps_the_bytes_is_refused() {
    let words = "the second PUT If-None-Match: * of the same key answered 200 and kept the bytes";
    refused_as_unfit(Fake::new().put(|_| Put::Pretend), words).await;
}

#[tokio::test]
async fn a_store_that_is_right_in_sequence_and_wrong_in_a_race_is_refused_and_fails_the_suite() {
    let words = "of 8 PUTs If-None-Match: * of one key at once, 8 answered 200";
    refused_as_unfit(Fake::new().put(|_| Put::LookThenReplace), words).await;

    let (store, _) = Fake::new().put(|_| Put::LookThenReplace).store();
    let verdict = conformance(&store).await.unwrap_err();
    assert!(verdict.contains("winners of 16 creates at once"), "{verdict}");
}

#[tokio::test]
async fn a_store_without_conditional_puts_or_one_that_always_refuses_is_refused() {
    refused_as_unfit(Fake::new().put(|_| Put::Fail(Failure::NotImplemented)), "is not supported").await;
    refused_as_unfit(Fake::new().put(|_| Put::Fail(Failure::Exists)), "as if the key existed").await;
    let race_lost = |n| {
        if n < 2 { Put::Honest } else { Put::Fail(Failure::Precondition) }
    };
    refused_as_unfit(Fake::new().put(race_lost), "none answered 200").await;
}

#[tokio::test]
async fn a_denied_action_is_named() {
    for (fake, permission) in [
        (Fake::new().put(|_| Put::Fail(Failure::Denied)), "s3:PutObject"),
        (Fake::new().put(|_| Put::Fail(Failure::Unauthenticated)), "s3:PutObject"),
        (Fake::new().get(|_| Some(Failure::Denied)), "s3:GetObject"),
        (Fake::new().list(|_| Some(Failure::Denied)), "s3:ListBucket"),
        (Fake::new().delete(|_| Some(Failure::Denied)), "s3:DeleteObject"),
        // What S3 does without s3:ListBucket: 403 for an absent key, here the third GET.
        (Fake::new().get(|n| (n == 2).then_some(Failure::Denied)), "s3:ListBucket"),
    ] {
        let error = refused(fake).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(permission), "{permission}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_unavailable_in_time() {
    for fake in [
        Fake::new().put(|_| Put::Hang),
        Fake::new().put(|n| if n < 5 { Put::Honest } else { Put::Hang }),
        Fake::new().put(|_| Put::Fail(Failure::Unavailable)),
        Fake::new().hanging_gets(),
    ] {
        assert_eq!(refused(fake).await.kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn a_race_whose_winner_got_no_answer_is_no_reason_to_refuse() {
    // PUTs 2 to 9 are the race: the first of them wins without being told.
    let plan = |n| {
        if n == 2 { Put::WriteThenFail(Failure::Unavailable) } else { Put::Honest }
    };
    let (store, _) = Fake::new().put(plan).store();
    store.probe(ulid(), &wall, PROBE_TIMEOUT).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_failure_of_a_put_has_its_outcome_and_is_sent_once() {
    for (put, expected, kind) in [
        ((|| Put::Honest) as fn() -> Put, "committed", None),
        (|| Put::Fail(Failure::Exists), "lost", None),
        (|| Put::Fail(Failure::Precondition), "lost", None),
        (|| Put::Fail(Failure::Unavailable), "unknown", Some(ErrorKind::Unavailable)),
        (|| Put::WriteThenFail(Failure::Unavailable), "unknown", Some(ErrorKind::Unavailable)),
        (|| Put::Hang, "unknown", Some(ErrorKind::Unavailable)),
        (|| Put::Fail(Failure::Denied), "denied", Some(ErrorKind::Denied)),
        (|| Put::Fail(Failure::Unauthenticated), "denied", Some(ErrorKind::Denied)),
        (|| Put::Fail(Failure::NotImplemented), "denied", Some(ErrorKind::Unsupported)),
    ] {
        let (store, fake) = Fake::new().put(move |_| put()).store();
        let outcome = store.create_if_absent(&Path::from("a/b"), payload("x")).await;
        let (found, error) = match outcome {
            CreateOutcome::Committed => ("committed", None),
            CreateOutcome::Lost => ("lost", None),
            CreateOutcome::Unknown(error) => ("unknown", Some(error)),
            CreateOutcome::Denied(error) => ("denied", Some(error)),
        };
        assert_eq!((found, error.as_ref().map(Error::kind)), (expected, kind), "{error:?}");
        assert!(error.is_none_or(|error| error.to_string().contains("a/b")));
        assert_eq!(fake.puts.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_sent_again_a_few_times_and_then_unknown() {
    let path = Path::from("a/b");
    let (store, fake) =
        Fake::new().put(|n| if n < 3 { Put::Fail(Failure::Conflict) } else { Put::Honest }).store();
    assert!(matches!(store.create_if_absent(&path, payload("x")).await, CreateOutcome::Committed));
    assert_eq!(fake.puts.load(Ordering::Relaxed), 4);

    let (store, fake) = Fake::new().put(|_| Put::Fail(Failure::Conflict)).store();
    let start = Instant::now();
    let outcome = store.create_if_absent(&path, payload("x")).await;
    assert!(matches!(&outcome, CreateOutcome::Unknown(error) if error.is_retryable()), "{outcome:?}");
    assert_eq!(fake.puts.load(Ordering::Relaxed), 5);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_again_until_it_succeeds() {
    let path = Path::from("a/b");
    let (store, fake) = Fake::new().get(|n| (n < 4).then_some(Failure::Unavailable)).store();
    store.create_if_absent(&path, payload("x")).await;
    assert_eq!(store.get(&path).await.unwrap().unwrap().size, 1);
    assert_eq!(fake.gets.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn retries_end_by_number_and_by_time_and_never_begin_for_what_cannot_change() {
    let path = Path::from("a/b");
    let policy = RetryPolicy::default();
    let (store, fake) = Fake::new().get(|_| Some(Failure::Unavailable)).store();
    let start = Instant::now();
    assert_eq!(store.get(&path).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fake.gets.load(Ordering::Relaxed), policy.attempts_max);
    assert_eq!(start.elapsed(), Duration::from_millis(50 + 100 + 200 + 400));

    let patient = RetryPolicy { attempts_max: u32::MAX, ..policy.clone() };
    let store = store.with_retry(patient.clone());
    let start = Instant::now();
    store.get_prefix(&path, 1).await.unwrap_err();
    assert!(start.elapsed() <= policy.total_max);
    assert!(start.elapsed() >= policy.total_max - 2 * policy.pause_max);

    let (store, _) = Fake::new().hanging_gets().store();
    let start = Instant::now();
    store.with_retry(patient).get_ranges(&path, &[0..1, 5_000_000..5_000_001]).await.unwrap_err();
    assert_eq!(start.elapsed(), policy.total_max);

    let (store, fake) = Fake::new().get(|_| Some(Failure::Denied)).store();
    assert_eq!(store.get(&path).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(fake.gets.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn deletes_are_tried_again_within_bounds() {
    let path = Path::from("a/b");
    let (store, _) = Fake::new().delete(|n| (n < 2).then_some(Failure::Unavailable)).store();
    store.create_if_absent(&path, payload("x")).await;
    store.delete_many(std::slice::from_ref(&path)).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap(), None);

    let (store, _) = Fake::new().delete(|_| Some(Failure::Unavailable)).store();
    assert_eq!(store.delete_many(&[path]).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_breaks_off_is_whole_in_the_end_and_an_ordered_one_goes_on_where_it_was() {
    for listing in [Listing::Unordered, Listing::Ordered] {
        let (mut store, fake) = Fake::new().list(|n| (n < 4).then_some(Failure::Unavailable)).store();
        store.listing = listing;
        for n in 0..20 {
            store.create_if_absent(&Path::from(format!("a/{n:02}")), payload("x")).await;
        }
        let listed = store.list(&Path::from("a"), Some(&Path::from("a/02")), 10).await.unwrap();
        let names: Vec<_> = listed.iter().map(|object| object.path.to_string()).collect();
        let expected: Vec<_> = (3..13).map(|n| format!("a/{n:02}")).collect();
        assert_eq!(names, expected);
        assert!(fake.lists.load(Ordering::Relaxed) > 1);
    }
    let (store, fake) = Fake::new().list(|_| Some(Failure::Unavailable)).store();
    assert_eq!(store.list(&Path::from("a"), None, 10).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(fake.lists.load(Ordering::Relaxed), RetryPolicy::default().attempts_max);
}

#[tokio::test]
async fn a_list_out_of_order_is_sorted_or_refused_where_order_was_promised() {
    let (mut store, _) = Fake::new().listing_backwards().store();
    for n in 0..5 {
        store.create_if_absent(&Path::from(format!("a/{n}")), payload("x")).await;
    }
    let listed = store.list(&Path::from("a"), None, 2).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.path.as_ref()).collect::<Vec<_>>(), ["a/0", "a/1"]);

    store.listing = Listing::Ordered;
    let error = store.list(&Path::from("a"), None, 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("out of order"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_fail_or_are_given_up_are_counted_too() {
    let (path, prefix) = (Path::from("a/b"), Path::from("a"));
    let (store, _) =
        Fake::new().put(|_| Put::Hang).list(|_| Some(Failure::Unavailable)).hanging_gets().store();
    let store = store.with_retry(quick_retry());
    store.create_if_absent(&path, payload("x")).await;
    store.get(&path).await.unwrap_err();
    store.list(&prefix, None, 10).await.unwrap_err();

    // Three lists, and as many GETs as fit into the retries' 5 s: one.
    for (op, count) in [(Op::Put, 1), (Op::Get, 1), (Op::List, 3)] {
        assert_eq!(store.metrics().requests(op, Outcome::Error), count, "{op:?}");
    }
    assert_eq!(store.metrics().requests_total(), 5);
}
