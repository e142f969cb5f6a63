//! No two modules use each other, directly or in a circle.

use std::sync::OnceLock;

use crate::graph::{Files, Graph, Root, circles};
use crate::{assert_none, sources};

/// What the repository consists of; `codec` is there as soon as its folder is.
const CRATES: [Root; 4] = [
    Root { name: "outstation_wire", file: "wire/src/lib.rs" },
    Root { name: "outstation_codec", file: "codec/src/lib.rs" },
    Root { name: "outstation", file: "src/lib.rs" },
    Root { name: "main", file: "src/main.rs" },
];

/// Who uses whom in this repository.
pub(crate) fn graph() -> &'static Graph {
    static GRAPH: OnceLock<Graph> = OnceLock::new();
    GRAPH.get_or_init(|| {
        let folders = ["src", "wire/src", "codec/src"].into_iter();
        let there =
            folders.filter(|folder| std::path::Path::new(crate::ROOT).join(folder).is_dir());
        let files: Files = there.flat_map(sources).collect();
        let crates: Vec<Root> =
            CRATES.into_iter().filter(|root| files.contains_key(root.file)).collect();
        Graph::read(&files, &crates)
    })
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (group, edges) in circles(&graph().edges) {
        let edges: Vec<String> = edges.iter().map(|edge| format!("\n    {edge}")).collect();
        found.push(format!("{} modules:{}", group.len(), edges.concat()));
    }
    assert_none(&found, "no modules use each other in a circle");
}
