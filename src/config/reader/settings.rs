//! Settings of whichever kind a row of a table names: what a configuration holds of a sink's kind and of a
//! port's protocol, without knowing either.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Can be compared with settings of any kind: what has the same settings goes on over a reload.
pub(crate) trait Comparable: Any {
    fn as_any(&self) -> &dyn Any;
    fn is_same(&self, other: &dyn Any) -> bool;
}

impl<T: Any + PartialEq> Comparable for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_same(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

/// Settings behind the trait of their table; cheap to clone.
pub(crate) struct Settings<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Settings<T> {
    pub(crate) fn new(settings: Arc<T>) -> Self {
        Self(settings)
    }
}

impl<T: ?Sized> Clone for Settings<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: ?Sized> Deref for Settings<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Settings<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + Comparable> PartialEq for Settings<T> {
    fn eq(&self, other: &Self) -> bool {
        // Of the settings inside: the blanket implementation has a method of this name for `Self` too.
        (*self.0).is_same((*other.0).as_any())
    }
}
