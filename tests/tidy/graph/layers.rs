//! Which layer a module belongs to, and what it may use: a table of the architecture's description.
//!
//! A row names modules, and modules that they may use. A name stands for a module and all below it that
//! no other row names. Rows stand above those they use, so the table has no circle either.

use std::collections::BTreeSet;

use super::{Edge, Graph};

/// Instead of a list: all that stands in lower rows.
const EVERYTHING: &str = "everything below";

/// One row of the table.
#[derive(Debug)]
struct Layer {
    name: String,
    modules: Vec<String>,
    may_use: MayUse,
}

#[derive(Debug)]
enum MayUse {
    Everything,
    Modules(BTreeSet<String>),
}

/// The layers from top to bottom.
#[derive(Debug)]
pub(crate) struct Layers(Vec<Layer>);

impl Layers {
    /// Reads the first table of a text in Markdown.
    pub(crate) fn read(text: &str) -> Self {
        let rows = text.lines().skip_while(|line| !line.starts_with('|')).skip(2);
        Self(rows.take_while(|line| line.starts_with('|')).map(Layer::read).collect())
    }

    /// Everything in which the table and the code differ: a use that is not allowed, a module that is in
    /// no row or in two, a row above one that uses it, and what the table says for nothing.
    pub(crate) fn departures(&self, graph: &Graph) -> Vec<String> {
        // The root of a library only declares.
        let files = graph.files.iter().filter(|file| !file.ends_with("lib.rs"));
        let modules: Vec<String> = files.map(|file| module_of(file)).collect();
        let uses = self.uses(&graph.edges);
        [
            self.misplaced(),
            self.without_layer(&modules),
            self.forbidden(&uses),
            self.idle(&modules, &uses),
        ]
        .concat()
    }

    /// Names that are in two rows, and rows that use what stands above them.
    fn misplaced(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut above = BTreeSet::new();
        for layer in &self.0 {
            if let MayUse::Modules(may_use) = &layer.may_use {
                let higher = may_use.iter().filter(|name| above.contains(name.as_str()));
                let line = |name| {
                    format!("layer `{}` may use `{name}`, which stands above it", layer.name)
                };
                found.extend(higher.map(line));
            }
            let twice = layer.modules.iter().filter(|name| !above.insert(name.as_str()));
            found.extend(twice.map(|name| format!("`{name}` stands in two layers")));
        }
        found
    }

    fn without_layer(&self, modules: &[String]) -> Vec<String> {
        let homeless = modules.iter().filter(|module| self.place(module).is_none());
        homeless.map(|module| format!("`{module}` stands in no layer")).collect()
    }

    fn forbidden(&self, uses: &[Use<'_>]) -> Vec<String> {
        let forbidden = uses.iter().filter(|of| !of.layer.allows(of));
        forbidden.map(|of| format!("{}: {}", of.edge, of.layer.rule(of))).collect()
    }

    /// Names that no module bears, and what is allowed and nothing does.
    fn idle(&self, modules: &[String], uses: &[Use<'_>]) -> Vec<String> {
        let borne: BTreeSet<&str> = modules
            .iter()
            .filter_map(|module| self.place(module))
            .map(|place| place.name)
            .collect();
        let used: BTreeSet<(&str, &str)> =
            uses.iter().map(|of| (of.layer.name.as_str(), of.to.name)).collect();
        let mut found = Vec::new();
        for layer in &self.0 {
            let idle = layer.modules.iter().filter(|name| !borne.contains(name.as_str()));
            found.extend(idle.map(|name| format!("there is no `{name}`, which the table names")));
            let MayUse::Modules(may_use) = &layer.may_use else { continue };
            let is_used = |name: &&String| used.contains(&(layer.name.as_str(), name.as_str()));
            let unused = may_use.iter().filter(|name| !is_used(name));
            found.extend(unused.map(|to| format!("nothing in layer `{}` uses `{to}`", layer.name)));
        }
        found
    }

    /// What the edges are in terms of the table; those within one module are none.
    fn uses<'a>(&'a self, edges: &'a [Edge]) -> Vec<Use<'a>> {
        let of = |edge: &'a Edge| {
            let from = self.place(&module_of(&edge.from))?;
            let to = self.place(&module_of(&edge.to))?;
            let layer = &self.0[from.row];
            (from.name != to.name).then_some(Use { edge, layer, from, to })
        };
        edges.iter().filter_map(of).collect()
    }

    /// By the longest name that stands for a module.
    fn place(&self, module: &str) -> Option<TableEntry<'_>> {
        let mut name = module;
        loop {
            for (row, layer) in self.0.iter().enumerate() {
                if let Some(name) = layer.modules.iter().find(|known| *known == name) {
                    return Some(TableEntry { row, name });
                }
            }
            (name, _) = name.rsplit_once("::")?;
        }
    }
}

/// Where a module stands in the table.
#[derive(Clone, Copy, Debug)]
struct TableEntry<'a> {
    row: usize,
    name: &'a str,
}

#[derive(Debug)]
struct Use<'a> {
    edge: &'a Edge,
    layer: &'a Layer,
    from: TableEntry<'a>,
    to: TableEntry<'a>,
}

