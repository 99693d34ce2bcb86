//! What Frazil needs of any store, as a suite that each must pass: memory, a directory, MinIO, S3, and any layer above.
//!
//! The suite lives below `frazil-conformance/`, which it clears before and after; nothing else may use that prefix.

use std::fmt::{Debug, Display};

use bytes::Bytes;
use futures::future::join_all;
use object_store::path::Path;

use super::{CreateOutcome, PutPayload, Store};

const ROOT: &str = "frazil-conformance";
const RACERS: u32 = 16;
const ROUNDS: u32 = 8;
const LARGE_BYTES: usize = 12 << 20;

/// The first promise that the store broke, in words.
type Verdict = Result<(), String>;

/// Runs the whole suite.
///
/// # Errors
/// Says which promise the store does not keep, with what was seen.
pub async fn conformance(store: &Store) -> Verdict {
    clear(store).await?;
    create_once(store).await?;
    races(store).await?;
    reads(store).await?;
    empty_object(store).await?;
    lists(store).await?;
    prefixes_are_apart(store).await?;
    deletes(store).await?;
    large_object(store).await?;
    clear(store).await
}

fn key(name: &str) -> Path {
    Path::from(format!("{ROOT}/{name}"))
}

fn payload(bytes: &[u8]) -> PutPayload {
    PutPayload::from_bytes(Bytes::copy_from_slice(bytes))
}

fn expect<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

