//! One observed value, and its type.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of a channel's values. Each variant is wider than the one before; a channel with values of
/// several types has the widest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A number of single precision.
    F32,
    /// A number of double precision.
    F64,
    /// UTF-8 text.
    Text,
}

/// One observed value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number of single precision; NaN and infinities are values too.
    F32(f32),
    /// A number of double precision; NaN and infinities are values too.
    F64(f64),
    /// UTF-8 text. It is shared, because a state repeats: `ok`, `ok`, `ok`.
    Text(Arc<str>),
}

impl Value {
    /// The type of this one value; that of its channel may be wider.
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
