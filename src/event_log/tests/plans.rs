//! No query reads the whole backlog, according to SQLite's own query plans.

use super::*;
use crate::event_log::store::copies::COPIES;
use crate::event_log::store::queries::*;

#[tokio::test(start_paused = true)]
async fn every_query_finds_its_rows_by_a_key() {
    let folder = folder();
    Rig::start(folder.path(), &["a"]).end().await;
    let database = rusqlite::Connection::open(folder.path().join("log.db")).expect("opens");
    let plan = |query: &str| {
        let explain = format!("EXPLAIN QUERY PLAN {query}");
        let mut select = database.prepare(&explain).expect("a query");
        let parameters = select.parameter_count();
        let rows = select
            .query_map(rusqlite::params_from_iter(vec![1; parameters]), |row| row.get(3))
            .expect("a plan");
        rows.collect::<Result<Vec<String>, _>>().expect("a plan").join("; ")
    };
    for query in [
        SNAPSHOT,
        HISTORY,
        PUBLISHED,
        LAST_POSITION,
        SEGMENTS,
        HEADS,
        HEAD_BEFORE,
        LIVE_HEADS,
        OTHER_HEADS,
        OLDEST,
        AFTER,
        COPIES,
    ] {
        let plan = plan(query);
        assert!(plan.contains("SEARCH") && !plan.contains("SCAN"), "{query}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
    // This goes backwards along the key and reads one row.
    assert_eq!(plan(LAST), "SCAN segments");
    // The number of events is bounded by the snapshots and by how many published ones are kept.
    assert!(!plan(VERSIONS).contains("segments"));
}
