//! The least that IAM must allow, as JSON to paste. PURE.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::facts::Place;

/// Who is to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// `frazil gateway`: deletes nothing but its own probe
    Gateway,
    /// `frazil compactor` and `frazil dev`: deletes what is trimmed and swept
    Compactor,
    /// `frazil log`, `frazil verify`, `frazil doctor --read-only`
    ReadOnly,
    /// `frazil doctor`: as a gateway, and looks at the bucket's settings
    Doctor,
    /// `frazil bucket create`: makes the bucket and its settings; no access to objects
    SetUp,
}

/// What doctor looks at.
const LOOKS: [&str; 6] = [
    "s3:GetBucketLocation",
    "s3:GetLifecycleConfiguration",
    "s3:GetEncryptionConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketPublicAccessBlock",
];

/// What set-up changes.
const CHANGES: [&str; 6] = [
    "s3:CreateBucket",
    "s3:PutLifecycleConfiguration",
    "s3:PutEncryptionConfiguration",
    "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketTagging",
    "s3:PutBucketTagging",
];

/// The policy of a role.
pub(crate) fn policy(place: &Place, role: Role, kms_key: Option<&str>) -> Value {
    let bucket = place.arn();
    let objects = place.objects_arn();
    let mut statements = Vec::new();
    match role {
        Role::ReadOnly => statements.push(allow(&["s3:GetObject"], &objects)),
        Role::Compactor => statements.push(allow(
            &["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            &objects,
        )),
        Role::Gateway | Role::Doctor => {
            statements.push(allow(&["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], &objects));
            let probe = format!("{bucket}/{}frazil-probe/*", place.root());
            statements.push(allow(&["s3:DeleteObject"], &probe));
        }
        Role::SetUp => {
            statements.push(allow(&CHANGES, &bucket));
        }
    }
    let mut list = allow(&["s3:ListBucket"], &bucket);
    if !place.prefix.is_empty() {
        list["Condition"] =
            json!({"StringLike": {"s3:prefix": [place.prefix.clone(), format!("{}/*", place.prefix)]}});
    }
    statements.push(list);
    if matches!(role, Role::Doctor | Role::SetUp) {
        statements.push(allow(&LOOKS, &bucket));
    }
    let uses_key: &[&str] = match role {
        Role::SetUp => &[],
        Role::ReadOnly => &["kms:Decrypt"],
        _ => &["kms:GenerateDataKey", "kms:Decrypt"],
    };
    if let Some(key) = kms_key.filter(|_| !uses_key.is_empty()) {
        statements.push(allow(uses_key, key));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn allow(actions: &[&str], resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": actions, "Resource": resource})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(prefix: &str) -> Place {
        Place { bucket: "b".to_owned(), prefix: prefix.to_owned(), ..Place::default() }
    }

    /// The resources that a policy allows an action on.
    fn allowed(policy: &Value, action: &str) -> Vec<String> {
        let statements = policy["Statement"].as_array().unwrap();
        let with = statements.iter().filter(|statement| {
            statement["Action"].as_array().unwrap().iter().any(|allowed| allowed == action)
        });
        with.map(|statement| statement["Resource"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_gateway_deletes_its_probe_alone_and_a_compactor_below_the_prefix() {
        let gateway = policy(&place("a/p"), Role::Gateway, None);
        assert_eq!(allowed(&gateway, "s3:DeleteObject"), ["arn:aws:s3:::b/a/p/frazil-probe/*"]);
        assert_eq!(allowed(&gateway, "s3:PutObject"), ["arn:aws:s3:::b/a/p/*"]);
        let compactor = policy(&place("a/p"), Role::Compactor, None);
        assert_eq!(allowed(&compactor, "s3:DeleteObject"), ["arn:aws:s3:::b/a/p/*"]);
        let reader = policy(&place("a/p"), Role::ReadOnly, None);
        assert!(
            allowed(&reader, "s3:PutObject").is_empty() && allowed(&reader, "s3:DeleteObject").is_empty()
        );
        assert_eq!(allowed(&policy(&place(""), Role::Gateway, None), "s3:PutObject"), ["arn:aws:s3:::b/*"]);
    }

    #[test]
    fn listing_is_bound_to_the_prefix_where_there_is_one() {
        let condition = |prefix: &str| {
            let policy = policy(&place(prefix), Role::ReadOnly, None);
            policy["Statement"].as_array().unwrap().last().unwrap()["Condition"].clone()
        };
        assert_eq!(condition("a/p"), json!({"StringLike": {"s3:prefix": ["a/p", "a/p/*"]}}));
        assert_eq!(condition(""), Value::Null);
    }

    #[test]
    fn a_key_is_allowed_to_those_who_use_it() {
        let key = "arn:aws:kms:eu-west-1:1:key/k";
        let with = |role| policy(&place(""), role, Some(key));
        assert_eq!(allowed(&with(Role::Gateway), "kms:GenerateDataKey"), [key]);
        assert!(allowed(&with(Role::ReadOnly), "kms:GenerateDataKey").is_empty());
        assert_eq!(allowed(&with(Role::ReadOnly), "kms:Decrypt"), [key]);
        assert!(allowed(&with(Role::SetUp), "kms:Decrypt").is_empty());
    }
}
