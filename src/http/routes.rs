//! Maps each path to its page. Only GET and HEAD are answered: the port is read-only.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use crate::status::board::{Snapshot, StatusBoard};
use crate::status::health::{Health, Readiness};
use crate::status::metrics::Metrics;
use crate::status::page::StatusPage;
use crate::telemetry::events::ClientRefusal;

const INDEX: &str = "\
outstation: this board's local port

/health   whether every actor makes progress (200) or not (503)
/ready    whether the log accepts and every port was open once (200) or not (503), with reasons
/status   ports, log, sinks and ledger, as JSON
/metrics  the same for Prometheus
";

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
/// The version of Prometheus's text format, not of this program.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) type HttpResponse = Response<Full<Bytes>>;

/// Answers one request. HEAD is answered like GET; hyper leaves the body out.
pub(super) fn answer(
    method: &Method,
    path: &str,
    board: &StatusBoard,
    metrics: &Metrics,
) -> HttpResponse {
    match *method {
        Method::GET | Method::HEAD => page(path, &board.snapshot(), metrics),
        _ => not_allowed(),
    }
}

fn page(path: &str, now: &Snapshot, metrics: &Metrics) -> HttpResponse {
    match path {
        "/" => text(StatusCode::OK, TEXT, INDEX),
        "/health" => {
            let health = Health::of(now);
            json(verdict(health.alive), &health)
        }
        "/ready" => {
            let readiness = Readiness::of(now);
            json(verdict(readiness.ready), &readiness)
        }
        "/status" => json(StatusCode::OK, &StatusPage::of(now)),
        "/metrics" => text(StatusCode::OK, PROMETHEUS, metrics.render(now)),
        _ => text(StatusCode::NOT_FOUND, TEXT, "there is no such page; / lists them\n"),
    }
}

fn verdict(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn not_allowed() -> HttpResponse {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD work here\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

/// The answer for a client that is turned away: what is missing, and what it can do.
pub(super) fn refused(why: ClientRefusal) -> HttpResponse {
    let (status, words, header) = match why {
        ClientRefusal::Login => {
            let asks = HeaderValue::from_static("Basic realm=\"outstation\", charset=\"UTF-8\"");
            let words = "a name and password are needed here\n";
            (StatusCode::UNAUTHORIZED, words, (WWW_AUTHENTICATE, asks))
        }
        ClientRefusal::Busy => {
            let words = "too many requests from this address; wait a second\n";
            (StatusCode::TOO_MANY_REQUESTS, words, (RETRY_AFTER, HeaderValue::from_static("1")))
        }
        _ => {
            let words = "this port is not set up rightly; the log of the daemon says why\n";
            (
                StatusCode::SERVICE_UNAVAILABLE,
                words,
                (CONNECTION, HeaderValue::from_static("close")),
            )
        }
    };
    let mut answer = text(status, TEXT, words);
    answer.headers_mut().insert(header.0, header.1);
    answer
}

/// The page is indented, because people read it with curl.
fn json(status: StatusCode, value: &impl Serialize) -> HttpResponse {
    let mut body = serde_json::to_vec_pretty(value).expect("its keys are text and nothing fails");
    body.push(b'\n');
    text(status, JSON, body)
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Every page shows the present state, so none may be cached.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::test_site::{Site, site};
    use http_body_util::BodyExt;

    async fn ask(site: &Site, method: Method, path: &str) -> (StatusCode, String) {
        shown(answer(&method, path, &site.board, &Metrics::default())).await
    }

    async fn shown(answer: HttpResponse) -> (StatusCode, String) {
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("the body is in memory").to_bytes();
        (status, String::from_utf8(body.to_vec()).expect("pages are text"))
    }

    fn compact(page: &str) -> String {
        serde_json::from_str::<serde_json::Value>(page).expect("it is JSON").to_string()
    }

    #[tokio::test]
    async fn a_stuck_actor_is_503_and_named() {
        let site = site();
        let (status, page) = ask(&site, Method::GET, "/health").await;
        assert_eq!(
            (status, compact(&page).as_str()),
            (StatusCode::OK, r#"{"alive":true,"stuck":[]}"#)
        );
        let mut now = site.board.snapshot();
        now.stuck = vec!["log".into()];
        let (status, body) = shown(page_of(&now)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(compact(&body), r#"{"alive":false,"stuck":["log"]}"#);
    }

    fn page_of(now: &Snapshot) -> HttpResponse {
        page("/health", now, &Metrics::default())
    }

    #[tokio::test]
    async fn readiness_comes_with_a_reason_per_dependency() {
        let site = site();
        assert_eq!(ask(&site, Method::GET, "/ready").await.0, StatusCode::OK);
        site.port.send_modify(|port| port.opened_once = false);
        site.unplug();
        let (status, page) = ask(&site, Method::GET, "/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            compact(&page),
            r#"{"dependencies":[{"name":"log","ready":true,"reason":"accepts readings"},{"name":"port mcu","ready":false,"reason":"`/dev/ttyUSB0` is gone; is it unplugged?"}],"ready":false}"#
        );
    }

    #[tokio::test]
    async fn the_index_names_every_page_and_every_page_is_there() {
        let site = site();
        let (_, index) = ask(&site, Method::GET, "/").await;
        let paths: Vec<&str> =
            index.split_whitespace().filter(|word| word.starts_with('/')).collect();
        assert_eq!(paths, ["/health", "/ready", "/status", "/metrics"]);
        for path in paths {
            assert_eq!(ask(&site, Method::GET, path).await.0, StatusCode::OK, "{path}");
        }
    }

    #[tokio::test]
    async fn other_paths_are_404_and_other_methods_405() {
        let site = site();
        for path in ["/nothing", "/health/", "//health", "*", ""] {
            assert_eq!(ask(&site, Method::GET, path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
            let answer = answer(&method, "/health", &site.board, &Metrics::default());
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(answer.headers()[ALLOW], "GET, HEAD");
        }
    }

    #[test]
    fn whoever_is_turned_away_is_told_what_to_do() {
        let code = |why| refused(why).status().as_u16();
        let codes = [ClientRefusal::Login, ClientRefusal::Busy, ClientRefusal::Setup].map(code);
        assert_eq!(codes, [401, 429, 503]);
        let login = refused(ClientRefusal::Login);
        assert_eq!(
            login.headers()[WWW_AUTHENTICATE],
            "Basic realm=\"outstation\", charset=\"UTF-8\""
        );
        assert_eq!(refused(ClientRefusal::Busy).headers()[RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn metrics_say_which_format_they_are_in() {
        let site = site();
        let answer = answer(&Method::GET, "/metrics", &site.board, &Metrics::default());
        assert_eq!(answer.headers()[CONTENT_TYPE], PROMETHEUS);
        assert!(shown(answer).await.1.contains("outstation_build_info{version=\"0.1.0\"} 1"));
    }
}
