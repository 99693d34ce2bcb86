//! Whether to send the same request again, and when: pure, from what came back and how often it was tried.

use std::time::Duration;

use super::Failure;

/// The first pause between attempts; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// The longest pause that is not asked for by the gateway.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest pause that a gateway may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How often a request is sent again that its gateway calls repeatable, but that is no matter of waiting.
const SAME_AGAIN_MAX: u32 = 5;

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send the same request again after a pause.
    Again(Duration),
    /// It will not get better.
    Stop,
}

/// Decides on a request that may be repeated without harm: a read, or a produce with its `Producer-Seq`.
/// `attempt` counts from 1.
pub(crate) fn decide(failure: &Failure, attempt: u32) -> Decision {
    let Some(problem) = failure.problem() else {
        return match failure {
            Failure::Strange(_) => Decision::Stop,
            _ => Decision::Again(pause(attempt)),
        };
    };
    if let Some(asked) = problem.retry_after {
        return Decision::Again(asked.clamp(pause(1), RETRY_AFTER_MAX));
    }
    match (problem.status, problem.retry.as_deref()) {
        (_, Some("after")) | (429 | 502 | 503 | 504, _) => Decision::Again(pause(attempt)),
        (409, _) if problem.slug() == "sequence-gap" => Decision::Again(pause(attempt)),
        (_, Some("same")) if attempt <= SAME_AGAIN_MAX => Decision::Again(pause(attempt)),
        _ => Decision::Stop,
    }
}

/// The pause before the next attempt: 100 ms, 200 ms, … 5 s.
pub(crate) fn pause(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Problem;

    fn refused(status: u16, slug: &str, retry: Option<&str>) -> Problem {
        Problem {
            kind: format!("/errors/{slug}"),
            status,
            retry: retry.map(str::to_owned),
            ..Problem::default()
        }
    }

    fn after(problem: Problem, attempt: u32) -> Decision {
        decide(&Failure::Refused(Box::new(problem)), attempt)
    }

    #[test]
    fn what_may_pass_is_tried_again_ever_more_slowly() {
        let first = Duration::from_millis(100);
        for problem in [
            refused(409, "sequence-gap", None),
            refused(429, "overloaded", Some("after")),
            refused(502, "", None),
            refused(503, "draining", Some("after")),
            refused(504, "outcome-unknown", Some("same")),
        ] {
            assert_eq!(after(problem.clone(), 1), Decision::Again(first), "{problem:?}");
            assert_eq!(after(problem.clone(), 3), Decision::Again(first * 4));
            assert_eq!(after(problem, 1_000_000), Decision::Again(Duration::from_secs(5)));
        }
        let (url, cause) = ("u".to_owned(), "c".to_owned());
        let lost = Failure::Lost { url: url.clone(), cause: cause.clone() };
        assert_eq!(decide(&lost, 2), Decision::Again(first * 2));
        assert_eq!(decide(&Failure::Unreachable { url, cause }, 2), Decision::Again(first * 2));
    }

    #[test]
    fn what_the_gateway_asks_for_is_honoured_within_reason() {
        for (asked_s, given_s) in [(7, 7), (100_000, 60)] {
            let mut problem = refused(503, "store-unavailable", Some("after"));
            problem.retry_after = Some(Duration::from_secs(asked_s));
            assert_eq!(after(problem, 9), Decision::Again(Duration::from_secs(given_s)));
        }
        let mut problem = refused(429, "overloaded", Some("after"));
        problem.retry_after = Some(Duration::ZERO);
        assert_eq!(after(problem, 9), Decision::Again(Duration::from_millis(100)), "never a busy loop");
    }

    #[test]
    fn what_cannot_pass_stops() {
        for problem in [
            refused(400, "malformed", Some("never")),
            refused(401, "unauthenticated", Some("never")),
            refused(404, "no-such-table", Some("never")),
            refused(409, "sequence-conflict", Some("never")),
            refused(409, "producer-fenced", Some("never")),
            refused(410, "trimmed", Some("never")),
            refused(413, "too-large", Some("never")),
            refused(422, "invalid-rows", Some("never")),
            refused(500, "corrupt", Some("never")),
            refused(500, "", None),
        ] {
            assert_eq!(after(problem.clone(), 1), Decision::Stop, "{problem:?}");
        }
        assert_eq!(decide(&Failure::Strange("no JSON".to_owned()), 1), Decision::Stop);
    }

    #[test]
    fn a_repeatable_refusal_is_repeated_a_few_times() {
        for slug in ["schema-changed", "internal"] {
            let problem = refused(if slug == "internal" { 500 } else { 412 }, slug, Some("same"));
            assert_ne!(after(problem.clone(), 5), Decision::Stop);
            assert_eq!(after(problem, 6), Decision::Stop);
        }
    }
}
