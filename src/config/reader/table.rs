//! The table of a section: a row for each key, stated once. From it come reading, printing, messages, the
//! shipped configuration, the reference page and the JSON Schema.

use std::any::Any;

use toml::de::DeValue;

use super::field::Field;
use super::keys::{Condition, Key, Without};
use super::print::{Printer, quoted};
use super::section::Section;
use super::syntax::{Refusal, WriteOption, found};

/// Settings that are read by a table. [`settings!`] makes one.
pub(crate) trait Table: Default + Any {
    /// A description of the section or group, in sentences.
    const ABOUT: &str;

    fn rows() -> Vec<Row>;
}

/// One key, with its place in the settings of its table. The settings are behind [`Any`], so that there is
/// one reader and one printer in the program and not one for each table.
pub(crate) struct Row {
    pub(crate) key: Key,
    read: Box<ReadInto>,
    write: Box<WriteOption<dyn Any>>,
}

/// Reads a value into its place, if there are settings to read it into.
type ReadInto = dyn Fn(&DeValue<'_>, Option<&mut dyn Any>) -> Result<(), Refusal>;

const OWN: &str = "the rows of a table are used with its own settings";

fn own<T: Any>(settings: &dyn Any) -> &T {
    settings.downcast_ref().expect(OWN)
}

fn own_mut<T: Any>(settings: &mut dyn Any) -> &mut T {
    settings.downcast_mut().expect(OWN)
}

impl Row {
    pub(crate) fn new<T: Any, V: 'static>(
        name: &'static str,
        about: &'static str,
        field: Field<V>,
        get: fn(&T) -> &V,
        get_mut: fn(&mut T) -> &mut V,
    ) -> Self {
        let key = field.key(name, about);
        let (read, write) = (field.read, field.write);
        let read = move |value: &DeValue<'_>, into: Option<&mut dyn Any>| {
            let value = read(value)?;
            if let Some(into) = into {
                *get_mut(own_mut(into)) = value;
            }
            Ok(())
        };
        let write = move |of: &dyn Any| write(get(own(of)));
        Self { key, read: Box::new(read), write: Box::new(write) }
    }

    /// Makes the same row for settings that contain `T`.
    pub(crate) fn within<T: Any, U: Any>(
        self,
        get: fn(&U) -> &T,
        get_mut: fn(&mut U) -> &mut T,
    ) -> Self {
        let Self { key, read, write } = self;
        let read = move |value: &DeValue<'_>, into: Option<&mut dyn Any>| {
            read(value, into.map(|into| get_mut(own_mut(into)) as &mut dyn Any))
        };
        let write = move |of: &dyn Any| write(get(own(of)));
        Self { key, read: Box::new(read), write: Box::new(write) }
    }

    /// Reads the key into the settings, or reports what is wrong with it.
    fn read(&self, from: &Section<'_>, condition: Applies, into: &mut dyn Any) {
        let name = self.key.name;
        let Some(value) = from.value(name) else {
            if matches!(self.key.without, Without::Required) && condition == Applies::Yes {
                from.report(name, format!("missing; allowed: {}", self.key.allowed));
            }
            return;
        };
        if let Applies::No(message) = condition {
            return from.report(name, message);
        }
        if let Some(other) = self.key.excludes.iter().find(|other| from.has(other)) {
            return from.report(name, format!("does not go with {other}; allowed: one of the two"));
        }
        if let Some(message) = self.refusal(value, Some(into)) {
            from.report(name, message);
        }
    }

    /// Judges a value, and reads it into its place if there is one. The message says what is wrong with it.
    fn refusal(&self, value: &DeValue<'_>, into: Option<&mut dyn Any>) -> Option<String> {
        match (self.read)(value, into) {
            Ok(()) => None,
            Err(Refusal::Because(message)) => Some(message),
            Err(Refusal::NotAllowed) => {
                Some(format!("found {}; allowed: {}", found(value), self.key.allowed))
            }
        }
    }
}

/// Whether a key means anything next to the others of its section.
#[derive(PartialEq)]
enum Applies {
    Yes,
    /// The key it depends on has no value that is allowed.
    Unknown,
    /// The message for a key that is there even so.
    No(String),
}

fn applies(key: &Key, rows: &[Row], from: &Section<'_>) -> Applies {
    match key.condition {
        None => Applies::Yes,
        Some(Condition::With(keys)) if keys.iter().any(|key| from.has(key)) => Applies::Yes,
        Some(Condition::With(keys)) => {
            let keys = keys.join(" or ");
            Applies::No(format!("does not apply by itself; allowed: only with {keys}"))
        }
        Some(Condition::If(other, needed)) => {
            let row = rows.iter().find(|row| row.key.name == other);
            let default = || row?.key.default_text();
            let given = match from.value(other) {
                Some(value) if row.is_some_and(|row| row.refusal(value, None).is_some()) => None,
                Some(value) => value.as_str().map(quoted),
                None => default(),
            };
            let needed = quoted(needed);
            match given {
                None => Applies::Unknown,
                Some(given) if given == needed => Applies::Yes,
                Some(given) => Applies::No(format!(
                    "does not apply to {other} = {given}; allowed: only with {other} = {needed}"
                )),
            }
        }
    }
}

