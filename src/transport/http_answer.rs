//! The meaning of an answer that is not a success, and the part of its text that is shown. The breaker that
//! acts on the cause is `domain/policy/breaker.rs`.

use std::fmt;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use outstation_codec::CLOCK_SET_AFTER_MS;

use super::http_access::Credentials;
use super::server_words::ServerWords;
use crate::domain::model::endpoint::without_query;
use crate::domain::policy::breaker::Cause;
use crate::upload::{CHECK_SETTINGS, Class, DeliveryError, Rejection};

/// The longest wait in seconds that is honoured. A server that asks for more means "never", so the limit
/// changes nothing.
const AFTER_MAX_S: u64 = 1 << 31;

/// An answer with another status than success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server answered {status}{}", Rest(self))]
pub(crate) struct Unsuccessful {
    pub(crate) status: StatusCode,
    /// The wait from `Retry-After`.
    pub(crate) after: Option<Duration>,
    /// The first line of the body, or the target of a redirect.
    pub(crate) said: ServerWords,
}

/// The parts of an answer, with the body as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Unsuccessful {
    pub(crate) fn of(heard: Heard<'_>, credentials: &Credentials, wall_ms: i64) -> Self {
        let Heard { status, headers, body } = heard;
        let said = match status.is_redirection() {
            true => points_to(headers),
            false => first_line(body),
        };
        // A server may echo the request, and our secrets must not get into our log.
        let said = ServerWords::of(&credentials.scrub(&said));
        Self { status, after: retry_after(headers, wall_ms), said }
    }
}

/// The meaning of the status. A protocol above HTTP may give some answers another meaning.
impl DeliveryError for Unsuccessful {
    fn class(&self) -> Class {
        match meaning(self.status) {
            Meaning::Rejected(what) => Class::Rejected(what),
            Meaning::Later => Class::Retry { cause: Cause::ServerBusy, after: self.after },
            Meaning::Never => Class::retry(Cause::Misconfigured),
        }
    }

    fn remedy(&self) -> &'static str {
        match self.status.as_u16() {
            401 | 403 | 407 => {
                "put a token that the server accepts into the file that `token_file` names; it is \
                 read anew for each request"
            }
            404 | 405 | 410 => "correct the path of `url`",
            301..=303 | 307 | 308 => "if it may go there, write that address as `url`",
            _ => CHECK_SETTINGS,
        }
    }
}

/// Displays the part of an answer that follows its status.
struct Rest<'a>(&'a Unsuccessful);

impl fmt::Display for Rest<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsuccessful { status, said, .. } = self.0;
        match (said.as_str(), status.is_redirection()) {
            ("", true) => Ok(()),
            (place, true) => write!(
                to,
                " and points to `{place}`; redirects are not followed: if that is the right place, let \
                 `url` name it"
            ),
            ("", false) => to.write_str(advice(*status)),
            (line, false) => write!(to, ": {line}{}", advice(*status)),
        }
    }
}

/// What a status means for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The server will never accept this batch, but may accept others.
    Rejected(Rejection),
    /// The server may accept the batch later.
    Later,
    /// The server accepts nothing until a person changes something. Redirects belong here, because readings
    /// and secrets must go only where they were configured to go.
    Never,
}

fn meaning(status: StatusCode) -> Meaning {
    match status.as_u16() {
        413 => Meaning::Rejected(Rejection::TooLarge),
        400 | 422 => Meaning::Rejected(Rejection::Content),
        // 409 means that a request with the same idempotency key is in progress, in the words of its draft
        // standard.
        408 | 409 | 423 | 425 | 429 => Meaning::Later,
        // A server will not implement later what it does not implement now, and 511 comes from a network
        // that requires a login.
        501 | 505 | 506 | 510 | 511 => Meaning::Never,
        500..=599 => Meaning::Later,
        _ => Meaning::Never,
    }
}

/// What a person may have to change.
fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "; is what `token_file`, `password_file` or `headers_file` holds right?",
        403 => "; may these credentials write here?",
        404 | 410 => "; is the path of `url` right?",
        405 | 501 => "; does `url` name the place to post to?",
        406 | 415 => "; does the server take this `encoding` and `compression`?",
        411 | 505 => "; a proxy between may be too old",
        414 | 431 => "; are `url` and `headers` too long for it?",
        426 => "; should `url` begin with https:?",
        407 | 511 => "; the network wants a login before it lets anything through",
        _ => "",
    }
}

/// The target of a redirect, without parts that may be secret.
fn points_to(headers: &HeaderMap) -> String {
    let Some(place) = headers.get(LOCATION) else { return String::new() };
    let place = String::from_utf8_lossy(place.as_bytes()).into_owned();
    let place = without_query(&place);
    match place.split_once("//") {
        Some((scheme, rest)) => {
            let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}//{host}{path}")
        }
        None => place.to_owned(),
    }
}

fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Parses `Retry-After`, which is a number of seconds or a date. A date is compared with the server's own
/// `Date`, because the board's clock may be wrong. Without that it is compared with the board's clock, if
/// that was ever set.
fn retry_after(headers: &HeaderMap, wall_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().unwrap_or(AFTER_MAX_S);
        return Some(Duration::from_secs(seconds.min(AFTER_MAX_S)));
    }
    let then = date(headers, &RETRY_AFTER)?;
    let ours = || Some(wall_ms).filter(|ms| *ms >= CLOCK_SET_AFTER_MS).map(|ms| ms / 1000);
    let now = date(headers, &DATE).or_else(ours)?;
    let seconds = u64::try_from(then.saturating_sub(now)).unwrap_or(0);
    Some(Duration::from_secs(seconds.min(AFTER_MAX_S)))
}

/// An HTTP date in seconds since 1970.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let time = httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// 2026-01-01T00:00:00Z in Unix milliseconds.
    const WALL_MS: i64 = 1_767_225_600_000;

    fn heard(status: u16, headers: &[(&'static str, &str)], body: &str) -> Unsuccessful {
        let status = StatusCode::from_u16(status).expect("a status");
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        let heard = Heard { status, headers: &headers, body: body.as_bytes() };
        Unsuccessful::of(heard, &Credentials::default(), WALL_MS)
    }

    fn after(retry_after: &str, date: Option<&str>, wall_ms: i64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(retry_after).expect("a value"));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).expect("a value"));
        }
        super::retry_after(&headers, wall_ms).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_as_seconds() {
        assert_eq!(after("120", None, 0), Some(120));
        assert_eq!(after(" 0 ", None, 0), Some(0));
        assert_eq!(after("99999999999999999999999", None, 0), Some(1 << 31));
        for text in ["", "+5", "-5", "1.5", "5s", "soon", "0x10"] {
            assert_eq!(after(text, None, WALL_MS), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_read_as_a_date_by_the_server_s_own_clock() {
        let then = "Thu, 01 Jan 2026 00:02:00 GMT";
        let board_in_1970 = 0;
        assert_eq!(after(then, Some("Thu, 01 Jan 2026 00:00:30 GMT"), board_in_1970), Some(90));
        assert_eq!(after(then, Some("Thu, 01 Jan 2026 01:00:00 GMT"), WALL_MS), Some(0));
        assert_eq!(after(then, None, WALL_MS), Some(120));
        assert_eq!(after(then, Some("yesterday"), WALL_MS), Some(120));
        assert_eq!(after(then, None, board_in_1970), None, "a clock that was never set");
        assert_eq!(after("Thursday, 01-Jan-26 00:02:00 GMT", None, WALL_MS), Some(120));
        assert_eq!(after("Fri, 31 Dec 9999 23:59:59 GMT", None, WALL_MS), Some(1 << 31));
        assert_eq!(after("Thu, 32 Jan 2026 00:02:00 GMT", None, WALL_MS), None);
    }

    #[test]
    fn every_status_is_the_batch_s_the_server_s_or_a_person_s_matter() {
        let of = |status: u16| meaning(StatusCode::from_u16(status).expect("a status"));
        for status in [400, 422] {
            assert_eq!(of(status), Meaning::Rejected(Rejection::Content), "{status}");
        }
        assert_eq!(of(413), Meaning::Rejected(Rejection::TooLarge));
        for status in [408, 409, 423, 425, 429, 500, 502, 503, 504, 507, 520, 599] {
            assert_eq!(of(status), Meaning::Later, "{status}");
        }
        let never =
            [101, 300, 301, 302, 304, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410, 411];
        for status in never.into_iter().chain([412, 414, 415, 417, 421, 426, 431, 451, 499]) {
            assert_eq!(of(status), Meaning::Never, "{status}");
        }
        for status in [501, 505, 511, 600, 999] {
            assert_eq!(of(status), Meaning::Never, "{status}");
        }
    }

    #[test]
    fn each_status_of_a_misconfiguration_has_its_own_remedy() {
        for (status, remedy) in [
            (401, "`token_file`"),
            (403, "`token_file`"),
            (404, "the path of `url`"),
            (302, "that address as `url`"),
            (418, "check `url`"),
            (426, "check `url`"),
        ] {
            let answer = heard(status, &[], "401: no certificate?");
            assert!(answer.remedy().contains(remedy), "{status}: {}", answer.remedy());
        }
    }

    #[test]
    fn a_redirect_says_where_it_leads_without_what_may_be_secret() {
        let place = "https://me:hunter2@new.example.com:8443/v2/readings?token=hunter2#hunter2";
        let said = heard(308, &[("location", place)], "hunter2").to_string();
        assert!(said.contains("`https://new.example.com:8443/v2/readings`; redirects"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(heard(302, &[("location", "/login?x")], "").to_string().contains("`/login`"));
        assert_eq!(heard(304, &[], "x").to_string(), "the server answered 304 Not Modified");
    }

    #[test]
    fn what_a_server_says_fits_one_line() {
        let body = format!("a\u{1b}[2J\u{7}{}\nsecond", "b".repeat(1000));
        let said = heard(500, &[], &body).to_string();
        assert!(said.starts_with("the server answered 500 Internal Server Error: a\\u{1b}[2J"));
        assert!(said.len() < 300 && !said.contains("second") && !said.contains('\u{1b}'), "{said}");
        assert!(heard(401, &[], "").to_string().ends_with("`headers_file` holds right?"));
    }
}
