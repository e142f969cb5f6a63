//! stub
pub const ACTOR_RESTARTS: &str = "outstation_actor_restarts_total";
