//! The JSON Schema of a configuration (draft 7), for editors and other tools that read TOML.
//!
//! It is as strict as such a schema allows and never stricter than the reader: what it refuses is refused
//! by `outstation check` too.

use serde_json::{Map, Value as Json, json};

use super::reader::keys::{Condition, Key, SectionKeys, Variant, Variants, Without};
use super::whole::sections;

/// The schema of a whole file.
#[must_use]
pub fn json_schema() -> Json {
    let properties: Map<String, Json> =
        sections().iter().map(|section| (section.name.to_owned(), of_section(section))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "outstation",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn of_section(section: &SectionKeys) -> Json {
    let mut properties = Map::new();
    for key in section.all() {
        // Of a key that several variants have, each variant says more below.
        let shared = section.all().filter(|other| other.name == key.name).count() > 1;
        let schema = if shared { json!({ "description": described(key) }) } else { of_key(key) };
        properties.insert(key.name.to_owned(), schema);
    }
    let mut rules: Vec<Json> = section.keys.iter().flat_map(rules_of).collect();
    if let Some(variants) = &section.variants {
        rules.extend(of_variants(section, variants));
    }
    let mut table = json!({
        "type": "object",
        "description": described_text(section.about),
        "additionalProperties": false,
        "properties": properties,
        "required": required(&section.keys),
    });
    add_rules(&mut table, rules);
    match section.repeated {
        false => table,
        true => json!({ "type": "array", "items": table }),
    }
}

/// A rule for each variant: it has its own keys and none of those that only others have.
fn of_variants(section: &SectionKeys, variants: &Variants) -> Vec<Json> {
    let Variants { chosen_by, variants } = variants;
    let rule = |variant: &Variant| {
        let mut properties = Map::new();
        for key in section.all().filter(|key| !section.keys.iter().any(|own| own.name == key.name))
        {
            properties.insert(key.name.to_owned(), Json::Bool(false));
        }
        for key in &variant.keys {
            properties.insert(key.name.to_owned(), of_key(key));
        }
        let rules: Vec<Json> = variant.keys.iter().flat_map(rules_of).collect();
        let mut then = json!({ "properties": properties, "required": required(&variant.keys) });
        add_rules(&mut then, rules);
        let is_chosen = json!({ "required": [chosen_by], "properties": { *chosen_by: { "const": variant.name } } });
        json!({ "if": is_chosen, "then": then })
    };
    variants.iter().map(rule).collect()
}

/// A list of rules must not be empty.
fn add_rules(schema: &mut Json, rules: Vec<Json>) {
    if !rules.is_empty() {
        schema["allOf"] = rules.into();
    }
}

fn of_key(key: &Key) -> Json {
    let mut schema = key.schema.clone();
    schema["description"] = described(key).into();
    if let Without::Default(text) = &key.without {
        // A default is one value of TOML, and those that are not JSON too are none of ours.
        schema["default"] = serde_json::from_str(text).unwrap_or(Json::Null);
    }
    schema
}

/// Keys that must be there whatever the others are.
fn required(keys: &[Key]) -> Vec<&'static str> {
    let always = |key: &&Key| key.without == Without::Required && key.condition.is_none();
    keys.iter().filter(always).map(|key| key.name).collect()
}

/// The rules of a key about its neighbours.
fn rules_of(key: &Key) -> Vec<Json> {
    let when = |then: Json| json!({ "if": { "required": [key.name] }, "then": then });
    let mut rules = Vec::new();
    match key.condition {
        Some(Condition::With(others)) => {
            let any: Vec<Json> =
                others.iter().map(|other| json!({ "required": [other] })).collect();
            rules.push(when(json!({ "anyOf": any })));
        }
        Some(Condition::If(other, value)) => {
            let is_so = json!({ "properties": { other: { "const": value } }, "required": [other] });
            rules.push(when(is_so.clone()));
            if key.without == Without::Required {
                rules.push(json!({ "if": is_so, "then": { "required": [key.name] } }));
            }
        }
        None => {}
    }
    let excluded = key.excludes.iter().map(|other| when(json!({ "not": { "required": [other] } })));
    rules.extend(excluded);
    rules
}

fn described(key: &Key) -> String {
    format!("{} Allowed: {}.", described_text(key.about), key.allowed)
}

fn described_text(about: &str) -> String {
    about.split_whitespace().collect::<Vec<_>>().join(" ")
}