impl Layer {
    fn read(row: &str) -> Self {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, modules, may_use] = cells[..] else { panic!("a row has three cells: {row}") };
        let named = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let may_use = match may_use {
            EVERYTHING => MayUse::Everything,
            list => MayUse::Modules(named(list).into_iter().collect()),
        };
        Self { name: name.to_owned(), modules: named(modules), may_use }
    }

    fn allows(&self, Use { from, to, .. }: &Use<'_>) -> bool {
        match &self.may_use {
            MayUse::Everything => to.row > from.row,
            MayUse::Modules(may_use) => may_use.contains(to.name),
        }
    }

    fn rule(&self, Use { from, to, .. }: &Use<'_>) -> String {
        let may_use = match &self.may_use {
            MayUse::Everything => EVERYTHING.to_owned(),
            MayUse::Modules(may_use) if may_use.is_empty() => "nothing".to_owned(),
            MayUse::Modules(may_use) => Vec::from_iter(may_use.iter().cloned()).join(", "),
        };
        format!("`{}` (layer `{}`) may use {may_use}, not `{}`", from.name, self.name, to.name)
    }
}

/// The module that a file holds. The other crates of the repository stand for one each.
fn module_of(file: &str) -> String {
    let Some(inside) = file.strip_prefix("src/") else {
        return file.split('/').next().unwrap_or_default().to_owned();
    };
    let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    module.replace('/', "::")
}

#[cfg(test)]
mod tests {
    use crate::graph::{Files, Root};

    use super::*;

    const TABLE: &str = "
        Some words before.

| layer | modules | may use |
|---|---|---|
| composition | `app` | everything below |
| stages | `ingest`, `upload` | `log`, `upload::contract` |
| contract | `upload::contract` | nothing |
| log | `log` | nothing |

        Some words after.";

    fn departures(table: &str, files: &[(&str, &str)]) -> Vec<String> {
        let declared = ["app", "ingest", "log"];
        let lib: String = declared.map(|name| format!("mod {name};")).concat() + "mod upload;";
        let mut all = Files::from([("src/lib.rs".to_owned(), lib)]);
        all.extend(declared.map(|name| (format!("src/{name}.rs"), "pub struct Own;".to_owned())));
        all.insert("src/upload/contract.rs".to_owned(), "pub struct Refusal;".to_owned());
        let sound = [
            ("src/ingest.rs", "use crate::log::Own as Log; pub struct Own;"),
            ("src/upload/mod.rs", "mod contract; pub use contract::Refusal; pub struct Own;"),
        ];
        let files = sound.iter().chain(files);
        all.extend(files.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        let roots = [Root { name: "made_up", file: "src/lib.rs" }];
        Layers::read(table).departures(&Graph::read(&all, &roots))
    }

    #[test]
    fn sources_that_hold_to_the_table_depart_in_nothing() {
        assert_eq!(departures(TABLE, &[]), Vec::<String>::new());
        let text = "use crate::{ingest::Own, log, upload}; fn f(_: log::Own) -> upload::Own {}";
        assert_eq!(departures(TABLE, &[("src/app.rs", text)]), Vec::<String>::new());
    }

    #[test]
    fn a_use_that_the_table_forbids_is_named_with_file_line_path_and_rule() {
        let ingest = ("src/ingest.rs", "use crate::log::Own as Log;\nuse crate::upload::Own;");
        let expected = "src/ingest.rs:2 uses `crate::upload::Own` of src/upload/mod.rs: `ingest` \
                        (layer `stages`) may use log, upload::contract, not `upload`";
        assert_eq!(departures(TABLE, &[ingest]), [expected]);
        let log = ("src/log.rs", "pub struct Own; fn f() { crate::app::Own; }");
        let expected = "src/log.rs:1 uses `crate::app::Own` of src/app.rs: `log` (layer `log`) may use \
                        nothing, not `app`";
        assert_eq!(departures(TABLE, &[log]), [expected]);
    }

    #[test]
    fn a_re_export_does_not_hide_where_a_name_comes_from() {
        let log = ("src/log.rs", "pub struct Own; use crate::upload::Refusal;");
        let expected = "src/log.rs:1 uses `crate::upload::Refusal` of src/upload/contract.rs: `log` \
                        (layer `log`) may use nothing, not `upload::contract`";
        assert_eq!(departures(TABLE, &[log]), [expected]);
    }

    #[test]
    fn each_module_stands_in_one_layer() {
        let without = TABLE.replace("| log | `log` | nothing |\n", "").replace("`log`, ", "");
        assert_eq!(departures(&without, &[]), ["`log` stands in no layer"]);
        let twice = TABLE.replace("| `app` |", "| `app`, `log` |");
        assert!(departures(&twice, &[]).contains(&"`log` stands in two layers".to_owned()));
    }

    #[test]
    fn a_layer_uses_none_above_it() {
        let up = TABLE.replace("| `log` | nothing |", "| `log` | `app` |");
        let log = ("src/log.rs", "pub struct Own; use crate::app::Own as App;");
        let expected = "layer `log` may use `app`, which stands above it";
        assert_eq!(departures(&up, &[log]), [expected]);
    }

    #[test]
    fn what_the_table_says_for_nothing_is_named() {
        let idle = TABLE.replace("| `log` | nothing |", "| `log`, `gone` | `codec` |");
        let expected =
            ["there is no `gone`, which the table names", "nothing in layer `log` uses `codec`"];
        assert_eq!(departures(&idle, &[]), expected);
    }
}
