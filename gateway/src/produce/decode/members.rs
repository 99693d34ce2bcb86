//! The members of a JSON object, each value as the slice of the body that it is.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::json::{syntax_problem, utf8};
use super::scan::{Scanner, SyntaxError, Token};
use crate::error::Problem;

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    /// One JSON value, without what is around it.
    pub(crate) value: Bytes,
}

/// The members of the object that a text is, in order, no key twice.
///
/// # Errors
/// `malformed` where the text is anything else.
pub(crate) fn members(body: &Bytes) -> Result<Vec<Member>, Problem> {
    let text = utf8(body)?;
    let found = scan(text).map_err(|error| syntax_problem(text, 0, &error))?;
    let mut keys = BTreeSet::new();
    let members = found.into_iter().map(|(key, value)| {
        if !keys.insert(key.clone()) {
            return Err(Problem::malformed(format!("member {key:?} is given twice")));
        }
        Ok(Member { key, value: body.slice_ref(value.as_bytes()) })
    });
    members.collect()
}

fn scan(text: &str) -> Result<Vec<(String, &str)>, SyntaxError> {
    let mut scanner = Scanner::new(text);
    scanner.peek();
    let start = scanner.error("expected an object");
    if scanner.value()? != Token::Object {
        return Err(start);
    }
    let mut members = Vec::new();
    while let Some(key) = scanner.next_key(members.is_empty())? {
        scanner.peek();
        let from = scanner.position();
        let token = scanner.value()?;
        scanner.skip(token)?;
        members.push((key.decoded().into_owned(), scanner.since(from)));
    }
    match scanner.peek() {
        None => Ok(members),
        Some(_) => Err(scanner.error("expected the end of the text")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found(text: &str) -> Result<Vec<(String, String)>, String> {
        let members =
            members(&Bytes::copy_from_slice(text.as_bytes())).map_err(|it| it.detail().to_owned())?;
        let text = |value: Bytes| String::from_utf8(value.to_vec()).unwrap();
        Ok(members.into_iter().map(|member| (member.key, text(member.value))).collect())
    }

    #[test]
    fn values_are_slices_without_what_is_around_them() {
        let pairs = |pairs: &[(&str, &str)]| -> Result<Vec<(String, String)>, String> {
            Ok(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(
            found(" { \"a\" : [1, {\"b\":2}] ,\n\"\\u0062\":1.50 } "),
            pairs(&[("a", "[1, {\"b\":2}]"), ("b", "1.50")])
        );
        assert_eq!(found("{}"), pairs(&[]));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, words) in [
            ("[1]", "line 1, column 1: expected an object"),
            ("", "line 1, column 1: the text ends"),
            ("{\"a\":1}x", "line 1, column 8: expected the end"),
            ("{\"a\":1,\"a\":2}", "member \"a\" is given twice"),
            ("{\"a\":}", "line 1, column 6: expected a value"),
        ] {
            assert!(found(text).unwrap_err().starts_with(words), "{text}: {:?}", found(text));
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_serde_takes(text in "[{}\\[\\]\":,a0 ]{0,16}") {
            let members = found(&format!("{{{text}}}"));
            match serde_json::from_str::<serde_json::Map<String, Value>>(&format!("{{{text}}}")) {
                Err(_) => prop_assert!(members.is_err()),
                Ok(map) => for (key, value) in members.unwrap_or_default() {
                    prop_assert_eq!(&serde_json::from_str::<Value>(&value).unwrap(), &map[&key]);
                }
            }
        }
    }
}
