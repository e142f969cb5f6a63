//! Files that use each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::Edge;

/// Every group of files each of which reaches every other, with the edges inside it.
pub(crate) fn circles(edges: &[Edge]) -> Vec<(BTreeSet<&str>, Vec<&Edge>)> {
    let mut forth = BTreeMap::<&str, BTreeSet<&str>>::new();
    let mut back = forth.clone();
    for edge in edges {
        forth.entry(&edge.from).or_default().insert(&edge.to);
        back.entry(&edge.to).or_default().insert(&edge.from);
    }
    let mut seen = BTreeSet::<&str>::new();
    let mut found = Vec::new();
    for file in forth.keys() {
        if seen.contains(file) {
            continue;
        }
        let ahead = reached(file, &forth);
        let group: BTreeSet<&str> =
            reached(file, &back).into_iter().filter(|other| ahead.contains(other)).collect();
        if group.is_empty() {
            continue;
        }
        seen.extend(&group);
        let is_inside =
            |edge: &&Edge| group.contains(edge.from.as_str()) && group.contains(edge.to.as_str());
        let inside = edges.iter().filter(is_inside).collect();
        found.push((group, inside));
    }
    found
}

/// Where one gets from a file by at least one edge.
fn reached<'a>(file: &str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = edges.get(file).into_iter().flatten().copied().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(edges.get(file).into_iter().flatten());
        }
    }
    found
}