/// Reads the keys of a table. Each mistake is reported to the section; the settings then have what holds
/// without the key, and the configuration is refused as a whole.
pub(crate) fn read<T: Table>(from: &Section<'_>) -> T {
    let mut settings = T::default();
    read_rows(&T::rows(), &mut settings, from);
    settings
}

/// `into` is the settings of the table that the rows are of.
pub(crate) fn read_rows(rows: &[Row], into: &mut dyn Any, from: &Section<'_>) {
    for row in rows {
        row.read(from, applies(&row.key, rows, from), into);
    }
}

/// Writes the keys of a table, so that they can be read again.
pub(crate) fn print<T: Table>(settings: &T, to: &mut Printer) {
    print_rows(&T::rows(), settings, to);
}

/// `settings` are those of the table that the rows are of.
pub(crate) fn print_rows(rows: &[Row], settings: &dyn Any, to: &mut Printer) {
    let written = |name: &str| {
        let row = rows.iter().find(|row| row.key.name == name);
        row.and_then(|row| (row.write)(settings))
    };
    for Row { key, write, .. } in rows {
        let applies = match key.condition {
            None => true,
            Some(Condition::With(keys)) => keys.iter().any(|key| written(key).is_some()),
            Some(Condition::If(other, value)) => written(other) == Some(quoted(value)),
        };
        match (write(settings), &key.without) {
            (Some(value), _) if applies => to.key(key.name, &value),
            (None, Without::Unset(instead)) => to.unset(key.name, instead),
            _ => {}
        }
    }
}

/// The names of the keys that only a restart changes and that differ between two settings.
pub(crate) fn restart_needed<T: Table>(old: &T, new: &T) -> Vec<&'static str> {
    let (rows, old, new): (_, &dyn Any, &dyn Any) = (T::rows(), old, new);
    let fixed = rows.iter().filter(|row| row.key.restart);
    fixed.filter(|row| (row.write)(old) != (row.write)(new)).map(|row| row.key.name).collect()
}

pub(crate) fn keys(rows: Vec<Row>) -> Vec<Key> {
    rows.into_iter().map(|row| row.key).collect()
}

/// A table whose settings are not named, for lists of tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnyTable {
    pub(crate) about: &'static str,
    rows: fn() -> Vec<Row>,
}

impl AnyTable {
    pub(crate) const fn of<T: Table>() -> Self {
        Self { about: T::ABOUT, rows: T::rows }
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        keys((self.rows)())
    }

    /// Judges the value of a key that is set; `None` if the table lacks the key.
    fn judge(&self, from: &Section<'_>, name: &str) -> Option<Result<(), String>> {
        let row = (self.rows)().into_iter().find(|row| row.key.name == name)?;
        Some(row.refusal(from.value(name)?, None).map_or(Ok(()), Err))
    }
}

/// Reports the values that none of the tables would take, where it is not known which of them holds.
pub(crate) fn report_what_no_table_takes(
    from: &Section<'_>,
    tables: impl Iterator<Item = AnyTable> + Clone,
) {
    for name in from.names() {
        let judged = tables.clone().filter_map(|table| table.judge(from, name));
        let refused: Result<Vec<String>, ()> =
            judged.map(|judged| judged.err().ok_or(())).collect();
        if let Some(message) = refused.unwrap_or_default().into_iter().next() {
            from.report(name, message);
        }
    }
}

/// Declares settings and their table: a field for each key, with its sentence as the doc comment and what
/// [`super::field`] offers as its row. `in` takes in the rows of another table; `beside` is a field that no
/// row reads.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $key_vis:vis $key:ident: $type:ty = $field:expr;)*
            $(in $in_vis:vis $in:ident: $in_type:ty;)*
            $(beside $(#[doc = $beside_doc:literal])* $beside_vis:vis $beside:ident: $beside_type:ty = $initial:expr;)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[doc = $doc])+ $key_vis $key: $type,)*
            $($in_vis $in: $in_type,)*
            $($(#[doc = $beside_doc])* $beside_vis $beside: $beside_type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($key: $crate::config::reader::field::Field::<$type>::from($field).initial,)*
                    $($in: <$in_type>::default(),)*
                    $($beside: $initial,)*
                }
            }
        }

        impl $crate::config::reader::table::Table for $name {
            const ABOUT: &str = concat!($($about, "\n"),+);

            fn rows() -> Vec<$crate::config::reader::table::Row> {
                #[allow(unused_mut, reason = "not every table takes in another")]
                let mut rows = vec![$(
                    $crate::config::reader::table::Row::new(
                        stringify!($key),
                        concat!($($doc, "\n"),+),
                        $crate::config::reader::field::Field::<$type>::from($field),
                        |settings: &Self| &settings.$key,
                        |settings: &mut Self| &mut settings.$key,
                    )
                ),*];
                $(
                    let taken_in = <$in_type as $crate::config::reader::table::Table>::rows();
                    rows.extend(taken_in.into_iter().map(|row| {
                        row.within(|settings: &Self| &settings.$in, |settings: &mut Self| &mut settings.$in)
                    }));
                )*
                rows
            }
        }
    };
}
pub(crate) use settings;
