//! A list of items without alloc: a slice for the sender, validated bytes for
//! the receiver. Both have one type, so that a frame that was sent equals the
//! one that arrives.

use core::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// The channels of a [`Hello`](crate::Hello) or the values of a
/// [`Sample`](crate::Sample). A sender makes it from a slice. A receiver
/// iterates over it, which cannot fail: the items are validated before a frame
/// is returned.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Items<'a, T>);

#[derive(Clone, Copy)]
enum Items<'a, T> {
    Given(&'a [T]),
    Received { count: u16, bytes: &'a [u8] },
}

impl<'a, T: Deserialize<'a> + Copy> List<'a, T> {
    /// The number of items.
    pub fn len(&self) -> usize {
        match self.0 {
            Items::Given(items) => items.len(),
            Items::Received { count, .. } => count.into(),
        }
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items, by value.
    pub fn iter(&self) -> Iter<'a, T> {
        Iter(*self)
    }

    /// Takes a list off the front of a body and validates every item. The count
    /// is a `u16` on purpose: the range of a `usize` differs between 32 and 64
    /// bit.
    pub(crate) fn take(body: &mut &'a [u8]) -> postcard::Result<Self> {
        let count = take(body)?;
        let from = *body;
        for _ in 0..count {
            take::<T>(body)?;
        }
        let bytes = &from[..from.len() - body.len()];
        Ok(List(Items::Received { count, bytes }))
    }
}

/// Takes one item off the front of a body.
pub(crate) fn take<'a, T: Deserialize<'a>>(body: &mut &'a [u8]) -> postcard::Result<T> {
    let (item, rest) = postcard::take_from_bytes(body)?;
    *body = rest;
    Ok(item)
}

/// The remaining items of a [`List`].
#[derive(Clone)]
pub struct Iter<'a, T>(List<'a, T>);

impl<'a, T: Deserialize<'a> + Copy> Iterator for Iter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0.0 {
            Items::Given(items) => {
                let (first, rest) = items.split_first()?;
                *items = rest;
                Some(*first)
            }
            Items::Received { count, bytes } => {
                *count = count.checked_sub(1)?;
                let item = take(bytes);
                debug_assert!(item.is_ok(), "List::take validated every item");
                item.ok()
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl<'a, T: Deserialize<'a> + Copy> ExactSizeIterator for Iter<'a, T> {}

impl<'a, T: Deserialize<'a> + Copy> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Deserialize<'a> + Copy> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T> From<&'a [T]> for List<'a, T> {
    fn from(items: &'a [T]) -> Self {
        List(Items::Given(items))
    }
}

impl<'a, T, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(items: &'a [T; N]) -> Self {
        List(Items::Given(items))
    }
}

impl<'a, T: Deserialize<'a> + Copy + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Deserialize<'a> + Copy + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a, T: Deserialize<'a> + Copy + fmt::Debug> fmt::Debug for Iter<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Iter").field(&self.0).finish()
    }
}

impl<'a, T: Deserialize<'a> + Copy + Serialize> Serialize for List<'a, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}
