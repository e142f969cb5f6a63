//! One observed value, and what kind of value it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of value a channel carries, each wider than the one before: a channel that has shown
/// several is of the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Bool,
    Int,
    F32,
    F64,
    Text,
}

/// One observed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Int(i64),
    F32(f32),
    F64(f64),
    /// Shared, because a state repeats: `ok`, `ok`, `ok`.
    Text(Arc<str>),
}

impl Value {
    pub fn kind(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::Int(_) => ValueType::Int,
            Self::F32(_) => ValueType::F32,
            Self::F64(_) => ValueType::F64,
            Self::Text(_) => ValueType::Text,
        }
    }
}
