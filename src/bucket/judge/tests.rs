use super::*;
use crate::bucket::facts::{Asked, Encryption, Objects, Place, Rule, Settings, Versioning};
use crate::bucket::{Fault, FaultKind};

fn fault(kind: FaultKind) -> Fault {
    Fault { kind, words: "403 AccessDenied: User: arn:aws:iam::1:user/x is not authorized".to_owned() }
}

/// A bucket in which everything is as it should be.
fn good() -> Facts {
    let place = Place {
        bucket: "b".to_owned(),
        prefix: "a/prefix".to_owned(),
        endpoint: None,
        region: "eu-west-1".to_owned(),
        region_set: true,
    };
    let objects = Objects {
        put: Some(Ok(Some("AES256".to_owned()))),
        get: Ok(true),
        delete: Some(Ok(())),
        abort: Some(Ok(())),
    };
    let settings = Settings {
        location: Ok("eu-west-1".to_owned()),
        lifecycle: Ok(Vec::new()),
        encryption: Ok(Some(Encryption { algorithm: "AES256".to_owned(), key: None, bucket_key: false })),
        versioning: Ok(None),
        object_lock: Ok(None),
        public_access: Ok(Some([true; 4])),
    };
    Facts { place, list: Ok(()), asked: Some(Asked { objects, settings }) }
}

/// The good bucket with one thing changed.
fn but(change: impl FnOnce(&mut Asked)) -> Facts {
    let mut facts = good();
    change(facts.asked.as_mut().unwrap());
    facts
}

#[track_caller]
fn finding(facts: &Facts, check: &str) -> Finding {
    let findings = judge(facts);
    let mut found = findings.iter().filter(|finding| finding.check == check);
    let first = found.next().unwrap_or_else(|| panic!("no finding about {check} in {findings:#?}"));
    // The worst of them, where there are several.
    found.fold(first, |worst, next| if next.level > worst.level { next } else { worst }).clone()
}

fn with_rule(rule: Rule) -> Finding {
    let rule = Rule { enabled: true, id: "r1".to_owned(), ..rule };
    finding(&but(|asked| asked.settings.lifecycle = Ok(vec![rule])), "lifecycle")
}

#[test]
fn a_good_bucket_has_nothing_to_do() {
    let findings = judge(&good());
    assert!(findings.len() >= 15, "{findings:#?}");
    assert!(
        findings.iter().all(|finding| finding.level == Level::Ok && finding.todo.is_none()),
        "{findings:#?}"
    );
}

#[test]
fn what_is_not_ok_says_what_to_do() {
    let bad = but(|asked| {
        let denied = || fault(FaultKind::Denied);
        asked.objects = Objects {
            put: Some(Err(denied())),
            get: Err(denied()),
            delete: Some(Err(denied())),
            abort: Some(Err(denied())),
        };
        asked.settings = Settings {
            location: Err(denied()),
            lifecycle: Err(denied()),
            encryption: Err(denied()),
            versioning: Err(denied()),
            object_lock: Err(denied()),
            public_access: Err(denied()),
        };
    });
    let findings = judge(&bad);
    assert!(
        findings.iter().all(|finding| (finding.level == Level::Ok) == finding.todo.is_none()),
        "{findings:#?}"
    );
}

