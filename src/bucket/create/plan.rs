//! What must be done to a bucket. PURE.

use crate::bucket::facts::{Encryption, Place, Seen, Settings};
use crate::bucket::{Fault, FaultKind};

/// The lifecycle rule that is ours.
pub(crate) const RULE_ID: &str = "frazil-abort-uploads";

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The key that encrypts; S3's own if none is named.
    pub(crate) kms_key: Option<String>,
    /// After how many days an unfinished upload goes.
    pub(crate) abort_uploads_days: i32,
    /// Tags to have.
    pub(crate) tags: Vec<(String, String)>,
}

/// What a bucket is like now.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    /// Its settings.
    pub(crate) settings: Settings,
    /// Its tags.
    pub(crate) tags: Seen<Vec<(String, String)>>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Make the bucket.
    Make,
    /// All four blocks of public access on.
    BlockPublicAccess,
    /// Default encryption.
    Encrypt {
        /// With this key; S3's own if none.
        kms_key: Option<String>,
    },
    /// A rule that gives up unfinished uploads below the prefix.
    AbortUploads {
        /// After so many days.
        days: i32,
        /// Below it.
        prefix: String,
    },
    /// All the tags there shall be.
    Tag {
        /// Key and value.
        tags: Vec<(String, String)>,
    },
}

/// A setting, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Which.
    pub(crate) setting: &'static str,
    /// What it shall be, or is.
    pub(crate) says: String,
    /// What to do; nothing if it is so already.
    pub(crate) change: Option<Change>,
}

/// What to do, in order.
pub(crate) fn plan(place: &Place, current: Option<&Current>, wanted: &Wanted) -> Vec<Planned> {
    let settings = current.map(|current| &current.settings);
    let mut planned = vec![bucket(place, current)];
    planned.push(public_access(settings));
    planned.push(encryption(settings, wanted.kms_key.as_deref()));
    planned.push(uploads(place, settings, wanted.abort_uploads_days));
    if !wanted.tags.is_empty() {
        planned.push(tags(current, &wanted.tags));
    }
    planned
}

fn kept(setting: &'static str, says: impl Into<String>) -> Planned {
    Planned { setting, says: says.into(), change: None }
}

fn to_do(setting: &'static str, says: impl Into<String>, change: Change) -> Planned {
    Planned { setting, says: says.into(), change: Some(change) }
}

/// A setting that the store does not have is not tried.
fn is_unknown<T>(seen: Option<&Seen<T>>) -> bool {
    matches!(seen, Some(Err(Fault { kind: FaultKind::Unsupported, .. })))
}

const UNKNOWN: &str = "the store has no such setting";

fn bucket(place: &Place, current: Option<&Current>) -> Planned {
    match current {
        Some(_) => kept("bucket", format!("{} is there", place.bucket)),
        None => to_do("bucket", format!("{} in {}", place.bucket, place.region), Change::Make),
    }
}

fn public_access(settings: Option<&Settings>) -> Planned {
    let seen = settings.map(|settings| &settings.public_access);
    match seen {
        _ if is_unknown(seen) => kept("public-access", UNKNOWN),
        Some(Ok(Some([true, true, true, true]))) => kept("public-access", "blocked"),
        _ => to_do("public-access", "blocked", Change::BlockPublicAccess),
    }
}

fn encryption(settings: Option<&Settings>, kms_key: Option<&str>) -> Planned {
    let seen = settings.map(|settings| &settings.encryption);
    let now = seen.and_then(|seen| seen.as_ref().ok()).and_then(Option::as_ref);
    let words = |encryption: &Encryption| match &encryption.key {
        Some(key) => format!("{} with {key}", encryption.algorithm),
        None => encryption.algorithm.clone(),
    };
    match (now, kms_key) {
        _ if is_unknown(seen) => kept("encryption", UNKNOWN),
        (Some(now), Some(key)) if now.key.as_deref() == Some(key) && now.bucket_key => {
            kept("encryption", words(now))
        }
        (_, Some(key)) => {
            let change = Change::Encrypt { kms_key: Some(key.to_owned()) };
            to_do("encryption", format!("aws:kms with {key}, with a bucket key"), change)
        }
        // A key that somebody chose is not taken away.
        (Some(now), None) => kept("encryption", words(now)),
        (None, None) => to_do("encryption", "AES256", Change::Encrypt { kms_key: None }),
    }
}

fn uploads(place: &Place, settings: Option<&Settings>, days: i32) -> Planned {
    let seen = settings.map(|settings| &settings.lifecycle);
    let prefix = place.root();
    let says = format!("rule {RULE_ID}: unfinished uploads below {prefix:?} go after {days} days");
    let rules = seen.and_then(|seen| seen.as_ref().ok()).map_or(&[][..], Vec::as_slice);
    let there = rules.iter().any(|rule| {
        rule.id == RULE_ID && rule.enabled && rule.prefix == prefix && rule.aborts_after_days == Some(days)
    });
    match there {
        _ if is_unknown(seen) => kept("lifecycle", UNKNOWN),
        true => kept("lifecycle", says),
        false => to_do("lifecycle", says, Change::AbortUploads { days, prefix }),
    }
}

