//! What a policy, a key, a rule or a region forbids: doctor names it, and says what to do.

use super::Examined;
use crate::support::frazil::command;
use crate::support::s3_proxy::S3Proxy;
use crate::support::store::Store;

const FORBIDDEN: &str = "403 Forbidden";

/// A MinIO behind a proxy that can answer in its place.
async fn proxied() -> (Store, S3Proxy) {
    let mut store = Store::minio().await;
    let proxy = S3Proxy::start(store.server().address()).await;
    store.environment = store.server().environment(&proxy.endpoint());
    (store, proxy)
}

#[tokio::test]
async fn each_denied_permission_is_named_with_the_statement_that_allows_it() {
    let (mut store, proxy) = proxied().await;
    for permission in ["s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:ListBucket"] {
        proxy.deny(permission);
        let found = Examined::of(&store, &[]).await;
        assert_eq!(found.done.code, Some(3), "{permission}: {}", found.report);
        found.expect(permission, "fail", &format!(r#""Action":"{permission}""#));
        proxy.pass();
    }
    for permission in
        ["s3:GetBucketLocation", "s3:GetLifecycleConfiguration", "s3:GetEncryptionConfiguration"]
    {
        proxy.deny(permission);
    }
    let found = Examined::of(&store, &[]).await;
    assert_eq!(found.done.code, Some(0), "gateways do not need these: {}", found.report);
    found.expect("s3:GetLifecycleConfiguration", "warn", "for whoever runs doctor");
    let left: Vec<String> = store.server().keys("").await;
    assert!(left.len() <= 1, "only where deleting was denied may one object be left: {left:?}");
}

#[tokio::test]
async fn credentials_that_may_only_read_are_looked_at_without_a_write() {
    let (store, proxy) = proxied().await;
    proxy.deny("s3:PutObject");
    proxy.deny("s3:DeleteObject");
    let found = Examined::of(&store, &["--read-only"]).await;
    assert_eq!(found.done.code, Some(0), "{}", found.report);
    assert_eq!(found.about("s3:GetObject").0, "ok");
}

#[tokio::test]
async fn keys_sessions_and_regions_are_told_apart() {
    let (store, proxy) = proxied().await;
    let denied = "User: arn:aws:iam::1:user/x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:1:key/k";
    proxy.refuse("s3:PutObject", FORBIDDEN, "AccessDenied", denied);
    Examined::of(&store, &[]).await.expect("kms", "fail", "kms:GenerateDataKey");
    proxy.pass();

    proxy.refuse("s3:ListBucket", "400 Bad Request", "ExpiredToken", "The provided token has expired.");
    Examined::of(&store, &[]).await.expect("credentials", "fail", "AWS_SESSION_TOKEN");

    let moved = "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>";
    proxy.answer("s3:ListBucket", "301 Moved Permanently", "x-amz-bucket-region: eu-north-1\r\n", moved);
    let found = Examined::of(&store, &[]).await;
    assert_eq!(found.done.code, Some(3));
    found.expect("region", "fail", "export AWS_REGION=eu-north-1");
}

#[tokio::test]
async fn rules_that_would_eat_the_log_fail_by_their_id() {
    let (store, proxy) = proxied().await;
    let rules = |rules: &str| {
        let body = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        proxy.answer("s3:GetLifecycleConfiguration", "200 OK", "", &body);
    };
    rules(
        "<Rule><ID>tidy-up</ID><Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule>",
    );
    let found = Examined::of(&store, &[]).await;
    assert_eq!(found.done.code, Some(3), "{}", found.report);
    found.expect("lifecycle", "fail", "tidy-up");
    rules(
        "<Rule><ID>cold</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>",
    );
    Examined::of(&store, &[]).await.expect("lifecycle", "fail", "GLACIER");
    rules(
        "<Rule><ID>fine</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>\
         <Rule><ID>others</ID><Filter><Prefix>b/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>",
    );
    let found = Examined::of(&store, &[]).await;
    assert_eq!((found.done.code, found.about("lifecycle").0), (Some(0), "ok"), "{}", found.report);

    proxy.answer(
        "s3:GetBucketVersioning",
        "200 OK",
        "",
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    );
    let table = command(&["doctor", &store.url], &store).await;
    assert!(table.stdout.contains("warn  versioning"), "{table:?}");
}
