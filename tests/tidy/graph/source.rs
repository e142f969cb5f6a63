//! From the text of files to modules: what each declares, what it imports, and what its code names.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Meta, UseTree, VisRestricted};

/// Rust files by their path in the repository.
pub(crate) type Files = BTreeMap<String, String>;

/// A crate: the name others import it by, and the file its modules begin at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
}

/// A path as it is written, without the arguments of its types.
pub(super) type Path = Vec<String>;

/// Something that a name of a module stands for.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    /// A type, a function, a constant, a macro: it is defined here.
    Item,
    /// A module below this one, by its place in [`Sources::modules`].
    Module(usize),
    Import(Path),
}

/// A path that the code of a module names, or imports.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) path: Path,
    pub(super) line: usize,
}

#[derive(Debug, Default)]
pub(super) struct Module {
    /// The file it stands in, which may hold several.
    pub(super) file: String,
    /// The module around it; none of a crate's root.
    pub(super) parent: Option<usize>,
    pub(super) root: usize,
    pub(super) names: BTreeMap<String, Vec<Binding>>,
    /// The modules and types whose names it takes all of.
    pub(super) globs: Vec<Path>,
    pub(super) imports: Vec<Mention>,
    pub(super) mentions: Vec<Mention>,
}

/// Every module of some crates.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) modules: Vec<Module>,
    /// The root of each crate by its name.
    pub(super) roots: BTreeMap<String, usize>,
}

impl Sources {
    /// Follows the `mod` declarations from each root. A file that none leads to is not read.
    pub(super) fn read(files: &Files, roots: &[Root]) -> Self {
        let mut sources = Self::default();
        for root in roots {
            let at = sources.modules.len();
            sources.roots.insert(root.name.to_owned(), at);
            let module = Module { file: root.file.to_owned(), root: at, ..Module::default() };
            sources.modules.push(module);
            let (folder, _) = root.file.rsplit_once('/').expect("a root stands in a folder");
            sources.read_file(files, at, folder);
        }
        sources
    }

    /// `folder` is where the modules below this one stand.
    fn read_file(&mut self, files: &Files, at: usize, folder: &str) {
        let path = &self.modules[at].file;
        let text = files.get(path).unwrap_or_else(|| panic!("there is no `{path}`"));
        let file = syn::parse_file(text)
            .unwrap_or_else(|error| panic!("{path}:{}: {error}", error.span().start().line));
        self.read_items(files, at, folder, &file.items);
    }

    fn read_items(&mut self, files: &Files, at: usize, folder: &str, items: &[Item]) {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            if let Item::Mod(module) = item {
                self.read_module(files, at, folder, module);
                continue;
            }
            let module = &mut self.modules[at];
            if let Some(name) = defined(item) {
                module.names.entry(name).or_default().push(Binding::Item);
            }
            Reader { module }.visit_item(item);
        }
    }

    fn read_module(&mut self, files: &Files, parent: usize, folder: &str, module: &ItemMod) {
        let (name, at) = (module.ident.to_string(), self.modules.len());
        let inside = format!("{folder}/{name}");
        let file = match &module.content {
            Some(_) => self.modules[parent].file.clone(),
            None => {
                let file = format!("{inside}.rs");
                if files.contains_key(&file) { file } else { format!("{inside}/mod.rs") }
            }
        };
        let root = self.modules[parent].root;
        self.modules.push(Module { file, parent: Some(parent), root, ..Module::default() });
        self.modules[parent].names.entry(name).or_default().push(Binding::Module(at));
        match &module.content {
            Some((_, items)) => self.read_items(files, at, &inside, items),
            None => self.read_file(files, at, &inside),
        }
    }
}

/// Collects what the code of one module imports and names.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    fn mention(&mut self, path: Path, span: Span) {
        self.module.mentions.push(Mention { path, line: span.start().line });
    }

    fn import(&mut self, tree: &UseTree, mut path: Path) {
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.import(&tree.tree, path);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, path.clone()));
            }
            UseTree::Name(tree) => self.bind(&tree.ident, path, &tree.ident),
            UseTree::Rename(tree) => self.bind(&tree.rename, path, &tree.ident),
            UseTree::Glob(tree) => {
                let line = tree.star_token.spans[0].start().line;
                self.module.imports.push(Mention { path: path.clone(), line });
                self.module.globs.push(path);
            }
        }
    }

    /// `use a::b::{self}` binds `b`.
    fn bind(&mut self, name: &Ident, mut path: Path, last: &Ident) {
        let name = match path.last() {
            Some(module) if name == "self" => module.clone(),
            _ => name.to_string(),
        };
        if last != "self" {
            path.push(last.to_string());
        }
        let line = last.span().start().line;
        self.module.imports.push(Mention { path: path.clone(), line });
        self.module.names.entry(name).or_default().push(Binding::Import(path));
    }

    /// Finds the paths in what only a macro understands. A name behind a dot is a field or a method.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, char| match tokens.get(at) {
            Some(TokenTree::Punct(punct)) => punct.as_char() == char,
            _ => false,
        };
        let is_member = |at: usize| at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let is_member = is_member(at);
            at += 1;
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) if !is_member => {
                    let mut path = vec![first.to_string()];
                    while is(at, ':') && is(at + 1, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.mention(path, first.span());
                }
                _ => {}
            }
        }
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        // `use ::name` starts outside, and no module of ours has the name of a crate it uses so.
        if item.leading_colon.is_none() {
            self.import(&item.tree, Path::new());
        }
    }

    fn visit_impl_item(&mut self, item: &syn::ImplItem) {
        let attributes = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_field(&mut self, field: &syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_local(&mut self, local: &syn::Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string());
            self.mention(names.collect(), path.segments[0].ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }

    /// `pub(in crate::a)` says who may see it, and uses nothing.
    fn visit_vis_restricted(&mut self, _: &VisRestricted) {}
}

/// The name that an item gives to what it defines.
fn defined(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether something is only there for tests: `cfg(test)`, or `test` among what `all` asks for.
fn is_test(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.clone()),
        _ => None,
    });
    conditions.into_iter().any(asks_for_test)
}

fn asks_for_test(condition: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = condition.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(ident) => ident == "test",
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
            let of_all =
                at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(ident) if ident == "all");
            of_all && asks_for_test(group.stream())
        }
        _ => false,
    })
}