fn tags(current: Option<&Current>, wanted: &[(String, String)]) -> Planned {
    let seen = current.map(|current| &current.tags);
    let mut all = seen.and_then(|seen| seen.as_ref().ok()).cloned().unwrap_or_default();
    let says: Vec<String> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if is_unknown(seen) {
        return kept("tags", UNKNOWN);
    }
    if wanted.iter().all(|tag| all.contains(tag)) {
        return kept("tags", says.join(", "));
    }
    all.retain(|(key, _)| wanted.iter().all(|(wanted, _)| wanted != key));
    all.extend(wanted.iter().cloned());
    to_do("tags", says.join(", "), Change::Tag { tags: all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::facts::Rule;

    fn place() -> Place {
        Place { bucket: "b".into(), prefix: "p".into(), region: "eu-west-1".into(), ..Place::default() }
    }

    fn wanted(kms_key: Option<&str>) -> Wanted {
        let tags = vec![("team".to_owned(), "data".to_owned())];
        Wanted { kms_key: kms_key.map(str::to_owned), abort_uploads_days: 7, tags }
    }

    fn as_wanted() -> Current {
        let rule = Rule {
            id: RULE_ID.to_owned(),
            enabled: true,
            prefix: "p/".to_owned(),
            aborts_after_days: Some(7),
            ..Rule::default()
        };
        let encryption = Encryption { algorithm: "AES256".to_owned(), key: None, bucket_key: false };
        let settings = Settings {
            location: Ok("eu-west-1".to_owned()),
            lifecycle: Ok(vec![rule]),
            encryption: Ok(Some(encryption)),
            versioning: Ok(None),
            object_lock: Ok(None),
            public_access: Ok(Some([true; 4])),
        };
        let tags = vec![("team".to_owned(), "data".to_owned()), ("other".to_owned(), "1".to_owned())];
        Current { settings, tags: Ok(tags) }
    }

    fn changes(current: Option<&Current>, wanted: &Wanted) -> Vec<Change> {
        plan(&place(), current, wanted).into_iter().filter_map(|planned| planned.change).collect()
    }

    #[test]
    fn a_bucket_that_is_not_there_gets_everything_and_a_second_run_changes_nothing() {
        assert_eq!(changes(None, &wanted(None)).len(), 5);
        assert_eq!(changes(Some(&as_wanted()), &wanted(None)), []);
    }

    #[test]
    fn other_peoples_tags_stay_and_a_changed_one_is_replaced() {
        let mut current = as_wanted();
        current.tags = Ok(vec![("team".to_owned(), "old".to_owned()), ("other".to_owned(), "1".to_owned())]);
        let expected = vec![("other".to_owned(), "1".to_owned()), ("team".to_owned(), "data".to_owned())];
        assert_eq!(changes(Some(&current), &wanted(None)), [Change::Tag { tags: expected }]);
    }

    #[test]
    fn a_key_is_set_with_a_bucket_key_and_never_taken_away() {
        let change = Change::Encrypt { kms_key: Some("k".to_owned()) };
        assert_eq!(changes(Some(&as_wanted()), &wanted(Some("k"))), std::slice::from_ref(&change));
        let mut current = as_wanted();
        let kms = |bucket_key| Encryption {
            algorithm: "aws:kms".to_owned(),
            key: Some("k".to_owned()),
            bucket_key,
        };
        current.settings.encryption = Ok(Some(kms(false)));
        assert_eq!(
            changes(Some(&current), &wanted(Some("k"))),
            [change],
            "without a bucket key each PUT pays"
        );
        assert_eq!(changes(Some(&current), &wanted(None)), []);
        current.settings.encryption = Ok(Some(kms(true)));
        assert_eq!(changes(Some(&current), &wanted(Some("k"))), []);
    }

    #[test]
    fn a_setting_that_the_store_lacks_is_left_out_and_one_that_is_hidden_is_tried() {
        let mut current = as_wanted();
        let fault = |kind| Fault { kind, words: String::new() };
        current.settings.public_access = Err(fault(FaultKind::Unsupported));
        assert_eq!(changes(Some(&current), &wanted(None)), []);
        current.settings.public_access = Err(fault(FaultKind::Denied));
        assert_eq!(changes(Some(&current), &wanted(None)), [Change::BlockPublicAccess]);
    }

    #[test]
    fn a_rule_of_another_prefix_or_age_is_put_right() {
        let mut current = as_wanted();
        if let Ok(rules) = &mut current.settings.lifecycle {
            rules[0].aborts_after_days = Some(30);
        }
        let change = Change::AbortUploads { days: 7, prefix: "p/".to_owned() };
        assert_eq!(changes(Some(&current), &wanted(None)), [change]);
    }
}