#[test]
fn a_denied_permission_is_named_with_its_statement() {
    let facts = but(|asked| asked.objects.put = Some(Err(fault(FaultKind::Denied))));
    let found = finding(&facts, "s3:PutObject");
    assert_eq!(found.level, Level::Fail);
    let todo = found.todo.unwrap();
    let statement = r#"{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::b/a/prefix/*"}"#;
    assert!(todo.contains(statement) && todo.contains("frazil bucket policy s3://b/a/prefix"), "{todo}");

    let mut facts = good();
    facts.list = Err(fault(FaultKind::Denied));
    let found = finding(&facts, "s3:ListBucket");
    assert_eq!(found.level, Level::Fail);
    assert!(found.todo.unwrap().contains(r#""s3:prefix":["a/prefix","a/prefix/*"]"#));
    facts.place.prefix = String::new();
    assert!(!finding(&facts, "s3:ListBucket").todo.unwrap().contains("Condition"));
}

#[test]
fn what_only_doctor_needs_is_a_warning() {
    let facts = but(|asked| asked.settings.lifecycle = Err(fault(FaultKind::Denied)));
    let found = finding(&facts, "s3:GetLifecycleConfiguration");
    assert_eq!(found.level, Level::Warn);
    assert!(
        !judge(&facts).iter().any(|finding| finding.check == "lifecycle"),
        "what was not seen is not judged"
    );
    let facts = but(|asked| asked.settings.object_lock = Err(fault(FaultKind::Unsupported)));
    assert_eq!(finding(&facts, "s3:GetBucketObjectLockConfiguration").level, Level::Ok);
}

#[test]
fn nobody_answers_in_ways_that_are_told_apart() {
    for (kind, check, word) in [
        (FaultKind::Dns, "endpoint", "AWS_REGION"),
        (FaultKind::Connect, "endpoint", "gateway endpoint"),
        (FaultKind::TimedOut, "endpoint", "network"),
        (FaultKind::Tls, "endpoint", "SSL_CERT_FILE"),
        (FaultKind::WrongRegion(Some("eu-north-1".into())), "region", "AWS_REGION=eu-north-1"),
        (FaultKind::WrongRegion(None), "region", "get-bucket-location"),
        (FaultKind::NoSuchBucket, "bucket", "frazil bucket create s3://b/a/prefix"),
        (FaultKind::Expired, "credentials", "AWS_SESSION_TOKEN"),
        (FaultKind::WrongKey, "credentials", "AWS_SECRET_ACCESS_KEY"),
        (FaultKind::ClockSkewed, "clock", "NTP"),
        (FaultKind::Throttled, "bucket", "wait"),
        (FaultKind::Other, "bucket", "S3"),
    ] {
        let facts = Facts { list: Err(fault(kind.clone())), asked: None, ..good() };
        let findings = judge(&facts);
        assert_eq!(findings.len(), 1, "{kind:?}");
        let found = finding(&facts, check);
        assert_eq!(found.level, Level::Fail, "{kind:?}");
        assert!(found.todo.as_ref().unwrap().contains(word), "{kind:?}: {found:?}");
    }
    assert!(without_credentials("x").todo.unwrap().contains("AWS_ACCESS_KEY_ID"));
}

#[test]
fn a_region_that_differs_or_is_only_the_default_is_warned_of_on_aws() {
    let elsewhere = but(|asked| asked.settings.location = Ok("us-east-1".to_owned()));
    assert_eq!(finding(&elsewhere, "region").level, Level::Warn);
    let mut at_minio = elsewhere;
    at_minio.place.endpoint = Some("http://minio:9000".to_owned());
    assert_eq!(finding(&at_minio, "region").level, Level::Ok);
    let mut unset = good();
    unset.place.region_set = false;
    assert_eq!(finding(&unset, "region").level, Level::Warn);
}

#[test]
fn a_key_that_refuses_is_named_by_its_action() {
    for (denied, on_put) in [("kms:GenerateDataKey", true), ("kms:Decrypt", false)] {
        let refused = Err(fault(FaultKind::KmsDenied(denied.to_owned())));
        let facts = but(|asked| match on_put {
            true => asked.objects.put = Some(refused.clone().map(|()| None)),
            false => asked.objects.get = refused.clone().map(|()| true),
        });
        let found = finding(&facts, "kms");
        assert_eq!(found.level, Level::Fail);
        assert!(found.says.contains(denied), "{found:?}");
    }
    let kms =
        |bucket_key| Encryption { algorithm: "aws:kms".to_owned(), key: Some("k".to_owned()), bucket_key };
    let with = |bucket_key| {
        but(|asked| {
            asked.settings.encryption = Ok(Some(kms(bucket_key)));
            asked.objects.put = Some(Ok(Some("aws:kms".to_owned())));
        })
    };
    assert_eq!(finding(&with(true), "kms").level, Level::Ok);
    assert_eq!(finding(&with(true), "encryption").level, Level::Ok);
    assert_eq!(finding(&with(false), "encryption").level, Level::Warn, "each PUT pays for a request to KMS");
}

#[test]
fn rules_that_would_eat_our_objects_fail_by_name() {
    let expires = || Some("after 30 days".to_owned());
    for prefix in ["", "a", "a/prefix", "a/prefix/", "a/prefix/default/"] {
        let found = with_rule(Rule { prefix: prefix.to_owned(), expires: expires(), ..Rule::default() });
        assert_eq!(found.level, Level::Fail, "{prefix:?}");
        assert!(found.says.contains("r1") && found.says.contains("30 days"), "{found:?}");
    }
    for class in ["GLACIER", "DEEP_ARCHIVE"] {
        let transitions = vec![("after 1 days".to_owned(), class.to_owned())];
        let found = with_rule(Rule { transitions, ..Rule::default() });
        assert_eq!(found.level, Level::Fail, "{class}");
        assert!(found.says.contains(class));
    }
    for class in ["STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING", "ONEZONE_IA"] {
        let transitions = vec![("after 1 days".to_owned(), class.to_owned())];
        assert_eq!(with_rule(Rule { transitions, ..Rule::default() }).level, Level::Warn, "{class}");
    }
}

#[test]
fn rules_that_cannot_meet_our_objects_are_harmless() {
    let expires = || Some("after 30 days".to_owned());
    for rule in [
        Rule { prefix: "b/".to_owned(), expires: expires(), ..Rule::default() },
        Rule { prefix: "a/prefix2/".to_owned(), expires: expires(), ..Rule::default() },
        Rule { prefix: "a/prefix/frazil-probe/".to_owned(), expires: expires(), ..Rule::default() },
        Rule { tagged: true, expires: expires(), ..Rule::default() },
        Rule { smaller_than: Some(1), expires: expires(), ..Rule::default() },
        Rule { expires_noncurrent: true, aborts_after_days: Some(7), ..Rule::default() },
    ] {
        assert_eq!(with_rule(rule.clone()).level, Level::Ok, "{rule:?}");
    }
    let disabled = Rule { id: "off".to_owned(), expires: expires(), ..Rule::default() };
    let facts = but(|asked| asked.settings.lifecycle = Ok(vec![disabled]));
    assert_eq!(finding(&facts, "lifecycle").level, Level::Ok);
}

#[test]
fn versions_are_paid_for_unless_a_rule_removes_them() {
    let with = |versioning, rules: Vec<Rule>| {
        let facts = but(|asked| {
            asked.settings.versioning = Ok(versioning);
            asked.settings.lifecycle = Ok(rules);
        });
        finding(&facts, "versioning").level
    };
    let rule = |prefix: &str| Rule {
        enabled: true,
        prefix: prefix.to_owned(),
        expires_noncurrent: true,
        ..Rule::default()
    };
    assert_eq!(with(None, vec![]), Level::Ok);
    assert_eq!(with(Some(Versioning::Enabled), vec![]), Level::Warn);
    assert_eq!(with(Some(Versioning::Suspended), vec![]), Level::Warn);
    assert_eq!(with(Some(Versioning::Enabled), vec![rule("a/")]), Level::Ok);
    assert_eq!(
        with(Some(Versioning::Enabled), vec![rule("a/prefix/default/")]),
        Level::Warn,
        "not all of it"
    );
}

#[test]
fn locks_and_public_access_are_warned_of() {
    for (lock, level) in
        [(None, Level::Ok), (Some(""), Level::Warn), (Some("COMPLIANCE for 30 days"), Level::Warn)]
    {
        let facts = but(|asked| asked.settings.object_lock = Ok(lock.map(str::to_owned)));
        assert_eq!(finding(&facts, "object-lock").level, level);
    }
    let facts = but(|asked| asked.settings.public_access = Ok(Some([true, true, false, true])));
    let found = finding(&facts, "public-access");
    assert!(found.level == Level::Warn && found.says.contains("BlockPublicPolicy off"), "{found:?}");
    let mut facts = but(|asked| asked.settings.public_access = Ok(None));
    assert_eq!(finding(&facts, "public-access").level, Level::Warn);
    facts.place.endpoint = Some("http://minio:9000".to_owned());
    assert!(!judge(&facts).iter().any(|finding| finding.check == "public-access"), "only AWS has the switch");
}

#[test]
fn a_store_that_answers_other_bytes_or_none_fails() {
    assert_eq!(finding(&but(|asked| asked.objects.get = Ok(false)), "s3:GetObject").level, Level::Fail);
    let absent = but(|asked| asked.objects.get = Err(fault(FaultKind::Absent)));
    assert_eq!(finding(&absent, "s3:GetObject").level, Level::Fail);
    let reads_only = but(|asked| {
        asked.objects = Objects { put: None, get: Err(fault(FaultKind::Absent)), delete: None, abort: None };
    });
    assert_eq!(finding(&reads_only, "s3:GetObject").level, Level::Ok, "nothing was written, so 404 is right");
}