fn said<T>(what: &str, result: Result<T, impl Display>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// Whether this call wrote the object.
async fn create(store: &Store, path: &Path, bytes: &[u8]) -> Result<bool, String> {
    match store.create_if_absent(path, payload(bytes)).await {
        CreateOutcome::Committed => Ok(true),
        CreateOutcome::Lost => Ok(false),
        CreateOutcome::Unknown(error) | CreateOutcome::Denied(error) => {
            Err(format!("creating {path}: {error}"))
        }
    }
}

async fn bytes_at(store: &Store, path: &Path) -> Result<Option<Bytes>, String> {
    Ok(said("reading", store.get(path).await)?.map(|object| object.bytes))
}

async fn clear(store: &Store) -> Verdict {
    let listed =
        said("listing what an earlier run left", store.list(&Path::from(ROOT), None, usize::MAX).await)?;
    let paths: Vec<_> = listed.into_iter().map(|object| object.path).collect();
    said("clearing", store.delete_many(&paths).await)?;
    let left = said("listing after clearing", store.list(&Path::from(ROOT), None, usize::MAX).await)?;
    expect("objects left after clearing", &left.len(), &0)
}

/// The first create wins, the second loses, and the bytes stay the first one's.
async fn create_once(store: &Store) -> Verdict {
    let path = key("create/once");
    expect("a GET before anything was written", &bytes_at(store, &path).await?, &None)?;
    expect("the first create of a key wins", &create(store, &path, b"first").await?, &true)?;
    expect("the second create of a key wins", &create(store, &path, b"second, longer").await?, &false)?;
    expect("the same bytes once more win", &create(store, &path, b"first").await?, &false)?;
    expect("the bytes after it", &bytes_at(store, &path).await?, &Some(Bytes::from_static(b"first")))
}

/// Many at once: exactly one is told that it won, and all then read its bytes.
async fn races(store: &Store) -> Verdict {
    for round in 0..ROUNDS {
        let path = key(&format!("race/{round:020}"));
        let texts: Vec<_> = (0..RACERS).map(|racer| format!("round {round} racer {racer}")).collect();
        let won = join_all(texts.iter().map(|text| create(store, &path, text.as_bytes()))).await;
        let mut winners = Vec::new();
        for (text, won) in texts.iter().zip(won) {
            if won? {
                winners.push(Bytes::from(text.clone()));
            }
        }
        expect(&format!("winners of {RACERS} creates at once, round {round}"), &winners.len(), &1)?;
        expect("the winner's bytes", &bytes_at(store, &path).await?.as_ref(), &winners.first())?;
    }
    Ok(())
}

async fn reads(store: &Store) -> Verdict {
    let (path, absent) = (key("read/ten"), key("read/absent"));
    create(store, &path, b"0123456789").await?;

    for (bytes_max, expected) in [(4, "0123"), (10, "0123456789"), (1_000, "0123456789")] {
        let head = said("reading a prefix", store.get_prefix(&path, bytes_max).await)?;
        let found = head.map(|head| (head.bytes, head.size));
        let expected = Some((Bytes::from_static(expected.as_bytes()), 10));
        expect(&format!("the first {bytes_max} bytes, and the size"), &found, &expected)?;
    }
    let ranges = [8..10, 0..1, 3..3, 2..5];
    let found = said("reading ranges", store.get_ranges(&path, &ranges).await)?;
    let expected = ["89", "0", "", "234"].map(|text| Bytes::from_static(text.as_bytes())).to_vec();
    expect("ranges, in the order asked", &found, &Some(expected))?;
    for past in [5..11, 10..11, 1_000..2_000] {
        if let Ok(found) = store.get_ranges(&path, std::slice::from_ref(&past)).await {
            return Err(format!("range {past:?} of 10 bytes: expected an error, found {found:?}"));
        }
    }
    let none = said("a range of an absent key", store.get_ranges(&absent, &ranges).await)?;
    expect("a range of an absent key", &none, &None)?;
    let none = said("a prefix of an absent key", store.get_prefix(&absent, 10).await)?;
    expect("a prefix of an absent key", &none, &None)?;
    expect("an absent key", &bytes_at(store, &absent).await?, &None)
}

/// An empty object is there: it must look neither absent nor unreadable.
async fn empty_object(store: &Store) -> Verdict {
    let path = key("read/empty");
    expect("an empty object is created", &create(store, &path, b"").await?, &true)?;
    expect("an empty object is kept", &create(store, &path, b"x").await?, &false)?;
    expect("an empty object", &bytes_at(store, &path).await?, &Some(Bytes::new()))?;
    let head = said("a prefix of an empty object", store.get_prefix(&path, 10).await)?;
    let found = head.map(|head| (head.bytes, head.size));
    expect("a prefix of an empty object", &found, &Some((Bytes::new(), 0)))
}

async fn list(store: &Store, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, String> {
    let (prefix, after) = (key(prefix), after.map(key));
    let listed = said("listing", store.list(&prefix, after.as_ref(), limit).await)?;
    let name = |path: &Path| path.as_ref().strip_prefix(ROOT).map(|rest| rest[1..].to_owned());
    Ok(listed.iter().filter_map(|object| name(&object.path)).collect())
}

/// Keys come in order, after a key, up to a limit; what was just written is there.
async fn lists(store: &Store) -> Verdict {
    let slots = [7u64, 0, 3, 1_000, 12, 999];
    for slot in slots {
        create(store, &key(&format!("list/{slot:020}")), b"12345").await?;
    }
    let names = |slots: &[u64]| slots.iter().map(|slot| format!("list/{slot:020}")).collect::<Vec<_>>();
    let after = |slot: u64| format!("list/{slot:020}");
    let all = list(store, "list", None, usize::MAX).await?;
    expect("a list", &all, &names(&[0, 3, 7, 12, 999, 1_000]))?;
    expect("the first of a list", &list(store, "list", None, 1).await?, &names(&[0]))?;
    expect("nothing of a list", &list(store, "list", None, 0).await?, &names(&[]))?;
    let some = list(store, "list", Some(&after(3)), 2).await?;
    expect("a list after a present key", &some, &names(&[7, 12]))?;
    let some = list(store, "list", Some(&after(8)), usize::MAX).await?;
    expect("a list after an absent key", &some, &names(&[12, 999, 1_000]))?;
    let none = list(store, "list", Some(&after(1_000)), usize::MAX).await?;
    expect("a list after the last key", &none, &names(&[]))?;
    expect("a list of an absent prefix", &list(store, "nothing", None, 10).await?, &Vec::new())?;
    let first = said("listing", store.list(&key("list"), None, 1).await)?;
    expect("the size in a list", &first.first().map(|object| object.size), &Some(5))
}

/// `a/b` is not a prefix of `a/bc`.
async fn prefixes_are_apart(store: &Store) -> Verdict {
    for name in ["apart/b/1", "apart/bc/2", "apart/b-d/3", "apart/b_e/4"] {
        create(store, &key(name), b"x").await?;
    }
    let found = list(store, "apart/b", None, usize::MAX).await?;
    expect("a list of apart/b", &found, &vec!["apart/b/1".to_owned()])?;
    let found = list(store, "apart/bc", None, usize::MAX).await?;
    expect("a list of apart/bc", &found, &vec!["apart/bc/2".to_owned()])
}

/// What is deleted is gone, at once and for lists too; only that; twice is no error; its key is free again.
async fn deletes(store: &Store) -> Verdict {
    let (gone, stays) = (key("delete/gone"), key("delete/stays"));
    create(store, &gone, b"1").await?;
    create(store, &stays, b"2").await?;
    said("deleting", store.delete_many(&[gone.clone(), key("delete/never")]).await)?;
    said("deleting again", store.delete_many(std::slice::from_ref(&gone)).await)?;
    expect("a deleted object", &bytes_at(store, &gone).await?, &None)?;
    expect("its neighbour", &bytes_at(store, &stays).await?, &Some(Bytes::from_static(b"2")))?;
    let found = list(store, "delete", None, usize::MAX).await?;
    expect("a list after a delete", &found, &vec!["delete/stays".to_owned()])?;
    expect("a create after a delete wins", &create(store, &gone, b"3").await?, &true)?;
    expect("its bytes", &bytes_at(store, &gone).await?, &Some(Bytes::from_static(b"3")))
}

/// A flush goes into one PUT, however large.
async fn large_object(store: &Store) -> Verdict {
    let path = key("large/object");
    let bytes: Vec<u8> = (0u8..=250).cycle().take(LARGE_BYTES).collect();
    expect("a large create wins", &create(store, &path, &bytes).await?, &true)?;
    expect("a second large create wins", &create(store, &path, &bytes).await?, &false)?;
    let found = bytes_at(store, &path).await?.unwrap_or_default();
    if found != bytes {
        return Err(format!("a large object: {} bytes came back different, of {LARGE_BYTES}", found.len()));
    }
    let middle = 6 << 20..(6 << 20) + 7;
    let ends = [0..3, middle.clone(), (12 << 20) - 2..12 << 20];
    let found = said("ranges of a large object", store.get_ranges(&path, &ends).await)?;
    let expected = |range: &std::ops::Range<u64>| -> Option<Bytes> {
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        bytes.get(start..end).map(Bytes::copy_from_slice)
    };
    expect("ranges of a large object", &found, &ends.iter().map(expected).collect())
}
