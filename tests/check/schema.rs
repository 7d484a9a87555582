//! The documented format of `check --json`.

use std::fs;
use std::path::Path;

use serde_json::Value;

pub fn schema() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check.schema.json");
    serde_json::from_slice(&fs::read(file).expect("the schema")).expect("the schema is JSON")
}

/// Whether `value` is as `schema` says, by those keywords of JSON Schema that ours uses; another one is a failure.
pub fn conforms(value: &Value, schema: &Value, root: &Value) -> Result<(), String> {
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let fits = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let pointer = wanted.as_str().and_then(|reference| reference.strip_prefix('#'));
                conforms(value, root.pointer(pointer.expect("a reference")).expect("a definition"), root)?;
                true
            }
            "anyOf" => {
                wanted.as_array().expect("schemas").iter().any(|one| conforms(value, one, root).is_ok())
            }
            "enum" => wanted.as_array().expect("values").contains(value),
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|one| is_a(value, one)),
                one => is_a(value, one),
            },
            "minimum" => value.is_null() || value.as_i64() >= wanted.as_i64(),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| conforms(item, wanted, root))?;
                true
            }
            "required" => wanted
                .as_array()
                .expect("names")
                .iter()
                .all(|name| value.get(name.as_str().expect("a name")).is_some()),
            "properties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    conforms(
                        member,
                        wanted.get(name).ok_or_else(|| format!("{name} is not documented"))?,
                        root,
                    )?;
                }
                true
            }
            // Stands beside "properties", which are all there may be.
            "additionalProperties" => wanted == false,
            other => return Err(format!("the schema has {other}, which this test does not know")),
        };
        if !fits {
            return Err(format!("{value} is not as {keyword} {wanted} says"));
        }
    }
    Ok(())
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => false,
    }
}
